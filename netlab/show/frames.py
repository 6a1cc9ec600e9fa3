"""Tables -> Polars frames with the declared schema. Imports Polars: only on request."""

from __future__ import annotations

from typing import Any

import polars as pl

from netlab.model.tables import RECORDS, Tables, columns

_TYPES: dict[str, Any] = {
    "int": pl.Int64,
    "str": pl.String,
    "bool": pl.Boolean,
    "list": pl.List(pl.Int64),
}


def frame(tables: Tables, table: str) -> pl.DataFrame:
    """One of the tables; a table without rows keeps its columns and their types."""
    assert table in RECORDS, table
    rows = getattr(tables, table)
    found: dict[str, Any] = {}
    schema: dict[str, Any] = {}
    for column in columns(table):
        schema[column.name] = _TYPES[column.type]
        values = [getattr(row, column.name) for row in rows]
        if column.type == "str":  # an enum's member is its text
            values = [None if value is None else str(value) for value in values]
        elif column.type == "list":
            values = [None if value is None else list(value) for value in values]
        found[column.name] = values
    return pl.DataFrame(found, schema=schema)
