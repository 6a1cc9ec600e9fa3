"""A rule's selection -> a test of one frame after the other, with what it has to remember.

Every test must see every frame that is counted, once and in order: chance is drawn by number.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from netlab.lab.wire.selection import (
    Bytes,
    Chance,
    Frames,
    Kind,
    Numbers,
    What,
    When,
    Where,
)
from netlab.lab.wire.sight import Sight
from netlab.model.ranges import RangeSet
from netlab.model.tables import Direction

Test = Callable[[Sight], bool]


def where_test(where: Where) -> Test | None:
    """Whether a frame is in the direction and connection; None: all are."""
    direction, connection = where.direction, where.connection
    if direction is None and connection is None:
        return None
    if connection is None:
        return lambda sight: sight.direction is direction
    if direction is None:
        return lambda sight: sight.connection == connection
    return lambda sight: sight.connection == connection and sight.direction is direction


def what_test(what: What, where: Where, verb: str) -> Test:
    """Whether a frame is one of those that the rule is about."""
    inside = where_test(where)
    test: Test
    if isinstance(what, Chance):
        test = _Chosen(what, verb)
    elif isinstance(what, Bytes):
        test = _carries_bytes(what)
    elif what.copies is not None:
        test = _CopiesOfData(what.numbers, what.copies)
    else:
        test = _numbered(what, where)
    return test if inside is None else lambda sight: inside(sight) and test(sight)


def _numbered(what: Frames, where: Where) -> Test:
    kind, has = what.kind, what.numbers.has
    if kind is Kind.ANY and where.connection is None:
        return lambda sight: has(sight.number_in_direction)
    return lambda sight: kind in sight.numbers and has(sight.numbers[kind])


def _carries_bytes(what: Bytes) -> Test:
    start, stop = what.start, what.stop
    has = (what.copies or Numbers()).has
    return lambda sight: any(a < stop and b > start and has(copy) for a, b, copy in sight.parts)


class _CopiesOfData:
    """Frames that carry bytes of the data frames with these numbers, by the bytes' copy."""

    def __init__(self, numbers: Numbers, copies: Numbers) -> None:
        self._numbers = numbers
        self._copies = copies
        self._bytes: dict[tuple[int, Direction | None], RangeSet] = {}

    def __call__(self, sight: Sight) -> bool:
        if not sight.parts:
            return False
        theirs = self._bytes.setdefault((sight.connection, sight.direction), RangeSet())
        number = sight.numbers.get(Kind.DATA)
        if number is not None and self._numbers.has(number):
            for start, stop, copy in sight.parts:
                if copy == 1:
                    theirs.add(start, stop)
        return any(
            self._copies.has(copy) and bool(theirs.overlaps(start, stop))
            for start, stop, copy in sight.parts
        )


class _Chosen:
    """Frames by chance, from a generator for each direction: the n-th frame gets the n-th draw."""

    def __init__(self, chance: Chance, verb: str) -> None:
        self._share = chance.percent / 100
        self._draw = draws(verb, chance.seed)

    def __call__(self, sight: Sight) -> bool:
        return self._draw[sight.direction]() < self._share


def draws(verb: str, seed: int) -> dict[Direction | None, Callable[[], float]]:
    """Numbers in 0..1 for each direction.

    Rules of different verbs, and directions, draw differently with one seed. What `Random` makes of
    a text and its `random()` are promised to stay as they are ("Notes on Reproducibility").
    """
    return {
        direction: Random(f"{verb} {direction} {seed}").random for direction in (None, *Direction)
    }


class Period:
    """When a rule is in force; asked with every frame, in order."""

    def __init__(self, when: When, where: Where) -> None:
        self._for_ns = when.for_ns
        self._at_ns = when.at_ns
        self._begins: Test | None = None
        self._from_ns: int | None = None
        if when.after is not None:
            self._begins = what_test(when.after, when.after_where.within(where), "")

    def holds(self, sight: Sight, left_ns: int, zero_ns: int) -> bool:
        """Whether the rule is in force for this frame; the frame that begins it is not meant."""
        holds = self.holds_now(left_ns, zero_ns)
        if self._begins is not None and self._begins(sight):
            self._begins = None
            self._from_ns = left_ns
        return holds

    def holds_now(self, now_ns: int, zero_ns: int) -> bool:
        """Whether the rule is in force for a frame that is not counted."""
        if self._from_ns is None and self._at_ns is not None:
            self._from_ns = zero_ns + self._at_ns
        if self._from_ns is None or now_ns < self._from_ns:
            return False
        return self._for_ns is None or now_ns < self._from_ns + self._for_ns
