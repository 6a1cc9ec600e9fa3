"""Which frames a rule is about: by their kind and number, by the bytes they carry, or by chance.

`c>s` is from a client's host to the server's, whoever opened the connection. Numbers count what
left the sender, from 1 on, in each connection and each direction on its own; whether a rule lost it
on its way does not matter. Each selection prints as the language writes it (`str`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from netlab.lab.wire.quantities import DURATION, percent_text
from netlab.model.errors import UsageError
from netlab.model.tables import Direction

LONGEST_NS = 24 * 3600 * 1_000_000_000  # a rule that waits for longer is a typing error
MOST = 10**15  # of any number: beyond all that one run can count


class Kind(StrEnum):
    """What a frame is. Some frames are several: the first data of fast open is `syn` and `data`."""

    ANY = "any"  # every IP frame; without `conn` counted over the whole direction
    SYN = "syn"  # TCP with SYN and no ACK: `syn 2` is the first one resent
    SYNACK = "synack"
    ACK = "ack"  # TCP with ACK, without payload, SYN, FIN, RST: the handshake's last is number 1
    DATA = "data"  # TCP that brings bytes never sent before: resent ones are a `copy`
    FIN = "fin"
    RST = "rst"
    DATAGRAM = "datagram"  # UDP; of a fragmented one, its first fragment
    ICMP = "icmp"  # ICMP and ICMPv6, counted over the whole direction


@dataclass(frozen=True, slots=True)
class Numbers:
    """Some of 1, 2, 3...: those in `ranges` (both ends included, None is open), or every n-th."""

    ranges: tuple[tuple[int, int | None], ...] = ()
    every: int = 1

    def __post_init__(self) -> None:
        if self.ranges and self.every != 1:
            raise UsageError("numbers and every at once", "give one of them")
        if not 1 <= self.every <= MOST:
            raise UsageError(f"every {self.every}", "count from 1 on: every 10")
        for first, last in self.ranges:
            if not 1 <= first <= MOST or (last is not None and not first <= last <= MOST):
                text = _range_text(first, last)
                raise UsageError(f"the numbers {text}", "count from 1 on, upwards: 3-5")

    @classmethod
    def of(cls, *numbers: int | tuple[int, int | None]) -> Numbers:
        """`Numbers.of(3, (5, 7), (11, None))` is 3,5-7,11-."""
        return cls(tuple(n if isinstance(n, tuple) else (n, n) for n in numbers))

    def has(self, number: int) -> bool:
        """Whether it is one of them."""
        if not self.ranges:
            return number % self.every == 0
        return any(a <= number and (b is None or number <= b) for a, b in self.ranges)

    @property
    def all(self) -> bool:
        return not self.ranges and self.every == 1

    def __str__(self) -> str:
        if self.ranges:
            return ",".join(_range_text(a, b) for a, b in self.ranges)
        return "" if self.all else f"every {self.every}"


def _range_text(first: int, last: int | None) -> str:
    return f"{first}" if first == last else f"{first}-{'' if last is None else last}"


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a kind, by number.

    `copies` is for data alone: then it is each frame that carries bytes of the data frames with
    these numbers as their first, second... transmission; 1 is the data frame itself.
    """

    kind: Kind
    numbers: Numbers = Numbers()
    copies: Numbers | None = None

    def __post_init__(self) -> None:
        if self.copies is not None:
            _check_copies(self.copies)
            if self.kind is not Kind.DATA:
                raise UsageError(
                    f"a copy of {self.kind}", "only data has copies; the next syn is number 2"
                )

    def __str__(self) -> str:
        parts = [str(self.kind), str(self.numbers), _copy_text(self.copies)]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Bytes:
    """TCP frames that carry any of the bytes start..stop of the stream (the first byte is 0).

    `copies`: those that carry one of these bytes for the first, second... time; None: all of them.
    """

    start: int
    stop: int
    copies: Numbers | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= MOST:
            raise UsageError(
                f"the bytes {self.start}..{self.stop}", "a range has at least one byte: 0..1448"
            )
        if self.copies is not None:
            _check_copies(self.copies)

    def __str__(self) -> str:
        return f"bytes {self.start}..{self.stop} {_copy_text(self.copies)}".rstrip()


def _check_copies(copies: Numbers) -> None:
    if copies.all:
        raise UsageError("a copy without a number", "say which: copy 1, copy 2-3, copy 1-")


def _copy_text(copies: Numbers | None) -> str:
    return "" if copies is None else f"copy {copies}"


@dataclass(frozen=True, slots=True)
class Chance:
    """Each frame with this probability, in percent.

    One seed, one fate: the n-th frame of a direction that the rule is about is chosen or not,
    whatever the other rules do.
    """

    percent: float
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise UsageError(f"a chance of {percent_text(self.percent)}", "give 0% to 100%")
        check_seed(self.seed)

    def __str__(self) -> str:
        return f"{percent_text(self.percent)} seed {self.seed}"


def check_seed(seed: int) -> None:
    """Raise UsageError unless it can be written."""
    if not 0 <= seed <= MOST:
        raise UsageError(f"the seed {seed}", "give a whole number: seed 7")


What = Frames | Bytes | Chance
Countable = Frames | Bytes  # what happens at a moment that can be foretold


@dataclass(frozen=True, slots=True)
class Where:
    """One direction or both, one connection (numbered as in the recording) or all."""

    direction: Direction | None = None
    connection: int | None = None

    def __post_init__(self) -> None:
        if self.connection is not None and not 0 <= self.connection <= MOST:
            raise UsageError(f"conn {self.connection}", "connections count from 0: conn 0")

    def within(self, outer: Where) -> Where:
        """What is not said here is as there."""
        return Where(
            self.direction or outer.direction,
            outer.connection if self.connection is None else self.connection,
        )

    def meets(self, other: Where) -> bool:
        """Whether a frame can be within both."""
        return (
            None in (self.direction, other.direction) or self.direction is other.direction
        ) and (None in (self.connection, other.connection) or self.connection == other.connection)

    def __str__(self) -> str:
        parts = [str(self.direction)] if self.direction else []
        if self.connection is not None:
            parts.append(f"conn {self.connection}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class When:
    """From a moment on, or from a frame on, to the end or for a while; as it stands, always.

    `at_ns` counts from the first IP frame that any host sends. The frame of `after` is itself not
    yet meant; the first one that fits decides. `after_where` is within the rule's own `where`.
    """

    at_ns: int | None = None
    after: Countable | None = None
    after_where: Where = field(default_factory=Where)
    for_ns: int | None = None

    def __post_init__(self) -> None:
        begins = (self.at_ns is not None) + (self.after is not None)
        if begins > 1 or (self.for_ns is not None and not begins):
            raise UsageError("a time without one beginning", "write at 1s, or after data 10")
        for moment_ns in (self.at_ns, self.for_ns):
            check_duration(moment_ns or 0)

    @property
    def always(self) -> bool:
        return self.at_ns is None and self.after is None

    def __str__(self) -> str:
        parts = []
        if self.at_ns is not None:
            parts.append(f"at {DURATION.text(self.at_ns)}")
        elif self.after is not None:
            parts += ["after", str(self.after_where), str(self.after)]
        if self.for_ns is not None:
            parts.append(f"for {DURATION.text(self.for_ns)}")
        return " ".join(part for part in parts if part)


def check_duration(duration_ns: int) -> None:
    """Raise UsageError unless it is 0 to 24 hours."""
    if not 0 <= duration_ns <= LONGEST_NS:
        text = DURATION.text(duration_ns) if duration_ns > 0 else f"{duration_ns} ns"
        raise UsageError(f"a time of {text}", "give 0s to 86400s")
