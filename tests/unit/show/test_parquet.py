"""Files of Parquet that kernels and `write_parquet` make are read back by Polars as they were."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from netlab.engine import page_kernels as p
from netlab.engine.columns import Cells, Place
from netlab.engine.pages import pages_of
from netlab.model.tables import Column
from netlab.show.parquet import write_parquet

Values = list[int | None]
TYPES = {p.NUMBER: "int", p.CHOICE: "str", p.TRUTH: "bool"}
WORDS = [f"word {number}, \u00e9" for number in range(13)]


def read_back(
    machine: Any, cells: list[Values], places: list[Place], page_rows: int
) -> tuple[list[list[Any]], bytes]:
    """The columns that the file has, made in pages of so many rows; and the file."""
    rows = len(cells[0])

    def tables() -> Iterator[Cells]:
        for first in range(0, rows, page_rows):
            count = min(page_rows, rows - first)
            table = machine.table(p.CELL, len(cells) * page_rows)
            for number, column in enumerate(cells):
                for row, value in enumerate(column[first : first + count]):
                    where = number * page_rows + row
                    table.put(where, value=p.NULL if value is None else value)
            yield table, page_rows, count

    columns = [Column(f"c{n}", TYPES[place.kind], True) for n, place in enumerate(places)]
    out = BytesIO()
    write_parquet(out, columns, WORDS, pages_of(machine, tables(), places, len(WORDS)))
    found = pl.read_parquet(BytesIO(out.getvalue()))
    kinds = {"int": pl.Int64, "str": pl.String, "bool": pl.Boolean}
    assert dict(found.schema) == {column.name: kinds[column.type] for column in columns}
    return [found[column.name].to_list() for column in columns], out.getvalue()


def numbers(rows: int, seed: int) -> list[Values]:
    """Columns of numbers: steady, small, wide, negative, far from zero, and with missing ones."""
    chance = random.Random(seed)
    limit = (1 << 63) - 1
    columns: list[Values] = [
        list(range(5, 5 + rows)),
        [7] * rows,
        [None] * rows,
        [chance.randrange(2) for _ in range(rows)],
        [chance.randrange(-3, 1500) for _ in range(rows)],
        [chance.randrange(1 << 32) for _ in range(rows)],
        [chance.randrange(-p.FARTHEST, p.FARTHEST + 1) for _ in range(rows)],
        [chance.choice((p.FARTHEST, -p.FARTHEST)) for _ in range(rows)],
        [chance.choice((limit, -limit, 0)) for _ in range(rows)],
        [chance.choice((None, p.FARTHEST + 1, 3)) for _ in range(rows)],
        [chance.randrange(1 << chance.randrange(1, 50)) for _ in range(rows)],
        [row if row % 97 else None for row in range(rows)],
        [None if row % 97 else row for row in range(rows)],
        [chance.choice((None, row)) for row in range(rows)],
    ]
    return columns


@pytest.mark.parametrize(
    ("rows", "page_rows"), [(1, 8), (8, 8), (129, 200), (130, 129), (257, 33), (3001, 1024)]
)
def test_numbers(machine: Any, rows: int, page_rows: int) -> None:
    cells = numbers(rows, rows)
    places = [Place(number, p.NUMBER) for number in range(len(cells))]
    found, _ = read_back(machine, cells, places, page_rows)
    assert found == cells


@pytest.mark.parametrize(("rows", "page_rows"), [(1, 8), (40, 40), (529, 513), (5003, 5003)])
def test_texts_and_truths(machine: Any, rows: int, page_rows: int) -> None:
    chance = random.Random(rows)
    choices: list[Values] = [
        [chance.randrange(len(WORDS)) for _ in range(rows)],
        [chance.choice((0, 1)) for _ in range(rows)],
        [12] * rows,
        [None] * rows,
        [None if row % 5 else row // 64 % 13 for row in range(rows)],
        [row // 33 % 13 for row in range(rows)],
    ]
    bits: list[Values] = [
        [chance.choice((0, 1, 2, 3, 1 << 17, None)) for _ in range(rows)],
        [1 << 17 if row == rows // 2 else 0 for row in range(rows)],
    ]
    places = [Place(number, p.CHOICE) for number in range(len(choices))]
    wanted: list[list[Any]] = [
        [None if value is None else WORDS[value] for value in column] for column in choices
    ]
    for number, column in enumerate(bits):
        for bit in (0, 1, 5, 17):
            places.append(Place(len(choices) + number, p.TRUTH, bit))
            wanted.append([None if value is None else bool(value >> bit & 1) for value in column])
    found, _ = read_back(machine, [*choices, *bits], places, page_rows)
    assert found == wanted


def test_many_groups_of_rows(machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("netlab.show.parquet._GROUP_ROWS", 100)
    cells: list[Values] = [list(range(1000)), [row % 13 for row in range(1000)]]
    places = [Place(0, p.NUMBER), Place(1, p.CHOICE)]
    found, data = read_back(machine, cells, places, 40)
    assert found == [cells[0], [WORDS[row % 13] for row in range(1000)]]
    (tmp_path / "a.parquet").write_bytes(data)
    late = pl.scan_parquet(tmp_path / "a.parquet").filter(pl.col("c0") >= 990).collect()
    assert late["c0"].to_list() == list(range(990, 1000))


def test_what_is_regular_is_small(machine: Any) -> None:
    """Frame numbers, and what is mostly false: a page of them is a few bytes for 128 rows."""
    rows = 20_000
    cells: list[Values] = [list(range(rows)), [int(row == 77) for row in range(rows)]]
    _, data = read_back(machine, cells, [Place(0, p.NUMBER), Place(1, p.TRUTH)], rows)
    assert len(data) < rows // 128 * 8 + 500


def test_a_table_without_rows() -> None:
    out = BytesIO()
    write_parquet(out, [Column("n", "int", True), Column("s", "str", True)], WORDS, [])
    found = pl.read_parquet(BytesIO(out.getvalue()))
    assert found.height == 0
    assert dict(found.schema) == {"n": pl.Int64, "s": pl.String}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_segments_are_written_without_polars(
    form: str, captures_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLAB_ENGINE", "plain")
    program = (
        "import sys\n"
        "from netlab.commands.main import run\n"
        "code = run(sys.argv[1:])\n"
        "sys.exit(code or sorted({'polars', 'numpy'} & set(sys.modules)) or 0)\n"
    )
    capture, out = captures_dir / "files" / "wikipedia.pcap", tmp_path / "out"
    names = "frame,direction,spurious_retransmission,ack_rtt_ns,sender_state"
    arguments = ["export", capture, "--table", "segments", "--columns", names, "--format", form]
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments), "-o", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    found = pl.read_csv(out) if form == "csv" else pl.read_parquet(out)
    assert found.columns == names.split(",")
    assert found.height > 20
