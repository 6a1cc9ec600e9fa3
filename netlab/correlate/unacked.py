"""What one end has sent and nobody has acknowledged yet, as a list of segments, as tshark has it.

Every segment is in it once for each time that it was seen. An ACK takes out what it covers, and
shortens what it covers in part. Numbers are 32 bits, relative to one that the list is told.
Read first: `verdicts`, `model/seqnum`.
"""

from __future__ import annotations

from bisect import bisect_right

from netlab.model.seqnum import seq_add

_MOST = 10_000  # segments; later ones are not noted
_FAR = 1 << 31  # from here on a number lies behind, not ahead


class Unacked:
    """Oldest first. While each segment begins where the last one ended or behind it, the list is
    also in order of the stream, and an ACK is found in it by bisection. If not, an ACK that is
    repeated looks only at what came since."""

    __slots__ = (
        "_ack", "_base", "_beyond", "_ends", "_frames", "_in_order", "_reach", "_seqs", "_times",
    )  # fmt: skip

    def __init__(self) -> None:
        self._base = 0
        self._seqs: list[int] = []
        self._ends: list[int] = []
        self._frames: list[int] = []
        self._times: list[int] = []
        self._in_order = True
        self._ack = -1  # the last
        self._beyond = 0  # so many at the beginning lie beyond it
        self._reach: tuple[int, int] | None = None  # the lowest and the highest; None: to be sought

    def begin_at(self, base: int) -> None:
        """Count from this number; what is in the list is counted anew."""
        shift, self._base = self._base - base, base
        self._seqs = [seq_add(seq, shift) for seq in self._seqs]
        self._ends = [seq_add(end, shift) for end in self._ends]
        self._in_order = not self._seqs
        self._ack = -1
        self._reach = None

    def add(self, seq: int, end: int, frame: int, time_ns: int) -> bool:
        """Note a segment; False where there are too many."""
        if len(self._seqs) >= _MOST:
            return False
        seq, end = seq_add(seq, -self._base), seq_add(end, -self._base)
        if not self._ends:
            self._in_order = seq <= end
        elif not self._ends[-1] <= seq <= end:
            self._in_order = False
        if self._reach is not None:
            low, high = self._reach
            if seq < low or end > high:
                self._reach = min(low, seq), max(high, end)
        self._seqs.append(seq)
        self._ends.append(end)
        self._frames.append(frame)
        self._times.append(time_ns)
        return True

    @property
    def oldest(self) -> tuple[int, int] | None:
        """Frame and time of the segment that is in the list for the longest time."""
        return (self._frames[0], self._times[0]) if self._times else None

    @property
    def size_bytes(self) -> int:
        """From the first byte in the list to the last."""
        if self._in_order:
            return self._ends[-1] - self._seqs[0] if self._ends else 0
        if self._reach is None:
            self._reach = min(self._seqs), max(self._ends)
        low, high = self._reach
        return high - low

    def take(self, ack: int) -> tuple[int, int] | None:
        """Take out what an ACK covers; frame and time of the oldest that ends just there."""
        if not self._seqs:
            return None
        ack = seq_add(ack, -self._base)
        if not self._in_order:
            return self._take_one_by_one(ack)
        first, last = self._seqs[0], self._ends[-1]
        if last - first >= _FAR or abs(ack - first) >= _FAR or abs(ack - last) >= _FAR:
            return self._take_one_by_one(ack)
        if ack <= first:
            return None if ack < self._ends[0] else self._take_one_by_one(ack)
        covered = bisect_right(self._ends, ack)
        self._ack = -1
        found = None
        if covered and self._ends[covered - 1] == ack:
            found = self._frames[covered - 1], self._times[covered - 1]
            if covered > 1 and self._ends[covered - 2] == ack:  # of no bytes
                return self._take_one_by_one(ack)
        self._reach = None
        for column in (self._seqs, self._ends, self._frames, self._times):
            del column[:covered]
        if self._seqs and self._seqs[0] < ack:
            self._seqs[0] = ack
        return found

    def _take_one_by_one(self, ack: int) -> tuple[int, int] | None:
        first = self._beyond if ack == self._ack else 0
        ends, seqs = self._ends, self._seqs
        found = None
        kept: list[int] = []
        for index in range(first, len(ends)):
            beyond = seq_add(ends[index], -ack)
            if 0 < beyond < _FAR:
                kept.append(index)
                if 0 < seq_add(ack, -seqs[index]) < _FAR:
                    seqs[index] = ack
                    self._reach = None
            elif beyond == 0 and found is None:
                found = self._frames[index], self._times[index]
        if first + len(kept) < len(ends):
            self._reach = None
            for column in (seqs, ends, self._frames, self._times):
                column[first:] = [column[index] for index in kept]
            self._in_order = self._in_order or not ends
        self._ack, self._beyond = ack, len(ends)
        return found
