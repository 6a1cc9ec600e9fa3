"""A log of programs in a PID namespace of their own -> the same with the pids of whoever traced.

strace begins each line with the number that it knows a thread by, but prints what fork and clone
returned as the program saw it. (`--decode-pids=pidns` adds the other number, for which strace looks
through all of /proc: measured, 40 ms a program started.) So whoever starts strace notes both
numbers of each thread that strace says it attached to, in a second file beside the log, and here
they are put together. One that was gone before it could be looked at has its outer number alone.
Either kind of number is given out in the same order, so among its neighbours it can still be told,
by rank, as long as as many were made as were attached to; else 0 stands for it, and whose child it
is stays unknown.

It also leaves out what came before the program itself: netlab's own waiting to execute it. Pure.
Read man 7 pid_namespaces, man 5 proc (NSpid).
"""

from __future__ import annotations

import re

_MADE = re.compile(
    rb"^(\d+ +[\d.]+ (?:<\.\.\. )?(?:v?fork|clone[23]?)(?:\(| resumed>)[^\n]*\) += )(\d+)(?=[ \n])",
    re.MULTILINE,
)
_NO_PID = 1 << 31
_BEGINS = re.compile(rb"^\d+ +[\d.]+ execve(?:at)?\(", re.MULTILINE)


def pair_text(outer: int, inner: int | None) -> bytes:
    """How both numbers of a thread are noted; None: that one is not known."""
    return b"%d %d\n" % (outer, inner or 0)


class OuterPids:
    """Takes a log in pieces, and notes of pids that may come a little later than the lines."""

    def __init__(self) -> None:
        self._outer: dict[int, int] = {}  # by the number inside
        self._single: set[int] = set()  # outer numbers that have no other
        self._unknown: set[int] = set()  # numbers inside for which 0 stands
        self._notes = b""
        self._held = b""
        self._begun = False

    def note(self, data: bytes) -> None:
        """Take more of the notes."""
        *lines, self._notes = (self._notes + data).split(b"\n")
        for line in lines:
            outer, _, inner = line.partition(b" ")
            if not outer.isdigit() or not inner.isdigit():
                continue
            if int(inner):
                self._outer[int(inner)] = int(outer)
                self._unknown.discard(int(inner))
            else:
                self._single.add(int(outer))

    def feed(self, data: bytes, *, wait: bool) -> bytes:
        """What can be read on of the log: whole lines.

        `wait`: hold back from the first line on whose number is not noted yet; else it is told by
        rank, or becomes 0.
        """
        text = self._held + data
        stop = text.rfind(b"\n") + 1
        if not self._begun:
            begins = _BEGINS.search(text, 0, stop)
            if begins is None:
                self._held = text[stop:]
                return b""
            text, stop = text[begins.start() :], stop - begins.start()
            self._begun = True
        found = b""
        at = 0
        for made in _MADE.finditer(text, 0, stop):
            outer = self._outer.get(int(made[2]))
            if outer is None and wait:
                stop = made.start()
                break
            if outer is None:
                later = {int(one[2]) for one in _MADE.finditer(text, made.start())}
                outer = self._by_rank(int(made[2]), later)
            found += text[at : made.start()] + made[1] + b"%d" % (outer or 0)
            at = made.end()
        self._held = text[stop:]
        return found + text[at:stop]

    def _by_rank(self, inner: int, later: set[int]) -> int | None:
        """Find the outer number of `inner` among those that have no other.

        `later` are the numbers that this call and those behind it returned. None where not as many
        were made as were attached to, or where the numbers came round.
        """
        self._unknown.add(inner)
        known = sorted(self._outer.items())
        low, least = max((pair for pair in known if pair[0] < inner), default=(0, 0))
        high, most = min((pair for pair in known if pair[0] > inner), default=(_NO_PID, _NO_PID))
        made = (self._unknown | later) - self._outer.keys()
        inside = sorted(one for one in made if low < one < high)
        outside = sorted(one for one in self._single if least < one < most)
        if len(inside) == len(outside):
            self._outer.update(zip(inside, outside, strict=True))
            self._single.difference_update(outside)
            self._unknown.difference_update(inside)
        return self._outer.get(inner)

    @property
    def waits(self) -> bool:
        """Whether whole lines are held back."""
        return b"\n" in self._held

    def rest(self) -> bytes:
        """The beginning of a line that was cut off."""
        return self._held if self._begun else b""
