"""Which files the engine reads, and by which of its machines.

NETLAB_ENGINE=plain or =native forces one, and the engine with it, whatever a file's size. Otherwise
small files are left to the general path, which has an object for each packet; what is large enough
to be worth it is read by compiled kernels, and the rest by plain ones.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from netlab.capture.spare import check_room
from netlab.model.errors import NetlabError, UsageError

if TYPE_CHECKING:
    from netlab.capture.at_hand import AtHand
    from netlab.engine.capture import Sought
    from netlab.engine.whole import Whole

_FROM_BYTES = 512 << 10  # below it, the general path is done before this is imported
_NATIVE_FROM_BYTES = 1 << 20  # where the object code is at hand
_COMPILE_FROM_BYTES = 24 << 20  # where it has to be made first
_COMPILE_BYTES = 224 << 20  # of memory, while it is made
_KINDS = ("plain", "native")
TABLES = ("packets", "segments", "connections")
_SLOW_FROM_BYTES = 64 << 20  # from here on it is worth a word that something takes long


def maybe_read(
    file: AtHand,
    *,
    keep: bool,
    with_traffic: bool = False,
    with_second: bool = False,
    sought: Sought | None = None,
) -> Whole | None:
    """A capture by the engine; None where the general path is to read it.

    `with_traffic`: what passed of each protocol and host is counted, too. `with_second`: netlab's
    own verdicts are made. With a frame that is `sought` the file is read no farther than that one
    needs.
    Raises UsageError for a machine that does not exist or cannot be had, and BadRecording.
    """
    forced = forced_kind()
    size = file.size_bytes
    if size is None or (forced is None and size < _FROM_BYTES):
        return None
    from netlab.engine.records import Unfit
    from netlab.engine.whole import read

    try:
        machine = _machine(forced, size, second=with_second)
        return read(
            file, machine, keep=keep, with_traffic=with_traffic, with_second=with_second,
            sought=sought,
        )  # fmt: skip
    except Unfit:
        return None
    except MemoryError as error:
        raise NetlabError(f"cannot read {file.name}: {error}", "give it more memory") from None


def warm_up() -> str | None:
    """Compile the kernels and keep their code; what is in the way, if it cannot be had or kept."""
    try:
        from netlab.engine.compiled import entry_addresses, is_cached

        for second in (False, True):
            entry_addresses(second=second)
        if is_cached() and is_cached(second=True):
            return None
    except ImportError as error:
        return f"there is no {error.name}: pip install numba"
    return "the compiled code cannot be kept: every large capture takes some 20 s longer"


def is_large(file: AtHand) -> bool:
    """Whether a look at every packet by itself would take minutes."""
    return forced_kind() is not None or (file.size_bytes or 0) >= _SLOW_FROM_BYTES


def unknown_columns(table: str, names: list[str], file: AtHand) -> bool:
    """Whether a column is wanted on which the kernels have no word; of a large file it is said."""
    from netlab.engine.known import not_known

    wanted = sorted(not_known(table).intersection(names))
    if not wanted:
        return False
    if (file.size_bytes or 0) >= _SLOW_FROM_BYTES:
        print(
            f"netlab: {', '.join(wanted[:3])}{', ...' * (len(wanted) > 3)} are made a packet at a"
            " time; without them (--columns) it takes seconds",
            file=sys.stderr,
        )
    return True


def forced_kind() -> str | None:
    """What NETLAB_ENGINE says, if anything."""
    said = os.environ.get("NETLAB_ENGINE") or None
    if said is not None and said not in _KINDS:
        raise UsageError(f"NETLAB_ENGINE is {said!r}", f"it may be {' or '.join(_KINDS)}")
    return said


def _machine(forced: str | None, size_bytes: int, *, second: bool) -> Any:
    if forced == "plain" or (forced is None and size_bytes < _NATIVE_FROM_BYTES):
        return _plain()
    try:
        from netlab.engine.compiled import is_cached
        from netlab.engine.native import Native

        if not is_cached() or (second and not is_cached(second=True)):
            if forced is None and size_bytes < _COMPILE_FROM_BYTES:
                return _plain()
            check_room(
                _COMPILE_BYTES, "the kernels, which are compiled once,",
                "netlab doctor --warm-up compiles them, where there is more",
            )  # fmt: skip
        return Native()
    except ImportError as error:
        if forced is not None:
            raise UsageError(
                f"NETLAB_ENGINE is native, and there is no {error.name}", "pip install numba"
            ) from None
        print(
            f"netlab: there is no {error.name}: large captures take some 50 times as long"
            " (pip install numba)",
            file=sys.stderr,
        )
        return _plain()


def _plain() -> Any:
    from netlab.engine.plain import Plain

    return Plain()
