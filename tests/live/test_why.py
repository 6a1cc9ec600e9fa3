"""The right sentence first: what `netlab why` says of conversations with a known cause, in a lab.

The cases are those of the benchmark of causes (tests/bench/cause_cases.py). A machine that is busy
may do something else than a case is about: then it is played again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from waits_told import check_recording

from netlab.explain.findings.finding import Finding
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from netlab.show.terminal.why import sentence_text
from netlab.show.views.why import Why, why
from tests.bench.cause_bench import record, score
from tests.bench.cause_cases import cases

CASES = {case.name: case for case in cases()}
ATTEMPTS = 4


def played(
    name: str, folder: Path, witness: str = "probe", *, stamps: bool = False
) -> tuple[Tables, RawRecording, Why]:
    """The case, once it happened; its time ledger closes and its score is full."""
    case = CASES[name]
    for attempt in range(ATTEMPTS):
        path = folder / f"{attempt}.pcapng"
        raw, tables = record(case, path, witness, stamps=stamps)
        check_recording(tables, raw)
        result = score(case, tables)
        if result.right:
            break
    assert result.right, (result.by_cause, case.truth)
    assert result.wrong_observed == []
    return tables, raw, why(tables, raw, str(path))


def kinds(view: Why) -> dict[str, Finding]:
    return {finding.kind: finding for finding in view.findings}


def test_nagle_against_delayed_ack(tmp_path: Path) -> None:
    tables, _, view = played("Nagle against delayed ACK after 9 rounds", tmp_path)
    first = view.sentences[0]
    writes = [c.call for c in tables.calls if c.actor == "client" and c.op == "sendall"]
    assert first.name.startswith("client recv")
    assert first.clauses[0].cause == "delayed_ack"
    said = (
        f"because Nagle held client sendall #{writes[-1]} (65 bytes) until the ACK that the server"
    )
    assert said in sentence_text(first)
    assert "TCP_NODELAY" in first.advice
    assert "nagle_delayed_ack" in kinds(view)


def test_a_reader_that_sleeps(tmp_path: Path) -> None:
    tables, _, view = played("reader sleeps 200 ms, small buffer", tmp_path)
    first = view.sentences[0]
    reads = [c.call for c in tables.calls if c.actor == "server" and c.op == "recv"]
    assert first.name.startswith("client sendall")
    assert f"its program first read with server recv #{reads[0]}" in sentence_text(first)
    assert "zero_window" in kinds(view)


def test_a_write_behind_the_hosts_own_queue(tmp_path: Path) -> None:
    """What timestamps tell, the kernel's own stamps say, too: when it queued the write."""
    tables, _, view = played("1201 bytes autocorked at 100 kbit/s, client", tmp_path, stamps=True)
    held = [wait for wait in tables.waits if wait.cause == "autocork"]
    assert held
    assert {wait.certainty for wait in held} == {"observed"}
    queued = [stamp for stamp in tables.stamps if stamp.what == "scheduled"]
    write = max((stamp for stamp in queued if stamp.direction == "c>s"), key=lambda s: s.stop)
    assert held[0].calls == (write.call,)
    assert abs(held[0].stop_ns - write.time_ns) < 3_000_000
    said = " ".join(map(sentence_text, view.sentences))
    assert "because autocorking held client sendall #" in said
    assert "lay in the queue of the client's own link" in said


def test_a_lost_syn(tmp_path: Path) -> None:
    _, _, view = played("lost SYN, delay 20 ms", tmp_path)
    assert view.sentences[0].name.startswith("client connect")
    assert "was dropped by the wire (drop c>s syn 1), until it was sent again" in sentence_text(
        view.sentences[0]
    )
    assert "1 of them lost on the wire (drop c>s syn 1)" in kinds(view)["handshake_lost"].text


def test_a_lost_tail(tmp_path: Path) -> None:
    _, _, view = played("lost tail over 30 ms", tmp_path)
    first = view.sentences[0]
    assert first.name.startswith("client recv")
    assert "was dropped by the wire (drop c>s data 3)" in sentence_text(first)
    assert "until a tail loss probe sent it again" in sentence_text(first)
    assert "loss_recovery" in kinds(view)


def test_an_overflowing_backlog(tmp_path: Path) -> None:
    _, _, view = played("backlog of 0 overflows", tmp_path)
    first = view.sentences[0]
    assert first.name.startswith("client connect")
    assert "its queue held 1 of 1 connections" in sentence_text(first)
    assert "listen(0)" in kinds(view)["backlog_overflow"].text


@pytest.mark.parametrize(
    "name", ["server thinks 90 ms", "lost tail over 1 ms", "reader sleeps 60 ms, small buffer"]
)
def test_strace_tells_the_same(name: str, tmp_path: Path) -> None:
    played(name, tmp_path, "strace")
