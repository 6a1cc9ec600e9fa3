"""The rules of a wire, as Python objects; each prints as the language of `grammar` writes it.

A frame passes the rules in the order of STAGES, whatever the order in which they were given; within
a stage in the order given. What a rule is about is counted when the frame leaves its sender, by all
rules alike, so that no rule changes what another one means.

Rules are about IP. ARP, neighbour discovery and group membership pass at once and are not counted;
only a `cut` stops them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from netlab.lab.wire.quantities import DURATION, RATE, SIZE
from netlab.lab.wire.selection import (
    MOST,
    Chance,
    Frames,
    Kind,
    What,
    When,
    Where,
    check_duration,
    check_seed,
)
from netlab.model.errors import UsageError

REORDER_WITHIN_NS = 1_000_000_000
_SMALLEST_MTU_BYTES = 68  # RFC 791 section 3.2: every module must forward that much unfragmented
_LARGEST_MTU_BYTES = 65_535
_MOST_COPIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what it does (the class), to which direction and connection, and when."""

    verb: ClassVar[str]
    where: Where = field(default_factory=Where)
    when: When = field(default_factory=When)

    def words(self) -> list[str]:
        """What stands between the direction and the time."""
        return []

    def __str__(self) -> str:
        words = [self.verb, str(self.where), *self.words(), str(self.when)]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Cut(Rule):
    """Nothing passes; what was on its way already arrives."""

    verb: ClassVar[str] = "cut"


@dataclass(frozen=True, slots=True)
class Mtu(Rule):
    """IP packets of more bytes do not fit through (their own header counts, Ethernet's does not).

    The wire does what a router does: IPv4 without DF is cut into fragments, of others the sender is
    told the MTU by ICMP (RFC 1191, RFC 8201), or not (`icmp` False: a black hole). IPv6 packets of
    up to 1,280 bytes fit through every link (RFC 8200 section 5).
    """

    verb: ClassVar[str] = "mtu"
    size_bytes: int
    icmp: bool = True

    def __post_init__(self) -> None:
        if not _SMALLEST_MTU_BYTES <= self.size_bytes <= _LARGEST_MTU_BYTES:
            raise UsageError(
                f"an MTU of {self.size_bytes}",
                f"give {_SMALLEST_MTU_BYTES} to {_LARGEST_MTU_BYTES} bytes",
            )

    def words(self) -> list[str]:
        return [str(self.size_bytes)] if self.icmp else [str(self.size_bytes), "without icmp"]


@dataclass(frozen=True, slots=True)
class Drop(Rule):
    """These frames are lost."""

    verb: ClassVar[str] = "drop"
    what: What

    def __post_init__(self) -> None:
        if isinstance(self.what, Chance):
            raise UsageError("to drop by chance is a loss", "write loss 1% seed 7")

    def words(self) -> list[str]:
        return [str(self.what)]


@dataclass(frozen=True, slots=True)
class Loss(Rule):
    """Each frame is lost with a probability."""

    verb: ClassVar[str] = "loss"
    chance: Chance

    def words(self) -> list[str]:
        return [str(self.chance)]


@dataclass(frozen=True, slots=True)
class Corrupt(Rule):
    """One bit is flipped: in the last byte of the payload, or in the checksum where there is none.

    The checksum is left as it was, so the receiver drops the frame (not UDP over IPv4 whose sender
    made no checksum).
    """

    verb: ClassVar[str] = "corrupt"
    what: What

    def words(self) -> list[str]:
        return [str(self.what)]


@dataclass(frozen=True, slots=True)
class Duplicate(Rule):
    """Copies follow the frame, at once or (`by_ns`) later."""

    verb: ClassVar[str] = "duplicate"
    what: What
    times: int = 1
    by_ns: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.times <= _MOST_COPIES:
            raise UsageError(f"{self.times} copies", f"give 1 to {_MOST_COPIES}")
        check_duration(self.by_ns)

    def words(self) -> list[str]:
        times = [] if self.times == 1 else [f"times {self.times}"]
        by = [f"by {DURATION.text(self.by_ns)}"] if self.by_ns else []
        return [str(self.what), *times, *by]


@dataclass(frozen=True, slots=True)
class Reorder(Rule):
    """The frame waits until a later one of its direction and connection has passed it.

    Either until the frame `kind` number `after` has left its sender (counted as in a selection), or
    (`by`) until so many frames of its connection have. Where that has not happened `within_ns`, the
    frame goes on, and the rule has not fired.
    """

    verb: ClassVar[str] = "reorder"
    what: What
    kind: Kind = Kind.DATA
    after: int | None = None
    by: int | None = None
    within_ns: int = REORDER_WITHIN_NS

    def __post_init__(self) -> None:
        number = self.by if self.after is None else self.after
        if number is None or (self.by is not None and self.after is not None):
            raise UsageError("a reorder needs after or by", "write reorder c>s data 4 after 6")
        if not 1 <= number <= MOST:
            raise UsageError(f"a reorder by or after {number}", "count from 1 on")
        if self.kind is Kind.ICMP:
            raise UsageError("a reorder after icmp", "that is in no connection")
        if self.by is not None and self.kind is not Kind.DATA:
            raise UsageError("a reorder by a kind of frames", "by counts all kinds: by 3")
        if self.after is not None and not self._comes_later(self.after):
            raise UsageError(
                f"{self.kind} {self.after} does not come later than each of {self.what}",
                "write reorder c>s data 4 after 6",
            )
        check_duration(self.within_ns)

    def _comes_later(self, after: int) -> bool:
        what = self.what
        if not isinstance(what, Frames) or what.kind is not self.kind or what.copies is not None:
            return True  # of other kinds nobody can tell beforehand
        ranges = what.numbers.ranges
        return bool(ranges) and all(last is not None and last < after for _, last in ranges)

    def words(self) -> list[str]:
        until = f"by {self.by}" if self.after is None else f"after {self.kind} {self.after}"
        default = self.within_ns == REORDER_WITHIN_NS
        within = [] if default else [f"within {DURATION.text(self.within_ns)}"]
        return [str(self.what), until, *within]


@dataclass(frozen=True, slots=True)
class Queue(Rule):
    """At most so many packets or bytes wait for a `rate`; what comes when it is full is lost.

    The frame that is just being sent does not wait. Each rate, in each direction, has its own.
    """

    verb: ClassVar[str] = "queue"
    packets: int | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if (self.packets is None) == (self.size_bytes is None):
            raise UsageError("a queue needs packets or bytes", "write queue 50 packets")
        if not 1 <= (self.packets or self.size_bytes or 0) <= MOST:
            raise UsageError("a queue for nothing", "give at least 1 packet or byte")

    def words(self) -> list[str]:
        if self.size_bytes is not None:
            return [SIZE.text(self.size_bytes)]
        return [f"{self.packets} packets"]


@dataclass(frozen=True, slots=True)
class Rate(Rule):
    """Frames leave one after the other at so many bits a second, Ethernet's 14 bytes included.

    All connections of a direction share it. Without a `queue`, 1,000 packets may wait, as in netem.
    """

    verb: ClassVar[str] = "rate"
    bits_per_s: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits_per_s <= MOST:
            raise UsageError(f"a rate of {self.bits_per_s} bit/s", "give at least 1bit")

    def words(self) -> list[str]:
        return [RATE.text(self.bits_per_s)]


@dataclass(frozen=True, slots=True)
class Delay(Rule):
    """Frames arrive later by `by_ns`, give or take up to `jitter_ns` (uniform).

    With jitter, a frame that would overtake one of its connection and direction arrives with it
    instead, just behind, unless `unordered`. Several delays add up.
    """

    verb: ClassVar[str] = "delay"
    by_ns: int
    jitter_ns: int = 0
    seed: int = 1
    unordered: bool = False

    def __post_init__(self) -> None:
        check_duration(self.by_ns)
        check_seed(self.seed)
        if not 0 <= self.jitter_ns <= self.by_ns:
            raise UsageError("a jitter greater than the delay", "no frame arrives before it left")
        if not self.jitter_ns and (self.unordered or self.seed != 1):
            raise UsageError("a seed or unordered without jitter", "write delay 20ms jitter 2ms")

    def words(self) -> list[str]:
        words = [DURATION.text(self.by_ns)]
        if self.jitter_ns:
            words += ["jitter", DURATION.text(self.jitter_ns), "seed", str(self.seed)]
        return [*words, "unordered"] if self.unordered else words


@dataclass(frozen=True, slots=True)
class Retard(Rule):
    """These frames alone arrive later; others overtake them."""

    verb: ClassVar[str] = "delay"
    what: What
    by_ns: int

    def __post_init__(self) -> None:
        check_duration(self.by_ns)

    def words(self) -> list[str]:
        return [str(self.what), "by", DURATION.text(self.by_ns)]


# The order in which they act on a frame. Drop before Loss: what was meant goes before chance.
STAGES: tuple[type[Rule], ...] = (
    Cut, Mtu, Drop, Loss, Corrupt, Duplicate, Reorder, Queue, Rate, Delay, Retard,
)  # fmt: skip


def queue_without_rate(rules: Sequence[Rule]) -> int | None:
    """The index of a queue that can never fill, as no rate holds up any frame that it is about."""
    rates = [rule.where for rule in rules if isinstance(rule, Rate)]
    for index, rule in enumerate(rules):
        if isinstance(rule, Queue) and not any(rule.where.meets(where) for where in rates):
            return index
    return None
