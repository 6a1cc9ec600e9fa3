"""Running as a service: pid file, log file, another user, limits of what is asked for."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path

import pytest
from family import both_modes, family

MODES = pytest.mark.parametrize("mode", ["single", "base", "process"])


@MODES
def test_the_pid_file_is_there_while_it_serves(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with family(mode, pid_file=str(path)) as served:
        assert int(path.read_text()) == served.process.pid
        with family(mode, pid_file=str(path), ready=False) as second:
            status, log = second.end()
            assert status != 0
            assert f"a server runs already, pid {served.process.pid}" in log
        assert int(path.read_text()) == served.process.pid
        assert served.stop() == (0, "")
        assert not path.exists()


@MODES
def test_a_pid_file_that_was_left_behind_is_taken_over(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with family(mode, pid_file=str(path)) as served:
        served.stop(signal.SIGKILL)
        dead = served.process.pid
    assert int(path.read_text()) == dead
    with family(mode, pid_file=str(path)) as served:
        assert int(path.read_text()) == served.process.pid
        status, log = served.stop()
        assert status == 0
        assert f"left behind by pid {dead}" in log


@MODES
def test_a_pid_that_somebody_else_has_now_is_no_server(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    os.utime(path, (1_000_000_000, 1_000_000_000))  # written long before we began
    with family(mode, pid_file=str(path)) as served:
        assert int(path.read_text()) == served.process.pid
        assert served.stop()[0] == 0


@MODES
def test_the_log_file_has_what_all_processes_say(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with family(mode, log_file=str(path)) as served:
        client = served.connect()
        client.say("1 / 0")
        assert client.at_end()
        client.sock.close()
        assert served.stop() == (0, "")
    assert path.read_text().count("ZeroDivisionError") == 1


@pytest.mark.root
@both_modes
def test_all_processes_run_as_another_user(mode: str, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    path = tmp_path / "pid"
    with family(mode, tasks=1, user="nobody", pid_file=str(path)) as served:
        pids = {report["pid"] for report in served.seen if report["name"] == "worker_start"}
        pids |= {served.process.pid, *served.pids("manager_start").values()}
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert served.stop()[0] == 0
    assert not path.exists() or path.read_text() == ""  # it may not remove what root's folder has


@both_modes
def test_a_user_that_does_not_exist_is_a_clear_error(mode: str) -> None:
    with family(mode, user="no-such-user", ready=False) as served:
        status, log = served.end()
        assert status != 0
        assert "no-such-user" in log
        assert "give the name of a user" in log


@both_modes
def test_a_started_server_is_not_started_again(mode: str) -> None:
    with family(mode) as served:
        client = served.connect()
        client.say("server.start()")
        assert client.at_end()
        client.sock.close()
        status, log = served.stop()
        assert status == 0
        assert "runs already" in log


@both_modes
def test_a_process_is_named_after_its_role(mode: str) -> None:
    with family(mode) as served:
        for name, pid in served.pids("worker_start").items():
            assert Path(f"/proc/{pid}/comm").read_text() == f"worker-{name}\n"
        assert served.stop() == (0, "")


@both_modes
def test_a_worker_holds_no_descriptor_that_is_not_its_own(mode: str) -> None:
    """Neither the lines and control links of others, nor (in process) the listening sockets."""
    with family(mode, workers=3, tasks=2) as served:
        client = served.connect()
        found = client.ask("sockets()")
        own = 4 if mode == "base" else 2  # control, line; listener and this connection
        assert len(found) == own, found
        client.sock.close()
        assert served.stop() == (0, "")
