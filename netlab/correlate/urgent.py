"""Urgent pointers of a capture -> which stream bytes are urgent, and since when the receiver knows.

The pointer is the offset from the segment's sequence number to one past the urgent byte, as Linux
and RFC 6093 have it by default (tcp_stdurg = 0: the byte before the pointer). Only frames with the
URG flag are opened; the TCP header is found back from the payload, whose place is known.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.call_layout import UrgentMark
from netlab.correlate.flows import SYN, URG
from netlab.correlate.segments import Row, Track
from netlab.model.frame import Frame
from netlab.model.tables import Direction

_PORTS = struct.Struct("!HH")
_U16 = struct.Struct("!H")


def urgent_marks(
    frames: Sequence[Frame], tracks: Sequence[Track]
) -> dict[tuple[int, Direction], tuple[UrgentMark, ...]]:
    """The urgent bytes of each connection and direction, in order of announcement."""
    urgent = [
        (track.flow.connection, row)
        for track in tracks
        for row in track.rows
        if row.packet._flags & (URG | SYN) == URG and reached(row.packet)
    ]
    if not urgent:
        return {}
    by_number = {frame.number: frame for frame in frames}
    found: dict[tuple[int, Direction], list[UrgentMark]] = {}
    tracks_of = {track.flow.connection: track for track in tracks}
    for connection, row in urgent:
        frame = by_number.get(row.segment.frame)
        pointer = _pointer(frame, row) if frame is not None else None
        if not pointer:
            continue
        marks = found.setdefault((connection, row.direction), [])
        offset = row.segment.seq - 1 + pointer - 1
        if not marks or offset > marks[-1].offset:  # repeated in every segment until passed
            came = _arrived_ns(tracks_of[connection], row.direction, offset)
            marks.append(UrgentMark(offset, arrival_ns(row.packet), came))
    return {
        key: tuple(sorted(marks, key=lambda mark: mark.time_ns)) for key, marks in found.items()
    }


def _arrived_ns(track: Track, direction: Direction, offset: int) -> int | None:
    """When the first copy of this byte reached the receiver; None when no frame has it."""
    return min(
        (
            arrival_ns(row.packet)
            for row in track.rows
            if row.direction is direction
            and row.segment.start <= offset < row.segment.stop
            and not row.probe
            and reached(row.packet)
        ),
        default=None,
    )


def _pointer(frame: Frame, row: Row) -> int | None:
    packet, data = row.packet, frame.data
    if packet.payload_off is None:
        return None
    for header in range(20, 61, 4):
        start = packet.payload_off - header
        if start < 0:
            break
        ports = _PORTS.unpack_from(data, start)
        if ports == (packet.sport, packet.dport) and data[start + 12] >> 4 == header // 4:
            return int(_U16.unpack_from(data, start + 18)[0])
    return None
