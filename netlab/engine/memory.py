"""Room for a table that grows: anonymous memory, or a sparse file where memory is short.

Grown by mremap, so nothing is copied and nothing reserved that is not used. What is short is asked
anew whenever a table grows (`capture.spare`). Read first: man 2 mremap.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
from typing import BinaryIO

from netlab.capture.spare import spare_bytes, spill_folder

_HUGE_FROM = 2 << 20  # the size of a large page: a table of one fills it anyhow
_ALWAYS = 16 << 20  # bytes that a table may have whatever is left
_SLACK = 4  # of what is left, a table may take one part in so many


class Memory:
    """Bytes at an address that changes when they grow, as `map` does; new ones are 0."""

    def __init__(self, size_bytes: int, folder: str | None = None) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self.map = self._anonymous(max(size_bytes, mmap.PAGESIZE))
        self._find()

    @property
    def size_bytes(self) -> int:
        return len(self.map)

    @property
    def is_spilt(self) -> bool:
        """Whether the bytes lie in a file."""
        return self._file is not None

    @property
    def view(self) -> memoryview:
        """The bytes; to be let go before they grow."""
        return memoryview(self.map)

    def ensure(self, size_bytes: int) -> None:
        """Make it at least so large."""
        if size_bytes <= len(self.map):
            return
        size_bytes = max(size_bytes, len(self.map) * 3 // 2)
        size_bytes += -size_bytes % mmap.PAGESIZE
        try:
            if self._file is None and size_bytes > _ALWAYS and size_bytes > spare_bytes() // _SLACK:
                self._spill(size_bytes)
            else:
                self.map.resize(size_bytes)
                if self._file is None and size_bytes >= _HUGE_FROM:
                    self.map.madvise(mmap.MADV_HUGEPAGE)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            raise MemoryError(f"no room for {size_bytes} bytes of tables") from None
        self._find()

    def close(self) -> None:
        self.map.close()
        if self._file is not None:
            self._file.close()

    def _anonymous(self, size_bytes: int) -> mmap.mmap:
        made = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if size_bytes >= _HUGE_FROM:
            made.madvise(mmap.MADV_HUGEPAGE)
        return made

    def _spill(self, size_bytes: int) -> None:
        import tempfile  # which imports more than all of this room

        folder = self._folder or spill_folder()
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  it lives as long as this
        file.truncate(size_bytes)
        there = mmap.mmap(file.fileno(), size_bytes)
        there[: len(self.map)] = self.map[:]
        self.map.close()
        self.map, self._file = there, file

    def _find(self) -> None:
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
