"""Processes that have little memory, for tests of what is larger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlab.engine.choose import warm_up


@contextmanager
def cgroup(limit_bytes: int) -> Iterator[list[str]]:
    """What begins a process in a cgroup of so much memory, of either version.

    Where none can be made, a limit of half as much more on what it reserves for itself, used or
    not: stacks of threads and the data of libraries count there, files that it maps do not.
    The kernels are compiled before: that takes memory, and is done once.
    """
    assert warm_up() is None
    name = f"netlab-test-{os.getpid()}"
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(limit_bytes))
                enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
                yield ["sh", "-c", enter, "sh"]
                return
        finally:
            group.rmdir()
    yield ["sh", "-c", f'ulimit -d {limit_bytes * 3 // 2 >> 10} && exec "$@"', "sh"]
