"""What a sender had on its way: round by round, and at every moment.

A round begins with a segment and ends when its ACK has come back, as RFC 8312 and RFC 9438 count
round trips. It is told from the order of frames at the sender alone, not from times.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from netlab.studies.evidence import Evidence

SEGMENT = 1448  # MSS 1460 less 12 bytes of timestamps


@dataclass
class Flights:
    """The client's data on one connection. Offsets are the stream's; times ns since the epoch."""

    evidence: Evidence
    connection: int = 0

    @cached_property
    def sent(self) -> list[tuple[int, int, int]]:
        """Each segment with data, copies too, as it left: time, first byte, byte behind."""
        return [
            (frame.time_ns, segment.start, segment.stop)
            for frame, segment in self.evidence.frames("c>s", data=True, connection=self.connection)
        ]

    @cached_property
    def acked(self) -> list[tuple[int, int]]:
        """Each ACK as it came back: time, bytes that it says are there. Only those that say more
        than the one before."""
        arrived = sorted(
            (frame.arrived_ns, segment.ack - 1)
            for frame, segment in self.evidence.frames("s>c", connection=self.connection)
            if frame.arrived_ns is not None and segment.ack
        )
        found: list[tuple[int, int]] = []
        for time_ns, until in arrived:
            if until > (found[-1][1] if found else 0):
                found.append((time_ns, until))
        return found

    def rounds(self, start: int = 0) -> list[int]:
        """How many segments left in each round, from the one on that begins at this offset.

        Without copies. An ACK is seen as the wire hands it over, and the sender's kernel may take
        it up only after the wire has handed over the next: a round that begins in the middle of
        many ACKs is told some segments short by that, and the next too many.
        """
        segments = self._firsts(start)
        found: list[int] = []
        while segments:
            found.append(self._before_its_ack(segments))
            segments = segments[found[-1] :]
        return found

    def windows(self, start: int = 0) -> list[int]:
        """The most segments that were on their way in each round, from the one on that begins at
        this offset. A round has as many segments as were on their way in it.

        As an ACK is never seen later than the kernel takes it up, none of these is more than the
        kernel had; and once it has taken up the last of the ACKs that came together, as many as
        its window allows. So a late hand-over (see `rounds`) does not change them.
        """
        segments = self._firsts(start)
        found: list[int] = []
        while segments:
            on_the_way = [self.on_the_way(time_ns) // SEGMENT for time_ns, _ in segments]
            count = self._before_its_ack(segments)
            while count < min(max(on_the_way[:count]), len(segments)):
                count += 1
            found.append(max(on_the_way[:count]))
            segments = segments[count:]
        return found

    def _before_its_ack(self, segments: list[tuple[int, int]]) -> int:
        """How many of these left before the first of them was acknowledged."""
        began = segments[0][1]
        over_ns = next((time_ns for time_ns, until in self.acked if until > began), None)
        return sum(over_ns is None or time_ns < over_ns for time_ns, _ in segments)

    def _firsts(self, start: int) -> list[tuple[int, int]]:
        """When each segment from this offset on left for the first time, and its first byte."""
        segments = []
        for time_ns, first, stop in self.sent:
            if first >= start:
                segments.append((time_ns, first))
                start = stop
        return segments

    def trips_ns(self, start: int = 0) -> list[int]:
        """How long each ACK took, from when the first segment that only it tells of had left.

        From that offset on; without those that tell of something that left twice.
        """
        left: dict[int, list[int]] = {}
        for time_ns, first, _ in self.sent:
            left.setdefault(first, []).append(time_ns)
        found = []
        before = 0
        for time_ns, until in self.acked:
            if before >= start and len(left.get(before, ())) == 1:
                found.append(time_ns - left[before][0])
            before = until
        return found

    def on_the_way(self, at_ns: int) -> int:
        """Bytes that had left by then (that moment included) and were not acknowledged."""
        left = max((stop for time_ns, _, stop in self.sent if time_ns <= at_ns), default=0)
        place = bisect_right(self.acked, (at_ns, 1 << 62))
        return left - (self.acked[place - 1][1] if place else 0)

    def most(self) -> int:
        """The most segments that were on their way."""
        return max(self.on_the_way(time_ns) for time_ns, _, _ in self.sent) // SEGMENT

    def on_the_way_behind(self, lost: int) -> int | None:
        """Bytes on their way, that offset first, once all before it was acknowledged: what the
        congestion window allowed, before an ACK could tell of the loss."""
        arrived = sorted(
            (frame.arrived_ns, segment.ack or 0)
            for frame, segment in self.evidence.frames("s>c", connection=self.connection)
            if frame.arrived_ns is not None
        )
        place = next((n for n, (_, ack) in enumerate(arrived) if ack == lost + 1), None)
        if place is None or place + 1 >= len(arrived):
            return None
        return self.on_the_way(arrived[place + 1][0] - 1)

    def first_copy_ns(self) -> int | None:
        """When something left for the second time."""
        most = 0
        for time_ns, first, stop in self.sent:
            if first < most:
                return time_ns
            most = max(most, stop)
        return None
