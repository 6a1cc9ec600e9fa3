"""A protocol over TCP, written as one loop that reads: bytes in any pieces -> messages.

A protocol says how one message is read, as a generator that asks for so many bytes, for a line, or
skips a body that nobody needs to keep; where the bytes have not come yet, it waits where it is. So
a message is the same in whatever pieces it comes, and no byte is looked at twice. This file must
not know any protocol. What an end or a gap cuts off is said with a fault.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from netlab.decode.applications.message import Conversation, Item, Said
from netlab.decode.applications.unread import Unread
from netlab.model.tables import Side

T = TypeVar("T")
Reading: TypeAlias = Generator[Said | None, None, T]  # None: it needs more bytes

MOST_ITEMS = 512  # of one message; a list of a million elements is counted, not written down
LONGEST_LINE = 8192  # kept of a line; the rest is counted


class Cut(Exception):
    """The bytes of a message end before it does."""


class Malformed(Exception):
    """What follows cannot be read as this protocol, so no message's end can be known."""


class Draft:
    """A message while it is being read."""

    __slots__ = ("fault", "items", "left_out", "missing", "protocol", "start", "text",
                 "whole")  # fmt: skip

    def __init__(self, protocol: str, start: int) -> None:
        self.protocol = protocol
        self.start = start
        self.text = ""
        self.items: list[Item] = []
        self.left_out = 0
        self.fault = ""
        self.whole = 0  # its length where its beginning tells it
        self.missing = 0  # bytes of its body that no frame holds

    @property
    def full(self) -> bool:
        """Whether further fields are only counted."""
        return len(self.items) >= MOST_ITEMS

    def add(
        self, name: str, text: str, start: int, stop: int, meaning: str = "", source: str = ""
    ) -> None:
        if not self.full:
            self.items.append(Item(name, text, start, stop, meaning, source))
        else:
            self.left_out += 1

    def said(self, stop: int) -> Said:
        if self.left_out:
            meaning = "only the first are told one by one"
            self.items.append(Item("further fields", str(self.left_out), stop, stop, meaning))
        if self.missing and not self.fault:
            self.fault = f"{self.missing:,} of its bytes are in no frame"
        return Said(
            self.protocol, self.start, stop, self.text or "a message", tuple(self.items), self.fault
        )


class Tap:
    """The bytes of one side, for a protocol that reads them in order."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.unread = Unread()
        self.skipping = 0  # bytes of a body that are still to be passed over
        self.missing = 0  # bytes of such a body that no frame holds
        self.ended = False

    @property
    def at(self) -> int:
        """The offset of the next byte."""
        return self.unread.start

    def exactly(self, count: int) -> Reading[bytes]:
        """The next bytes, as many as asked for. Ask only for what is worth keeping."""
        while len(self.unread) < count:
            yield None
        return self.unread.take(count)

    def peek(self, count: int) -> Reading[bytes]:
        """The next bytes without taking them."""
        while len(self.unread) < count:
            yield None
        return self.unread.peek(count)

    def skip(self, count: int) -> Reading[None]:
        """Pass over bytes without keeping them; a gap among them only counts as missing."""
        self.skipping = count
        while True:
            self.skipping -= self.unread.drop(self.skipping)
            if not self.skipping:
                return
            yield None

    def head(self, count: int, keep: int) -> Reading[bytes]:
        """The first `keep` of `count` bytes; the others are passed over."""
        data = yield from self.exactly(min(count, keep))
        yield from self.skip(count - len(data))
        return data

    def until(self, mark: bytes, keep: int = LONGEST_LINE) -> Reading[bytes]:
        """What stands before `mark`, which is passed over; no more than `keep` bytes of it."""
        kept = bytearray()
        looked = 0
        while True:
            found = self.unread.find(mark, looked)
            if found >= 0:
                kept += self.unread.peek(min(found, max(0, keep - len(kept))))
                self.unread.drop(found + len(mark))
                return bytes(kept)
            safe = max(0, len(self.unread) - len(mark) + 1)  # the mark cannot begin before
            if safe > keep:
                kept += self.unread.peek(max(0, keep - len(kept)))
                self.unread.drop(safe)
                safe = 0
            looked = safe
            yield None

    def count_until(self, mark: bytes, what: bytes) -> Reading[int]:
        """How often the byte `what` stands before `mark`; both are passed over, nothing is kept."""
        number = 0
        while True:
            found = self.unread.find(mark)
            size = found if found >= 0 else max(0, len(self.unread) - len(mark) + 1)
            number += self.unread.peek(size).count(what)
            self.unread.drop(size)
            if found >= 0:
                self.unread.drop(len(mark))
                return number
            yield None

    def line(self, keep: int = LONGEST_LINE) -> Reading[bytes]:
        """A line without its end, which is LF with or without CR before it."""
        line = yield from self.until(b"\n", keep)
        return line.removesuffix(b"\r")


class Talk(ABC):
    """Both sides of a connection, each read by a loop over `message`."""

    protocol = ""

    def __init__(self) -> None:
        self.taps = {side: Tap(side) for side in Side}
        self._loops = {side: self._loop(tap) for side, tap in self.taps.items()}
        self._ready: dict[Side, list[Said]] = {side: [] for side in Side}
        self._lost: dict[Side, str] = {}  # why the bytes are no longer read
        self._lost_at: dict[Side, int] = {}
        self._held: set[Side] = set()
        self._whole = dict.fromkeys(Side, 0)  # messages without a fault
        self._heard: dict[Side, int] = {}  # how many the other side had said when one was lost
        self._speaking: Side | None = None
        self._successor: Conversation | None = None
        self._given_up = ""

    # -- what a protocol says -------------------------------------------------------------------

    @abstractmethod
    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        """Read one message of that side; the draft keeps what is known of it so far."""

    def begins(self, side: Side, head: bytes) -> bool:
        """Whether a message of that side may well begin with these bytes: asked after a gap."""
        return False

    def missed(self, side: Side) -> None:  # noqa: B027 - most protocols conclude nothing
        """Bytes of that side are lost: what was concluded from its messages may be wrong now."""

    # -- what a protocol may do -----------------------------------------------------------------

    def hold(self, tap: Tap, known: Callable[[], bool], most: int) -> Reading[bool]:
        """Wait until the other side has told how to go on; False: it has not, for `most` bytes."""
        while not known() and not tap.ended and len(tap.unread) < most:
            self._held.add(tap.side)
            yield None
        self._held.discard(tap.side)
        return known()

    def hand_over_to(self, name: str) -> None:
        """What both sides say from their next byte on is the protocol's of this name."""
        from netlab.decode.applications.registry import by_name

        conversation = by_name(name).conversation
        assert conversation is not None, name
        self._successor = conversation()

    def give_up(self, why: str) -> None:
        """What both sides say from their next byte on can be read by nobody."""
        self._given_up = why

    # -- the conversation -----------------------------------------------------------------------

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        if self._successor is not None:
            return self._collect(side) + self._successor.feed(side, data, start)
        tap = self.taps[side]
        if side in self._lost and self._may_begin(side, data):
            self._found(side, start)
        self._speaking = side
        if side not in self._lost:
            tap.unread.add(data, start)
        else:
            tap.unread.jump(start + len(data))
        self._run(side)
        return self._collect(side)

    def _may_begin(self, side: Side, data: bytes) -> bool:
        """Whether to read again from here a side whose bytes could no longer be read.

        Behind a gap, where a message may well begin. Behind what was no message (the capture began
        in the middle of one, perhaps), where the other side has been understood in between: then
        this is where a side begins to speak, however its bytes are cut.
        """
        if self._lost[side] == _GAP:
            return self.begins(side, data[:64])
        turns = self._speaking is not side and not self._given_up
        return turns and self._whole[side.outbound.receiver] > self._heard[side]

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        if self._successor is not None:
            return self._collect(side) + self._successor.gap(side, start, stop)
        tap = self.taps[side]
        size = stop - start
        if tap.skipping >= size and side not in self._lost:
            tap.unread.jump(stop)
            tap.skipping -= size
            tap.missing += size
            self._run(side)
        else:
            self.missed(side)
            if side not in self._lost:
                self._cut(side, "then bytes that no frame holds")
            else:
                self._tell_lost(side)
            tap.unread.jump(stop)
            self._lost[side], self._lost_at[side] = _GAP, stop
        return self._collect(side)

    def end(self, side: Side) -> list[Said]:
        if self._successor is not None:
            return self._collect(side) + self._successor.end(side)
        tap = self.taps[side]
        if not tap.ended:
            tap.ended = True
            self._run(side)
            if self._successor is None:
                self._tell_lost(side) if side in self._lost else self._cut(side, "then the end")
                self._lost[side], self._lost_at[side] = _GAP, tap.at
        return self._collect(side)

    def _loop(self, tap: Tap) -> Reading[None]:
        while True:
            draft = Draft(self.protocol, tap.at)
            try:
                # What the other side has said so far counts when the first byte comes, not before.
                yield from tap.peek(1)
                draft = Draft(self.protocol, tap.at)
                yield from self.message(tap, draft)
            except Cut as cut:
                stop = tap.unread.stop
                if stop > draft.start:
                    have = stop - draft.start
                    draft.fault = f"{have:,} of {draft.whole:,} bytes" if draft.whole else (
                        f"only its first {counted(have, 'byte')}")  # fmt: skip
                    draft.fault += f", {cut}"
                    yield draft.said(stop)
                return
            except Malformed as why:
                draft.fault = str(why)
                draft.text = draft.text or f"no {self.protocol} message"
                self._lost[tap.side] = draft.fault
                self._heard[tap.side] = self._whole[tap.side.outbound.receiver]
                self.missed(tap.side)
                tap.unread.drop(max(0, draft.start + 1 - tap.at))
                self._lost_at[tap.side] = tap.at
                yield draft.said(tap.at)
                return
            draft.missing, tap.missing = tap.missing, 0
            if tap.at > draft.start:
                yield draft.said(tap.at)
            if self._successor is not None or self._given_up:
                return

    def _run(self, side: Side) -> None:
        """Read on, and the other side too where it waited for what this one said."""
        self._read_on(side)
        self._let_go(side.outbound.receiver)
        if self._successor is not None:
            self._pass_on()
        elif self._given_up:
            for one, tap in self.taps.items():
                if one not in self._lost:
                    self._lost[one], self._lost_at[one] = self._given_up, tap.at
                tap.unread.jump(tap.unread.stop)

    def _let_go(self, side: Side) -> None:
        if side in self._held and self._successor is None:
            self._read_on(side)

    def _read_on(self, side: Side) -> None:
        for said in self._loops[side]:
            if said is None:
                break
            self._ready[side].append(said)
            self._whole[side] += not said.fault
            # What the other side held back comes before this side's next message, if that is here
            # already: else the order would depend on the pieces.
            self._let_go(side.outbound.receiver)
        if side in self._lost:
            tap = self.taps[side]
            tap.unread.jump(tap.unread.stop)

    def _cut(self, side: Side, why: str) -> None:
        """End what was begun; a new loop stands ready for bytes after the gap."""
        tap = self.taps[side]
        loop = self._loops[side]
        try:
            said = loop.throw(Cut(why))
        except (Cut, StopIteration):  # the first from a loop that has not begun, or that ended
            said = None
        if said is not None:
            self._ready[side].append(said)
        tap.skipping = tap.missing = 0
        self._held.discard(side)
        self._loops[side] = self._loop(tap)

    def _found(self, side: Side, start: int) -> None:
        self._tell_lost(side)
        del self._lost[side], self._lost_at[side]
        self.taps[side].unread.jump(start)
        self._loops[side] = self._loop(self.taps[side])

    def _tell_lost(self, side: Side) -> None:
        begun, stop = self._lost_at[side], self.taps[side].unread.stop
        if stop > begun:
            text = f"{counted(stop - begun, 'byte')} that are not read"
            why = self._lost[side]
            if why not in (_GAP, self._given_up):
                why = f"behind bytes that could not be read: {why}"
            self._ready[side].append(Said(self.protocol, begun, stop, text, (), why))

    def _pass_on(self) -> None:
        """Give the successor what is not read yet."""
        assert self._successor is not None
        for side, tap in self.taps.items():
            self._loops[side].close()
            if side in self._lost:
                self._tell_lost(side)
            elif len(tap.unread):
                at = tap.at
                self._ready[side] += self._successor.feed(side, tap.unread.take(1 << 62), at)

    def _collect(self, side: Side) -> list[Said]:
        ready = self._ready[side]
        self._ready[side] = []
        return ready


_GAP = "the beginning of their message is in no frame"


def text_of(data: bytes) -> str:
    """Captured bytes as text: UTF-8 where they are, else escapes such as \\xff."""
    return data.decode("utf-8", "backslashreplace")


def counted(number: int, thing: str, plural: str = "") -> str:
    """`1 row`, `2,000 rows`."""
    return f"1 {thing}" if number == 1 else f"{number:,} {plural or thing + 's'}"


def brief(data: bytes, limit: int = 48, size: int | None = None) -> str:
    """The beginning of captured bytes as text; where that is not all, how many bytes they are."""
    size = len(data) if size is None else size
    text = text_of(data[: limit * 4])
    if len(text) <= limit and size <= limit * 4:
        return text
    return f"{text[:limit]}... ({counted(size, 'byte')})"
