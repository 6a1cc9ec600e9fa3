"""One truth: the engine's tables of a file are the general path's, row for row.

    whole = assert_same_tables(path, Plain())    # None: neither reads it, or it is unfit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from netlab.capture.files import read_raw
from netlab.engine import tables
from netlab.engine.records import Unfit
from netlab.engine.whole import Whole, read
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording


def assert_same_tables(path: Path, machine: Any) -> Whole | None:
    """Compare what is known of a file; what the engine read of it."""
    try:
        raw = read_raw(path)
    except BadRecording as error:
        message: str | None = error.message
    else:
        message = None
    try:
        whole = read(str(path), machine, keep=True)
    except Unfit:
        return None
    except BadRecording as error:
        assert error.message == message
        return None
    assert message is None
    there, here = analyse(raw), whole.capture.raw
    assert here.interfaces == raw.interfaces
    assert here.description == raw.description
    assert (here.faults, here.cut_short) == (raw.faults, raw.cut_short)
    same_rows(whole.connections(), there.connections)
    same_rows(list(tables.segments(whole)), there.segments)
    same_rows(list(tables.packets(whole)), there.packets)
    return whole


def same_rows(here: Sequence[Any], there: Sequence[Any]) -> None:
    """The public columns of two tables are equal; the first difference is told."""
    for mine, other in zip(here, there, strict=False):
        names = [one.name for one in fields(other) if not one.name.startswith("_")]
        different = {
            name: (getattr(mine, name), getattr(other, name))
            for name in names
            if getattr(mine, name) != getattr(other, name)
        }
        assert not different, f"engine and general path differ: {different} in {other}"
    assert len(here) == len(there)
