"""The kernels' sources -> entries in machine code, compiled by numba or taken from our cache.

Each entry is a C function of 64-bit numbers, addresses among them. The sources are compiled in a
namespace of their own, so that the modules stay plain Python.
"""

from __future__ import annotations

import ctypes
import sys
import time
from typing import Any

from netlab.correlate import kernels as followers
from netlab.correlate import traffic_kernels as counters
from netlab.decode import kernels as readers
from netlab.engine import column_kernels as columns
from netlab.engine import page_kernels as pages
from netlab.engine import text_kernels as texts
from netlab.engine.layout import Fields
from netlab.engine.objects import Objects, load

_BYTES, _NUMBERS = "bytes", "numbers"  # beside records: what an address leads to
Argument = Fields | str | None  # None: a number

_SCAN: tuple[Argument, ...] = (
    _BYTES, None, None, None, readers.SCAN, readers.LINK, readers.ROW, None,
)  # fmt: skip
# The kernels that are called from outside, and what their arguments are.
ENTRIES: dict[str, tuple[Argument, ...]] = {
    "scan_pcap": _SCAN,
    "scan_pcapng": _SCAN,
    "decode": (_BYTES, None, readers.LINK, readers.ROW, None, None),
    "pick": (readers.ROW, None, None, _NUMBERS, None, _NUMBERS),
    "sort_flows": (
        _BYTES, None, readers.ROW, None, None, None,
        _NUMBERS, None, followers.FLOW, followers.USED, None,
    ),
    "rehash": (_NUMBERS, None, followers.FLOW, followers.USED),
    "follow": (
        readers.ROW, None, None, None, followers.FLOW, followers.TALK, followers.HALF,
        _NUMBERS, followers.NODE, followers.USED, None, followers.OUT, None,
    ),
    "count_rows": (
        _BYTES, None, readers.ROW, None, None, counters.TALLY, _NUMBERS, None, counters.TOTAL,
        None, _NUMBERS,
    ),
    "count_flows": (
        followers.FLOW, followers.HALF, None, None, counters.TALLY, _NUMBERS, None,
        counters.TOTAL, None,
    ),
    "place_tallies": (counters.TALLY, _NUMBERS, None, counters.TOTAL),
    "sum_up": (
        followers.FLOW, followers.TALK, followers.HALF, _NUMBERS, None, _NUMBERS, counters.TOTAL,
    ),
    "fill_segments": (
        readers.ROW, followers.OUT, followers.FLOW, followers.TALK, _NUMBERS, _NUMBERS, None, None,
        None, columns.CELL, None, columns.FILLED,
    ),
    "write_cells": (
        columns.CELL, None, None, _NUMBERS, None, _BYTES, _BYTES, _NUMBERS, _BYTES,
    ),
    "write_pages": (
        pages.CELL, None, None, _NUMBERS, None, pages.CELL, _BYTES, pages.PAGE,
    ),
    "busiest": (followers.FLOW, followers.TALK, followers.HALF, None, _NUMBERS, None),
}  # fmt: skip
_MODULES = (readers, followers, counters, columns, texts, pages)
# Inlined: what is called for each packet takes a dozen arguments, an array five by itself.
_BARE = {
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy",
    "forceinline": True,
}  # fmt: skip
_MANY = 1 << 40  # what an array behind an address is taken to hold: the kernels know better

_live: list[Any] = []  # compiled code must not be collected while its addresses are known


def entry_addresses() -> dict[str, int]:
    """Where each entry lies; compiles where none are kept. Raises ImportError without numba."""
    cache = Objects(_sources())
    found = cache.maybe_read()
    if found is not None:
        addresses, keep = load(found)
        _live.append(keep)
        return addresses
    return _compile(cache)


def is_cached() -> bool:
    """Whether the entries need not be compiled."""
    try:
        return Objects(_sources()).exists()
    except ImportError:
        return False


def _sources() -> list[str]:
    return [*map(_source, _MODULES), repr((ENTRIES, _BARE))]


def _source(module: Any) -> str:
    source: str = module.__loader__.get_source(module.__name__)
    return source


def _compile(cache: Objects) -> dict[str, int]:
    import numba

    print(
        "netlab: compiling for large captures, once on this machine (some 20 s)",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    begun = time.monotonic()
    made = {name: _entry(numba, name) for name in ENTRIES}
    _live.append(made)
    addresses = {name: int(entry.address) for name, entry in made.items()}
    problem = cache.keep(made)
    passed = time.monotonic() - begun
    kept = f"kept in {cache.folder}" if problem is None else f"not kept: {problem}"
    print(f"netlab: compiled in {passed:.1f} s, {kept}", file=sys.stderr, flush=True)
    return addresses


_namespaces: dict[str, dict[str, Any]] = {}


def _namespace(numba: Any, module: Any) -> dict[str, Any]:
    """The module's source, executed anew with its functions compiled."""
    known = _namespaces.get(module.__name__)
    if known is not None:
        return known
    space: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(_source(module), module.__file__, "exec"), space)
    for name in module.LOADS:
        space[name] = numba.njit("i8(u1[::1],u4)", **_BARE)(space[name])
    for name in getattr(module, "STORES", ()):
        space[name] = numba.njit("i8(u1[::1],u4,i8)", **_BARE)(space[name])
    for name in module.KERNELS:
        space[name] = numba.njit(space[name], **_BARE)
    space["carray"] = numba.carray
    _namespaces[module.__name__] = space
    return space


def _entry(numba: Any, name: str) -> Any:
    """A kernel behind a C signature."""
    import numpy
    from numba import types

    module = next(one for one in _MODULES if name in one.KERNELS)
    space = _namespace(numba, module)
    kinds, passed = [], []
    for number, argument in enumerate(ENTRIES[name]):
        if argument is None:
            kinds.append(types.int64)
            passed.append(f"a{number}")
            continue
        if argument == _BYTES:
            item = types.uint8
        elif argument == _NUMBERS:
            item = types.int32
        else:
            item = numba.from_dtype(numpy.dtype(list(argument)))
        kinds.append(types.CPointer(item))
        passed.append(f"carray(a{number}, {_MANY})")
    names = ", ".join(f"a{number}" for number in range(len(kinds)))
    text = f"def entry_{name}({names}):\n    return {name}({', '.join(passed)})\n"
    exec(text, space)
    return numba.cfunc(types.int64(*kinds))(space[f"entry_{name}"])


def function_of(address: int, arguments: int) -> Any:
    """A callable of so many numbers; other threads run while it does."""
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(address)
