"""The tables' schemas are an interface: a change of a name is a change for other programs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.model.tables import RECORDS, Direction, Side, columns


def test_the_schema_is_written_down(golden: Callable[[str, str], None]) -> None:
    lines = []
    for table in RECORDS:
        lines.append(table)
        for column in columns(table):
            lines.append(f"    {column.name}: {column.type}{' or null' if column.nullable else ''}")
    golden("schema.txt", "\n".join(lines) + "\n")


def test_every_verdict_of_a_segment_is_counted_for_its_connection() -> None:
    verdicts = {f"{column.name}_count" for column in columns("segments") if column.type == "bool"}
    counted = {c.name for c in columns("connections") if c.name.endswith("_count")}
    assert counted == verdicts


def test_a_table_by_another_name_does_not_exist() -> None:
    with pytest.raises(KeyError):
        columns("packages")


def test_sides_and_directions_agree() -> None:
    for side in Side:
        assert side.outbound.sender is side
        assert side.inbound.receiver is side
        assert side.inbound is side.outbound.reverse
    assert Direction.C2S.sender is Side.CLIENT
