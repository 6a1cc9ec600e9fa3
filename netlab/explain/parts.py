"""Intervals with causes, and the line that tiles a stretch of time with them.

A story of a wait is told forward in time: `until(t, cause)` gives everything from where the line
stands up to `t` to that cause, clipped to the stretch. So whatever a story says, the parts are
disjoint, ordered, and cover the stretch; what no story claims is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from netlab.explain.causes import Cause, Certainty
from netlab.model.records import dataclass, quickly_made


class Sense(Enum):
    """What a cause means in a part, where it may mean several things and a finding asks which."""

    FREES_NAGLE = auto()  # delayed_ack: that ACK let go what Nagle's algorithm held
    FREES_BUFFER = auto()  # delayed_ack: it made room in a full send buffer
    FREES_CWND = auto()  # delayed_ack: it made room in a full congestion window
    ANSWERS = auto()  # peer_app: it had been asked, and what it sent then was the answer
    FULL = auto()  # peer_window: what was in flight filled it, and its reader was not why


@quickly_made
@dataclass(frozen=True, slots=True)
class Part:
    """An interval and its cause.

    `text` is a clause that follows a length of time, for people: what it says and others decide by
    is a field as well.
    """

    start_ns: int
    stop_ns: int
    cause: Cause
    certainty: Certainty
    frames: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    text: str = ""
    sense: Sense | None = None
    inside: int | None = None  # the call of a peer inside which it was, as the text says
    third: int | None = None  # the connection of a third party that the text names

    @property
    def length_ns(self) -> int:
        return self.stop_ns - self.start_ns


class Line:
    """Parts from `start_ns` on, up to `stop_ns`."""

    __slots__ = ("at_ns", "parts", "stop_ns")

    def __init__(self, start_ns: int, stop_ns: int) -> None:
        self.at_ns, self.stop_ns = start_ns, max(start_ns, stop_ns)
        self.parts: list[Part] = []

    @property
    def done(self) -> bool:
        return self.at_ns >= self.stop_ns

    def until(
        self,
        time_ns: int,
        cause: Cause,
        certainty: Certainty,
        frames: tuple[int, ...] = (),
        calls: tuple[int, ...] = (),
        text: str = "",
        sense: Sense | None = None,
    ) -> None:
        """Everything up to `time_ns` has this cause. A time that has passed changes nothing."""
        stop_ns = time_ns if time_ns < self.stop_ns else self.stop_ns
        if stop_ns > self.at_ns:
            self._append(Part(self.at_ns, stop_ns, cause, certainty, frames, calls, text, sense))

    def go_on(self, time_ns: int) -> None:
        """What was waited for last went on up to `time_ns`; there must have been something."""
        self.include([_between(self.parts[-1], self.at_ns, time_ns)], time_ns)

    def unknown(self, time_ns: int, why: str = "") -> None:
        """Nobody knows what was waited for up to `time_ns`; `why` follows a length of time."""
        self.until(time_ns, Cause.UNKNOWN, Certainty.UNKNOWN, text=why)

    def include(self, parts: Iterable[Part], until_ns: int) -> None:
        """What others' parts say up to `until_ns`; gaps between them stay to be told."""
        for part in parts:
            if part.start_ns >= until_ns or part.stop_ns <= self.at_ns:
                continue
            if part.start_ns > self.at_ns:
                self.unknown(part.start_ns)
            stop_ns = min(part.stop_ns, until_ns, self.stop_ns)
            if stop_ns > self.at_ns:
                self._append(_between(part, self.at_ns, stop_ns))

    def finish(self) -> list[Part]:
        """The parts, with `unknown` for what no story told."""
        if self.at_ns < self.stop_ns:
            self.unknown(self.stop_ns)
        return self.parts

    def _append(self, part: Part) -> None:
        """A part that begins where the line stands: one with the last where that says the same."""
        last = self.parts[-1] if self.parts else None
        if last is not None and _is_more_of(last, part):
            frames, calls = _union(last.frames, part.frames), _union(last.calls, part.calls)
            self.parts[-1] = Part(
                last.start_ns, part.stop_ns, part.cause, part.certainty, frames, calls, part.text,
                part.sense, part.inside, part.third,
            )  # fmt: skip
        else:
            self.parts.append(part)
        self.at_ns = part.stop_ns


def _between(part: Part, start_ns: int, stop_ns: int) -> Part:
    """The same of these times."""
    if part.start_ns == start_ns and part.stop_ns == stop_ns:
        return part
    return Part(
        start_ns, stop_ns, part.cause, part.certainty, part.frames, part.calls, part.text,
        part.sense, part.inside, part.third,
    )  # fmt: skip


def _is_more_of(last: Part, part: Part) -> bool:
    return (
        last.text == part.text
        and last.cause == part.cause
        and last.certainty == part.certainty
        and last.sense == part.sense
        and last.inside == part.inside
        and last.third == part.third
    )


def _union(some: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    """Both, in order; not too many, for a wait of an hour has thousands."""
    if not more or some == more or len(some) >= _MOST_CITED:
        return some
    return tuple(dict.fromkeys((*some, *more)))[:_MOST_CITED]


_MOST_CITED = 16
