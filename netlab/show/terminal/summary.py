"""A summary, and the list of connections, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from netlab.show.escape import printable
from netlab.show.format import bit_rate, byte_count, byte_size, count, duration, instant
from netlab.show.terminal.connections import BUSIEST, connection_lines
from netlab.show.terminal.lines import Line, emit, fold, plain, width_of
from netlab.show.terminal.traffic import host_lines, protocol_lines, trouble_lines
from netlab.show.views.connections import ConnectionSummary, Operations
from netlab.show.views.recorded import InterfaceSummary, Ledger, WireSummary, unmatched_text
from netlab.show.views.summary import Summary, summary

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from netlab.correlate.messages import DecodeAs

_LABEL = 13
_DETAILED = 2  # connections with calls that get a paragraph each; of others, one alone
LISTED = 6  # of more, those that moved most
_INTERFACES = 4
_RULES = 12


def print_summary(
    tables: Tables,
    raw: RawRecording,
    *,
    path: str | Path,
    where: str = "",
    decode_as: Sequence[DecodeAs] = (),
    console: Console | None = None,
) -> None:
    """Print what a recording holds, or the part of it that `where` names."""
    view = summary(tables, raw, str(path), where, decode_as)
    emit(summary_lines(view, width_of(console)), console)


def summary_lines(view: Summary, width: int) -> list[Line]:
    """The summary in lines of at most `width` columns, as far as names allow: one screen."""
    lines = _beside(printable(view.path), printable(view.source), width)

    def say(label: str, text: str, style: str = "") -> None:
        first, *rest = fold(printable(text), width - _LABEL)
        lines.append([(label.ljust(_LABEL), "dim"), (first, style)])
        lines.extend([(" " * _LABEL, ""), (more, style)] for more in rest)

    if view.title:
        say("made by", view.title)
    if view.where:
        say("where", view.where, "bold")
    if view.start_ns is not None and view.stop_ns is not None:
        say("time", f"{duration(view.stop_ns - view.start_ns)} from {instant(view.start_ns)}")
    say("holds", _holds(view))
    if view.witnesses:
        say("witnesses", "; ".join(view.witnesses))
    if view.interfaces:
        lost = any(one.dropped for one in view.interfaces)
        ring = "the ring" if view.wire is None else "the wire's ring"
        say("capture", _interfaces(view.interfaces, ring), "bold red" if lost else "")
    if view.protocols:
        lines += [[], *protocol_lines(view.protocols, width)]
    if len(view.hosts) > 2:
        lines += [[], *host_lines(view.hosts, width, view.hosts_more)]
    _connections(view, lines, say, width)
    lines.append([])
    if view.wire is not None:
        _wire(view.wire, say)
    for loss in view.losses:
        say("lost", loss, "bold red")
    _ledger(view.ledger, say)
    for note in view.notes:
        say("note", note)
    return lines + trouble_lines(view.troubles, width, _LABEL)


def _connections(view: Summary, lines: list[Line], say: _Say, width: int) -> None:
    used = [row for row in view.connections if row.is_used] or list(view.connections)
    unlisted = []
    if len(used) <= (_DETAILED if view.calls else 1) and not view.connections_more:
        for row in used:
            lines.append([])
            _connection(row, lines, say, width)
    else:
        listed = used
        if len(used) > LISTED:
            listed = sorted(used, key=lambda row: -(row.client_bytes + row.server_bytes))[:LISTED]
        lines += [[], *connection_lines(listed, view.start_ns, width, BUSIEST)]
        more = len(used) - len(listed) + view.connections_more
        if more:
            unlisted.append(f"{more:,} that moved no more")
    idle = len(view.connections) - sum(row.is_used for row in view.connections)
    if 0 < idle < len(view.connections):
        unlisted.append(f"{idle:,} that moved nothing")
    if unlisted:
        said = f"… and {', '.join(unlisted)}: netlab inspect --connections lists them"
        lines += [[(text, "dim")] for text in fold(said, width)]


def _holds(view: Summary) -> str:
    parts = [count(view.frames, "frame")]
    if view.frame_bytes:
        parts[0] += f" of {byte_size(view.frame_bytes)}"
    if view.frames_without_connection:
        parts[0] += f" ({view.frames_without_connection:,} of no connection)"
    if view.calls:
        parts += [count(view.calls, "call"), count(view.links, "link") + " between them"]
    if view.states:
        parts.append(count(view.states, "state sample"))
    if view.stamps:
        parts.append(count(view.stamps, "kernel stamp"))
    parts.append(count(len(view.connections) + view.connections_more, "connection"))
    return ", ".join(parts)


def _beside(name: str, text: str, width: int) -> list[Line]:
    """A name and a text, under each other where they are too long for one line."""
    if len(name) + 2 + len(text) <= width:
        return [[(name, "bold"), (f"  {text}", "")]]
    return [[(name, "bold")], [(" " * _LABEL + text, "")]]


class _Say(Protocol):
    """How `summary_lines` adds a labelled paragraph."""

    def __call__(self, label: str, text: str, style: str = "") -> None: ...


def _connection(row: ConnectionSummary, lines: list[Line], say: _Say, width: int) -> None:
    client, server = printable(row.client), printable(row.server)
    label = f"connection {row.connection}".ljust(_LABEL) + " "
    lines.append([(label, "bold"), (f"{client} → {server}", "bold"), (f"  {row.name}", "dim")])
    if len(plain(lines[-1])) > width:
        lines[-1] = [(f"{label}{client} →", "bold")]
        lines.append([(" " * len(label) + server, "bold"), (f"  {row.name}", "dim")])
        if max(len(plain(line)) for line in lines[-2:]) > width:  # IPv6, few columns
            lines[-2:] = [[(label, "bold"), (row.name, "dim")], [(f"  {client} →", "bold")],
                          [(f"  {server}", "bold")]]  # fmt: skip
    if row.handshake_ns is not None:
        say("handshake", duration(row.handshake_ns))
    frames = row.client_packets + row.server_packets
    moved = f"{byte_count(row.client_bytes)} →   {byte_count(row.server_bytes)} ←"
    if row.bits_per_second and row.client_bytes + row.server_bytes:
        moved += f", {bit_rate(row.bits_per_second)} together"
    say("bytes", moved)
    if frames:
        resent = f", {row.resent_frames:,} resent" if row.resent_frames else ""
        if row.resent_frames is None and row.retransmissions:
            resent = f", tshark's retransmissions: {row.retransmissions:,}"
        say("frames", f"{row.client_packets:,} →   {row.server_packets:,} ←{resent}")
    if row.verdicts:
        say("verdicts", row.verdicts)
    for text in row.limits:
        say("limited", text)
    for side in ("client", "server", "unknown"):
        made = [one for one in row.operations if one.side == side]
        if made:
            say(f"{side} calls", ", ".join(map(_operation, made)))
    if row.end:
        say("end", row.end)


def _operation(one: Operations) -> str:
    failed = f" ({one.errors})" if one.failed else ""
    return f"{one.calls:,} {one.op}{failed}"


def _interfaces(found: tuple[InterfaceSummary, ...], ring: str) -> str:
    shown = found if len(found) <= _INTERFACES else found[: _INTERFACES - 1]
    said = [_interface(one, ring) for one in shown]
    rest = found[len(shown) :]
    if rest:
        lost = sum(one.dropped or 0 for one in rest)
        said.append(
            f"and {len(rest)} more interfaces: {count(sum(one.frames for one in rest), 'frame')}"
            + (f", {lost:,} LOST by {ring}" if lost else "")
        )
    return "; ".join(said)


def _interface(one: InterfaceSummary, ring: str) -> str:
    name = one.name or "unnamed interface"
    lost = "losses not known"
    if one.dropped is not None:
        lost = "none lost" if one.dropped == 0 else f"{one.dropped:,} LOST by {ring}"
    return f"{name}: {count(one.frames, 'frame')}, {lost}"


def _wire(wire: WireSummary, say: _Say) -> None:
    parts = [f"{count(wire.sent, 'frame')} sent by the hosts"]
    for number, what in (
        (wire.made, "made by the wire"),
        (wire.dropped, "dropped"),
        (wire.changed, "changed"),
        (wire.unknown, "of unknown fate"),
    ):
        parts += [f"{number:,} {what}"] if number else []
    say("wire", ", ".join(parts))
    if wire.late_median_ns is not None and wire.late_most_ns is not None:
        say(
            "lateness",
            f"{duration(wire.late_median_ns)} in the median, {duration(wire.late_most_ns)} at most",
        )
    for one in wire.rules[:_RULES]:
        parts = [count(one.sent, "frame")] if one.sent else []
        parts += [f"{one.made:,} made by the wire"] if one.made else []
        say("rule", f"{one.rule}: {', '.join(parts)}")
    if len(wire.rules) > _RULES:
        say("rule", f"… and {len(wire.rules) - _RULES} more")


def _ledger(ledger: Ledger, say: _Say) -> None:
    if ledger.closed is None:
        return
    if ledger.closed:
        sent, received = byte_count(ledger.sent_bytes), byte_count(ledger.received_bytes)
        say(
            "byte ledger",
            f"closed: {sent} sent and {received} received by calls, all matched",
            "green",
        )
        return
    lines: Iterable[str] = (
        f"{byte_count(line.bytes)} {unmatched_text(line.what, line.reason)}"
        for line in ledger.lines
    )
    say("byte ledger", "; ".join(lines), "yellow")
