"""How much more memory there is for this process, and a plain refusal where that is not enough.

The limits of the process (RLIMIT_AS, RLIMIT_DATA), those of its cgroups, and what the machine has
left: who takes more is killed, or kills others.
Read first: man 2 getrlimit, man 5 proc (statm), the kernel's cgroup-v2 document (memory.max).
"""

from __future__ import annotations

import os
import resource

from netlab.model.errors import NetlabError

# What a packet takes as a frame and as rows of the tables, beside its bytes: measured on TCP.
PACKET_BYTES = 2_600
FRAMES_BETWEEN = 1 << 14  # two looks at what is left, while a file is read
_LEAST_BYTES = 48 << 20  # with less, reading on ends before memory does
_CGROUPS = "/sys/fs/cgroup"


def check_room(needed_bytes: int, what: str, hint: str) -> None:
    """Raise NetlabError where `what`, in the plural, need more memory than there is."""
    spare = spare_bytes()
    if needed_bytes > spare:
        raise NetlabError(
            f"{what} need some {needed_bytes >> 20:,} MiB of memory, and {spare >> 20:,} MiB are"
            " left",
            hint,
        )


def check_going_on(frames: int) -> None:
    """Raise NetlabError where memory is all but used up after so many frames."""
    spare = spare_bytes()
    if spare < _LEAST_BYTES:
        raise NetlabError(
            f"{frames:,} packets were read, and {spare >> 20:,} MiB of memory are left",
            "more memory reads them all, or a part of the file (editcap -r)",
        )


def spill_folder() -> str:
    """Where large temporary files go: not /tmp, which is memory on many systems."""
    named = os.environ.get("TMPDIR")
    if named:
        return named
    if os.access("/var/tmp", os.W_OK):
        return "/var/tmp"
    from tempfile import gettempdir

    return gettempdir()


def spare_bytes() -> int:
    """How much more memory this process may take, as far as the system tells."""
    spare = [_machine_bytes(), *_cgroup_bytes()]
    for what, column in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        limit, _ = resource.getrlimit(what)
        if limit != resource.RLIM_INFINITY:
            pages = int(_text("/proc/self/statm").split()[column])
            spare.append(limit - pages * resource.getpagesize())
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
