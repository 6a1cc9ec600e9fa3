"""What the join of calls with calls gives, and the rows that all its parts write.

Unix sockets, pipes, queues and rings have no frames: a span links the call that took bytes with the
call that put them. Nothing but the outcome stands here; who fills it knows nothing of frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from netlab.correlate.call_ranges import Stop
from netlab.correlate.reasons import Reason, What
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Direction, Role, Side, Span, Unmatched


def _never(_: Socket) -> Stop | None:
    return None


@dataclass(slots=True)
class LocalJoin:
    """The outcome: everything `join` adds to the tables for what is not on a network."""

    calls: list[CallRecord]
    connections: list[Connection]
    stop_of: Callable[[Socket], Stop | None] = _never  # since when calls on it may be missing
    spans: list[Span] = field(default_factory=list)
    ranges: dict[int, tuple[Direction, int, int]] = field(default_factory=dict)
    of_call: dict[int, tuple[int, Side]] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    reads: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # socket -> (recv, send)

    def sources(self) -> dict[int, list[int]]:
        """For each call that received: the calls whose bytes it got, in order."""
        found: dict[int, list[int]] = {}
        for links in self.reads.values():
            for reader, sender in links:
                found.setdefault(reader, []).append(sender)
        return found

    def new_connection(self, client: str | None, server: str | None) -> Connection:
        """A row for two Unix sockets with these names."""
        row = Connection(
            len(self.connections), None, "unix", client or "unix:", None, server or "unix:", None,
            None, None,
        )  # fmt: skip
        self.connections.append(row)
        return row

    def link(self, sender: int, reader: int, way: Direction, start: int, stop: int) -> None:
        """Say that one call read what the other sent."""
        self.spans.append(Span(sender, None, reader, way, start, stop, Role.LOCAL))
        self.spans.append(Span(reader, None, sender, way, start, stop, Role.LOCAL))


def gap(
    join: LocalJoin, number: int, way: Direction, start: int, stop: int, call: int, why: Reason
) -> None:
    """List bytes that were sent and that nobody read."""
    if start < stop:
        join.unmatched.append(
            Unmatched(number, way, start, stop, stop - start, What.SENT_NOT_READ, why, call)
        )
