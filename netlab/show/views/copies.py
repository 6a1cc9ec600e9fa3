"""Segments in order -> which of them carry bytes again, and which were only captured again.

Pure: a sign for each, to be explained by whoever shows it. Read first: RFC 6864 (what IPv4's
identification is worth).
"""

from __future__ import annotations

from netlab.model.ranges import RangeSet
from netlab.model.tables import Packet, Segment

_TWICE_WITHIN_NS = 10_000_000  # Linux resends after 200 ms at the earliest but for probes


class Copies:
    """Tells bytes that were sent again from a packet that was captured twice.

    Some captures show each packet of the loopback twice; then even IPv4's identification is equal,
    which a packet sent again has anew (RFC 6864 lets it be 0 where it means nothing). A stack that
    numbers badly still resends no sooner than a timer allows, and nobody at the very same moment.
    """

    def __init__(self) -> None:
        self._sent: dict[str, RangeSet] = {}
        self._seen: dict[tuple[object, ...], int] = {}

    def sign(self, packet: Packet, segment: Segment | None, known_resent: bool) -> str:
        """`≡` captured twice, `↻` resent, or nothing. To be asked for each frame, in order."""
        if segment is None:
            return ""
        flags = packet.tcp_flags
        key = (packet.src, packet.ip_id, segment.seq, segment.ack, segment.stop, flags)
        sent = self._sent.setdefault(segment.direction, RangeSet())
        again = known_resent or _verdict_resent(segment)
        again = again or bool(sent.overlaps(segment.start, segment.stop))
        again = again and (segment.payload_len_bytes > 0 or _counts(packet))
        if segment.payload_len_bytes:
            sent.add(segment.start, segment.stop)
        seen_ns = self._seen.get(key)
        if seen_ns is None:
            self._seen[key] = packet.time_ns
        elif packet.time_ns < seen_ns + (_TWICE_WITHIN_NS if packet.ip_id else 1):
            return "≡"
        return "↻" if again else ""


def _counts(packet: Packet) -> bool:
    """Whether it has a number of its own without payload: a probe only asks with an old one."""
    return bool({"SYN", "FIN"} & set((packet.tcp_flags or "").split()))


def _verdict_resent(segment: Segment | None) -> bool:
    if segment is None or segment.verdict == "new_data":  # tshark counts from a stray RST on
        return False
    return bool(
        segment.retransmission or segment.fast_retransmission or segment.spurious_retransmission
    )
