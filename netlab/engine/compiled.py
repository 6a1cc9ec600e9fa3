"""The kernels' sources -> entries in machine code, compiled by numba or taken from our cache.

Each entry is a C function of 64-bit numbers, addresses among them. The sources are compiled in a
namespace of their own, so that the modules stay plain Python. There are two parts, each compiled
and kept by itself when it is first needed: what any large capture needs, and netlab's own verdicts.
"""

from __future__ import annotations

import ctypes
import sys
import time
from functools import cache
from types import ModuleType
from typing import Any

from netlab.engine import units
from netlab.engine.objects import Code, Objects, load
from netlab.engine.units import BYTES, NUMBERS, Entries

# Inlined: what is called for each packet takes a dozen arguments, an array five by itself.
_BARE = {
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy",
    "forceinline": True,
}  # fmt: skip
_MANY = 1 << 40  # what an array behind an address is taken to hold: the kernels know better

_live: list[Any] = []  # compiled code must not be collected while its addresses are known
_read: dict[bool, Code] = {}  # what `is_cached` read, for who loads it next: reading takes ms


def entry_addresses(*, second: bool = False) -> dict[str, int]:
    """Where each entry of a part lies; compiles where none are kept. Raises ImportError without
    numba."""
    kept = Objects(_sources(second=second))
    found = _read.pop(second, None) or kept.maybe_read()
    if found is not None:
        addresses, keep = load(found)
        _live.append(keep)
        return addresses
    return _compile(kept, second=second)


def is_cached(*, second: bool = False) -> bool:
    """Whether the entries need not be compiled: they are there, and are what would be trusted."""
    try:
        found = Objects(_sources(second=second)).maybe_read()
    except ImportError:
        return False
    if found is None:
        return False
    _read[second] = found
    return True


def entries(*, second: bool) -> Entries:
    """The kernels of a part that are called from outside, and what their arguments are."""
    return _part(second=second).ENTRIES  # type: ignore[no-any-return]


def _part(*, second: bool) -> Any:
    if not second:
        return units
    from netlab.engine import second_units

    return second_units


@cache
def _sources(*, second: bool = False) -> list[str]:
    """What the code of a part depends on."""
    part = _part(second=second)
    modules = [_source(module) for unit in part.UNITS for module in unit]
    return [*modules, repr((part.ENTRIES, _BARE))]


def _source(module: Any) -> str:
    source: str = module.__loader__.get_source(module.__name__)
    return source


def _compile(objects: Objects, *, second: bool) -> dict[str, int]:
    import numba

    what = "netlab's own verdicts on large captures" if second else "large captures"
    print(
        f"netlab: compiling for {what}, once on this machine (some 20 s)",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    begun = time.monotonic()
    part = _part(second=second)
    made = {name: _entry(numba, part, name) for name in part.ENTRIES}
    _live.append(made)
    addresses = {name: int(entry.address) for name, entry in made.items()}
    problem = objects.keep(made)
    passed = time.monotonic() - begun
    kept = f"kept in {objects.folder}" if problem is None else f"not kept: {problem}"
    print(f"netlab: compiled in {passed:.1f} s, {kept}", file=sys.stderr, flush=True)
    return addresses


_namespaces: dict[str, dict[str, Any]] = {}  # by the first module of a unit


def _namespace(numba: Any, unit: tuple[ModuleType, ...]) -> dict[str, Any]:
    """The sources of a unit, executed anew as one module with its functions compiled."""
    known = _namespaces.get(unit[0].__name__)
    if known is not None:
        return known
    space: dict[str, Any] = {"__name__": unit[0].__name__}
    for module in unit:  # what the first import, the others then define
        exec(compile(_source(module), module.__file__ or "", "exec"), space)
    for module in unit:
        for name in module.LOADS:
            space[name] = numba.njit("i8(u1[::1],u4)", **_BARE)(space[name])
        for name in getattr(module, "STORES", ()):
            space[name] = numba.njit("i8(u1[::1],u4,i8)", **_BARE)(space[name])
        for name in getattr(module, "INDICES", ()):
            space[name] = numba.njit("u8(i8)", **_BARE)(space[name])
        for name in module.KERNELS:
            space[name] = numba.njit(space[name], **_BARE)
    space["carray"] = numba.carray
    _namespaces[unit[0].__name__] = space
    return space


def _entry(numba: Any, part: Any, name: str) -> Any:
    """A kernel behind a C signature."""
    import numpy
    from numba import types

    unit = next(one for one in part.UNITS if any(name in module.KERNELS for module in one))
    space = _namespace(numba, unit)
    kinds, passed = [], []
    for number, argument in enumerate(part.ENTRIES[name]):
        if argument is None:
            kinds.append(types.int64)
            passed.append(f"a{number}")
            continue
        if argument == BYTES:
            item = types.uint8
        elif argument == NUMBERS:
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
