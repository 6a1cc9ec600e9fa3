"""Columns and lines of CSV that kernels make are those of the rows, plain and compiled."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from compare_files import write_forms
from compare_samples import write_samples

from netlab.correlate import kernels as followers
from netlab.correlate import traffic_kernels
from netlab.engine import column_kernels, second_units, tables, units
from netlab.engine import text_kernels as t
from netlab.engine.columns import digits_of, place_of, segment_lines
from netlab.engine.known import SECOND
from netlab.engine.records import Unfit
from netlab.engine.whole import Whole, read
from netlab.model.errors import BadRecording
from netlab.model.tables import Tables, columns
from netlab.show.bulk import bulk_frame
from netlab.show.export import export_frame, export_lines, export_pages
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
        there, here = BytesIO(), BytesIO()
        by_kernels = [name for name in names if name not in SECOND]
        export_frame(expected.select(by_kernels), "csv", there)
        export_lines(whole, by_kernels, here)
        assert here.getvalue() == there.getvalue(), path.name
        packed = BytesIO()
        export_pages(whole, by_kernels, packed)
        found = pl.read_parquet(BytesIO(packed.getvalue()))
        assert found.schema == expected.select(by_kernels).schema
        assert found.equals(expected.select(by_kernels)), path.name
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


def test_any_number_is_written(machine: Any) -> None:
    numbers = [0, 1 - (1 << 63), -1, -10, 1 << 53, (1 << 63) - 1]
    for digits in range(1, 19):
        numbers += [10**digits - 1, 10**digits, 10**digits + 1, int("1234567890" * 2) % 10**digits]
    cells, picks = machine.table(column_kernels.CELL, len(numbers)), machine.table([], t.PICK)
    for row, number in enumerate(numbers):
        cells.put(row, value=number)
    picks.put_numbers([0, t.NUMBER, 0, 1])
    no_texts = machine.piece(1), machine.table([], 1)
    text = machine.piece(len(numbers) * t.LONGEST + t.SLACK)
    size = machine.run(
        "write_cells", cells, len(numbers), len(numbers), picks, 1, digits_of(machine), *no_texts,
        text,
    )  # fmt: skip
    assert bytes(text.view[:size]).decode().split() == [str(number) for number in numbers]


def test_division_by_multiplication_is_exact() -> None:
    """For all numbers of 8 digits, which the kernel divides so."""
    for first in range(0, t.FOURS**2, 10**7):
        eight = np.arange(first, first + 10**7, dtype=np.int64)
        assert (eight * 109951163 >> 40 == eight // t.FOURS).all()


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
    for name, cell in (
        ("frame", column_kernels.FRAME),
        ("receiver_state", column_kernels.RECEIVER_STATE),
        ("retransmission", column_kernels.VERDICTS_AT),
        ("tfo_ignored", column_kernels.VERDICTS_AT),
        ("duplicate_ack_num", column_kernels.DUPLICATE_NUM),
        ("rto_frame", column_kernels.RTO_FRAME),
        ("push_bytes", column_kernels.WIDTH - 1),
    ):
        assert place_of(name).cell == cell
