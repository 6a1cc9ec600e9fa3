"""Frozen records that are quick to make: the same records as a dataclass makes them."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields, replace

import pytest

from netlab.model.call import CallRecord
from netlab.model.frame import Frame
from netlab.model.records import quickly_made
from netlab.model.tables import Span


@dataclass(frozen=True, slots=True)
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
