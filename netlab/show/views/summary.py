"""Tables and raw material -> what a recording holds, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.correlate.arrivals import arrival_ns
from netlab.explain.troubles import Trouble, troubles
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Tables
from netlab.show.views.connections import ConnectionSummary, connections, start_ns
from netlab.show.views.recorded import (
    InterfaceSummary,
    Ledger,
    WireSummary,
    interfaces,
    ledger,
    loss_text,
    secret_notes,
    wire,
)
from netlab.show.views.text import as_json
from netlab.show.views.traffic import Host, Protocol, hosts, protocols

if TYPE_CHECKING:
    from netlab.correlate.messages import DecodeAs


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole recording."""

    path: str  # as it was named; of standard input its name
    source: str  # recording by netlab 0.1.0, or capture
    title: str
    where: str  # of which frames alone it speaks, in words; empty: of all
    start_ns: int | None
    stop_ns: int | None
    frames: int
    frame_bytes: int  # on the wire, headers and all
    calls: int
    links: int  # rows of the map
    states: int  # samples of sockets
    stamps: int  # by the kernel, of bytes that left or were acknowledged
    frames_without_connection: int
    protocols: tuple[Protocol, ...]
    hosts: tuple[Host, ...]
    connections: tuple[ConnectionSummary, ...]
    connections_more: int  # that moved less than each of those
    interfaces: tuple[InterfaceSummary, ...]
    wire: WireSummary | None  # None: there was none
    witnesses: tuple[str, ...]
    losses: tuple[str, ...]
    ledger: Ledger
    notes: tuple[str, ...]
    faults: tuple[str, ...]
    troubles: tuple[Trouble, ...]  # what looks wrong, the most serious first
    hosts_more: int = 0  # that moved less than each of those

    def as_json(self) -> str:
        """The summary as JSON text."""
        return as_json(self)


def summary(
    tables: Tables,
    raw: RawRecording,
    path: str,
    where: str = "",
    decode_as: Sequence[DecodeAs] = (),
) -> Summary:
    """What the recording at `path` holds, or the part of it that `where` names."""
    described = raw.description
    ends = [arrival_ns(p) for p in tables.packets]
    ends += [c.entered_ns if c.returned_ns is None else c.returned_ns for c in tables.calls]
    source = "capture"
    if described.netlab_version:
        form = f" ({described.form})" if described.form else ""
        source = f"recording by netlab {described.netlab_version}{form}"
    return Summary(
        path=path,
        source=source,
        title=described.title,
        where=where,
        start_ns=start_ns(tables),
        stop_ns=max(ends, default=None),
        frames=len(tables.packets),
        frame_bytes=sum(p.origlen_bytes for p in tables.packets),
        calls=len(tables.calls),
        links=len(tables.spans),
        states=len(tables.states),
        stamps=len(tables.stamps),
        frames_without_connection=sum(p.connection is None for p in tables.packets),
        protocols=protocols(tables, raw, decode_as),
        hosts=hosts(tables.packets),
        connections=connections(tables),
        connections_more=0,
        interfaces=interfaces(raw),
        wire=wire(tables, raw),
        witnesses=described.witnesses,
        losses=tuple(loss_text(loss) for loss in raw.losses),
        ledger=ledger(tables),
        notes=(
            *described.notes,
            *secret_notes(raw),
            *_form_notes(described.form),
            *_witness_notes(tables, raw),
        ),
        faults=tuple(raw.faults),
        troubles=tuple(troubles(tables, raw)),
    )


def _witness_notes(tables: Tables, raw: RawRecording) -> tuple[str, ...]:
    """Captures from elsewhere have neither: what judges them is not imported for those."""
    notes: tuple[str, ...] = ()
    if raw.clock_pairs:
        from netlab.correlate.ledger import clock_notes

        notes += tuple(clock_notes(raw))
    if tables.stamps:
        from netlab.correlate.stamps import stamp_notes

        notes += tuple(stamp_notes(tables.stamps))
    return notes


def _form_notes(form: str) -> tuple[str, ...]:
    if form != "live":
        return ()
    return (
        "this file was not finished: it is being recorded, or the recorder was killed, and then"
        " `netlab recover FILE` adds what is missing and finishes it",
    )
