"""`netlab serve --record`: real clients, killed workers, and a recording that holds all of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from handled import every_mode, read_exactly
from held_port import held_port
from lab_process import ORDINARY_USER
from serve_process import Serving

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.call import INBOUND, OUTBOUND, POLLERR, WAITING
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from netlab.server.channels import KINDS

ACTORS = {
    "single": {"server"},
    "threads": {"server"},
    "base": {"server", "manager", "worker-0", "worker-1", "task-0"},
    "process": {"server", "master/reactor-0", "manager", "worker-0", "worker-1", "task-0"},
}
FILE = "a.pcapng"
PIECE = 4093
PIECES = 23


def options_of(mode: str) -> tuple[str, ...]:
    many = ("--workers", "2", "--tasks", "1") if mode in ("base", "process") else ()
    return ("-l", "127.0.0.1:0", "--mode", mode, "--record", FILE, *many)


def opened(folder: Path) -> tuple[RawRecording, Tables]:
    raw = read_raw(folder / FILE)
    assert raw.description.form == "finished"
    assert raw.faults == []
    assert not (folder / f"{FILE}.spools").exists()
    return raw, analyse(raw)


def may_capture() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True


def say(client: socket.socket) -> None:
    for _ in range(PIECES):
        client.sendall(bytes(PIECE))
        read_exactly(client, PIECE)


def moved_on_tcp(tables: Tables) -> Counter[str]:
    """Bytes that the server's calls moved, by direction, on TCP connections."""
    tcp = {c.connection for c in tables.connections if c.protocol == "tcp"}
    moved: Counter[str] = Counter()
    for call in tables.calls:
        if call.connection in tcp and call.result:
            moved["in"] += call.result if call.op in INBOUND else 0
            moved["out"] += call.result if call.op in OUTBOUND else 0
    return moved


def ledger_closes(tables: Tables) -> None:
    """All that the server's calls moved is matched; nobody recorded the clients' calls."""
    assert {item.reason for item in tables.unmatched} <= {"no call witness"}
    assert [item for item in tables.unmatched if item.call] == []


def exits(raw: RawRecording) -> Counter[tuple[str, str]]:
    """(actor, how) of every process that ended."""
    return Counter((call.actor, call.args) for call in raw.calls if call.op == "exit")


@every_mode
def test_every_byte_of_every_process_is_recorded(tmp_path: Path, mode: str) -> None:
    with Serving(tmp_path, *options_of(mode)) as server:
        clients = [server.client() for _ in range(3)]
        for client in clients:
            say(client)
            client.close()
        while server.status()["figures"]["closed"] < 3:
            pass
        status, stdout, stderr = server.end(signal.SIGINT)
    assert (status, stderr) == (0, "")
    assert f"netlab inspect {FILE}" in stdout
    raw, tables = opened(tmp_path)
    assert {call.actor for call in raw.calls} == ACTORS[mode]
    assert moved_on_tcp(tables) == {"in": 3 * PIECES * PIECE, "out": 3 * PIECES * PIECE}
    if may_capture():
        ledger_closes(tables)
        assert {p.sport if p.dport == server.port else p.dport for p in tables.packets} == {
            c.client_port for c in tables.connections if c.protocol == "tcp"
        }
        assert raw.losses == []
    else:
        assert [loss.witness for loss in raw.losses] == ["packets"]
    assert set(exits(raw).values()) == {1}  # everyone once
    assert {how for _, how in exits(raw)} == {""}


@pytest.mark.parametrize("mode", ["base", "process"])
def test_a_killed_worker_is_named_and_nothing_of_it_is_lost(tmp_path: Path, mode: str) -> None:
    with Serving(tmp_path, *options_of(mode)) as server:
        with server.client() as client:
            say(client)
            page = server.status()
            served = [row for row in page["processes"] if row["name"].startswith("worker")]
            victim = max(served, key=lambda row: row["requests"])
            os.kill(victim["pid"], signal.SIGKILL)
            while not server.status()["figures"]["restarts"]:
                pass  # what is sent to it before that is known is lost with it
            if mode == "process":  # the connection outlives its worker
                say(client)
            else:
                assert client.recv(1) == b""
        with server.client() as client:
            say(client)
        status, _, stderr = server.end(signal.SIGTERM)
    assert status == 0
    assert f"{victim['name']} (pid {victim['pid']}) died: signal 9" in stderr
    raw, tables = opened(tmp_path)
    rounds = 3 if mode == "process" else 2
    assert moved_on_tcp(tables) == {
        "in": rounds * PIECES * PIECE, "out": rounds * PIECES * PIECE,
    }  # fmt: skip
    if may_capture():
        ledger_closes(tables)
    ends = exits(raw)
    assert ends[victim["name"], "SIGKILL"] == 1
    # Who came after it; one that is stopped while it starts has made no call, and so has no end.
    heirs = {call.pid for call in raw.calls if call.actor == victim["name"]} - {victim["pid"]}
    assert sum(n for (name, _), n in ends.items() if name == victim["name"]) == 1 + len(heirs)
    assert len(heirs) <= 1
    assert {call.pid for call in raw.calls if call.args == "SIGKILL"} == {victim["pid"]}


@every_mode
def test_a_killed_server_leaves_a_whole_recording_and_nobody_behind(
    tmp_path: Path, mode: str
) -> None:
    with Serving(tmp_path, *options_of(mode)) as server, server.client() as client:
        say(client)
        os.kill(server.status()["pid"], signal.SIGKILL)
        assert client.recv(1) == b""
        status, stdout, stderr = server.end()
    assert status == 1
    assert "the server was ended by SIGKILL; its recording is whole" in stderr
    assert "packets" in stdout
    raw, tables = opened(tmp_path)
    assert moved_on_tcp(tables) == {"in": PIECES * PIECE, "out": PIECES * PIECE}
    main = "master/reactor-0" if mode == "process" else "manager" if mode == "base" else "server"
    killed = {actor for actor, how in exits(raw) if how == "SIGKILL"}
    assert killed & {main, "server"}
    assert {call.actor for call in raw.calls} == ACTORS[mode]


@pytest.mark.parametrize("ipc", KINDS)
def test_every_ipc_is_recorded(tmp_path: Path, ipc: str) -> None:
    with Serving(tmp_path, *options_of("process"), "--ipc", ipc) as server:
        with server.client() as client:
            say(client)
        while server.status()["figures"]["closed"] < 1:
            pass
        assert server.end(signal.SIGTERM)[0] == 0
    raw, tables = opened(tmp_path)
    assert moved_on_tcp(tables) == {"in": PIECES * PIECE, "out": PIECES * PIECE}
    assert {call.actor for call in raw.calls} == ACTORS["process"]
    if may_capture():
        ledger_closes(tables)


def test_a_file_sent_by_sendfile_is_matched(tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(1_000_003))
    options = ("--handler", "http", "--folder", tmp_path, *options_of("process"))
    with Serving(tmp_path, *options) as server:
        url = f"http://127.0.0.1:{server.port}/big.bin"
        got = subprocess.run(["curl", "-sf", url], capture_output=True, check=True).stdout
        assert len(got) == 1_000_003
        while server.status()["figures"]["closed"] < 1:
            pass
        assert server.end(signal.SIGTERM)[0] == 0
    raw, tables = opened(tmp_path)
    files = sum(call.result or 0 for call in raw.calls if call.op == "sendfile")
    assert files == 1_000_003
    if may_capture():
        ledger_closes(tables)


@every_mode
def test_without_the_right_to_capture_calls_and_stamps_are_recorded(
    tmp_path: Path, mode: str
) -> None:
    tmp_path.chmod(0o777)
    with Serving(tmp_path, *options_of(mode), before=ORDINARY_USER) as server:
        for _ in range(2):
            with server.client() as client:
                say(client)
        while server.status()["figures"]["closed"] < 2:
            pass
        page = "\n".join(server.page)
        status, stdout, stderr = server.end(signal.SIGTERM)
    assert (status, stderr) == (0, "")
    assert "calls of all processes, the kernel's send and ACK stamps, but no packets:" in page
    assert "sudo setcap cap_net_raw+ep" in page
    raw, tables = opened(tmp_path)
    assert raw.frames == []
    assert [loss.witness for loss in raw.losses] == ["packets"]
    assert moved_on_tcp(tables) == {"in": 2 * PIECES * PIECE, "out": 2 * PIECES * PIECE}
    assert all(call.errno in (None, "EAGAIN") for call in raw.calls)
    every_byte_is_stamped(tables, 2)
    assert f"{len(raw.stamps):,} kernel stamps" in stdout


@pytest.mark.parametrize("before", [(), ORDINARY_USER])
def test_connections_of_a_chosen_port_are_stamped_with_packets_and_without(
    tmp_path: Path, before: tuple[str, ...]
) -> None:
    tmp_path.chmod(0o777)
    with held_port() as port:
        options = (*options_of("single"), "-l", f"127.0.0.1:{port}", "--stamps", f"{port}")
        server = Serving(tmp_path, *options, before=before)
    with server:
        places = re.findall(r"tcp:127\.0\.0\.1:(\d+)", "\n".join(server.page))
        for place in map(int, dict.fromkeys(places)):
            with socket.create_connection(("127.0.0.1", place)) as client:
                say(client)
        status, _, stderr = server.end(signal.SIGTERM)
    assert (status, stderr) == (0, "")
    raw, tables = opened(tmp_path)
    assert bool(raw.frames) == (may_capture() and not before)
    assert raw.description.witnesses[-1].endswith(f"on TCP sockets of port {port}")
    chosen = {c.connection for c in tables.connections if c.server_port == port}
    assert len(chosen) == 1
    assert len({c.connection for c in tables.connections if c.protocol == "tcp"}) == 2
    assert {s.connection for s in tables.stamps} == chosen
    assert {s.stop for s in tables.stamps if s.what == "sent"} == {
        PIECE * n for n in range(1, PIECES + 1)
    }


@pytest.mark.parametrize("poller", ["edge", "poll", "select"])
def test_stamps_do_not_wake_the_loops_of_the_server(tmp_path: Path, poller: str) -> None:
    tmp_path.chmod(0o777)
    options = (*options_of("single"), "--poller", poller)
    with Serving(tmp_path, *options, before=ORDINARY_USER) as server:
        with server.client() as client:
            say(client)
        while server.status()["figures"]["closed"] < 1:
            pass
        status, _, _ = server.end(signal.SIGTERM)
    assert status == 0
    raw, tables = opened(tmp_path)
    every_byte_is_stamped(tables, 1)
    waits = [call for call in raw.calls if call.op in WAITING]
    assert not any(ready.events & POLLERR for call in waits for ready in call.ready)
    assert all(call.errno != "EAGAIN" for call in raw.calls if call.op == "recv") or (
        poller == "edge"  # which reads until there is no more
    )


@pytest.mark.parametrize("mode", ["base", "process"])
def test_a_connection_that_is_handed_over_is_stamped_on(tmp_path: Path, mode: str) -> None:
    tmp_path.chmod(0o777)
    with Serving(tmp_path, *options_of(mode), before=ORDINARY_USER) as server:
        with server.client() as client:
            say(client)
            workers = worker_pids(server)
            server.signal(signal.SIGHUP)
            while workers & worker_pids(server):
                pass
            say(client)
        while server.status()["figures"]["closed"] < 1:
            pass
        assert server.end(signal.SIGTERM)[0] == 0
    raw, tables = opened(tmp_path)
    assert [loss.witness for loss in raw.losses] == ["packets"]
    every_byte_is_stamped(tables, 1)
    writers = {call.pid for call in tables.calls if call.direction == "s>c" and call.connection == (
        next(c.connection for c in tables.connections if c.protocol == "tcp" and c.server_bytes)
    )}  # fmt: skip
    assert len(writers) == (2 if mode == "base" else 1)


def worker_pids(server: Serving) -> set[int]:
    rows = server.status()["processes"]
    return {row["pid"] for row in rows if row["name"].startswith("worker")}


def every_byte_is_stamped(tables: Tables, connections: int) -> None:
    """Each byte that the server sent has the moment at which it left; and was acknowledged, but
    for what the kernel acknowledged after the close."""
    tcp = [c for c in tables.connections if c.protocol == "tcp" and c.server_bytes]
    assert len(tcp) == connections
    for row in tcp:
        rows = [s for s in tables.stamps if s.connection == row.connection]
        assert {s.direction for s in rows} == {"s>c"}
        for what in ("scheduled", "sent"):
            stops = [s.stop for s in rows if s.what == what]
            assert stops == sorted(stops)
            assert stops[-1] == row.server_bytes
        sent = {s.stop: s for s in rows if s.what == "sent"}
        acked = {s.stop: s for s in rows if s.what == "acked"}
        assert len(acked) >= PIECES - 1
        for stop, stamp in acked.items():
            assert sent[stop].time_ns <= stamp.time_ns
        for call in tables.calls:
            if (
                call.connection == row.connection
                and call.direction == "s>c"
                and call.start is not (None)
            ):
                assert sent[call.stop].call == call.call
                assert call.entered_ns <= sent[call.stop].time_ns


def test_a_server_at_unix_sockets_only_has_no_packets(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Serving(tmp_path, "-l", path, "--record", FILE) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"hello")
            assert read_exactly(client, 5) == b"hello"
        assert "it listens at Unix sockets only" in "\n".join(server.page)
        assert server.end(signal.SIGTERM)[0] == 0
    raw, _ = opened(tmp_path)
    assert [call.result for call in raw.calls if call.op == "send"] == [5]


def test_a_recording_that_is_there_is_not_mixed_with_spools_of_another(tmp_path: Path) -> None:
    spools = tmp_path / f"{FILE}.spools"
    spools.mkdir(mode=0o700)
    (spools / "1-1-1-1.spool").write_bytes(b"x")
    from serve_process import refused

    status, stderr = refused(tmp_path, *options_of("single"))
    assert status == 2
    assert "netlab recover" in stderr
    assert (spools / "1-1-1-1.spool").exists()
