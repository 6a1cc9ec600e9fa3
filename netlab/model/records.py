"""Dataclasses that are quick to define and quick to make: their methods are not compiled each time.

The standard library's `dataclass` writes the source of five methods for each class and compiles it
while the module is imported: 1 ms of processor time a class, and reading a capture imports eighty
of them, which was a third of what a small capture took. This one takes the fields from there, lets
all classes share their methods, and has `__init__` alone compiled, when the first of a class is
made.

The `__init__` of a frozen one calls object.__setattr__ for each of its fields, which takes ten
times as long as assigning them: 10 us for the 37 fields of a call, of which joining makes two
objects each. So records that are made by the million (`quickly_made`) get the `__init__` of one
that is not frozen, and that nobody changes one is held by the type checker alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass", "quickly_made"]

R = TypeVar("R")

_missing = object()  # the default of what a factory makes


def quickly_made(record: type[R]) -> type[R]:
    """Make a frozen dataclass with slots quick to make; it has no `__post_init__`."""
    _compile_later(record, frozen=False)
    del record.__setattr__, record.__delattr__  # those that refuse
    return record


if TYPE_CHECKING:
    from dataclasses import dataclass  # what this one is, to everyone but the clock
else:

    def dataclass(
        *, slots: bool, frozen: bool = False, eq: bool = True
    ) -> Callable[[type[R]], type[R]]:
        """The same as the standard library's; what the class defines itself stays."""

        def define(written: type[R]) -> type[R]:
            own = vars(written)
            if not written.__doc__:  # it would get its signature for one, by a large regex: 3 ms
                written.__doc__ = written.__name__
            record = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(written)
            if "__init__" not in own:
                _compile_later(record, frozen)
            if "__repr__" not in own:
                record.__repr__ = _repr
            if eq and "__eq__" not in own:
                _compare(record, frozen)
            if frozen:
                record.__setattr__, record.__delattr__ = _refuse_to_set, _refuse_to_delete
                record.__getstate__, record.__setstate__ = _state_of, _take_state
            return record

        return define


def _compile_later(record: type, frozen: bool) -> None:
    """Let the first call of `__init__` compile the one that takes its place."""

    def init(self: object, *values: object, **named: object) -> None:
        real = _init_of(record, frozen)
        record.__init__ = real  # type: ignore[misc]
        real(self, *values, **named)

    record.__init__ = init  # type: ignore[misc]


def _init_of(record: type, frozen: bool) -> Callable[..., None]:
    """What the standard library's would be; compiling that brings two more methods with it."""
    space: dict[str, Any] = {"_put": object.__setattr__, "_missing": _missing}
    taken, named, body = ["self"], list[str](), list[str]()
    for one in fields(record):
        name, value = one.name, one.name
        if one.default is not MISSING:
            space[f"_{name}_"] = one.default
        elif one.default_factory is not MISSING:
            space[f"_{name}_"] = one.default_factory
        if one.init:
            parameter = name
            if one.default is not MISSING:
                parameter = f"{name}=_{name}_"
            elif one.default_factory is not MISSING:
                parameter = f"{name}=_missing"
                value = f"_{name}_() if {name} is _missing else {name}"
            (named if one.kw_only else taken).append(parameter)
        elif one.default is not MISSING:
            value = f"_{name}_"
        elif one.default_factory is not MISSING:
            value = f"_{name}_()"
        else:  # whoever makes it fills it
            continue
        body.append(f"_put(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(record, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join([*taken, *(["*", *named] if named else [])])
    exec(f"def __init__({parameters}):\n " + "\n ".join(body or ["pass"]), space)
    init: Callable[..., None] = space["__init__"]
    init.__qualname__ = f"{record.__qualname__}.__init__"
    return init


def _compare(record: Any, frozen: bool) -> None:
    """Equal are two of one class whose fields are; what never changes has a hash, too."""
    names = [one.name for one in fields(record) if one.compare]
    if len(names) > 1:
        values: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
    else:  # of one name it gives no tuple, and of none it is none

        def values(self: Any) -> tuple[Any, ...]:
            return tuple([getattr(self, name) for name in names])

    def equal(self: Any, other: object) -> bool:
        return (
            values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
        )

    def number(self: Any) -> int:
        return hash(values(self))

    record.__eq__ = equal
    record.__hash__ = number if frozen else None


@recursive_repr()
def _repr(self: Any) -> str:
    shown = [f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr]
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_to_set(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state_of(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in fields(self)]


def _take_state(self: Any, state: list[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)
