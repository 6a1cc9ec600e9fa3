"""Half-open ranges of stream offsets: sets of them, and maps from them to where the bytes went.

A range is `start, stop` with start <= stop; `4096..8192` in print. Everything here keeps its ranges
sorted and disjoint, so that questions about a byte cost a binary search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class RangeSet:
    """A set of bytes, kept as sorted, disjoint, non-touching half-open ranges."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Add start..stop; an empty range changes nothing."""
        if start >= stop:
            return
        starts, stops = self._starts, self._stops
        if not stops or start > stops[-1]:  # the usual case: bytes arrive in order
            starts.append(start)
            stops.append(stop)
            return
        first = bisect_left(stops, start)  # first range that touches or follows
        last = bisect_right(starts, stop)  # one past the last that touches
        if first < last:
            start = min(start, starts[first])
            stop = max(stop, stops[last - 1])
        starts[first:last] = [start]
        stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take start..stop out; what is not there is no error."""
        if start >= stop:
            return
        kept = self.missing_from_self(start, stop)
        self._starts = [a for a, _ in kept]
        self._stops = [b for _, b in kept]

    def missing_from_self(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The ranges of this set that lie outside start..stop."""
        kept: list[tuple[int, int]] = []
        for a, b in self:
            if b <= start or a >= stop:
                kept.append((a, b))
                continue
            if a < start:
                kept.append((a, start))
            if b > stop:
                kept.append((stop, b))
        return kept

    def gaps(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of start..stop that are not in the set, in order."""
        found: list[tuple[int, int]] = []
        at = start
        index = bisect_right(self._stops, start)
        while at < stop and index < len(self._starts):
            a, b = self._starts[index], self._stops[index]
            if a >= stop:
                break
            if a > at:
                found.append((at, a))
            at = b
            index += 1
        if at < stop:
            found.append((at, stop))
        return found

    def overlaps(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of start..stop that are in the set, in order."""
        found: list[tuple[int, int]] = []
        index = bisect_right(self._stops, start)
        while index < len(self._starts) and self._starts[index] < stop:
            found.append((max(start, self._starts[index]), min(stop, self._stops[index])))
            index += 1
        return found

    def ends_within(
        self, start: int, stop: int
    ) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """The first and the last of the `overlaps` with start..stop, without the others."""
        starts, stops = self._starts, self._stops
        first, last = bisect_right(stops, start), bisect_left(starts, stop) - 1
        if first > last:
            return None, None
        return (
            (max(start, starts[first]), min(stop, stops[first])),
            (max(start, starts[last]), min(stop, stops[last])),
        )

    def stop_before(self, at: int) -> int | None:
        """Where the last range ends that lies below `at` as a whole; None: there is none."""
        index = bisect_right(self._stops, at) - 1
        return self._stops[index] if index >= 0 else None

    def run_stop(self, at: int) -> int:
        """Where the run of bytes that holds `at` ends; `at` itself when it is absent."""
        index = bisect_right(self._stops, at)
        if index < len(self._starts) and self._starts[index] <= at:
            return self._stops[index]
        return at

    def covers(self, start: int, stop: int) -> bool:
        """True when every byte of start..stop is in the set."""
        return not self.gaps(start, stop)

    def __contains__(self, byte: int) -> bool:
        return self.covers(byte, byte + 1)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    def __len__(self) -> int:
        """How many separate ranges there are."""
        return len(self._starts)

    def total(self) -> int:
        """How many bytes are in the set."""
        return sum(self._stops) - sum(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"RangeSet({list(self)!r})"


class RangeMap(Generic[V]):
    """A map from bytes to values: the first value written for a byte stays.

    `claim` answers which part of a range was new and which had an owner already; that is how the
    first copy of a byte is told from a resent one.
    """

    __slots__ = ("_starts", "_stops", "_values")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._values: list[V] = []

    def claim(self, start: int, stop: int, value: V) -> list[tuple[int, int]]:
        """Give the unowned parts of start..stop to `value`; return those parts, in order."""
        if start >= stop:
            return []
        if not self._stops or start >= self._stops[-1]:  # the usual case: bytes arrive in order
            self._starts.append(start)
            self._stops.append(stop)
            self._values.append(value)
            return [(start, stop)]
        fresh: list[tuple[int, int]] = []
        at = start
        for a, b, _ in self.overlaps(start, stop):
            if a > at:
                fresh.append((at, a))
            at = b
        if at < stop:
            fresh.append((at, stop))
        for a, b in fresh:
            index = bisect_left(self._starts, a)
            self._starts.insert(index, a)
            self._stops.insert(index, b)
            self._values.insert(index, value)
        return fresh

    def overlaps(self, start: int, stop: int) -> list[tuple[int, int, V]]:
        """The owned parts of start..stop with their values, in order, clipped to the range."""
        found: list[tuple[int, int, V]] = []
        starts, stops, values = self._starts, self._stops, self._values
        for index in range(bisect_right(stops, start), len(starts)):
            a, b = starts[index], stops[index]
            if a >= stop:
                break
            found.append((a if a > start else start, b if b < stop else stop, values[index]))
        return found

    def at(self, byte: int) -> V | None:
        """The value of one byte; None: it has no owner."""
        index = bisect_right(self._stops, byte)
        if index < len(self._starts) and self._starts[index] <= byte:
            return self._values[index]
        return None

    def __iter__(self) -> Iterator[tuple[int, int, V]]:
        return iter(zip(self._starts, self._stops, self._values, strict=True))

    def __len__(self) -> int:
        return len(self._starts)
