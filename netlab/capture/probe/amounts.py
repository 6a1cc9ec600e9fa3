"""How many bytes a call's arguments hold, as far as they are what the call takes.

None where they are not: the plain call will say so.
"""

from __future__ import annotations

from typing import Any


def size_of(data: object) -> int | None:
    """Bytes in a buffer."""
    if type(data) is bytes:
        return len(data)
    try:
        with memoryview(data) as view:  # type: ignore[arg-type]
            return view.nbytes
    except TypeError:
        return None


def total_of(buffers: object) -> int | None:
    """Bytes in several buffers."""
    if not isinstance(buffers, list | tuple):
        return None
    sizes = [size_of(item) for item in buffers]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def moved_in(file: Any, offset: int) -> int | None:
    """How far behind `offset` a file stands."""
    try:
        return max(0, int(file.tell()) - offset)
    except Exception:
        return None
