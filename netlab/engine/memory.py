"""Room for a table that grows: anonymous memory, or a sparse file where memory is short.

Grown by mremap, so nothing is copied and nothing reserved that is not used. What is short is asked
anew whenever a table grows: the limits of the process (RLIMIT_AS), of its cgroups, and what the
machine has left. Read first: man 2 mremap, the kernel's cgroup-v2 document (memory.max).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
from typing import BinaryIO

_HUGE_FROM = 8 << 20
_ALWAYS = 16 << 20  # bytes that a table may have whatever is left
_SLACK = 4  # of what is left, a table may take one part in so many
_CGROUPS = "/sys/fs/cgroup"


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


def spill_folder() -> str:
    """Where large temporary files go: not /tmp, which is memory on many systems."""
    named = os.environ.get("TMPDIR")
    if named:
        return named
    if os.access("/var/tmp", os.W_OK):
        return "/var/tmp"
    import tempfile

    return tempfile.gettempdir()


def spare_bytes() -> int:
    """How much more memory this process may take, as far as the system tells."""
    spare = [_machine_bytes(), *_cgroup_bytes()]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        pages = int(_text("/proc/self/statm").split()[0])
        spare.append(limit - pages * mmap.PAGESIZE)
    return max(0, min(spare))


def _machine_bytes() -> int:
    try:
        for line in _text("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 1 << 62


def _cgroup_bytes() -> list[int]:
    """What each cgroup with a limit that the process is in has left."""
    try:
        lines = _text("/proc/self/cgroup").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, ("memory.max", "memory.current", "file")
        elif "memory" in controllers.split(","):  # version 1
            root = f"{_CGROUPS}/memory"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"
        else:
            continue
        group = os.path.join(root, path.lstrip("/")).rstrip("/")
        while True:
            left = _left_bytes(group, *names)
            if left is not None:
                found.append(left)
            if group in (root, "/"):
                break
            group = os.path.dirname(group)
    return found


def _left_bytes(group: str, limit_name: str, used_name: str, cache_name: str) -> int | None:
    """Up to a cgroup's limit; caches count as free, for they can be given up."""
    try:
        limit = _text(f"{group}/{limit_name}").strip()
        if limit == "max":
            return None
        used = int(_text(f"{group}/{used_name}"))
        lines = _text(f"{group}/memory.stat").splitlines()
    except OSError:
        return None
    stat = dict(line.split() for line in lines)
    return int(limit) - used + int(stat.get(cache_name, 0))


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
