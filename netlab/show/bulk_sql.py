"""SQL over a large capture that the engine read: conditions a part at a time, queries over columns.

Of the tables only columns are made that the SQL names, and which need not be looked at packet by
packet. Imports Polars: only on request.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from netlab.capture.spare import check_room
from netlab.engine import known
from netlab.engine.known import not_known
from netlab.engine.whole import Whole
from netlab.model.tables import Tables, columns
from netlab.show.bulk import Bulk, Range
from netlab.show.frames import frame
from netlab.show.sql import (
    CONNECTION_PREFIX,
    FRAMES,
    answer,
    columns_of,
    filtered,
    joined,
    table,
    tables_in,
    words_in,
)
from netlab.show.sql import not_there as values_not_there

TABLES = ("packets", "segments", "connections", FRAMES)
_PART_ROWS = 1 << 18
_PLACE = "_place"
# What a row takes in a column, and how often answering may copy it: sorting and joining do.
_VALUE_BYTES = {"int": 8, "str": 16, "bool": 1, "list": 24}
_COPIES = 3


def missing_columns(sql: str, named: Sequence[str]) -> list[str]:
    """The columns that an SQL text over these tables names, and on which the kernels have no word.

    A star names them all.
    """
    words, star = words_in(sql), _has_star(sql)
    return [name for table in named for name in _unknown(table) if star or name in words]


def needs_second(sql: str) -> bool:
    """Whether an SQL text names netlab's own verdicts, of segments or frames."""
    return _has_star(sql) or known.needs_second(words_in(sql))


def _has_star(sql: str) -> bool:
    """Whether `*` stands for all columns: behind SELECT, DISTINCT, a comma or a point."""
    before = [part.rstrip().lower() for part in sql.split("*")[:-1]]
    return any(part.endswith(("select", "distinct", ",", ".")) for part in before)


def check_condition(condition: str) -> None:
    """Raise UsageError, NoColumn among it, for what is no condition on `frames`."""
    filtered(table(Tables(), FRAMES), FRAMES, condition)


def rows_where(whole: Whole, condition: str) -> list[int]:
    """The rows of the packets of which a condition on `frames` is true.

    The kernels have a word on each of its columns (`missing_columns`). Raises UsageError.
    """
    names = [name for name in columns_of(FRAMES) if name in words_in(condition)]
    bulk, found = Bulk(whole), []
    connections = _connections(bulk, names)
    for part in _parts(whole.capture.count):
        every = _frames(bulk, names, connections, part).with_row_index(_PLACE, part[0])
        found += filtered(every, FRAMES, condition)[_PLACE].to_list()
    return found


def not_there(whole: Whole, condition: str) -> list[str]:
    """In words, the values that a condition asks for and that its columns never have."""
    texts = {c.name for one in ("packets", "segments") for c in columns(one) if c.type == "str"}
    names = [name for name in columns_of(FRAMES) if name in words_in(condition)]
    mine = [name for name in names if name in texts or name.startswith(CONNECTION_PREFIX)]
    bulk = Bulk(whole)
    connections = _connections(bulk, mine)
    parts = [
        _frames(bulk, mine, connections, part).drop("frame", "connection").unique()
        for part in _parts(whole.capture.count)
    ]
    return values_not_there(pl.concat(parts), condition) if mine and parts else []


def _parts(count: int) -> list[Range]:
    return [(at, min(at + _PART_ROWS, count)) for at in range(0, count, _PART_ROWS)]


def query(whole: Whole, sql: str) -> pl.DataFrame:
    """The answer to a query. Raises UsageError, and NetlabError where memory has no room."""
    named, words = tables_in(sql), words_in(sql)
    star = _has_star(sql)
    wanted = {name: [c for c in columns_of(name) if star or c in words] for name in named}
    needed = sum(
        _row_bytes(name, names)
        * (whole.connection_count if name == "connections" else whole.capture.count)
        for name, names in wanted.items()
    )
    check_room(
        _COPIES * needed, f"the columns of {', '.join(named)} that are named",
        "name fewer columns, or look at a part with netlab inspect --where",
    )  # fmt: skip
    bulk = Bulk(whole)
    return answer(sql, {name: _table(bulk, name, names) for name, names in wanted.items()})


def _row_bytes(name: str, names: Sequence[str]) -> int:
    """What a row of a table takes with these columns, and those that join it."""
    tables = [name] if name != FRAMES else ["packets", "segments", "connections"]
    types = {column.name: column.type for one in tables for column in columns(one)}
    plain = [one.removeprefix(CONNECTION_PREFIX) for one in names]
    return sum(_VALUE_BYTES[types[one]] for one in plain) + 2 * _VALUE_BYTES["int"]


def _table(bulk: Bulk, name: str, names: list[str]) -> pl.DataFrame:
    """A table with these columns; one that counts rows needs any."""
    if name != FRAMES:
        return bulk.frame(name, names or [columns(name)[0].name])
    return _frames(bulk, names, _connections(bulk, names), None)


def _connections(bulk: Bulk, names: Sequence[str]) -> pl.DataFrame:
    """Of the connections, the columns that `frames` has under these names."""
    wanted = [
        column.name for column in columns("connections")
        if CONNECTION_PREFIX + column.name in names
    ]  # fmt: skip
    if not wanted:
        return frame(Tables(), "connections").select("connection")
    return bulk.frame("connections", ["connection", *wanted])


def _frames(
    bulk: Bulk, names: Sequence[str], connections: pl.DataFrame, part: Range | None
) -> pl.DataFrame:
    mine = [c.name for c in columns("packets") if c.name in names or c.name == "connection"]
    packets = bulk.frame("packets", list(dict.fromkeys(["frame", *mine])), part)
    theirs = [c.name for c in columns("segments") if c.name in names and c.name not in mine]
    if theirs:
        segments = bulk.frame("segments", list(dict.fromkeys(["frame", *theirs])), part)
    else:
        segments = frame(Tables(), "segments").select("frame")
    return joined(packets, segments, connections)


def _unknown(name: str) -> list[str]:
    if name != FRAMES:
        return sorted(not_known(name))
    connections = (CONNECTION_PREFIX + one for one in not_known("connections"))
    return [*sorted(not_known("segments")), *sorted(connections)]
