"""What `why` says of clients that a full listener ignores after their handshake, in a lab.

What is true is told from the frames alone: the queue holds one more than the backlog, in order of
the last ACKs, and a client's question that was taken has an ACK at once. A machine that is busy may
let a SYN come so late that it is ignored itself: then it is played again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from waits_told import check_recording, lengths

from netlab.lab.experiment import Lab
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet, Tables
from netlab.show.views.why import why
from tests.live import full_queue_programs as programs

ATTEMPTS = 4
MS = 1_000_000
MORE = 2  # clients than the queue has room for
AT_ONCE_NS = 80 * MS  # a question is asked again after 200 ms at the earliest


def record(path: Path, backlog: int, clients: int, witness: str, wire: str) -> Lab:
    def program(name: str, *told: object) -> tuple[object, ...]:
        if witness == "probe":
            return getattr(programs, name), *told
        return ([sys.executable, programs.__file__, name, *map(str, told)],)

    options = {} if witness == "probe" else {"witness": witness}
    with Lab(path=path, wire=wire, **options) as lab:  # type: ignore[arg-type]
        server = lab.start("server", *program("serve", backlog, clients))  # type: ignore[arg-type]
        lab.wait_listening("server", within_s=60)
        address = lab.address("server")
        client = lab.run("client", *program("talk", address, backlog, clients))  # type: ignore[arg-type]
        lab.wait(server, client)
        lab.settle(within_s=1)
    return lab


def of_port(tables: Tables) -> dict[int, list[Packet]]:
    """The frames of each connection with the listener."""
    found: dict[int, list[Packet]] = {}
    for packet in tables.packets:
        if packet.protocol == "TCP" and programs.PORT in (packet.sport, packet.dport):
            found.setdefault(packet.connection or 0, []).append(packet)
    return found


def questions(packets: list[Packet]) -> list[Packet]:
    return [p for p in packets if p.dport == programs.PORT and p.payload_len_bytes]


def is_acked_at_once(packets: list[Packet], question: Packet) -> bool:
    answers = [
        p for p in packets
        if p.sport == programs.PORT and p.tcp_flags == "ACK"
        and 0 <= p.time_ns - (question.arrived_ns or 0) < AT_ONCE_NS
    ]  # fmt: skip
    return bool(answers)


def play(
    folder: Path, backlog: int, witness: str
) -> tuple[Tables, RawRecording, dict[int, list[Packet]], list[int]]:
    """A recording in which every SYN had its answer; and the connections that were ignored."""
    clients = backlog + 1 + MORE
    for attempt in range(ATTEMPTS):
        lab = record(folder / f"{attempt}.pcapng", backlog, clients, witness, "delay 100ms")
        tables, raw = lab.recording.tables, lab.recording.raw
        talks = of_port(tables)
        syns = [sum(p.tcp_flags == "SYN" for p in talk) for talk in talks.values()]
        ignored = [n for n, talk in talks.items() if len(questions(talk)) > 2]
        if syns == [1] * clients and len(ignored) == MORE:
            return tables, raw, talks, ignored
    raise AssertionError("the machine was too busy")


@pytest.mark.parametrize("backlog", [0, 1])
@pytest.mark.parametrize("witness", ["probe", "strace"])
def test_what_a_full_listener_ignored_is_no_accept_queue(
    backlog: int, witness: str, tmp_path: Path
) -> None:
    tables, raw, talks, ignored = play(tmp_path, backlog, witness)
    rows = check_recording(tables, raw)
    reads = {
        c.connection: c for c in tables.calls
        if c.side == "client" and c.op in ("recv", "recvfrom") and c.result
    }  # fmt: skip
    accepts = {c.connection: c for c in tables.calls if c.op in ("accept", "accept4")}
    opened_ns = min(accept.entered_ns for accept in accepts.values())
    for number, talk in talks.items():
        read, accept = reads[number], accepts[number]
        told = lengths(rows, read)
        asked = questions(talk)
        if number not in ignored:
            assert is_acked_at_once(talk, asked[0])
            queued_ns = accept.entered_ns - read.entered_ns
            assert told["accept_queue", "observed"] >= 0.5 * queued_ns
            assert not any(cause == "backlog_full" for cause, _ in told)
            continue
        taken = next(p for p in asked if is_acked_at_once(talk, p))
        assert taken is not asked[0]
        full_ns = taken.time_ns - read.entered_ns
        full_told_ns = sum(ns for (cause, _), ns in told.items() if cause == "backlog_full")
        assert abs(full_told_ns - full_ns) <= 0.1 * full_ns
        # A frame that comes while the accept runs that makes room meets what nobody knows.
        sure_ns = opened_ns - read.entered_ns
        assert told["backlog_full", "observed"] >= 0.8 * sure_ns
        stood_ns = max(accept.entered_ns - (taken.arrived_ns or 0), 0)
        queued_ns = sum(ns for (cause, _), ns in told.items() if cause == "accept_queue")
        assert queued_ns <= stood_ns + 5 * MS
        waited = lengths(rows, accept)
        inside_ns = max(taken.time_ns - accept.entered_ns, 0)
        held_ns = sum(ns for (cause, _), ns in waited.items() if cause == "backlog_full")
        assert held_ns >= inside_ns - 5 * MS
        # Nothing of it is the server's own lateness, but what came behind the last ACK.
        late_ns = max((accept.returned_ns or 0) - max(accept.entered_ns, taken.arrived_ns or 0), 0)
        assert waited.get(("scheduler", "inferred"), 0) <= late_ns + 50 * MS
    view = why(tables, raw, "a.pcapng")
    first = view.findings[0]
    assert first.kind == "backlog_overflow"
    assert f"listen({backlog})" in first.text
    assert f"it held {backlog + 1} of {backlog + 1} connections" in first.text
    assert "retransmission_storm" not in {one.kind for one in view.findings}


@pytest.mark.root
def test_the_kernel_says_the_same(tmp_path: Path) -> None:
    """When its tracepoint says that the server's socket was made, the wait in the queue begins."""
    tables, raw, _, ignored = play(tmp_path, 0, "kernel")
    rows = check_recording(tables, raw)
    for number in ignored:
        made_ns = next(
            state.time_ns for state in tables.states
            if (state.connection, state.side, state.state) == (number, "server", "SYN-RECEIVED")
        )  # fmt: skip
        read = next(c for c in tables.calls if c.connection == number and c.op == "recvfrom")
        full = [r for r in rows if r.call == read.call and r.cause == "backlog_full"]
        queued = [r for r in rows if r.call == read.call and r.cause == "accept_queue"]
        assert made_ns - 150 * MS <= full[-1].stop_ns <= made_ns  # and 100 ms on the wire
        assert all(row.start_ns >= made_ns - 5 * MS for row in queued)


def test_a_last_ack_that_the_wire_lost_is_none(tmp_path: Path) -> None:
    lab = record(tmp_path / "a.pcapng", 0, 1, "probe", "delay 20ms; drop c>s ack 1")
    tables, raw = lab.recording.tables, lab.recording.raw
    rows = check_recording(tables, raw)
    assert any(p.fate == "dropped" for p in tables.packets)
    assert not [row for row in rows if row.cause == "backlog_full"]
    assert not [one for one in why(tables, raw, "a").findings if one.kind == "backlog_overflow"]
