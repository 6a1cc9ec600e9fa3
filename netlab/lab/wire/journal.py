"""The wire's spool: what it took and what became of it, in segments that outlive either process.

The wire stores records in files that it maps, so that a SIGKILL takes nothing back; whoever records
reads them, and says in a segment's head when it needs it no more. Then the wire uses the segment
again: fresh pages of a file cost ten times what the copy into them does (measured on ext4: 4.0 us
against 0.4 us for a frame of 1514 bytes), so a reader that keeps up is what makes the wire fast.

A segment is a file `wire.N` in the recording's spool folder. Its head, numbers of 64 bits:

    magic | serial | tail | begun | next | taken | lost frames | lost fates | why lost

`tail` is where the settled records end, `begun` where the whole ones do: between the two stands
what was being sent to a host when the wire was last looked at. The wire stores both after the
bytes they vouch for, each in one aligned store (an item of a memoryview; struct stores a number of
a given byte order byte by byte, so these are in the machine's own). `next` is 1 + N of the segment
that goes on where this one is full; `taken` is set by the reader, to the serial; the last three
count what found no room, since the start, in the head of `wire.0`.

A record is padded to 8 bytes:

    kind u8 | fate u8 | number u16 | size u32 | packet | left_ns | arrived_ns | late_ns | bytes

FRAME: `number` is the interface (a host's index, or the wire's own, one more than the last),
`size` the frame's length. PASSED is the same for a frame that went on at once, and holds its
arrival. FATE: `number` bytes of rule, then `size` changed bytes (0: not changed). LOSS: `packet`
frames were lost before the wire saw them, some time after `left_ns`; `size` bytes say why.

What this module must not know: sockets, rules, the recording's file. Read first: man 2 mmap.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from netlab.model.recording import Loss
from netlab.model.tables import Fate
from netlab.model.wire import Arrival

MAGIC = 0x3130_5265_5769_4C4E  # "NLiWeR01"
SEGMENT_BYTES = 1 << 20
READY_SEGMENTS = 16  # made at the start: 0.2 s of 500 Mbit/s until the reader must have been there
LIMIT_BYTES = 1 << 30

_HEAD_WORDS = 9
_HEAD_BYTES = _HEAD_WORDS * 8
_HEAD = struct.Struct(f"@{_HEAD_WORDS}Q")
_WORD = struct.Struct("@Q")
# Places in the head.
_MAGIC, _SERIAL, _TAIL, _BEGUN, _NEXT, _TAKEN, _LOST_FRAMES, _LOST_FATES, _WHY = range(_HEAD_WORDS)

_RECORD = struct.Struct("@BBHIQqqq")
_RECORD_BYTES = _RECORD.size  # 40
_PACK_INTO = _RECORD.pack_into
_FRAME, _PASSED, _FATE, _LOSS = 1, 2, 3, 4
_NONE = -(1 << 63)  # "never", "not known"
_FATES = ("", Fate.DELIVERED.value, Fate.DROPPED.value, Fate.CHANGED.value)
_DELIVERED, _DROPPED, _CHANGED = range(1, len(_FATES))
_MOST_RULE_BYTES = 4096
_MOST_RULES_KEPT = 4096  # in their encoded form
_NAME = re.compile(r"wire\.(\d{1,9})\Z")
_CHUNK_BYTES = 1 << 18
_NO_HEAD = (0,) * _HEAD_WORDS

# One frame as it left its sender: packet, interface, time_ns, data. A plain tuple, as RingFrame is.
WireFrame = tuple[int, int, int, bytes]


class _Segment:
    """A mapped segment: its bytes, and its head as numbers."""

    __slots__ = ("bytes", "head", "map", "serial")

    def __init__(self, fd: int, length: int) -> None:
        self.map = mmap.mmap(fd, length)
        self.bytes = memoryview(self.map)
        self.head = self.bytes[:_HEAD_BYTES].cast("Q")
        self.head[_MAGIC] = MAGIC
        self.serial = 0  # 0: never used

    def close(self) -> None:
        self.head.release()
        self.bytes.release()
        self.map.close()


class Journal:
    """The writing side. It never raises for want of room: it counts what found none.

    `lost_frames` and `lost_fates` are those counts, `why` the errno of the last refusal.
    """

    def __init__(
        self,
        folder: int,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        ready_segments: int = READY_SEGMENTS,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Write to the folder of this descriptor. Raises OSError when nothing can be written."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._most = max(1, limit_bytes // segment_bytes)
        self._segments: list[_Segment] = []
        self._serial = 0
        self._at = self._last = _HEAD_BYTES  # where the next record goes, where the last one stands
        self._rules: dict[str, bytes] = {}
        self.lost_frames = 0
        self.lost_fates = 0
        self.why = 0
        for _ in range(min(max(1, ready_segments), self._most)):
            self._segments.append(self._new_segment())
        self._use(self._segments[0])

    def frame(self, packet: int, interface: int, left_ns: int, data: bytes) -> bool:
        """Note a frame that a host sent, or the wire made; False when there was no room."""
        noted = self._append(_FRAME, 0, interface, packet, left_ns, _NONE, _NONE, data)
        self._head[_TAIL] = self._at
        return noted

    def passing(self, packet: int, interface: int, left_ns: int, now_ns: int, data: bytes) -> bool:
        """Note a frame and that it is about to go on; both hold from `settled()` on."""
        return self._append(_PASSED, 0, interface, packet, left_ns, now_ns, now_ns - left_ns, data)

    def leaving(
        self, packet: int, now_ns: int, due_ns: int, rule: str, changed: bytes | None = None
    ) -> bool:
        """Note an arrival that is about to be; it holds from `settled()` on."""
        number = _DELIVERED if changed is None else _CHANGED
        return self._append_fate(number, packet, now_ns, now_ns - due_ns, rule, changed or b"")

    def dropped(self, packet: int, rule: str) -> bool:
        """Note that a frame never arrives."""
        noted = self._append_fate(_DROPPED, packet, _NONE, _NONE, rule, b"")
        self._head[_TAIL] = self._at
        return noted

    def settled(self) -> None:
        """All that was noted so far holds."""
        self._head[_TAIL] = self._at

    def stayed(self) -> None:
        """The frame that `passing` noted last, True then, does not go on: it has no fate yet."""
        self._bytes[self._last] = _FRAME
        self.settled()

    def taken_back(self) -> None:
        """What `leaving` noted last, True then, did not come to be."""
        self._head[_BEGUN] = self._at = self._last

    def lost(self, count: int, since_ns: int, reason: str) -> None:
        """Note frames that were lost before the wire saw them."""
        self._append(_LOSS, 0, 0, count, since_ns, _NONE, _NONE, reason.encode())
        self.settled()

    def close(self) -> None:
        """Let the files go; they stay as they are."""
        for segment in self._segments:
            segment.close()

    def _append(
        self,
        kind: int,
        fate: int,
        number: int,
        packet: int,
        left_ns: int,
        arrived_ns: int,
        late_ns: int,
        data: bytes,
    ) -> bool:
        length = len(data)
        at = self._at
        start = at + _RECORD_BYTES
        end = start + (length + 7 & ~7)
        if end > self._segment_bytes:
            if not self._roll():
                self._count_lost(kind)
                return False
            at = self._at
            start = at + _RECORD_BYTES
            end = start + (length + 7 & ~7)
        view = self._bytes
        view[start : start + length] = data
        if kind == _FATE:
            length -= number
        _PACK_INTO(view, at, kind, fate, number, length, packet, left_ns, arrived_ns, late_ns)
        self._last = at
        self._at = self._head[_BEGUN] = end
        return True

    def _append_fate(
        self, fate: int, packet: int, arrived_ns: int, late_ns: int, rule: str, changed: bytes
    ) -> bool:
        text = self._rules.get(rule)
        if text is None:
            text = rule.encode("utf-8", "backslashreplace")[:_MOST_RULE_BYTES]
            if len(self._rules) < _MOST_RULES_KEPT:
                self._rules[rule] = text
        return self._append(_FATE, fate, len(text), packet, 0, arrived_ns, late_ns, text + changed)

    def _count_lost(self, kind: int) -> None:
        head = self._segments[0].head
        if kind == _FATE:
            self.lost_fates += 1
        elif kind != _LOSS:
            self.lost_frames += 1
        head[_LOST_FRAMES], head[_LOST_FATES] = self.lost_frames, self.lost_fates
        head[_WHY] = self.why

    def _roll(self) -> bool:
        """Go on in a segment that the reader has done with, or in a new one; False: there is none.

        What was noted so far is settled: only one record at a time is not, and it is noted next.
        """
        number = self._free_segment()
        if number is None:
            return False
        full, tail = self._head, self._at
        self._use(self._segments[number])
        full[_TAIL] = tail
        full[_NEXT] = number + 1
        return True

    def _use(self, segment: _Segment) -> None:
        self._serial += 1
        segment.serial = self._serial
        head = segment.head
        head[_TAIL] = head[_BEGUN] = _HEAD_BYTES
        head[_NEXT] = 0
        head[_SERIAL] = self._serial  # last: who sees the new serial must not see the old ends
        self._bytes, self._head = segment.bytes, head
        self._at = self._last = _HEAD_BYTES

    def _free_segment(self) -> int | None:
        """A segment to go on in: never used, done with by the reader, or made now."""
        for number, segment in enumerate(self._segments):
            if not segment.serial or segment.head[_TAKEN] == segment.serial:
                return number
        if len(self._segments) >= self._most:
            self.why = errno.EFBIG
            return None
        try:
            self._segments.append(self._new_segment())
        except OSError as error:
            self.why = error.errno or errno.EIO
            return None
        return len(self._segments) - 1

    def _new_segment(self) -> _Segment:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        name = f"wire.{len(self._segments)}"
        fd = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            # Reserved, so that a full disk is an error here and not a SIGBUS later; written, so
            # that the pages are there when the first frame comes.
            os.posix_fallocate(fd, 0, self._segment_bytes)
            os.pwrite(fd, bytes(self._segment_bytes), 0)
            return _Segment(fd, self._segment_bytes)
        except OSError:
            os.unlink(name, dir_fd=self._folder)
            raise
        finally:
            os.close(fd)


@dataclass(slots=True)
class Taken:
    """What a look at the spool brought."""

    frames: list[WireFrame] = field(default_factory=list)  # in the order of their numbers
    arrivals: list[Arrival] = field(default_factory=list)


class JournalReader:
    """The reading side: beside a running wire, or after the death of anyone.

    What a `poll` gave counts as kept once the next one is made: its segments are the wire's again.
    A reader that comes later finds all that no reader said to have kept, and so what this one was
    given last a second time: a frame's number tells. `losses` grows as they are met.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._fd = -1  # the segment that is being read
        self._serial = 0
        self._at = _HEAD_BYTES
        self._kept: list[tuple[int, int]] = []  # descriptors of whole segments, and their serials
        self._damaged = False
        self.losses: list[Loss] = []

    def poll(self, within_s: float = float("inf")) -> Taken:
        """What was settled since the last look; takes about `within_s` seconds at the most."""
        self._give_back()
        taken = Taken()
        until_s = time.monotonic() + within_s
        while self._read_some(taken, _TAIL) and time.monotonic() < until_s:
            pass
        return taken

    def finish(self) -> Taken:
        """All that is left, and what was on its way when the wire ended: frames without a fate."""
        self._give_back()
        taken = Taken()
        while self._read_some(taken, _TAIL):
            pass
        self._read_some(taken, _BEGUN)
        self._count_unwritten()
        self.close()
        return taken

    def close(self) -> None:
        """Read no more."""
        self._give_back()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_some(self, taken: Taken, end_at: int) -> bool:
        """Add the records of the next chunk; False when there is nothing more now."""
        if self._fd < 0 and not self._open_first():
            return False
        head = _read_head(self._fd)
        if head[_NEXT]:
            head = _read_head(self._fd)  # the tail that was there before it was linked on
            if self._at == head[_TAIL]:
                return self._open_next(head[_NEXT] - 1)
        left = head[end_at] - self._at
        if left <= 0:
            return False
        # No record is longer than a segment, but one may be longer than a chunk.
        for length in (min(left, _CHUNK_BYTES), left):
            chunk = os.pread(self._fd, length, self._at)
            if whole := self._take(chunk, taken, pending=end_at == _BEGUN):
                self._at += whole
                return True
        return self._step_over(head[end_at])

    def _take(self, chunk: bytes, taken: Taken, *, pending: bool) -> int:
        """Add the whole records at the start of `chunk`; how long they are together, in bytes."""
        unpack, most = _RECORD.unpack_from, len(chunk) - _RECORD_BYTES
        frames, arrivals = taken.frames, taken.arrivals
        at = 0
        while at <= most:
            kind, fate, number, size, packet, left_ns, arrived_ns, late_ns = unpack(chunk, at)
            start = at + _RECORD_BYTES
            end = start + ((size + number if kind == _FATE else size) + 7 & ~7)
            if end > len(chunk):
                break
            if kind in (_FRAME, _PASSED):
                frames.append((packet, number, left_ns, chunk[start : start + size]))
                if kind == _PASSED and not pending:
                    arrivals.append(Arrival(packet, _FATES[_DELIVERED], arrived_ns, late_ns))
            elif kind == _FATE and 0 < fate < len(_FATES):
                if not pending:
                    arrivals.append(_arrival(chunk, at))
            elif kind == _LOSS:
                reason = chunk[start : start + size].decode(errors="replace")
                self.losses.append(Loss("packets", "frames", packet, reason, since_ns=left_ns))
            else:
                break
            at = end
        return at

    def _step_over(self, end: int) -> bool:
        """The bytes up to `end` are not what the wire writes: say so, go on behind them."""
        self.losses.append(
            Loss("packets", "frames", None, f"damaged spool of the wire, at byte {self._at}")
        )
        self._at = end
        return True

    def _open_first(self) -> bool:
        """Begin with the oldest segment that nobody has said to have kept."""
        found = []
        for name in self._names():
            with self._opened(name) as (fd, serial):
                if fd >= 0 and serial and _read_head(fd)[_TAKEN] != serial:
                    found.append((serial, name))
        return bool(found) and self._begin(min(found)[1])

    def _open_next(self, slot: int) -> bool:
        """Go on in the segment that follows; the one behind us is whole."""
        self._kept.append((self._fd, self._serial))
        self._fd = -1
        return self._begin(f"wire.{slot}")

    def _begin(self, name: str) -> bool:
        with self._opened(name) as (fd, serial):
            if fd < 0 or serial <= self._serial:
                return self._broken(name)
            self._fd, self._serial, self._at = os.dup(fd), serial, _HEAD_BYTES
        return True

    def _broken(self, name: str) -> bool:
        """The chain of segments ends where it must not."""
        if not self._damaged:
            self._damaged = True
            self.losses.append(
                Loss("packets", "frames", None, f"damaged spool of the wire: {name}")
            )
        return False

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, int]]:
        """A segment's descriptor and serial; -1 where there is none to be read.

        A program of the lab may put what it likes into the folder: a FIFO must not keep us waiting.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self._folder / name, flags)
        except OSError:
            yield -1, 0
            return
        try:
            head = _read_head(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else _NO_HEAD
            yield (fd, head[_SERIAL]) if head[_MAGIC] == MAGIC else (-1, 0)
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
            os.pwrite(fd, _WORD.pack(serial), _TAKEN * _WORD.size)
            os.close(fd)
        self._kept.clear()

    def _count_unwritten(self) -> None:
        """What the wire found no room for."""
        with self._opened("wire.0") as (fd, _):
            if fd < 0:
                return
            head = _read_head(fd)
        why = head[_WHY]
        reason = "spool limit" if why == errno.EFBIG else os.strerror(why).lower()
        for what, count in (("frames", head[_LOST_FRAMES]), ("arrivals", head[_LOST_FATES])):
            if count:
                self.losses.append(Loss("packets", what, count, reason))


def _read_head(fd: int) -> tuple[int, ...]:
    """A segment's head; zeros where the file ends before it does."""
    head = os.pread(fd, _HEAD_BYTES, 0)
    return _HEAD.unpack(head) if len(head) == _HEAD_BYTES else _NO_HEAD


def _arrival(chunk: bytes, at: int) -> Arrival:
    """The FATE record at `at`, which is whole."""
    _, fate, number, size, packet, _, arrived_ns, late_ns = _RECORD.unpack_from(chunk, at)
    start = at + _RECORD_BYTES
    return Arrival(
        packet,
        _FATES[fate],
        None if arrived_ns == _NONE else arrived_ns,
        None if late_ns == _NONE else late_ns,
        chunk[start : start + number].decode(errors="replace"),
        chunk[start + number : start + number + size] or None,
    )
