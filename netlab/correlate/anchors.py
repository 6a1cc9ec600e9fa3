"""Whether a stream that began before the capture is seen from its first new byte on.

Offset 0 is then the first number that a frame shows. What is concluded from it ("until the first
frame nothing had come") holds only if that frame was none of those that repeat what was there:
- a keep-alive, or a window probe, has the number before the next byte;
- a retransmission of what had arrived is answered by an acknowledgement of more than it holds, or
  by one that says so (D-SACK, RFC 2883).
An acknowledgement of bytes that no frame held shows that they were on their way before.
"""

from __future__ import annotations

from netlab.correlate.flows import RST
from netlab.correlate.segments import Track
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Direction, Packet


def is_anchored(track: Track, direction: Direction) -> bool:
    """Whether all bytes of the direction from offset 0 on, and none before it, first left in
    frames that were captured."""
    if track.halves[direction].syn_seen:
        return True
    seen = 0
    begun = False
    for row in track.rows:
        segment = row.segment
        if row.direction is direction:
            if segment.start < 0 or (not begun and row.probe):
                return False
            if segment.payload_len_bytes and not row.probe:
                if not begun and segment.start != 0:
                    return False
                begun = True
                seen = max(seen, segment.stop)
            if segment.seg_len > segment.payload_len_bytes:
                seen = max(seen, segment.stop + 1)  # a FIN
        elif (
            segment.ack is not None
            and not row.packet._flags & RST
            and (segment.ack - 1 > seen or _repeats(row.packet))
        ):
            return False
    return True


def _repeats(packet: Packet) -> bool:
    """Whether it says that something came twice (RFC 2883 section 4)."""
    blocks = packet._options.sack_blocks if packet._options is not None else ()
    return bool(blocks) and seq_diff(blocks[0][1], packet.seg_ack or 0) <= 0
