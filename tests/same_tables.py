"""One truth: the engine's tables of a file are the general path's, row for row.

whole = assert_same_tables(path, Plain())    # None: neither reads it, or it is unfit
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from netlab.capture.files import read_raw
from netlab.engine import tables
from netlab.engine.known import not_known
from netlab.engine.records import Unfit
from netlab.engine.whole import Whole, read
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording

R = TypeVar("R")
UNFIT = "unfit"  # for the engine


def assert_same_tables(path: Path, machine: Any) -> Whole | None:
    """Compare what is known of a file; what the engine read of it."""
    raw, said = _read(lambda: read_raw(path))
    whole, here_said = _read(lambda: read(str(path), machine, keep=True, with_second=True))
    assert here_said in (said, UNFIT)
    if raw is None or whole is None:
        return None
    there, here = analyse(raw), whole.capture.raw
    assert here.interfaces == raw.interfaces
    assert here.description == raw.description
    assert (here.faults, here.cut_short) == (raw.faults, raw.cut_short)
    same_rows(whole.connections(), there.connections, not_known("connections"))
    segments = list(tables.segments(whole))
    same_rows(segments, there.segments)
    assert [one._again for one in segments] == [one._again for one in there.segments]
    same_rows(list(tables.packets(whole)), there.packets, not_known("packets"))
    return whole


def _read(reader: Callable[[], R]) -> tuple[R | None, str]:
    """What was read; else None, and why not."""
    try:
        return reader(), ""
    except BadRecording as error:
        return None, error.message
    except Unfit:
        return None, UNFIT


def same_rows(here: Sequence[Any], there: Sequence[Any], left_out: Collection[str] = ()) -> None:
    """The public columns of two tables are equal, but those left out; else the first is told."""
    for mine, other in zip(here, there, strict=False):
        names = [one.name for one in fields(other) if not one.name.startswith("_")]
        names = [name for name in names if name not in left_out]
        different = {
            name: (getattr(mine, name), getattr(other, name))
            for name in names
            if getattr(mine, name) != getattr(other, name)
        }
        assert not different, f"engine and general path differ: {different} in {other}"
    assert len(here) == len(there)
