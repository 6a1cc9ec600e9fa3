"""Tables -> the calls that play in one connection's ladder, and the side on which each stands.

Calls on the connection's own sockets are easy. A poll waits for many sockets and a process's end
closes many: such a call plays where a frame of the connection is linked to it, or where its thread
worked for no other connection. A message between processes plays in the ladder of the connection
that it is about, on the side of the process that has the socket.
"""

from __future__ import annotations

from collections import defaultdict

from netlab.model.call import WAITING, is_closing
from netlab.model.records import dataclass
from netlab.model.tables import Call, Direction, Role, Side, Tables

Thread = tuple[str, int, int]  # host, pid, tid


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: calls in order of entry with their side, and the threads of each side."""

    calls: tuple[tuple[Call, Side], ...]
    threads: dict[Side, tuple[Thread, ...]]  # those that call the connection's own socket first
    actors: dict[Thread, str]
    helpers: frozenset[Thread]  # threads that only exchange messages about the connection


def thread_of(call: Call) -> Thread:
    """The thread that made the call."""
    return call.host, call.pid, call.tid


def cast(tables: Tables, connection: int) -> Cast:
    """The calls of a connection's ladder."""
    directions = {p.frame: p.direction for p in tables.packets if p.connection == connection}
    woken_by: dict[int, str | None] = {}
    sent: dict[int, Side] = {}  # calls on no socket of the connection that sent a frame of it
    for span in tables.spans:
        if span.frame not in directions:
            continue
        direction = directions[span.frame]
        woken_by.setdefault(span.call, direction)
        if direction is not None and span.role == Role.RST:
            sent.setdefault(span.call, Direction(direction).sender)
    sides: dict[Thread, set[str]] = defaultdict(set)
    works_for: dict[tuple[str, int], set[int]] = defaultdict(set)
    for call in tables.calls:
        if call.connection is not None:
            works_for[call.host, call.pid].add(call.connection)
        if call.connection == connection and call.side is not None:
            sides[thread_of(call)].add(call.side)
    about = [call for call in tables.calls if is_hop(call, connection)]
    holders = {side for call in about for side in sides[thread_of(call)]}
    at_holder = Side(holders.pop()) if len(holders) == 1 else Side.SERVER
    playing: list[tuple[Call, Side]] = []
    for call in tables.calls:
        plays = (
            call.connection == connection
            or call.about == connection
            or call.call in woken_by
            or (
                call.connection is None
                and (call.op in WAITING or call.op == "exit")
                and works_for[call.host, call.pid] == {connection}
            )
        )
        side = None
        if is_hop(call, connection):
            side = at_holder
        elif plays:
            side = _side(call, sides[thread_of(call)], woken_by.get(call.call))
            if call.side is None and is_closing(call):  # of a listener: its backlog is reset
                side = sent.get(call.call, side)
        if side is not None:
            playing.append((call, side))
    threads: dict[Side, dict[Thread, bool]] = {Side.CLIENT: {}, Side.SERVER: {}}
    for call, side in playing:
        helps = threads[side].get(thread_of(call), True)
        threads[side][thread_of(call)] = helps and is_hop(call, connection)
    return Cast(
        tuple(playing),
        {side: tuple(sorted(found, key=found.__getitem__)) for side, found in threads.items()},
        {thread_of(call): call.actor for call, _ in playing},
        frozenset(t for found in threads.values() for t, helps in found.items() if helps),
    )


def is_hop(call: Call, connection: int) -> bool:
    """Whether the call moved a message between processes that is about the connection."""
    return call.about == connection and call.connection != connection


def _side(call: Call, thread_sides: set[str], frame_direction: str | None) -> Side | None:
    """Where a call stands: its own side, else its thread's, else that of the frame it saw."""
    if call.side is not None:
        return Side(call.side)
    if len(thread_sides) == 1:
        return Side(next(iter(thread_sides)))
    if frame_direction is not None:
        return Direction(frame_direction).receiver
    return None
