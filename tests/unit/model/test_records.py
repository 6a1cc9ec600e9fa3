"""Records that are quick to define and to make: the same as the standard library's dataclasses."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from dataclasses import field, fields, replace
from typing import Any

import pytest

from netlab.model.call import CallRecord
from netlab.model.frame import Frame
from netlab.model.records import dataclass, quickly_made
from netlab.model.tables import Span


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    one: int
    two: str = "2"
    rest: list[int] = field(default_factory=list, compare=False)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    one: int
    two: str = "2"
    rest: list[int] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Frozen:
    one: int
    two: str = "2"
    rest: list[int] = field(default_factory=list, compare=False)


@dataclass(slots=True)
class Alone:
    one: list[Any]
    hidden: int = field(default=1, repr=False, init=False)

    def __post_init__(self) -> None:
        self.hidden = len(self.one)


@dataclass(slots=True, eq=False)
class Later(Alone):
    more: int = 0


@dataclass(frozen=True, slots=True)
class Nothing:
    def __repr__(self) -> str:
        return "its own"


@dataclass(frozen=True, slots=True)
class Single:
    only: int


def test_a_frozen_one_is_as_the_library_s() -> None:
    for arguments, names in (((1,), {}), ((1, "b"), {}), ((), {"two": "c", "one": 3})):
        mine, plain = Frozen(*arguments, **names), Plain(*arguments, **names)
        assert repr(mine) == repr(plain).replace("Plain", "Frozen")
        assert hash(mine) == hash(plain)
        assert mine == Frozen(*arguments, **names, rest=[1])
        assert mine not in (Frozen(9), plain)
        assert pickle.loads(pickle.dumps(mine)) == copy.copy(mine) == mine
        assert replace(mine, one=7) == Frozen(7, mine.two)
        assert dataclasses.asdict(mine) == dataclasses.asdict(plain)
        with pytest.raises(dataclasses.FrozenInstanceError, match="'one'"):
            mine.one = 2  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError, match="'one'"):
            del mine.one
    for wrong in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError, match=r"Frozen\.__init__"):
            Frozen(*wrong)
    assert Frozen.__match_args__ == Plain.__match_args__  # type: ignore[attr-defined]
    assert Single(3) == Single(3) != Single(4)
    assert hash(Single(3)) == hash((3,))
    assert Nothing() == Nothing()
    assert repr(Nothing()) == "its own"


def test_one_that_changes_is_as_the_library_s() -> None:
    one = Alone([1, 2])
    assert (one.hidden, repr(one)) == (2, "Alone(one=[1, 2])")
    assert one == Alone([1, 2])
    one.one.append(one)
    assert repr(one) == "Alone(one=[1, 2, ...])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]
    later = Later([3], more=4)
    assert (later.hidden, later.more) == (1, 4)
    assert later == Later([3], more=5)  # what it inherits knows nothing of its own fields


@dataclass(slots=True)
class Named:
    first: int
    made: list[int] = field(default_factory=lambda: [7], kw_only=True)
    last: str = field(default="l", kw_only=True)
    counted: list[int] = field(default_factory=list, init=False)
    later: int = field(init=False)


def test_fields_that_are_named_or_made_or_left_out() -> None:
    one = Named(1, last="z")
    assert (one.first, one.made, one.last, one.counted) == (1, [7], "z", [])
    assert Named(1).made is not Named(1).made
    assert not hasattr(one, "later")
    assert Named(1, made=[]).made == []
    for arguments in ((1, [2]), ()):
        with pytest.raises(TypeError, match=r"Named\.__init__"):
            Named(*arguments)  # type: ignore[arg-type]


def test_nothing_is_compiled_before_one_is_made() -> None:
    said = subprocess.run(
        [sys.executable, "-c", _COUNT], check=True, capture_output=True, text=True
    ).stdout
    assert said == "0 1\n"


_COUNT = """
from netlab.model import records
compiled, count = records._init_of, 0
def counting(*given):
    global count
    count += 1
    return compiled(*given)
records._init_of = counting
from netlab.model.tables import Wait
before = count
Wait(*range(8)), Wait(*range(8))
print(before, count)
"""


def test_it_is_made_like_the_other() -> None:
    for arguments, names in (((1,), {}), ((1, "b"), {}), ((), {"two": "c", "one": 3})):
        quick, plain = Quick(*arguments, **names), Plain(*arguments, **names)
        assert repr(quick) == repr(plain).replace("Plain", "Quick")
        assert hash(quick) == hash(plain)
        assert pickle.loads(pickle.dumps(quick)) == quick
        assert replace(quick, one=7) == Quick(7, quick.two)
    assert Quick(1).rest is not Quick(1).rest
    with pytest.raises(TypeError):
        Quick()  # type: ignore[call-arg]


@pytest.mark.parametrize("record", [CallRecord, Frame, Span])
def test_every_field_takes_its_own_value(record: type) -> None:
    values = list(range(len(fields(record))))
    made = record(*values)
    assert [getattr(made, one.name) for one in fields(record)] == values
    assert made == record(*values)
    assert len({made, record(*values)}) == 1
