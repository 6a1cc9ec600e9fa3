"""The frames of a connection -> where its capture stands: how far each end is from it.

What an end answers, the capture sees as late as the way to that end and back: next to nothing at
the end where it was taken, a round trip at the other, a part of it each in between. So what an end
knew when a frame of it passed is what had passed by `away_ns` earlier. The shortest answer seen is
taken, be it an ACK or the echo of a timestamp (RFC 7323 4): each comes as late as that, or later.
Of what was sent twice only the copy counts that is echoed (Karn's rule, RFC 6298 3).

Linux counts the packets of a TCP socket in the identification of their IPv4 headers, one by one,
those that are lost too; a SYN-ACK and some resets have 0. So a number that is left out is a frame
that did not come by here. RFC 6864 asks for no such order: an end is believed only whose frames
show it.
Read first: RFC 7323 4, RFC 6864; ip_select_ident_segs in Linux. Knows nothing of calls.
"""

from __future__ import annotations

from dataclasses import field
from itertools import pairwise

from netlab.correlate.segments import Row, Track
from netlab.model.records import dataclass
from netlab.model.tables import Packet, Side

_ENOUGH = 8  # answers without a handshake among them: the shortest of fewer may be a delayed one
_NEAR_NS = 1_000_000  # an end that answers sooner is here, whatever the way to the other is
_COUNTED = 2  # times in a row, and two of three, show a counter
_IDS = 1 << 16
_MOST_MISSING = 256  # more left out is another counter


@dataclass(slots=True)
class Vantage:
    """Where a capture stands. None in `away_ns`: the frames do not tell."""

    away_ns: dict[Side, int | None]
    missing: dict[int, int] = field(default_factory=dict)  # by frame, where its sender counts

    def away(self, side: Side) -> int:
        """How long after a frame to this end its answer passes, at the least; 0: not known."""
        return self.away_ns[side] or 0

    def is_here(self, side: Side) -> bool:
        """Whether the capture was taken at this end: nothing that it sent was lost before."""
        mine, other = self.away_ns[side], self.away_ns[side.outbound.receiver]
        if mine is None or other is None:
            return False
        return mine < _NEAR_NS and 4 * mine < other

    def shift(self, side: Side) -> int:
        """By how much later than it passed here an end had an ACK; of the end that is here 0."""
        away_ns = self.away(side)
        return away_ns if away_ns >= _NEAR_NS else 0


def vantage_of(track: Track) -> Vantage:
    """How far each end is, and which frames show that others before them did not come by."""
    missing: dict[int, int] = {}
    for side in Side:
        _count(track, side, missing)
    return Vantage({side: _away(track, side, missing) for side in Side}, missing)


def _away(track: Track, side: Side, missing: dict[int, int]) -> int | None:
    """The shortest time from a frame to this end until its answer: no earlier one was lost."""
    asked: dict[int, list[Packet]] = {}  # by the ACK number that answers it
    stamped: dict[int, Packet] = {}  # by timestamp, the first that brought it
    shortest: int | None = None
    answers, opened = 0, False
    for row in track.rows:
        segment, options = row.segment, row.packet._options
        if row.packet._made:
            continue
        if row.direction is side.inbound:
            if segment.seg_len and not row.probe:
                asked.setdefault(segment.seq + segment.seg_len, []).append(row.packet)
            if options is not None and options.ts_val:
                stamped.setdefault(options.ts_val, row.packet)
            continue
        told = []
        if missing.get(row.packet.frame):
            asked.pop(segment.ack or 0, None)
            continue
        if segment.ack is not None and (copies := asked.pop(segment.ack, None)):
            told.append(_answered(copies, row.packet))
            opened = opened or (segment.ack == 1 and told[0] is not None)
        if options is not None and options.ts_ecr:  # it left when that had come, or later
            told.append(stamped.pop(options.ts_ecr, None))
        for packet in told:
            if packet is not None:
                answers += 1
                took_ns = row.packet.time_ns - packet.time_ns
                shortest = took_ns if shortest is None else min(shortest, took_ns)
    return shortest if opened or answers >= _ENOUGH else None


def _answered(copies: list[Packet], answer: Packet) -> Packet | None:
    """Which of several copies of a segment an ACK answers; None: it may be any."""
    if len(copies) == 1:
        return copies[0]
    echo = answer._options.ts_ecr if answer._options is not None else None
    told = [p for p in copies if p._options is not None and p._options.ts_val == echo]
    return told[0] if echo is not None and len(told) == 1 else None


def _count(track: Track, side: Side, missing: dict[int, int]) -> None:
    """Note how many frames are left out before each of this end's, where it counts them."""
    rows = [
        row for row in track.rows
        if row.direction is side.outbound and row.packet.ip_version == 4 and row.packet.ip_id
        and not row.packet._made
    ]  # fmt: skip
    mss = track.halves[side.inbound].mss or 536
    left_out = [
        (row.packet.ip_id - before.packet.ip_id - _packets(before, mss)) % _IDS
        for before, row in pairwise(rows)
        if row.packet.ip_id is not None and before.packet.ip_id is not None
    ]  # fmt: skip
    in_turn = left_out.count(0)
    counts = in_turn >= _COUNTED and 3 * in_turn >= 2 * len(left_out)
    for row, number in zip(rows[1:], left_out, strict=True):
        if number == 0 or (counts and number < _MOST_MISSING):
            missing[row.packet.frame] = number


def _packets(row: Row, mss: int) -> int:
    """Of how many packets a frame is made, that offload may have put together."""
    return max(-(-row.segment.payload_len_bytes // mss), 1)
