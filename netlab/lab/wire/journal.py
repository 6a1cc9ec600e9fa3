"""The wire's spool, the side that reads: frames and what became of them, beside the running wire or
after the death of anyone.

Reads with plain reads, and writes one number: that a segment is needed no more. Never waits. What
this module must not know: sockets, rules, the recording's file. Read first: `journal_layout`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from netlab.lab.wire.journal_layout import (
    BEGUN,
    DELIVERED,
    FATE,
    FATES,
    FRAME,
    HEAD,
    HEAD_BYTES,
    HEAD_WORDS,
    LOSS,
    LOST_FATES,
    LOST_FRAMES,
    MAGIC,
    MAGIC_AT,
    NEXT,
    NONE,
    PASSED,
    RECORD,
    RECORD_BYTES,
    SERIAL,
    TAIL,
    TAKEN,
    WHY,
    WORD,
    segment_name,
)
from netlab.model.recording import Loss
from netlab.model.wire import Arrival

_NAME = re.compile(r"wire\.\d{1,9}\Z")
_CHUNK_BYTES = 1 << 18
_NO_HEAD = (0,) * HEAD_WORDS

# One frame as it left its sender: packet, interface, time_ns, data. A plain tuple, as RingFrame is.
WireFrame = tuple[int, int, int, bytes]


@dataclass(slots=True)
class Taken:
    """What a look at the spool brought."""

    frames: list[WireFrame] = field(default_factory=list)  # in the order of their numbers
    arrivals: list[Arrival] = field(default_factory=list)


class JournalReader:
    """The reading side: beside a running wire, or after the death of anyone.

    What a `poll` gave counts as kept once the next one is made: its segments are the wire's again.
    A reader that comes later finds all that no reader said to have kept, and so what this one was
    given last a second time: a frame's number tells. `losses` grows as they are met; `dropped` says
    how many of those frames were of which host, by interface.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._fd = -1  # the segment that is being read
        self._serial = 0
        self._at = HEAD_BYTES
        self._kept: list[tuple[int, int]] = []  # descriptors of whole segments, and their serials
        self.losses: list[Loss] = []
        self.dropped: Counter[int] = Counter()

    def poll(self, within_s: float = float("inf")) -> Taken:
        """What was settled since the last look; takes about `within_s` seconds at the most."""
        self._give_back()
        taken = Taken()
        until_s = time.monotonic() + within_s
        while self._read_some(taken, TAIL) and time.monotonic() < until_s:
            pass
        return taken

    def finish(self) -> Taken:
        """All that is left, and what was on its way when the wire ended: frames without a fate."""
        self._give_back()
        taken = Taken()
        while self._read_some(taken, TAIL) or self._open_following():
            pass
        self._read_some(taken, BEGUN)
        self._count_unwritten()
        self.close()
        return taken

    def close(self) -> None:
        """Read no more. What was given last is not given back: nobody has said that it is kept."""
        for fd, _ in self._kept:
            os.close(fd)
        self._kept.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_some(self, taken: Taken, end_at: int) -> bool:
        """Add the records of the next chunk; False when there is nothing more now."""
        if self._fd < 0 and not self._open_following():
            return False
        head = _read_head(self._fd)
        if head[NEXT]:
            head = _read_head(self._fd)  # the tail that was there before it was linked on
            if self._at >= head[TAIL] and self._begin(segment_name(head[NEXT] - 1)):
                head = _read_head(self._fd)
        end = min(head[end_at], os.fstat(self._fd).st_size)
        if self._at >= end:
            return False
        # No record is longer than a segment, but one may be longer than a chunk.
        for length in (min(end - self._at, _CHUNK_BYTES), end - self._at):
            chunk = os.pread(self._fd, length, self._at)
            if whole := self._take(chunk, taken, pending=end_at == BEGUN):
                self._at += whole
                return True
        self._damaged(f"at byte {self._at}")
        self._at = end  # what is behind cannot be told from what it is not
        return True

    def _take(self, chunk: bytes, taken: Taken, *, pending: bool) -> int:
        """Add the whole records at the start of `chunk`; how long they are together, in bytes."""
        unpack, most = RECORD.unpack_from, len(chunk) - RECORD_BYTES
        frames, arrivals = taken.frames, taken.arrivals
        at = 0
        while at <= most:
            kind, fate, number, size, packet, left_ns, arrived_ns, late_ns = unpack(chunk, at)
            start = at + RECORD_BYTES
            end = start + ((size + number if kind == FATE else size) + 7 & ~7)
            if end > len(chunk):
                break
            if kind in (FRAME, PASSED):
                frames.append((packet, number, left_ns, chunk[start : start + size]))
                if kind == PASSED and not pending:
                    arrivals.append(Arrival(packet, FATES[DELIVERED], arrived_ns, late_ns))
            elif kind == FATE and 0 < fate < len(FATES):
                if not pending:
                    arrivals.append(_arrival(chunk, at))
            elif kind == LOSS:
                reason = chunk[start : start + size].decode(errors="replace")
                self.losses.append(Loss("packets", "frames", packet, reason, since_ns=left_ns))
                self.dropped[number] += packet
            else:
                break
            at = end
        return at

    def _open_following(self) -> bool:
        """Go on with the oldest segment, of those after the one at hand, that nobody has kept.

        The first is found so, and what comes after a segment whose link is damaged.
        """
        found = []
        for name in self._names():
            with self._opened(name) as (fd, head):
                if fd >= 0 and self._serial < head[SERIAL] != head[TAKEN]:
                    found.append((head[SERIAL], name))
        return bool(found) and self._begin(min(found)[1])

    def _begin(self, name: str) -> bool:
        """Go on in this segment, if it is a later one; the one behind us is whole."""
        with self._opened(name) as (fd, head):
            serial = head[SERIAL]
            if fd < 0 or serial <= self._serial:
                return False
            if self._fd >= 0:
                self._kept.append((self._fd, self._serial))
                if serial != self._serial + 1:
                    self._damaged(f"no segment {self._serial + 1}")
            self._fd, self._serial, self._at = os.dup(fd), serial, HEAD_BYTES
        return True

    def _damaged(self, where: str) -> None:
        self.losses.append(Loss("packets", "frames", None, f"damaged spool of the wire, {where}"))

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, tuple[int, ...]]]:
        """A segment's descriptor and head; -1 and zeros where there is none to be read.

        A program of the lab may put what it likes into the folder: a FIFO must not keep us waiting.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self._folder / name, flags)
        except OSError:
            yield -1, _NO_HEAD
            return
        try:
            head = _read_head(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else _NO_HEAD
            yield (fd, head) if head[MAGIC_AT] == MAGIC else (-1, _NO_HEAD)
        finally:
            os.close(fd)

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if _NAME.match(name)]
        except FileNotFoundError:
            return []

    def _give_back(self) -> None:
        """What was read before has been kept: the wire may use those segments again."""
        for fd, serial in self._kept:
            os.pwrite(fd, WORD.pack(serial), TAKEN * WORD.size)
            os.close(fd)
        self._kept.clear()

    def _count_unwritten(self) -> None:
        """What the wire found no room for."""
        with self._opened(segment_name(0)) as (_, head):
            pass
        why = head[WHY]
        reason = "spool limit" if why == errno.EFBIG else os.strerror(min(why, 4095)).lower()
        for what, count in (("frames", head[LOST_FRAMES]), ("arrivals", head[LOST_FATES])):
            if count:
                self.losses.append(Loss("packets", what, count, reason))


def _read_head(fd: int) -> tuple[int, ...]:
    """A segment's head; zeros where the file ends before it does."""
    head = os.pread(fd, HEAD_BYTES, 0)
    return HEAD.unpack(head) if len(head) == HEAD_BYTES else _NO_HEAD


def _arrival(chunk: bytes, at: int) -> Arrival:
    """The FATE record at `at`, which is whole."""
    _, fate, number, size, packet, _, arrived_ns, late_ns = RECORD.unpack_from(chunk, at)
    start = at + RECORD_BYTES
    return Arrival(
        packet,
        FATES[fate],
        None if arrived_ns == NONE else arrived_ns,
        None if late_ns == NONE else late_ns,
        chunk[start : start + number].decode(errors="replace"),
        chunk[start + number : start + number + size] or None,
    )
