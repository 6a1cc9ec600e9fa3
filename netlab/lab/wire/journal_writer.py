"""The wire's spool, the side that writes: what the wire took and what became of it.

Records are stored in files that are mapped, so that a SIGKILL takes nothing back; whoever records
reads them (`journal`), and says in a segment's head when it needs it no more. Then the wire uses
the segment again: fresh pages of a file cost ten times what the copy into them does (measured on
ext4: 4.0 us against 0.4 us for a frame of 1514 bytes), so a reader that keeps up is what makes the
wire fast. Knows no sockets and no rules. Read first: `journal_layout`, man 2 mmap.
"""

from __future__ import annotations

import errno
import mmap
import os

from netlab.lab.wire.journal_layout import (
    BEGUN,
    CHANGED,
    DELIVERED,
    DROPPED,
    FATE,
    FRAME,
    HEAD_BYTES,
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
    segment_name,
)

SEGMENT_BYTES = 1 << 20
READY_SEGMENTS = 16  # made at the start: 0.2 s of 500 Mbit/s until the reader must have been there
LIMIT_BYTES = 1 << 30
_PACK_INTO = RECORD.pack_into
_MOST_RULE_BYTES = 4096
_MOST_RULES_KEPT = 4096  # in their encoded form


class _Segment:
    """A mapped segment: its bytes, and its head as numbers."""

    __slots__ = ("bytes", "head", "map", "serial")

    def __init__(self, fd: int, length: int) -> None:
        self.map = mmap.mmap(fd, length)
        self.bytes = memoryview(self.map)
        self.head = self.bytes[:HEAD_BYTES].cast("Q")
        self.head[MAGIC_AT] = MAGIC
        self.serial = 0  # 0: never used

    def close(self) -> None:
        self.head.release()
        self.bytes.release()
        self.map.close()


class Journal:
    """The writing side. It never raises for want of room: it counts what found none.

    `lost_frames` and `lost_fates` are those counts, `why` the errno of the last refusal. The
    segment at hand (`bytes`, its `head`, where the next record goes, where the last one stands) is
    public for the hot path, which writes without a method call (`carriers.Plain`).
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
        self.segment_bytes = segment_bytes
        self._most = max(1, limit_bytes // segment_bytes)
        self._segments: list[_Segment] = []
        self._serial = 0
        self.at = self.last = HEAD_BYTES  # where the next record goes, where the last one stands
        self._rules: dict[str, bytes] = {}
        self.lost_frames = 0
        self.lost_fates = 0
        self.why = 0
        for _ in range(min(max(1, ready_segments), self._most)):
            self._segments.append(self._new_segment())
        self._use(self._segments[0])

    def frame(self, packet: int, interface: int, left_ns: int, data: bytes) -> bool:
        """Note a frame that a host sent, or the wire made; False when there was no room."""
        noted = self._append(FRAME, 0, interface, packet, left_ns, NONE, NONE, data)
        self.head[TAIL] = self.at
        return noted

    def passing(self, packet: int, interface: int, left_ns: int, now_ns: int, data: bytes) -> bool:
        """Note a frame and that it is about to go on; both hold from `settled()` on."""
        return self._append(PASSED, 0, interface, packet, left_ns, now_ns, now_ns - left_ns, data)

    def leaving(
        self, packet: int, now_ns: int, due_ns: int, rule: str, changed: bytes | None = None
    ) -> bool:
        """Note an arrival that is about to be; it holds from `settled()` on."""
        number = DELIVERED if changed is None else CHANGED
        return self._append_fate(number, packet, now_ns, now_ns - due_ns, rule, changed or b"")

    def dropped(self, packet: int, rule: str) -> bool:
        """Note that a frame never arrives."""
        noted = self._append_fate(DROPPED, packet, NONE, NONE, rule, b"")
        self.head[TAIL] = self.at
        return noted

    def settled(self) -> None:
        """All that was noted so far holds."""
        self.head[TAIL] = self.at

    def stayed(self) -> None:
        """The frame that `passing` noted last, True then, does not go on: it has no fate yet."""
        self.bytes[self.last] = FRAME
        self.settled()

    def taken_back(self) -> None:
        """What `leaving` noted last, True then, did not come to be."""
        self.head[BEGUN] = self.at = self.last

    def lost(self, count: int, interface: int, since_ns: int, reason: str) -> None:
        """Note frames of a host that were lost before the wire saw them."""
        self._append(LOSS, 0, interface, count, since_ns, NONE, NONE, reason.encode())
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
        at = self.at
        start = at + RECORD_BYTES
        end = start + (length + 7 & ~7)
        if end > self.segment_bytes:
            if not self._roll():
                self._count_lost(kind, packet)
                return False
            at = self.at
            start = at + RECORD_BYTES
            end = start + (length + 7 & ~7)
        view = self.bytes
        view[start : start + length] = data
        if kind == FATE:
            length -= number
        _PACK_INTO(view, at, kind, fate, number, length, packet, left_ns, arrived_ns, late_ns)
        self.last = at
        self.at = self.head[BEGUN] = end
        return True

    def _append_fate(
        self, fate: int, packet: int, arrived_ns: int, late_ns: int, rule: str, changed: bytes
    ) -> bool:
        text = self._rules.get(rule)
        if text is None:
            text = rule.encode("utf-8", "backslashreplace")[:_MOST_RULE_BYTES]
            if len(self._rules) < _MOST_RULES_KEPT:
                self._rules[rule] = text
        return self._append(FATE, fate, len(text), packet, 0, arrived_ns, late_ns, text + changed)

    def _count_lost(self, kind: int, packet: int) -> None:
        head = self._segments[0].head
        if kind == FATE:
            self.lost_fates += 1
        else:
            self.lost_frames += packet if kind == LOSS else 1
        head[LOST_FRAMES], head[LOST_FATES] = self.lost_frames, self.lost_fates
        head[WHY] = self.why

    def _roll(self) -> bool:
        """Go on in a segment that the reader has done with, or in a new one; False: there is none.

        What was noted so far is settled: only one record at a time is not, and it is noted next.
        """
        number = self._free_segment()
        if number is None:
            return False
        full, tail = self.head, self.at
        self._use(self._segments[number])
        full[TAIL] = tail
        full[NEXT] = number + 1
        return True

    def _use(self, segment: _Segment) -> None:
        self._serial += 1
        segment.serial = self._serial
        head = segment.head
        head[TAIL] = head[BEGUN] = HEAD_BYTES
        head[NEXT] = 0
        head[SERIAL] = self._serial  # last: who sees the new serial must not see the old ends
        self.bytes, self.head = segment.bytes, head
        self.at = self.last = HEAD_BYTES

    def _free_segment(self) -> int | None:
        """A segment to go on in: never used, done with by the reader, or made now."""
        for number, segment in enumerate(self._segments):
            if not segment.serial or segment.head[TAKEN] == segment.serial:
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
        name = segment_name(len(self._segments))
        fd = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            # Reserved, so that a full disk is an error here and not a SIGBUS later; written, so
            # that the pages are there when the first frame comes.
            os.posix_fallocate(fd, 0, self.segment_bytes)
            os.pwrite(fd, bytes(self.segment_bytes), 0)
            return _Segment(fd, self.segment_bytes)
        except OSError:
            os.unlink(name, dir_fd=self._folder)
            raise
        finally:
            os.close(fd)
