"""Tables -> the calls that play in one connection's ladder, and the side on which each stands.

Calls on the connection's own sockets are easy. A poll waits for many sockets and a process's end
closes many: such a call plays where a frame of the connection is linked to it, or where its thread
worked for no other connection.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from netlab.model.call import WAITING
from netlab.model.tables import Call, Direction, Side, Tables

Thread = tuple[str, int, int]  # host, pid, tid


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: calls in order of entry with their side, and the threads of each side."""

    calls: tuple[tuple[Call, Side], ...]
    threads: dict[Side, tuple[Thread, ...]]


def thread_of(call: Call) -> Thread:
    """The thread that made the call."""
    return call.host, call.pid, call.tid


def cast(tables: Tables, connection: int) -> Cast:
    """The calls of a connection's ladder."""
    directions = {p.frame: p.direction for p in tables.packets if p.connection == connection}
    woken_by: dict[int, str | None] = {}
    for span in tables.spans:
        if span.frame in directions:
            woken_by.setdefault(span.call, directions[span.frame])
    sides: dict[Thread, set[str]] = defaultdict(set)
    works_for: dict[tuple[str, int], set[int]] = defaultdict(set)
    for call in tables.calls:
        if call.connection is not None:
            works_for[call.host, call.pid].add(call.connection)
        if call.connection == connection and call.side is not None:
            sides[thread_of(call)].add(call.side)
    playing: list[tuple[Call, Side]] = []
    for call in tables.calls:
        plays = (
            call.connection == connection
            or call.call in woken_by
            or (
                call.connection is None
                and (call.op in WAITING or call.op == "exit")
                and works_for[call.host, call.pid] == {connection}
            )
        )
        side = _side(call, sides[thread_of(call)], woken_by.get(call.call)) if plays else None
        if side is not None:
            playing.append((call, side))
    threads: dict[Side, list[Thread]] = {Side.CLIENT: [], Side.SERVER: []}
    for call, side in playing:
        if thread_of(call) not in threads[side]:
            threads[side].append(thread_of(call))
    return Cast(tuple(playing), {side: tuple(found) for side, found in threads.items()})


def _side(call: Call, thread_sides: set[str], frame_direction: str | None) -> Side | None:
    """Where a call stands: its own side, else its thread's, else that of the frame it saw."""
    if call.side is not None:
        return Side(call.side)
    if len(thread_sides) == 1:
        return Side(next(iter(thread_sides)))
    if frame_direction is not None:
        return Direction(frame_direction).receiver
    return None
