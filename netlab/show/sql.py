"""SQL over the tables, and conditions that pick rows of them: Polars', with netlab's errors.

Beside the nine tables there is `frames`: packets with their segments and connections in one row,
so that one condition can name a port and a verdict. Only tables that a query names are made.
Imports Polars: only on request.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import polars as pl

from netlab.model.errors import UsageError
from netlab.model.tables import RECORDS, Tables, columns
from netlab.show.frames import frame

FRAMES = "frames"
NAMES = (*RECORDS, FRAMES)
CONNECTION_PREFIX = "conn_"
_FEW = 12  # values that may be listed
_PLACE = "_place"  # no column of a table has a name like that
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READS = re.compile(r"\s*\(*\s*(?:select|with)\b", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"([^\"]*)\"")
_NO_COLUMN = re.compile(r"no column named '([^']*)' found")
_NO_TABLE = re.compile(r"relation '([^']*)' was not found")
_EQUALS = re.compile(r"\b([A-Za-z_]\w*)\s*==?\s*'((?:[^']|'')*)'")
_AMONG = re.compile(r"\b([A-Za-z_]\w*)\s+in\s*\(((?:\s*'(?:[^']|'')*'\s*,?)+)\)", re.IGNORECASE)
_VALUE = re.compile(r"'((?:[^']|'')*)'")
_HINT = f"it is Polars' SQL; the tables are {', '.join(NAMES)}"


class NoColumn(UsageError):
    """A column was named that is not there; the hint has the nearest that is."""

    def __init__(self, name: str, there: Iterable[str]) -> None:
        nearest = _nearest(name, there, "the columns are")
        others = [table for table in NAMES if name in columns_of(table)]
        if others:
            other = f"it is a column of {', '.join(others)}"
            nearest = f"{other}; {nearest}" if nearest.endswith("?") else other
        super().__init__(f"no column {name!r}", nearest)
        self.name = name


def query(tables: Tables, sql: str) -> pl.DataFrame:
    """The answer to a query. Raises UsageError for one that cannot be understood."""
    return answer(sql, {name: table(tables, name) for name in tables_in(sql)})


def words_in(sql: str) -> set[str]:
    """The words of a text, in lower case, that are not in quotes as a value is."""
    return {word.lower() for word in _WORD.findall(_QUOTED.sub(r" \1 ", sql))}


def tables_in(sql: str) -> list[str]:
    """The tables that a query names. Raises UsageError for what is no query."""
    if not _READS.match(sql):
        raise UsageError("a query begins with SELECT or WITH", f"it was: {sql}")
    words = words_in(sql)
    return [name for name in NAMES if name in words]


def answer(sql: str, found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The answer to a query over those tables. Raises UsageError."""
    with pl.SQLContext(found) as context:
        try:
            # Streaming or not, an answer is made whole: it is to be shown or written at once.
            return context.execute(sql, eager=True)
        except pl.exceptions.PolarsError as error:
            raise _refusal(error, sql, found) from None
        except BaseException as error:
            raise _unless_panic(error) from None


def rows_where(tables: Tables, name: str, condition: str, key: str) -> set[int]:
    """The values of `key` in the rows of a table of which the condition is true.

    Raises UsageError for a condition that cannot be understood, NoColumn for such a name in it.
    """
    return set(filtered(table(tables, name), name, condition)[key].to_list())


def positions_where(tables: Tables, name: str, condition: str) -> list[int]:
    """The same by the places of the rows, from 0, for a table that has no key."""
    found = table(tables, name).with_row_index(_PLACE)
    return filtered(found, name, condition)[_PLACE].to_list()


def filtered(found: pl.DataFrame, name: str, condition: str) -> pl.DataFrame:
    """The rows of a table of which a condition is true. Raises UsageError, NoColumn among it."""
    try:
        return found.filter(pl.sql_expr(condition))
    except pl.exceptions.PolarsError as error:
        raise _refusal(error, condition, {name: found.drop(_PLACE, strict=False)}) from None
    except BaseException as error:
        raise _unless_panic(error) from None


def not_there(found: pl.DataFrame, condition: str) -> list[str]:
    """Values that a condition asks a column of text for and that it never has, with the nearest
    that it has, in words: `no verdict is 'RTO': the nearest is 'rto'`."""
    asked = [(name, value) for name, value in _EQUALS.findall(condition)]
    for name, values in _AMONG.findall(condition):
        asked += [(name, value) for value in _VALUE.findall(values)]
    said = []
    for name, quoted in dict.fromkeys(asked):
        value = quoted.replace("''", "'")
        if found.schema.get(name) != pl.String:
            continue
        there = found[name].drop_nulls().unique(maintain_order=True).to_list()
        if value in there:
            continue
        near = [one for one in there if one.lower() == value.lower()]
        near = near or difflib.get_close_matches(value, there, n=1, cutoff=0.5)
        if near:
            said.append(f"no {name} is {value!r} here: the nearest is {near[0]!r}")
        elif len(there) <= _FEW:
            values = ", ".join(map(repr, sorted(there)))
            said.append(f"no {name} is {value!r} here: it is {values or 'never known'}")
        else:
            said.append(f"no {name} is {value!r} here")
    return said


def table(tables: Tables, name: str) -> pl.DataFrame:
    """A table by the name that SQL has for it."""
    return _frames(tables) if name == FRAMES else frame(tables, name)


def columns_of(name: str) -> list[str]:
    """The columns that SQL finds in a table, in order."""
    if name != FRAMES:
        return [column.name for column in columns(name)]
    packets = columns_of("packets")
    segments = [c for c in columns_of("segments") if c not in packets]
    connections = [c for c in columns_of("connections") if c != "connection"]
    return [*packets, *segments, *(CONNECTION_PREFIX + c for c in connections)]


def _frames(tables: Tables) -> pl.DataFrame:
    """Packets left join segments left join connections."""
    return joined(*(frame(tables, name) for name in ("packets", "segments", "connections")))


def joined(
    packets: pl.DataFrame, segments: pl.DataFrame, connections: pl.DataFrame
) -> pl.DataFrame:
    """The three tables, or columns of them, as `frames`: those that they have, in its order."""
    segments = segments.drop([c for c in segments.columns if c in packets.columns and c != "frame"])
    connections = connections.rename(
        {c: CONNECTION_PREFIX + c for c in connections.columns if c != "connection"}
    )
    every = packets.join(segments, on="frame", how="left", maintain_order="left").join(
        connections, on="connection", how="left", maintain_order="left"
    )
    return every.select([name for name in columns_of(FRAMES) if name in every.columns])


def _refusal(error: Exception, text: str, found: dict[str, pl.DataFrame]) -> UsageError:
    """What was wrong with the SQL, in one line, with the nearest name that there is."""
    said = str(error).split("\n", 1)[0].strip().removeprefix("sql parser error: ")
    columns_there = [c for one in found.values() for c in one.columns]
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        name = _name_in(said, text)
        return NoColumn(name, columns_there)
    if match := _NO_COLUMN.search(said):
        name = match[1]
        return NoColumn(name, columns_there)
    if match := _NO_TABLE.search(said):
        name = match[1]
        if name in NAMES:  # there is one, but a condition sees one row of its own
            return UsageError("a condition names columns, no tables", "use netlab query for more")
        return UsageError(f"no table {name!r}", _nearest(name, NAMES, "the tables are"))
    return UsageError(f"this SQL cannot be answered: {said}", _HINT)


def _name_in(said: str, text: str) -> str:
    """The column that Polars missed: its message has it, quoted or not."""
    words = _WORD.findall(text)
    return next((w for w in _WORD.findall(said) if w in words), said)


def _nearest(name: str, there: Iterable[str], otherwise: str) -> str:
    known = list(dict.fromkeys(there))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]}?"
    return f"{otherwise} {', '.join(known)}"


def _unless_panic(error: BaseException) -> BaseException:
    """Polars' own failures come as an exception beside the others (pyo3's PanicException)."""
    if type(error).__name__ != "PanicException":
        return error
    said = str(error).split("\n", 1)[0]
    return UsageError(f"Polars fails at this SQL: {said}", _HINT)
