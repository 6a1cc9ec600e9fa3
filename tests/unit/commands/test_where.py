"""`netlab inspect --where`: what of each view a condition leaves, and the list of calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netlab.capture.files import read_raw
from netlab.commands.main import run
from netlab.explain.analysis import analyse
from netlab.model.tables import Tables

HOSTS = Path(__file__).resolve().parents[3] / "captures" / "hosts" / "hosts.pcapng"


@pytest.fixture(scope="module")
def tables() -> Tables:
    return analyse(read_raw(HOSTS))


def view(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert run(["inspect", str(HOSTS), *argv, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_calls_are_listed_as_they_entered(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = view(capsys, "--calls")
    assert [row["call"] for row in rows] == [call.call for call in tables.calls]
    send = next(row for row in rows if row["text"].startswith("send("))
    assert (send["actor"], send["side"], send["connection_name"]) == ("client", "client", "tcp.0")
    assert run(["inspect", str(HOSTS), "--calls", "--limit", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 7 + 1
    assert lines[-1] == f"… {len(tables.calls) - 7} more: --limit 0 shows all"


@pytest.mark.parametrize(
    ("condition", "op"), [("op = 'send'", "send"), ("errno is null and op = 'accept'", "accept")]
)
def test_a_condition_on_calls(condition: str, op: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = view(capsys, "--calls", "--where", condition)
    assert rows
    assert all(row["text"].startswith(op) for row in rows)


def test_a_ladder_by_its_frames_keeps_the_calls_that_belong_to_them(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = {p.frame for p in tables.packets if p.payload_len_bytes}
    rows = view(capsys, "-c", "0", "--where", "payload_len_bytes > 0")["rows"]
    drawn = {row["wire"]["frame"] for row in rows if row["wire"]}
    assert drawn == frames
    linked = {span.call for span in tables.spans if span.frame in frames}
    calls = {row[side]["call"] for row in rows for side in ("client", "server") if row[side]}
    assert calls
    assert calls <= linked


def test_a_ladder_by_its_calls_keeps_the_frames_that_belong_to_them(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    sends = {call.call for call in tables.calls if call.op == "send"}
    rows = view(capsys, "-c", "0", "--where", "op = 'send'")["rows"]
    calls = {row[side]["call"] for row in rows for side in ("client", "server") if row[side]}
    assert calls == sends
    frames = {span.frame for span in tables.spans if span.call in sends and span.frame}
    assert {row["wire"]["frame"] for row in rows if row["wire"]} == frames


def test_a_summary_of_some_frames(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    bare = [p for p in tables.packets if not p.payload_len_bytes]
    found = view(capsys, "--where", "payload_len_bytes = 0")
    assert found["frames"] == len(bare) < len(tables.packets)
    assert found["frame_bytes"] == sum(p.origlen_bytes for p in bare)
    assert [row["packets"] for row in found["protocols"]] == [len(bare)] * 3
    assert found["where"].startswith(f"payload_len_bytes = 0: {len(bare)} of ")


def test_a_stream_by_its_frames(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    whole = view(capsys, "-c", "0", "--stream", "client")["chunks"]
    first = whole[0]["frame"]
    (only,) = view(capsys, "-c", "0", "--stream", "client", "--where", f"frame = {first}")["chunks"]
    assert only == whole[0]
    assert len(bytes.fromhex(only["data"])) == only["stop"] - only["start"]


def test_states_take_conditions_on_states(capsys: pytest.CaptureFixture[str]) -> None:
    assert view(capsys, "-c", "0", "--states", "--where", "state = 'NOWHERE'")["ends"] == []


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("--packets", "--where", "protocol = 'tcp'"), "no protocol is 'tcp' here: the nearest is"
         " 'TCP'"),
        (("--calls", "--where", "op in ('Send', 'close')"), "no op is 'Send' here: the nearest is"
         " 'send'"),
        (("-c", "0", "--where", "op = 'Send'"), "the nearest is 'send'"),
        (("--connections", "--where", "'x' = protocol or protocol == 'Tcp'"), "'tcp'"),
    ],
)  # fmt: skip
def test_a_value_that_no_row_has_is_named(
    argv: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(HOSTS), *argv]) == 0
    said = capsys.readouterr().err
    assert said.startswith("netlab: note: no ")
    assert text in said


def test_a_query_without_an_answer_names_the_value(capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select frame from frames where verdict = 'NEW_DATA' and seq > 0"
    assert run(["query", str(HOSTS), sql]) == 0
    assert "no verdict is 'NEW_DATA' here: the nearest is 'new_data'" in capsys.readouterr().err
    assert run(["query", str(HOSTS), sql.replace("NEW_DATA", "new_data")]) == 0
    assert not capsys.readouterr().err


def test_a_stream_has_at_most_so_many_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    whole = view(capsys, "-c", "0", "--stream", "both")["chunks"]
    assert view(capsys, "-c", "0", "--stream", "both", "--limit", "2")["chunks"] == whole[:2]
    argv = ["inspect", str(HOSTS), "-c", "0", "--stream", "both", "--limit", "2"]
    assert run(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"… {len(whole) - 2} more: --limit 0 shows all"
    assert run([*argv, "--as", "raw"]) == 2
    assert "--as raw has all bytes" in capsys.readouterr().err
