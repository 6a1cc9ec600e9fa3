"""The kernel's stamps -> rows that say which bytes of which call each is about.

A stamp names a socket and its byte modulo 2**32, the last one of a send. Stamps of one socket are
never 2**31 bytes apart: a send takes less, and what is under way is less (RFC 7323 2.3). All bytes
before the one that is named have left, or were acknowledged, by then, so a stamp is the first one
for all bytes since the one before it. A stamp of a byte that had its stamp is a segment that was
sent again, and says something of that byte alone.

What this module must not know: packets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from netlab.correlate.lives import Lives
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord, is_outbound
from netlab.model.seqnum import unwrap
from netlab.model.stamp import Moment, StampRecord
from netlab.model.tables import Call, Stamp

_ORDER: dict[str, int] = {moment: place for place, moment in enumerate(Moment)}


def stamps_of_calls(
    stamps: Iterable[StampRecord], sockets: Iterable[Socket], calls: Sequence[Call],
    records: Sequence[CallRecord],
) -> list[Stamp]:  # fmt: skip
    """The rows in order of time; `calls` have their stream ranges."""
    lives = Lives(sockets, records)
    by_socket: dict[int, list[StampRecord]] = defaultdict(list)
    found: list[Stamp] = []
    homes: dict[int, Socket] = {}
    for stamp in stamps:
        socket = lives.maybe_socket(stamp.host, stamp.inode, stamp.time_ns)
        if socket is None:
            found.append(Stamp(None, None, None, stamp.what, stamp.time_ns, None, None))
            continue
        homes[id(socket)] = socket
        by_socket[id(socket)].append(stamp)
    for key, items in by_socket.items():
        items.sort(key=lambda item: (item.time_ns, _ORDER.get(item.what, 0)))
        found += _of_socket(homes[key], items, calls)
    return sorted(found, key=lambda row: row.time_ns)


def stamp_notes(stamps: Iterable[Stamp]) -> list[str]:
    """What a reader must know of stamps that are missing, where others prove that they were made.

    The segment had left by the time it was acknowledged, or a later one had left. The kernel says
    nothing of a stamp for which the receive buffer has no room.
    """
    seen: dict[tuple[int, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in stamps:
        if row.connection is not None and row.direction is not None and row.stop is not None:
            seen[row.connection, row.direction][row.what].append(row.stop)
    missing = 0
    for stops in seen.values():
        sent, acked = stops[Moment.SENT], stops[Moment.ACKED]
        gone = max([*sent, *acked], default=0)
        left = set(acked) | {stop for stop in stops[Moment.SCHEDULED] if stop <= gone}
        missing += len(left - set(sent)) + len((left | set(sent)) - set(stops[Moment.SCHEDULED]))
    if not missing:
        return []
    text = "1 stamp is" if missing == 1 else f"{missing:,} stamps are"
    return [f"{text} missing: the kernel drops one for which the receive buffer has no room"]


def _of_socket(socket: Socket, stamps: list[StampRecord], calls: Sequence[Call]) -> list[Stamp]:
    sends = [
        (call.start, call.stop, call.call)
        for call in (calls[number - 1] for number in socket.calls)
        if is_outbound(call) and call.start is not None and call.stop is not None
    ]
    sends.sort()
    starts = [start for start, _, _ in sends]
    direction = None if socket.side is None else socket.side.outbound
    passed: dict[str, int] = defaultdict(int)  # by moment: where the next bytes begin
    near = 0
    rows = []
    for stamp in stamps:
        near = max(0, unwrap(stamp.key, near))
        stop = near + 1
        start = passed[stamp.what] if stop > passed[stamp.what] else near
        passed[stamp.what] = max(stop, passed[stamp.what])
        place = bisect_right(starts, near) - 1
        holds = place >= 0 and near < sends[place][1]
        number = sends[place][2] if holds else None
        rows.append(
            Stamp(number, socket.connection, direction, stamp.what, stamp.time_ns, start, stop)
        )
    return rows
