"""The wire's spool: what it took and what became of it, in segments that outlive either process.

The wire stores records in files that it maps, so that a SIGKILL takes nothing back; whoever records
reads them, and says in a segment's head when it needs it no more. Then the wire uses the segment
again: fresh pages of a file cost ten times what the copy into them does (measured on ext4: 4.0 us
against 0.4 us for a frame of 1514 bytes), so a reader that keeps up is what makes the wire fast.

A segment is a file `wire.N` in the recording's spool folder. Its head, numbers of 64 bits:

    magic | serial | tail | begun | next | taken | lost frames | lost fates | why lost

`tail` is where the settled records end, `begun` where the whole ones do: between the two stands
what was being sent to a host when the wire was last looked at. The wire stores both after the
bytes they vouch for, each in one aligned store. `next` is 1 + N of the segment that goes on where
this one is full; `taken` is set by the reader, to the serial; the last three count what found no
room, since the start, in the head of `wire.0`.

A record is padded to 8 bytes:

    kind u8 | fate u8 | number u16 | size u32 | packet | left_ns | arrived_ns | late_ns | bytes

FRAME: `number` is the interface (a host's index, or the wire's own, one more than the last),
`size` the frame's length; its fate is there when the wire knew it at once, else it has a FATE
record of its own: `number` bytes of rule, then `size` changed bytes (0: not changed). LOSS:
`packet` frames were lost before the wire saw them, some time after `left_ns`; `size` bytes say why.

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

_HEAD = struct.Struct("<9Q")
_HEAD_BYTES = _HEAD.size  # 72
_WORD = struct.Struct("<Q")
_ENDS = struct.Struct("<QQ")
_SERIAL_AT, _TAIL_AT, _BEGUN_AT, _NEXT_AT, _TAKEN_AT = 8, 16, 24, 32, 40
_LOST_FRAMES_AT, _LOST_FATES_AT, _WHY_AT = 48, 56, 64

_RECORD = struct.Struct("<BBHIQqqq")
_RECORD_BYTES = _RECORD.size  # 40
_FRAME, _FATE, _LOSS = 1, 2, 3
_NONE = -(1 << 63)  # "never", "not known"
_FATES = ("", Fate.DELIVERED.value, Fate.DROPPED.value, Fate.CHANGED.value)
_NUMBERS = {fate: number for number, fate in enumerate(_FATES) if fate}
_DELIVERED = _NUMBERS[Fate.DELIVERED.value]
_MOST_RULE_BYTES = 4096
_NAME = re.compile(r"wire\.(\d{1,9})\Z")
_CHUNK_BYTES = 1 << 18

# One frame as it left its sender: packet, interface, time_ns, data. A plain tuple, as RingFrame is.
WireFrame = tuple[int, int, int, bytes]


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
        self._slots: list[mmap.mmap] = []
        self._serials: list[int] = []  # what each slot holds; 0: nothing yet
        self._serial = 0
        self._at = self._last = _HEAD_BYTES  # where the next record goes, where the last one stands
        self.lost_frames = 0
        self.lost_fates = 0
        self.why = 0
        for _ in range(min(ready_segments, self._most)):
            self._slots.append(self._new_segment(len(self._slots)))
            self._serials.append(0)
        self._first = self._slots[0]
        self._use(0)

    def frame(self, packet: int, interface: int, left_ns: int, data: bytes) -> bool:
        """Note a frame that a host sent, or the wire made; False when there was no room."""
        noted = self._append(_FRAME, 0, interface, packet, left_ns, _NONE, _NONE, data, b"")
        self.settled()
        return noted

    def fate(self, arrival: Arrival) -> bool:
        """Note what became of a frame, once it is so; False when there was no room."""
        noted = self.leaving(arrival)
        self.settled()
        return noted

    def leaving(self, arrival: Arrival) -> bool:
        """Note an arrival that is about to be; it holds from `settled()` on."""
        rule = arrival.rule.encode("utf-8", "backslashreplace")[:_MOST_RULE_BYTES]
        arrived_ns = _NONE if arrival.arrived_ns is None else arrival.arrived_ns
        late_ns = _NONE if arrival.late_ns is None else arrival.late_ns
        number = _NUMBERS[arrival.fate]
        changed = arrival.changed or b""
        return self._append(
            _FATE, number, len(rule), arrival.packet, 0, arrived_ns, late_ns, rule, changed
        )

    def passing(self, packet: int, interface: int, left_ns: int, now_ns: int, data: bytes) -> bool:
        """Note a frame and that it goes on at once; it did when `arrived()` is called."""
        size = len(data)
        at = self._at
        end = at + _RECORD_BYTES + (size + 7 & ~7)
        if end > self._segment_bytes:
            return self._append(
                _FRAME, 0, interface, packet, left_ns, now_ns, now_ns - left_ns, data, b""
            )
        view = self._view
        view[at + _RECORD_BYTES : at + _RECORD_BYTES + size] = data
        _RECORD.pack_into(
            view, at, _FRAME, 0, interface, size, packet, left_ns, now_ns, now_ns - left_ns
        )
        _WORD.pack_into(view, _BEGUN_AT, end)
        self._last, self._at = at, end
        return True

    def arrived(self) -> None:
        """What `passing` noted last was sent on."""
        self._view[self._last + 1] = _DELIVERED
        _WORD.pack_into(self._view, _TAIL_AT, self._at)

    def settled(self) -> None:
        """All that was noted so far holds."""
        _WORD.pack_into(self._view, _TAIL_AT, self._at)

    def taken_back(self) -> None:
        """What `leaving` noted last, True then, did not come to be."""
        self._at = self._last
        _WORD.pack_into(self._view, _BEGUN_AT, self._at)

    def lost(self, count: int, since_ns: int, reason: str) -> None:
        """Note frames that were lost before the wire saw them."""
        self._append(_LOSS, 0, 0, count, since_ns, _NONE, _NONE, reason.encode(), b"")
        self.settled()

    def close(self) -> None:
        """Let the files go; they stay as they are."""
        for view in self._slots:
            view.close()

    def _append(
        self,
        kind: int,
        fate: int,
        number: int,
        packet: int,
        left_ns: int,
        arrived_ns: int,
        late_ns: int,
        first: bytes,
        second: bytes,
    ) -> bool:
        size = len(second) if kind == _FATE else len(first)
        at = self._at
        end = at + _RECORD_BYTES + (len(first) + len(second) + 7 & ~7)
        if end > self._segment_bytes:
            if not self._roll():
                self._count_lost(kind)
                return False
            at = self._at
            end = at + _RECORD_BYTES + (len(first) + len(second) + 7 & ~7)
        view = self._view
        start = at + _RECORD_BYTES
        view[start : start + len(first)] = first
        if second:
            view[start + len(first) : start + len(first) + len(second)] = second
        _RECORD.pack_into(view, at, kind, fate, number, size, packet, left_ns, arrived_ns, late_ns)
        _WORD.pack_into(view, _BEGUN_AT, end)
        self._last, self._at = at, end
        return True

    def _count_lost(self, kind: int) -> None:
        if kind == _FRAME:
            self.lost_frames += 1
            _WORD.pack_into(self._first, _LOST_FRAMES_AT, self.lost_frames)
        elif kind == _FATE:
            self.lost_fates += 1
            _WORD.pack_into(self._first, _LOST_FATES_AT, self.lost_fates)
        _WORD.pack_into(self._first, _WHY_AT, self.why)

    def _roll(self) -> bool:
        """Go on in a segment that the reader has done with, or in a new one; False: there is none.

        What was noted so far is settled then: only the last record can be on its way, and that is
        not noted yet.
        """
        slot = self._free_slot()
        if slot is None:
            return False
        full, tail = self._view, self._at
        self._use(slot)
        _WORD.pack_into(full, _TAIL_AT, tail)
        _WORD.pack_into(full, _NEXT_AT, slot + 1)
        return True

    def _use(self, slot: int) -> None:
        self._serial += 1
        self._serials[slot] = self._serial
        view = self._slots[slot]
        # The ends first: a reader that sees the new serial must not see the old ends.
        _ENDS.pack_into(view, _TAIL_AT, _HEAD_BYTES, _HEAD_BYTES)
        _WORD.pack_into(view, _NEXT_AT, 0)
        _WORD.pack_into(view, _SERIAL_AT, self._serial)
        self._view = view
        self._at = self._last = _HEAD_BYTES

    def _free_slot(self) -> int | None:
        """A segment to go on in: one never used, one taken, or one that is made now."""
        for slot, serial in enumerate(self._serials):
            if not serial or _WORD.unpack_from(self._slots[slot], _TAKEN_AT)[0] == serial:
                return slot
        if len(self._slots) >= self._most:
            self.why = errno.EFBIG
            return None
        try:
            view = self._new_segment(len(self._slots))
        except OSError as error:
            self.why = error.errno or errno.EIO
            return None
        self._slots.append(view)
        self._serials.append(0)
        return len(self._slots) - 1

    def _new_segment(self, slot: int) -> mmap.mmap:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        name = f"wire.{slot}"
        fd = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            # Reserved, so that a full disk is an error here and not a SIGBUS later; written, so
            # that the pages are there when the first frame comes.
            os.posix_fallocate(fd, 0, self._segment_bytes)
            os.pwrite(fd, bytes(self._segment_bytes), 0)
            view = mmap.mmap(fd, self._segment_bytes)
        except OSError:
            os.unlink(name, dir_fd=self._folder)
            raise
        finally:
            os.close(fd)
        _WORD.pack_into(view, 0, MAGIC)
        return view


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
        while self._read_some(taken, _TAIL_AT) and time.monotonic() < until_s:
            pass
        return taken

    def finish(self) -> Taken:
        """All that is left, and what was on its way when the wire ended: frames without a fate."""
        self._give_back()
        taken = Taken()
        while self._read_some(taken, _TAIL_AT):
            pass
        self._read_some(taken, _BEGUN_AT)
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
        head = os.pread(self._fd, _HEAD_BYTES, 0)
        if _WORD.unpack_from(head, _NEXT_AT)[0]:
            head = os.pread(self._fd, _HEAD_BYTES, 0)  # the tail that stood before it was linked on
            if self._at == _WORD.unpack_from(head, _TAIL_AT)[0]:
                return self._open_next(_WORD.unpack_from(head, _NEXT_AT)[0] - 1)
        end = _WORD.unpack_from(head, end_at)[0]
        if self._at >= end:
            return False
        chunk = os.pread(self._fd, min(end - self._at, _CHUNK_BYTES), self._at)
        length = self._take(chunk, taken, pending=end_at == _BEGUN_AT)
        if not length and len(chunk) < end - self._at:  # one long record
            chunk = os.pread(self._fd, end - self._at, self._at)
            length = self._take(chunk, taken, pending=end_at == _BEGUN_AT)
        if not length:
            return self._step_over(end)
        self._at += length
        return True

    def _take(self, chunk: bytes, taken: Taken, *, pending: bool) -> int:
        """Add the whole records at the start of `chunk`; how long they are together, in bytes."""
        unpack, most = _RECORD.unpack_from, len(chunk) - _RECORD_BYTES
        frames, arrivals = taken.frames, taken.arrivals
        at = 0
        while at <= most:
            kind, fate, number, size, packet, left_ns, arrived_ns, late_ns = unpack(chunk, at)
            start = at + _RECORD_BYTES
            end = start + (size + 7 & ~7)
            if kind == _FRAME and end <= len(chunk):
                frames.append((packet, number, left_ns, chunk[start : start + size]))
                if fate == _DELIVERED:
                    arrivals.append(Arrival(packet, _FATES[fate], arrived_ns, late_ns))
            elif kind == _FATE and 0 < fate < len(_FATES):
                end = start + (number + size + 7 & ~7)
                if end > len(chunk):
                    break
                if not pending:
                    arrivals.append(_arrival(chunk, at))
            elif kind == _LOSS and end <= len(chunk):
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
                if fd >= 0 and serial and _word(fd, _TAKEN_AT) != serial:
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
            usable = stat.S_ISREG(os.fstat(fd).st_mode) and _word(fd, 0) == MAGIC
            yield (fd, _word(fd, _SERIAL_AT)) if usable else (-1, 0)
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
            os.pwrite(fd, _WORD.pack(serial), _TAKEN_AT)
            os.close(fd)
        self._kept.clear()

    def _count_unwritten(self) -> None:
        """What the wire found no room for."""
        with self._opened("wire.0") as (fd, _):
            if fd < 0:
                return
            why = _word(fd, _WHY_AT)
            reason = "spool limit" if why == errno.EFBIG else os.strerror(why).lower()
            for what, at in (("frames", _LOST_FRAMES_AT), ("arrivals", _LOST_FATES_AT)):
                if count := _word(fd, at):
                    self.losses.append(Loss("packets", what, count, reason))


def _word(fd: int, at: int) -> int:
    """A number of a segment's head; 0 where the file ends before it."""
    word = os.pread(fd, _WORD.size, at)
    return int(_WORD.unpack(word)[0]) if len(word) == _WORD.size else 0


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
