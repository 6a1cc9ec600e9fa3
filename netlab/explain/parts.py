"""Intervals with causes, and the line that tiles a stretch of time with them.

A story of a wait is told forward in time: `until(t, cause)` gives everything from where the line
stands up to `t` to that cause, clipped to the stretch. So whatever a story says, the parts are
disjoint, ordered, and cover the stretch; what no story claims is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.explain.causes import Cause, Certainty
from netlab.model.records import dataclass, quickly_made


@quickly_made
@dataclass(frozen=True, slots=True)
class Part:
    """An interval and its cause. `text` is a clause that follows a length of time."""

    start_ns: int
    stop_ns: int
    cause: Cause
    certainty: Certainty
    frames: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    text: str = ""

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
    ) -> None:
        """Everything up to `time_ns` has this cause. A time that has passed changes nothing."""
        stop_ns = time_ns if time_ns < self.stop_ns else self.stop_ns
        if stop_ns <= self.at_ns:
            return
        last = self.parts[-1] if self.parts else None
        if (
            last is not None
            and last.text == text
            and last.cause == cause
            and last.certainty == certainty
        ):
            frames, calls = _union(last.frames, frames), _union(last.calls, calls)
            self.parts[-1] = Part(last.start_ns, stop_ns, cause, certainty, frames, calls, text)
        else:
            self.parts.append(Part(self.at_ns, stop_ns, cause, certainty, frames, calls, text))
        self.at_ns = stop_ns

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
            self.until(
                part.stop_ns if part.stop_ns < until_ns else until_ns,
                part.cause, part.certainty, part.frames, part.calls, part.text,
            )  # fmt: skip

    def finish(self) -> list[Part]:
        """The parts, with `unknown` for what no story told."""
        if self.at_ns < self.stop_ns:
            self.unknown(self.stop_ns)
        return self.parts


def _union(some: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    """Both, in order; not too many, for a wait of an hour has thousands."""
    if not more or some == more or len(some) >= _MOST_CITED:
        return some
    return tuple(dict.fromkeys((*some, *more)))[:_MOST_CITED]


_MOST_CITED = 16
