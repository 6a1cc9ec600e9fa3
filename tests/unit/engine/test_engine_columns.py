"""Columns and lines of CSV that kernels make are those of the rows, plain and compiled."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from compare_files import write_forms
from compare_samples import write_samples

from netlab.correlate import kernels as followers
from netlab.correlate import traffic_kernels
from netlab.engine import column_kernels, second_units, tables, units
from netlab.engine.columns import NAMES, segment_lines
from netlab.engine.known import SECOND
from netlab.engine.records import Unfit
from netlab.engine.whole import Whole, read
from netlab.model.errors import BadRecording
from netlab.model.tables import Tables, columns
from netlab.show.bulk import bulk_frame
from netlab.show.export import export_frame, export_lines
from netlab.show.frames import frame


def captures(captures_dir: Path, tmp_path: Path) -> list[Path]:
    made = tmp_path / "made.pcapng"
    write_samples(made)
    return [*sorted((captures_dir / "files").glob("*.pcap*")), made, *write_forms(tmp_path)]


def maybe_read(path: Path, machine: Any) -> Whole | None:
    try:
        return read(str(path), machine, keep=True, with_second=True)
    except (Unfit, BadRecording):
        return None


def test_they_are_those_of_the_rows(machine: Any, captures_dir: Path, tmp_path: Path) -> None:
    names, compared, written = [column.name for column in columns("segments")], 0, 0
    for path in captures(captures_dir, tmp_path):
        whole = maybe_read(path, machine)
        if whole is None:
            continue
        rows = list(tables.segments(whole))
        expected = frame(Tables(segments=rows), "segments").select(names)
        assert bulk_frame(whole, "segments", names).equals(expected), path.name
        compared += len(rows)
        if whole.general.frames:
            continue
        there, here = BytesIO(), BytesIO()
        by_kernels = [name for name in names if name not in SECOND]
        export_frame(expected.select(by_kernels), "csv", there)
        export_lines(whole, by_kernels, here)
        assert here.getvalue() == there.getvalue(), path.name
        written += len(rows)
    assert compared > 3000
    assert written > 2000


def test_columns_are_chosen_and_ordered(machine: Any, captures_dir: Path) -> None:
    whole = maybe_read(captures_dir / "files" / "wikipedia.pcap", machine)
    assert whole is not None
    names = ["bytes_in_flight", "direction", "tfo_syn", "frame"]
    text = b"".join(map(bytes, segment_lines(whole, names))).decode()
    first = next(iter(tables.segments(whole)))
    flight = first.bytes_in_flight or ""
    fast_open = "" if first.tfo_syn is None else f"{first.tfo_syn}".lower()
    assert text.splitlines()[0] == f"{flight},{first.direction},{fast_open},{first.frame}"


@pytest.mark.parametrize(
    "number", [0, 7, 10, 99, 100, 12345, 10**18 - 1, 10**18, (1 << 63) - 1, -1, -10, 1 - (1 << 63)]
)
def test_any_number_is_written(machine: Any, number: int) -> None:
    k = column_kernels
    cells, picks = machine.table(k.CELL, k.WIDTH), machine.table([], 2)
    cells.put(0, value=number)
    picks.put_number(1, k.NUMBER)
    text = machine.piece(k.LONGEST + 1)
    size = machine.run("write_cells", cells, 1, picks, 1, machine.piece(1), text)
    assert bytes(text.view[:size]) == f"{number}\n".encode()


def test_words_that_kernels_repeat_mean_the_same() -> None:
    """A unit imports nothing from another; so each says again what it needs."""
    modules = [module for unit in units.UNITS + second_units.UNITS for module in unit]
    own = {"CLOSED", "UNJUDGED"}  # of links, and of states; of rows, and of talks
    for one in modules:
        for name, value in vars(one).items():
            if not (name.isupper() and isinstance(value, int)) or name in own:
                continue
            for other in modules:
                assert getattr(other, name, value) == value, (name, one.__name__, other.__name__)
    assert traffic_kernels.UNJUDGED == followers.UNJUDGED
    assert len(NAMES) == column_kernels.WIDTH
    assert NAMES[column_kernels.PUSH_BYTES] == "push_bytes"
    assert NAMES[column_kernels.RTO_FRAME] == "rto_frame"
    assert NAMES[column_kernels.DUPLICATE_NUM] == "duplicate_ack_num"
    assert NAMES[column_kernels.FIRST_VERDICT] == "retransmission"
