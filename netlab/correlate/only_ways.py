"""Who fits what -> the pairs that are certain, where nothing is given away twice.

A pair is certain
1. when neither of the two fits anything else,
2. or when it stands in every way to give each of some seekers one thing, of which there are exactly
   as many as seekers: whoever has only one partner left gets it.
Everything else stays open. Knows nothing of what it pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)


def certain_pairs(fits: Mapping[S, Collection[T]]) -> list[tuple[S, T]]:
    """The certain pairs of seekers and things, in no particular order."""
    graph = _Graph(fits)
    found = graph.only_each_other()
    for seekers, things in graph.parts():
        if len(seekers) == len(things):
            found += graph.only_way(seekers)
    return found


class _Graph(Generic[S, T]):
    """Which seekers and things may still be paired."""

    def __init__(self, fits: Mapping[S, Collection[T]]) -> None:
        self._fits: dict[S, set[T]] = {s: set(things) for s, things in fits.items() if things}
        self._sought: dict[T, set[S]] = {}
        for seeker, things in self._fits.items():
            for thing in things:
                self._sought.setdefault(thing, set()).add(seeker)

    def only_each_other(self) -> list[tuple[S, T]]:
        """Pairs of which each fits nothing but the other."""
        found = []
        for seeker, things in list(self._fits.items()):
            thing = next(iter(things))
            if len(things) == 1 and len(self._sought[thing]) == 1:
                found.append((seeker, thing))
                self._remove(seeker, thing)
        return found

    def parts(self) -> list[tuple[list[S], set[T]]]:
        """What is left, in parts that have nothing to do with each other."""
        found = []
        seen: set[S] = set()
        for first in self._fits:
            if first in seen:
                continue
            seekers: list[S] = []
            things: set[T] = set()
            waiting = [first]
            seen.add(first)
            while waiting:
                seeker = waiting.pop()
                seekers.append(seeker)
                for thing in self._fits[seeker] - things:
                    things.add(thing)
                    new = self._sought[thing] - seen
                    seen |= new
                    waiting += new
            found.append((seekers, things))
        return found

    def only_way(self, seekers: Sequence[S]) -> list[tuple[S, T]]:
        """Of as many seekers as things: the pairs that stand in every way to give each one.

        Nothing, if there is no way at all.
        """
        if not self._pairs_up(seekers):
            return []
        found: list[tuple[S, T]] = []
        left = list(seekers)
        wanted = {thing for seeker in seekers for thing in self._fits[seeker]}
        things: list[T] = list(wanted)
        while left or things:
            pair = self._forced_by(left) if left else self._forced_on(things)
            if pair is None:
                continue
            seeker, thing = pair
            left += self._sought[thing] - {seeker}
            things += self._fits[seeker] - {thing}
            found.append(pair)
            self._remove(seeker, thing)
        return found

    def _forced_by(self, left: list[S]) -> tuple[S, T] | None:
        seeker = left.pop()
        things = self._fits.get(seeker, set())
        return (seeker, next(iter(things))) if len(things) == 1 else None

    def _forced_on(self, things: list[T]) -> tuple[S, T] | None:
        thing = things.pop()
        sought = self._sought.get(thing, set())
        return (next(iter(sought)), thing) if len(sought) == 1 else None

    def _remove(self, seeker: S, thing: T) -> None:
        for other in self._fits.pop(seeker):
            self._sought[other].discard(seeker)
        for other_seeker in self._sought.pop(thing):
            self._fits[other_seeker].discard(thing)

    def _pairs_up(self, seekers: Iterable[S]) -> bool:
        """Whether each can have one (Kuhn's augmenting paths)."""
        owner: dict[T, S] = {}
        for first in seekers:
            came_from: dict[T, tuple[S, T | None]] = {}
            waiting: list[tuple[S, T | None]] = [(first, None)]
            free: T | None = None
            while waiting and free is None:
                seeker, through = waiting.pop()
                for thing in self._fits[seeker]:
                    if thing in came_from:
                        continue
                    came_from[thing] = seeker, through
                    if thing not in owner:
                        free = thing
                        break
                    waiting.append((owner[thing], thing))
            if free is None:
                return False
            at: T | None = free
            while at is not None:
                seeker, through = came_from[at]
                owner[at], at = seeker, through
        return True
