"""Rules at work: each with its test, its period, what it remembers, and how often it has fired.

A rule fires when it changes what becomes of a frame; being meant by it alone does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from netlab.lab.wire.matching import Period, draws, what_test, where_test
from netlab.lab.wire.pipe import Pipe, Room
from netlab.lab.wire.rules import (
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    Loss,
    Mtu,
    Queue,
    Rate,
    Reorder,
    Retard,
    Rule,
)
from netlab.lab.wire.selection import Bytes, Frames, Kind, What
from netlab.lab.wire.sight import Counts, Sight
from netlab.model.tables import Direction

U = TypeVar("U", bound="InUse")


class InUse:
    """One rule. `hit` says of the last frame that was looked at whether the rule means it."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.text = str(rule)
        self.fired = 0
        self.hit = True
        self.inside = True  # hit, whatever the time
        what = _what(rule)
        self._test = what_test(what, rule.where, rule.verb) if what else where_test(rule.where)
        self._period = None if rule.when.always else Period(rule.when, rule.where)
        # Whoever asks for no more than direction and time need not know what the frame is.
        self.needs_sight = (
            isinstance(what, Frames | Bytes)
            or isinstance(rule, Reorder)
            or rule.where.connection is not None
            or rule.when.after is not None
        )

    @property
    def means_all(self) -> bool:
        """Whether every frame that is counted is meant, so that none need be looked at."""
        return self._test is None and self._period is None

    @property
    def steady(self) -> bool:
        """Whether the direction alone decides."""
        where_only = self.rule.where.connection is None and _what(self.rule) is None
        return where_only and self._period is None

    def look(self, sight: Sight, left_ns: int, zero_ns: int) -> None:
        """The next frame that is counted."""
        self.inside = self._test is None or self._test(sight)
        holds = self._period is None or self._period.holds(sight, left_ns, zero_ns)
        self.hit = self.inside and holds

    def cuts_off(self, direction: Direction | None, left_ns: int, zero_ns: int | None) -> bool:
        """Whether a cut stops a frame that no rule counts."""
        where = self.rule.where
        if where.connection is not None or where.direction not in (None, direction):
            return False
        if self._period is None:
            return True
        return zero_ns is not None and self._period.holds_now(left_ns, zero_ns)


class MtuInUse(InUse):
    """The size, at hand."""

    def __init__(self, rule: Mtu) -> None:
        super().__init__(rule)
        self.size_bytes = rule.size_bytes
        self.icmp = rule.icmp


class CorruptInUse(InUse):
    """Each such rule flips another bit, so that two of them do not undo each other."""

    def __init__(self, rule: Corrupt, bit: int) -> None:
        super().__init__(rule)
        self.bit = bit


class DuplicateInUse(InUse):
    """How many copies, and when."""

    def __init__(self, rule: Duplicate) -> None:
        super().__init__(rule)
        self.times = rule.times
        self.by_ns = rule.by_ns


class ReorderInUse(InUse):
    """Finds out for which later frame a frame has to wait."""

    def __init__(self, rule: Reorder) -> None:
        super().__init__(rule)
        self.kind = rule.kind if rule.after is not None else Kind.ANY
        # `any` without `conn` is counted over the whole direction, wherever it stands.
        over_all = self.kind is Kind.ANY and rule.where.connection is None
        self._over_all = over_all and rule.after is not None
        self._after = rule.after
        self._by = rule.by or 0
        self.within_ns = rule.within_ns
        self.vain = 0  # frames that waited, and what they waited for did not come

    def counts(self, sight: Sight) -> Counts:
        """The counters that must reach the target."""
        return sight.so_far_in_direction if self._over_all else sight.so_far

    def target(self, sight: Sight) -> int:
        """The number of its `kind` that must have left before this frame goes on."""
        return self._after or sight.so_far[Kind.ANY] + self._by


class QueueInUse(InUse):
    """A room before each pipe."""

    def __init__(self, rule: Queue) -> None:
        super().__init__(rule)
        self._packets = rule.packets
        self._size_bytes = rule.size_bytes
        self._rooms: dict[Pipe, Room] = {}

    def room(self, pipe: Pipe) -> Room:
        """The room before it."""
        if pipe not in self._rooms:
            self._rooms[pipe] = Room(self._packets, self._size_bytes)
        return self._rooms[pipe]


class RateInUse(InUse):
    """A pipe for each direction."""

    def __init__(self, rule: Rate) -> None:
        super().__init__(rule)
        directions: tuple[Direction | None, ...] = (None, *Direction)
        self.pipes = {direction: Pipe(rule.bits_per_s) for direction in directions}


class DelayInUse(InUse):
    """Draws the jitter: one number for each frame within its direction and connection."""

    def __init__(self, rule: Delay) -> None:
        super().__init__(rule)
        self.unordered = rule.unordered
        self.keeps_order = not rule.unordered and bool(rule.jitter_ns or not rule.when.always)
        self.by_ns = rule.by_ns  # of the frame at hand
        self._least_ns = rule.by_ns - rule.jitter_ns
        self._span_ns = 2 * rule.jitter_ns + 1
        self._draw = draws(rule.verb, rule.seed)
        self.needs_sight = self.needs_sight or self.keeps_order

    @property
    def means_all(self) -> bool:
        return super().means_all and self._span_ns == 1

    @property
    def steady(self) -> bool:
        return super().steady and self._span_ns == 1

    def look(self, sight: Sight, left_ns: int, zero_ns: int) -> None:
        super().look(sight, left_ns, zero_ns)
        if self._span_ns > 1 and self.inside:
            self.by_ns = self._least_ns + int(self._draw[sight.direction]() * self._span_ns)


class RetardInUse(InUse):
    """The additional delay."""

    def __init__(self, rule: Retard) -> None:
        super().__init__(rule)
        self.by_ns = rule.by_ns


def _what(rule: Rule) -> What | None:
    if isinstance(rule, Loss):
        return rule.chance
    if isinstance(rule, Drop | Corrupt | Duplicate | Reorder | Retard):
        return rule.what
    return None


def in_use(rules: Sequence[Rule]) -> list[InUse]:
    """Each rule, at work, in the order given."""
    uses: list[InUse] = []
    corrupts = 0
    for rule in rules:
        match rule:
            case Mtu():
                uses.append(MtuInUse(rule))
            case Corrupt():
                uses.append(CorruptInUse(rule, corrupts % 8))
                corrupts += 1
            case Duplicate():
                uses.append(DuplicateInUse(rule))
            case Reorder():
                uses.append(ReorderInUse(rule))
            case Queue():
                uses.append(QueueInUse(rule))
            case Rate():
                uses.append(RateInUse(rule))
            case Delay():
                uses.append(DelayInUse(rule))
            case Retard():
                uses.append(RetardInUse(rule))
            case _:  # cut, drop, loss: being meant is all
                uses.append(InUse(rule))
    return uses


def those(uses: Iterable[InUse], kind: type[U]) -> list[U]:
    """The ones of this kind."""
    return [use for use in uses if isinstance(use, kind)]
