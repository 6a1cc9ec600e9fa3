"""One thread's spool: records -> a file that outlives the process, whatever ends it.

The file grows by segments that are reserved on disk first (posix_fallocate: a full disk is an error
here and never a SIGBUS later) and mapped shared, so a record is on its way to disk once its bytes
are stored, and a SIGKILL takes nothing back.

Three surprises shape the code:
- Signal handlers and finalizers run Python in the middle of ours and may make traced calls. A
  record's room is therefore taken first, in two statements without a call between them (CPython
  runs handlers after calls and on backward jumps only), and filled then. A process killed inside a
  handler leaves a hole that the reader knows to step over.
- A program may close descriptors it did not open (daemons do). Ours is compared with what it was
  before each use, and the mapping holds none of its own: hence mmap through ctypes, since
  mmap.mmap keeps a duplicate and closes it later, whoever owns that number by then.
- A program near its descriptor limit must not lose its witness: one descriptor a thread, opened
  early, kept high up so that the program's own numbers stay as they would be.

Read first: man 2 mmap, man 3 posix_fallocate; CPython's _struct.c (stores in order).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import time
from functools import cache
from typing import Any

from netlab.capture.probe import layout
from netlab.capture.probe.layout import HEAD, HEAD_BYTES

SUFFIX = ".spool"
PAGE = mmap.PAGESIZE
SEGMENT_MIN = 4 * PAGE


class SpoolLimit(Exception):
    """The folder holds as much as it may."""


@cache
def libc() -> Any:
    """The C library, for what Python's modules do not offer safely."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


class _Mapping:
    """Unmaps when the last view of it is gone."""

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self.length = length
        self.munmap = libc().munmap
        self.address = libc().mmap(
            None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, offset
        )
        if self.address == ctypes.c_void_p(-1).value:
            self.address = 0
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def __del__(self) -> None:
        if self.address:
            self.munmap(self.address, self.length)


def _view(fd: int, offset: int, length: int) -> memoryview:
    mapping = _Mapping(fd, offset, length)
    array: Any = (ctypes.c_char * length).from_address(mapping.address)
    array.mapping = mapping  # lives as long as any view of the array
    return memoryview(array).cast("B")


def _raised(fd: int) -> int:
    """The same file under a high descriptor number, out of the program's way."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    soft = 1024 if soft == resource.RLIM_INFINITY else min(soft, 1024)
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(soft - 40, 3))
    except OSError:
        return fd
    os.close(fd)
    return high


class ThreadSpool:
    """The spool of one thread of one process. `thread` is its get_ident(), 0 once it is retired.

    `view`, `at` and `end` (the mapped segment, the next free byte, where ordinary records must
    stop) are public for the hot path, which writes heads without a method call.
    """

    __slots__ = (
        "_fd", "_folder", "_header", "_host", "_identity", "_index", "_limit_bytes", "_path",
        "_segment_bytes", "_used_bytes", "at", "end", "full", "order", "pid", "thread",
        "tid", "view",
    )  # fmt: skip

    def __init__(
        self,
        folder: str,
        *,
        host: str,
        actor: str,
        pid: int,
        tid: int,
        thread: int,
        segment_bytes: int,
        limit_bytes: int,
    ) -> None:
        self.pid, self.tid, self.thread = pid, tid, thread
        self.order = 0
        self.full = False
        self._segment_bytes = max(SEGMENT_MIN, -(-segment_bytes // PAGE) * PAGE)
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._host = host
        self._header = self._header_of(actor)
        self._index = 0
        self._path = os.path.join(folder, f"{pid}-{tid}-{time.time_ns():x}-{os.urandom(3).hex()}")
        self._path += SUFFIX
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = -1
        self._used_bytes = 0
        self._check_limit()
        self._fd = _raised(os.open(self._path, flags, 0o600))
        self._identity = self._stat()
        try:
            self.view, self.at = self._segment(0)
        except OSError:
            self.retire()
            os.unlink(self._path)
            raise
        self.end = self._ordinary_end()

    def append(
        self, kind: int, op: int, first: int, second: int, order: int, state: int, tail: bytes
    ) -> None:
        """Write a record. Raises OSError or SpoolLimit when no segment could be had for it.

        The return of a call is written even then, if it fits what was kept back for that.
        """
        size = HEAD_BYTES + len(tail)
        word = layout.marker(kind, op, size)
        refusal = self._make_room(kind, size) if self.at + size > self.end else None
        at = self.at
        self.at = at + size
        view = self.view  # nothing was called since `at` was read: `view` and `at` belong together
        if tail:
            view[at + HEAD_BYTES : at + size] = tail
        HEAD.pack_into(view, at, first, second, order, state, word)
        if refusal is not None:
            raise refusal

    def rename(self, actor: str) -> None:
        """The thread is called so from here on; what it did before keeps the earlier name."""
        self._header = self._header_of(actor)
        size = self._segment_bytes
        self.append(
            layout.HEADER, 0, time.time_ns(), self._index, layout.VERSION, size, self._header
        )

    @property
    def tail_limit(self) -> int:
        """How long a tail may be, in bytes; less once the spool is full."""
        if self.full:
            return max(0, len(self.view) - self.at - 4 * HEAD_BYTES) // 8 * 8
        return self._segment_bytes // 4

    def retire(self) -> None:
        """The thread has ended, or recording has: give the descriptor back."""
        self.thread = 0
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._is_ours(fd):
            os.close(fd)

    def disown(self) -> None:
        """After fork, in the child: what is still written here goes nowhere (the file is the
        parent's)."""
        view = memoryview(bytearray(len(self.view)))
        self.view = view
        self.retire()

    def _header_of(self, actor: str) -> bytes:
        return (
            layout.tail_text(layout.TAG_HOST, self._host)
            + layout.tail_text(layout.TAG_ACTOR, actor)
            + layout.tail_field(layout.TAG_IDS, layout.PAIR.pack(self.pid, self.tid))
        )

    def _ordinary_end(self) -> int:
        # The rest is for what must be written when no further segment can be had: returns of calls
        # that are still inside, the loss, the end.
        return self._segment_bytes - self._segment_bytes // 8

    def _make_room(self, kind: int, size: int) -> Exception | None:
        """Go on in the next segment; the error that hindered it if the record fits even so."""
        refusal: Exception | None = None
        if not self.full:
            self.end = len(self.view)  # a handler that records meanwhile uses the reserve
            try:
                self._roll()
            except (OSError, SpoolLimit) as error:
                self.full, self.end = True, 0  # from here on every record asks for its room
                refusal = error
        if not self.full and self.at + size <= self.end:
            return None
        refusal = refusal or SpoolLimit("no further segment")
        last = len(self.view) - HEAD_BYTES
        if kind not in (layout.RETURN, layout.LOSS) or self.at + size > last:
            raise refusal
        return None if kind == layout.LOSS else refusal

    def _roll(self) -> None:
        """Go on in a new segment. A handler that uses up the reserve meanwhile does so, too: then
        the later segment is the one to go on in, and this one stays empty."""
        self._check_limit()
        self._index = index = self._index + 1
        view, at = self._segment(index)
        end = self._ordinary_end()
        left_view, left_at = view, at
        if index == self._index:  # no call from here to the switch: it is whole for a handler
            left_view, left_at = self.view, self.at
            self.view, self.at, self.end = view, at, end
        if left_at + HEAD_BYTES <= len(left_view):
            word = layout.marker(layout.END, 0, HEAD_BYTES)
            HEAD.pack_into(left_view, left_at, time.time_ns(), 0, 0, 0, word)

    def _segment(self, index: int) -> tuple[memoryview, int]:
        """The mapped segment with its header written, and where its first record goes."""
        offset = index * self._segment_bytes
        if not self._is_ours(self._fd):
            self._fd = _raised(os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
        os.posix_fallocate(self._fd, offset, self._segment_bytes)
        view = _view(self._fd, offset, self._segment_bytes)
        size = HEAD_BYTES + len(self._header)
        view[HEAD_BYTES:size] = self._header
        word = layout.marker(layout.HEADER, 0, size)
        version, now_ns = layout.VERSION, time.time_ns()
        HEAD.pack_into(view, 0, now_ns, index, version, self._segment_bytes, word)
        return view, size

    def _check_limit(self) -> None:
        used = 0
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        used += entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            used = self._used_bytes + self._segment_bytes  # what is known without a descriptor
        self._used_bytes = used
        if used + self._segment_bytes > self._limit_bytes:
            raise SpoolLimit(f"spool limit of {self._limit_bytes} bytes reached")

    def _stat(self) -> tuple[int, int]:
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def _is_ours(self, fd: int) -> bool:
        try:
            found = os.fstat(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return False
        return (found.st_dev, found.st_ino) == self._identity
