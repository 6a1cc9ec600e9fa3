"""SQL over the tables: what it answers, and that a mistake gets one line with the nearest name."""

from __future__ import annotations

import pytest
import show_story

from netlab.model.errors import UsageError
from netlab.model.tables import RECORDS, Tables
from netlab.show.frames import frame
from netlab.show.sql import FRAMES, NAMES, columns_of, query, rows_where, table


@pytest.fixture(scope="module")
def tables() -> Tables:
    return show_story.echo().tables


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_there_whole(name: str, tables: Tables) -> None:
    found = query(tables, f"select * from {name}")
    assert found.columns == columns_of(name)
    assert found.equals(table(tables, name))
    if name != FRAMES:
        assert found.equals(frame(tables, name))
        assert found.height == len(getattr(tables, name))


def test_a_frame_has_its_segment_and_its_connection_in_one_row(tables: Tables) -> None:
    rows = query(tables, "select * from frames").to_dicts()
    assert [row["frame"] for row in rows] == [packet.frame for packet in tables.packets]
    segments = {segment.frame: segment for segment in tables.segments}
    for row, packet in zip(rows, tables.packets, strict=True):
        segment = segments.get(packet.frame)
        assert row["seq"] == (None if segment is None else segment.seq)
        assert row["payload_len_bytes"] == packet.payload_len_bytes
        if packet.connection is not None:
            connection = tables.connections[packet.connection]
            assert row["conn_client_port"] == connection.client_port
            assert row["conn_protocol"] == connection.protocol


def test_answers_are_what_the_tables_say(tables: Tables) -> None:
    sent = [call.result for call in tables.calls if call.op == "send"]
    sql = "SELECT count(*) AS n, sum(result) AS bytes FROM calls WHERE op = 'send'"
    (row,) = query(tables, sql).to_dicts()
    assert row == {"n": len(sent), "bytes": sum(filter(None, sent))}
    joined = query(
        tables,
        "with s as (select call, frame from spans where role = 'carried') "
        "select calls.op, s.frame from s join calls on calls.call = s.call order by s.frame",
    )
    carried = [span for span in tables.spans if span.role == "carried"]
    assert sorted(joined.rows()) == sorted((tables.calls[s.call - 1].op, s.frame) for s in carried)


def test_a_condition_picks_rows(tables: Tables) -> None:
    server = tables.connections[0].server_port
    assert rows_where(tables, FRAMES, f"dport = {server} and conn_protocol = 'tcp'", "frame") == {
        packet.frame for packet in tables.packets if packet.dport == server
    }
    assert rows_where(tables, "connections", "client_port is null", "connection") == set()
    # What is not known is not true.
    assert rows_where(tables, FRAMES, "vlan = 3 or vlan <> 3", "frame") == set()


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("select frme from packets", "no column 'frme'", "did you mean frame?"),
        (
            "select p.frame from packets p join segments s on p.frame = s.frme",
            "no column 'frme'",
            "did you mean frame?",
        ),
        ("select * from pakets", "no table 'pakets'", "did you mean packets?"),
        (
            "select * from xyzzy",
            "no table 'xyzzy'",
            f"the tables are {', '.join([*RECORDS, 'frames'])}",
        ),
        ("drop table packets", "a query begins with SELECT or WITH", "it was: drop table packets"),
        ("", "a query begins with SELECT or WITH", "it was: "),
        ("select frame from packets limit x", "this SQL cannot be answered: ", "it is Polars' SQL"),
        ("select foo(frame) from packets", "this SQL cannot be answered: ", "foo"),
        ("select frame from packets where dport = 'x'", "this SQL cannot be answered: ", "string"),
        ("select 1; select 2", "this SQL cannot be answered: ", "one statement"),
    ],
)
def test_a_mistake_gets_one_line(sql: str, message: str, hint: str, tables: Tables) -> None:
    with pytest.raises(UsageError) as caught:
        query(tables, sql)
    assert message in str(caught.value)
    assert hint in str(caught.value).replace("one (and only one) statement", "one statement")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("dprt = 3", "no column 'dprt': did you mean dport?"),
        ("op = 'send'", "no column 'op': it is a column of calls; did you mean stop?"),
        ("dport =", "this SQL cannot be answered: "),
        ("frame", "this SQL cannot be answered: "),
        ("frame in (select frame from packets)", "a condition names columns, no tables: use"),
    ],
)
def test_a_mistake_in_a_condition_gets_one_line(
    condition: str, message: str, tables: Tables
) -> None:
    with pytest.raises(UsageError) as caught:
        rows_where(tables, FRAMES, condition, "frame")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
