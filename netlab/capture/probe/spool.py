"""A folder of spools -> call records: live while the processes run, and after their death.

Only plain reads, so a reader needs nothing of the processes. It never waits and never writes.

Reading beside a writer: the bytes of one read() are not one moment, so a marker may be seen with
fields that are older than it. Every stretch is therefore read twice: the first time for its
markers, the second time, when all that they vouch for is certainly there, for its contents.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlab.capture.probe import layout
from netlab.capture.probe.assembly import ThreadCalls
from netlab.capture.probe.layout import HEAD, HEAD_BYTES, MARKER_OFF
from netlab.capture.probe.writer import SUFFIX
from netlab.model.call import CallRecord, Inheritance
from netlab.model.recording import Loss
from netlab.model.stamp import StampRecord

# Of records of 24 bytes this is some 1,300 calls, or some 50 ms of work at the most.
CHUNK_BYTES = 1 << 16


class SpoolReader:
    """Reads all spools of `folder`, those that appear later too.

    `inheritances` and `losses` grow as they are met; take what is new by its place in the list.
    `stamps` holds those met since it was last emptied, by whoever takes them.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._files: dict[str, _SpoolFile] = {}
        self._turn = 0
        self.inheritances: list[Inheritance] = []
        self.losses: list[Loss] = []
        self.stamps: list[StampRecord] = []

    def poll(self, within_s: float = math.inf) -> list[CallRecord]:
        """The calls that have returned since the last poll, thread by thread in order of return.

        Takes about `within_s` seconds at the most: busy processes write faster than this reads, and
        whoever reads a packet ring beside it must not be kept from that. What is left comes with a
        later poll; each spool is read in its turn.
        """
        until_s = time.monotonic() + within_s
        calls: list[CallRecord] = []
        waiting = deque(self._spools())
        waiting.rotate(-self._turn)
        while waiting:
            spool = waiting.popleft()
            self._turn += 1
            if spool.read_some(calls):
                waiting.append(spool)
            self._collect(spool)
            if time.monotonic() >= until_s:
                break
        return calls

    def finish(self) -> list[CallRecord]:
        """What has returned since the last poll, and the calls still inside (returned_ns None).

        To be called once the processes have ended, or when they are no longer of interest.
        """
        calls: list[CallRecord] = []
        for spool in self._spools():
            spool.read_all(calls)
            calls += spool.calls.unfinished()
            self._collect(spool)
        return sorted(calls, key=lambda call: (call.entered_ns, call.pid, call.tid, call.order))

    def _spools(self) -> list[_SpoolFile]:
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(SUFFIX)]
        except FileNotFoundError:
            names = []
        for name in sorted(set(names) - self._files.keys()):
            self._files[name] = _SpoolFile(self._folder / name)
        return list(self._files.values())

    def _collect(self, spool: _SpoolFile) -> None:
        self.inheritances += spool.calls.inheritances
        self.losses += spool.calls.losses
        self.stamps += spool.calls.stamps
        spool.calls.inheritances.clear()
        spool.calls.losses.clear()
        spool.calls.stamps.clear()


class _SpoolFile:
    """Where the reading of one spool stands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._segment_bytes = 0  # 0: no header seen yet
        self._unreadable = False  # for good
        self._damages: set[str] = set()
        self.calls = ThreadCalls()

    def read_some(self, done: list[CallRecord]) -> bool:
        """Add the calls that became complete in the next chunk; whether there was one."""
        with self._opened() as fd:
            return fd is not None and self._stretch(fd, done)

    def read_all(self, done: list[CallRecord]) -> None:
        """Add all that became complete, also behind holes that a killed process left."""
        with self._opened() as fd:
            while fd is not None and not self._unreadable:
                if not self._stretch(fd, done) and not self._step_over(fd):
                    break

    @contextmanager
    def _opened(self) -> Iterator[int | None]:
        """The spool's descriptor; None when there is no such file, or nothing in it can be read.

        A watched program may put what it likes into the folder: a FIFO must not keep us waiting.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self._path, flags)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            self._damaged(f"{error.strerror}")
            yield None
            return
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                self._give_up("not a file")
            yield None if self._unreadable else fd
        finally:
            os.close(fd)

    def _stretch(self, fd: int, done: list[CallRecord]) -> bool:
        """Read the whole records of the next chunk; False when there is none yet."""
        size = self._segment_bytes
        left = size - self._at % size if size else CHUNK_BYTES
        if left < HEAD_BYTES:
            if self._at + left >= os.fstat(fd).st_size:
                return False
            self._at = self._next_segment()
            return True
        record = next(_records(os.pread(fd, HEAD_BYTES, self._at), whole=False), None)
        if record is None:
            return False
        found = list(_records(os.pread(fd, max(min(left, CHUNK_BYTES), record[3]), self._at)))
        if not found:
            return False
        length = found[-1][0] + found[-1][3]
        chunk = os.pread(fd, length, self._at)
        if len(chunk) < length:  # the file was cut meanwhile
            return False
        for at, kind, op, size in found:
            if kind == layout.HEADER:
                self._segment_bytes = HEAD.unpack_from(chunk, at)[3]
                if self._segment_bytes < size:
                    self._give_up(f"segments of {self._segment_bytes} bytes")
                    return False
            if kind == layout.END:
                self._at = self._next_segment()
                return True
            self.calls.take(chunk, at, kind, op, size, done)
        self._at += length
        return True

    def _next_segment(self) -> int:
        size = self._segment_bytes or layout.LENGTH_LIMIT
        return (self._at // size + 1) * size

    def _step_over(self, fd: int) -> bool:
        """Move past a hole or damage; False at the end of what was written.

        Zeros before a whole record are a call that a killed process was about to note (its room
        was taken, a signal handler recorded more behind it). Other bytes are damage.
        """
        size = self._segment_bytes
        if self._unreadable:
            return False
        if not size:
            if any(os.pread(fd, CHUNK_BYTES, 0)):
                self._damaged("no header")
            return False
        left = size - self._at % size
        segment = os.pread(fd, left, self._at)
        if any(segment[MARKER_OFF:HEAD_BYTES]):
            self._damaged(f"byte {self._at}")
        found = _next_record(segment)
        if found is not None:
            self._at += found
            return True
        if len(segment) < left:
            if segment or self._at % size:
                self._damaged(f"cut short at byte {self._at + len(segment)}")
            return False
        if not os.pread(fd, HEAD_BYTES, self._next_segment()):
            return False
        self._at = self._next_segment()
        return True

    def _give_up(self, why: str) -> None:
        self._unreadable = True
        self._damaged(why)

    def _damaged(self, where: str) -> None:
        if where not in self._damages:
            self._damages.add(where)
            self.calls.lost(f"damaged spool {self._path.name}: {where}", None)


def _next_record(segment: bytes) -> int | None:
    """Where the next whole record behind the start of `segment` begins."""
    magic = layout.MAGIC.to_bytes(3, "little")
    at = segment.find(magic, HEAD_BYTES)
    while at >= 0:
        start = at - MARKER_OFF - 5  # the magic is the marker's last three bytes
        if start % 8 == 0 and next(_records(segment[start:]), None) is not None:
            return start
        at = segment.find(magic, at + 1)
    return None


def _records(chunk: bytes, *, whole: bool = True) -> Iterator[tuple[int, int, int, int]]:
    """(offset, kind, operation, length) of the whole records at the start of `chunk`.

    Not `whole`: the record may run on behind the chunk's end.
    """
    at = 0
    while at + HEAD_BYTES <= len(chunk):
        word = int.from_bytes(chunk[at + MARKER_OFF : at + HEAD_BYTES], "little")
        parts = layout.maybe_marker(word)
        if parts is None or (whole and at + parts[2] > len(chunk)):
            return
        kind, op, length = parts
        yield at, kind, op, length
        if kind == layout.END:
            return
        at += length
