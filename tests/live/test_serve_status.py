"""`netlab status` and SIGURG: the page of a running server."""

from __future__ import annotations

import os
import re
import signal
import stat
from pathlib import Path

import pytest
from handled import every_mode, read_exactly
from lab_process import run_netlab
from serve_process import Serving, run_netlab_status

PROCESSES = {
    "single": ["server"],
    "threads": ["server"],
    "base": ["manager", "worker-0", "worker-1", "task-0"],
    "process": ["master", "manager", "worker-0", "worker-1", "task-0"],
}


def options_of(mode: str) -> tuple[str, ...]:
    many = ("--workers", "2", "--tasks", "1") if mode in ("base", "process") else ()
    return ("-l", "127.0.0.1:0", "--mode", mode, *many)


@every_mode
def test_connections_messages_and_bytes_are_counted(tmp_path: Path, mode: str) -> None:
    with Serving(tmp_path, *options_of(mode)) as server:
        clients = [server.client() for _ in range(3)]
        for client in clients:
            client.sendall(bytes(1009))
            read_exactly(client, 1009)
        clients[0].close()
        # A thread counts what it sent once send() has returned; by then the client may have it.
        while (figures := (page := server.status())["figures"])["closed"] == 0 or figures[
            "sent_bytes"
        ] < 3 * 1009:
            pass
        assert [row["name"] for row in page["processes"]] == PROCESSES[mode]
        assert all(Path(f"/proc/{row['pid']}").exists() for row in page["processes"])
        assert (figures["connections"], figures["accepted"], figures["closed"]) == (2, 3, 1)
        assert figures["received_bytes"] == figures["sent_bytes"] == 3 * 1009
        assert sum(row["connections"] or 0 for row in page["processes"]) == 2
        ours = {f"127.0.0.1:{client.getsockname()[1]}" for client in clients[1:]}
        assert {row["client"] for row in page["connections"]} == ours
        assert {row["received_bytes"] for row in page["connections"]} == {1009}
        workers = {row["worker"] for row in page["connections"]}
        assert workers <= ({0, 1} if mode in ("base", "process") else {None})
        for client in clients:
            client.close()


@every_mode
def test_the_page_for_people_fits_and_comes_into_the_log_by_signal(
    tmp_path: Path, mode: str
) -> None:
    with Serving(tmp_path, *options_of(mode)) as server:
        text = run_netlab_status(tmp_path, str(server.port))
        listed = run_netlab_status(tmp_path)
        server.signal(signal.SIGURG)
        while "URG" not in {row["signal"] for row in server.status()["processes"]}:
            pass
        status, _, stderr = server.end(signal.SIGTERM)
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80
    assert listed.splitlines()[1:3] == text.splitlines()[1:3]
    for name in PROCESSES[mode]:
        assert re.search(rf"^{name} +\d+ ", text, re.MULTILINE)
    assert f"mode {mode}, pid" in stderr


def test_nobody_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = run_netlab(tmp_path, "status", "1")
    assert done.returncode == 2
    assert "no server of yours answers for port 1" in done.stderr


def test_the_socket_is_private_and_goes_with_the_server_or_is_swept_away(tmp_path: Path) -> None:
    folder = tmp_path / "runtime" / "netlab"
    with Serving(tmp_path, *options_of("single")) as server:
        (door,) = folder.iterdir()
        assert door.name == f"{server.port}-{server.pid}.sock"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        server.end(signal.SIGTERM)
    assert list(folder.iterdir()) == []
    with Serving(tmp_path, *options_of("single")) as server:
        server.end(signal.SIGKILL)
    assert len(list(folder.iterdir())) == 1
    assert run_netlab_status(tmp_path) == "no server of yours is running\n"
    assert list(folder.iterdir()) == []


def test_without_the_option_there_is_no_door(tmp_path: Path) -> None:
    with Serving(tmp_path, *options_of("single"), "--no-status"):
        assert run_netlab_status(tmp_path) == "no server of yours is running\n"


@pytest.mark.parametrize("mode", ["base", "process"])
def test_a_stuck_worker_is_shown_and_holds_up_nobody(tmp_path: Path, mode: str) -> None:
    with Serving(tmp_path, *options_of(mode), "--drain-timeout", "1") as server:
        stuck = server.pid_of("worker-0")
        os.kill(stuck, signal.SIGSTOP)
        try:
            page = server.status()
        finally:
            os.kill(stuck, signal.SIGCONT)
        assert [row["name"] for row in page["processes"]] == PROCESSES[mode]
