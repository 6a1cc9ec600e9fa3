"""Tables and raw material -> the list of calls, a line each: who, what, its outcome, its time."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Tables
from netlab.show.format import duration
from netlab.show.views import words
from netlab.show.views.connections import connection_name, start_ns


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call."""

    call: int
    time_ns: int  # of its entry, since the recording's first event
    took_ns: int | None  # None: it never returned
    connection: int | None
    connection_name: str  # tcp.0; empty where it has none
    side: str  # empty where it is not known
    actor: str
    text: str  # send(100) = 100  0..100
    shorter: tuple[str, ...]  # the same for narrower places
    errno: str | None


def call_lines(
    tables: Tables, raw: RawRecording, limit: int | None, chosen: Collection[int] | None = None
) -> list[CallLine]:
    """The calls, at most `limit` of them (None or 0: all); of the `chosen` numbers alone."""
    start = start_ns(tables) or 0
    names = {row.connection: connection_name(row) for row in tables.connections}
    kept = (call for call in tables.calls if chosen is None or call.call in chosen)
    rows = []
    for call in islice(kept, limit or None):
        at = call.call - 1
        ready = raw.calls[at].ready if at < len(raw.calls) else ()
        text, *shorter = words.whole_texts(call, ready)
        if call.op == "exit" and call.returned_by_ns is not None:
            shorter.insert(0, text)
            text += f" at some time in the next {duration(call.returned_by_ns - call.entered_ns)}"
        rows.append(
            CallLine(
                call=call.call,
                time_ns=call.entered_ns - start,
                took_ns=None if call.returned_ns is None else call.returned_ns - call.entered_ns,
                connection=call.connection,
                connection_name=names.get(call.connection, "")
                if call.connection is not None
                else "",
                side=call.side or "",
                actor=call.actor,
                text=text,
                shorter=tuple(shorter),
                errno=call.errno,
            )
        )
    return rows
