"""The journal of whole processes: killed, forked, ended, broken, and of several probes in one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from netlab.capture.probe import JournalProbe, SpoolReader
from netlab.model.call import CallRecord

PREAMBLE = """
import json, os, select, signal, socket, sys, threading
from netlab.capture.probe import JournalProbe
probe = JournalProbe.from_environment()
"""


def start(folder: Path, code: str, **environment: str) -> subprocess.Popen[bytes]:
    variables = {**os.environ, "NETLAB_SPOOL": str(folder), "NETLAB_ACTOR": "child", **environment}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", PREAMBLE + textwrap.dedent(code)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables,
    )  # fmt: skip


def run(folder: Path, code: str, **environment: str) -> tuple[str, str, int]:
    process = start(folder, code, **environment)
    out, err = process.communicate(timeout=60)
    return out.decode(), err.decode(), process.pid


def read(folder: Path) -> tuple[list[CallRecord], SpoolReader]:
    reader = SpoolReader(folder)
    return reader.finish(), reader


@pytest.fixture(params=["events", "calls"])
def queues(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_a_kill_loses_nothing_that_had_returned(tmp_path: Path, seed: int, queues: str) -> None:
    """A child tells each returned call through a pipe; it is killed at a random count."""
    process = start(
        tmp_path,
        """
        first, second = probe.socketpair()
        inner, inner2 = probe.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        os.write(1, b"..")
        def tick(number, frame):
            inner.send(b"t"); inner2.recv(5)
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0017)
        size = 0
        while True:
            size = size % 97 + 1
            first.send(b"x" * size); os.write(1, b".")
            second.recv(1000); os.write(1, b".")
            first.sendall(b"y" * size); os.write(1, b".")
            second.recv_into(bytearray(1000)); os.write(1, b".")
        """,
        NETLAB_QUEUES=queues,
    )
    assert process.stdout is not None
    reader = SpoolReader(tmp_path)
    calls: list[CallRecord] = []
    told = 0
    target = random.Random(seed).randrange(1, 40_000)
    while told < target:
        told += len(os.read(process.stdout.fileno(), 65536))
        calls += reader.poll()
    process.send_signal(signal.SIGKILL)
    rest, complaints = process.communicate()
    told += len(rest)
    calls += reader.finish()
    assert (complaints, reader.losses) == (b"", [])
    of_main = [call for call in calls if call.kind == "SOCK_STREAM" or call.op == "socketpair"]
    returned = [call for call in of_main if call.returned_ns is not None]
    assert told <= len(returned) <= told + 1  # one may have returned and not been told yet
    assert len(of_main) - len(returned) <= 1
    orders = [call.order for call in calls]
    assert len(set(orders)) == len(orders)
    moved = {"send": 0, "recv": 0}
    for call in returned:
        moved["send" if call.op.startswith("send") else "recv"] += call.result or 0
    assert 0 <= moved["send"] - moved["recv"] <= 97


def test_a_killed_process_shows_the_call_it_was_inside(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        first, second = probe.socketpair()
        second.send(b"hello"); first.recv(3)
        print("ready", flush=True)
        first.recv(1 << 20, socket.MSG_WAITALL)
        """,
    )
    assert process.stdout is not None
    process.stdout.readline()
    reader, found = SpoolReader(tmp_path), []
    while not found:  # it has been entered when /proc says that the process sleeps in recvfrom
        number = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        found = ["asleep"] if number == "S" else []
    process.kill()
    process.communicate()
    calls = reader.finish()
    assert (calls[-1].op, calls[-1].args, calls[-1].requested_bytes) == (
        "recv", "MSG_WAITALL", 1 << 20,
    )  # fmt: skip
    assert (calls[-1].returned_ns, calls[-1].result, calls[-1].errno) == (None, None, None)


def test_the_end_of_a_process_is_a_call_that_does_not_return(tmp_path: Path) -> None:
    _, err, pid = run(tmp_path, "first, second = probe.socketpair(); first.send(b'x')")
    calls, _ = read(tmp_path)
    (end,) = [call for call in calls if call.op == "exit"]
    assert (end.pid, end.returned_ns, end.actor, end.host) == (pid, None, "child", "localhost")
    assert [call.op for call in calls[:3]] == ["socketpair", "send", "exit"]
    assert err == ""


def test_fork_gives_the_child_a_spool_and_an_inheritance(tmp_path: Path, queues: str) -> None:
    out, err, parent = run(
        tmp_path,
        """
        first, second = probe.socketpair()
        third = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        fd = third.detach()
        gone, gone2 = probe.socketpair(); gone.close(); gone2.close()
        first.send(b"from parent")
        child = os.fork()
        if child == 0:
            second.recv(100)
            second.send(b"from child")
            grandchild = os.fork()
            if grandchild == 0:
                second.close()
                sys.exit(0)
            os.waitpid(grandchild, 0)
            os._exit(0)
        second.close()
        first.recv(100)
        os.waitpid(child, 0)
        ino = lambda fd: os.fstat(fd).st_ino
        print(json.dumps([child, ino(first.fileno()), second._inode, ino(fd)]))
        os.close(fd)
        """,
        NETLAB_QUEUES=queues,
    )
    assert err == ""
    child, first, second, detached = json.loads(out)
    calls, reader = read(tmp_path)
    by_pid = {(item.pid, item.parent_pid): item for item in reader.inheritances}
    assert len(by_pid) == 2
    assert set(by_pid[child, parent].inodes) == {first, second, detached}
    (grandchild,) = [pid for pid, above in by_pid if above == child]
    of_child = [call for call in calls if call.pid == child]
    assert [(call.op, call.order, call.inode, call.result) for call in of_child] == [
        ("recv", 1, second, 11), ("send", 2, second, 10),
    ]  # fmt: skip
    assert of_child[0].entered_ns >= by_pid[child, parent].time_ns
    assert [call.op for call in calls if call.pid == grandchild] == ["close", "exit", "close"][
        : len([call for call in calls if call.pid == grandchild])
    ]
    assert [call.op for call in calls if call.pid == grandchild][:2] == ["close", "exit"]
    ops = [call.op for call in calls if call.pid == parent]
    assert ops.count("send") == ops.count("recv") == 1


def test_a_fork_inside_a_signal_handler_inside_a_call(tmp_path: Path) -> None:
    """The child returns into a call of the parent: nothing of that in the parent's spool."""
    out, err, parent = run(
        tmp_path,
        """
        first, second = probe.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        first.send(b"w"); second.recv(1)
        def fork(number, frame):
            if os.fork() == 0:
                first.send(b"for one"); first.send(b"for the other")
        signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        me = os.getpid()
        data = second.recv(10)
        if os.getpid() == me:
            os.wait()
        else:
            first.send(b"last")
            os._exit(0)
        """,
        NETLAB_QUEUES="events",
    )
    assert (out, err) == ("", "")
    calls, reader = read(tmp_path)
    assert reader.losses == []
    parents = [call for call in calls if call.pid == parent]
    assert [call.order for call in parents] == list(range(1, len(parents) + 1))
    children = [call for call in calls if call.pid != parent]
    assert [call.result for call in children if call.op == "send"] == [7, 13, 4]


def test_several_probes_in_one_process(tmp_path: Path) -> None:
    _, err, _ = run(
        tmp_path / "a",
        f"""
        other = JournalProbe({str(tmp_path / "b")!r}, actor="other", queues="off")
        gone = JournalProbe({str(tmp_path / "c")!r}, actor="gone")
        first, second = probe.socketpair()
        third, fourth = other.socketpair()
        fifth, sixth = gone.socketpair()
        gone.close()
        fifth.send(b"unrecorded"); assert sixth.recv(99) == b"unrecorded"
        for _ in range(20):
            first.send(b"x"); third.send(b"y"); second.recv(1); fourth.recv(1)
        if os.fork() == 0:
            first.send(b"z")
            sys.exit()
        os.wait()
        """,
    )
    assert err == ""
    for name, actor, sends in (("a", "child", 21), ("b", "other", 20), ("c", "gone", 0)):
        calls, reader = read(tmp_path / name)
        assert {call.actor for call in calls} == {actor}
        assert sum(call.op == "send" for call in calls) == sends
        assert len(reader.inheritances) == (name != "c")
        assert sum(call.op == "exit" for call in calls) == (0 if name == "c" else 2)


def test_the_outer_pid_comes_from_the_outer_proc(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "thread-self").symlink_to("4711/task/4712")
    fd = os.open(proc, os.O_RDONLY)
    os.set_inheritable(fd, True)
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + "a, b = probe.socketpair(); a.close(); b.close()"],
        env={**os.environ, "NETLAB_SPOOL": str(tmp_path / "s"), "NETLAB_PROC_FD": str(fd)},
        pass_fds=[fd],
    )
    process.communicate(timeout=60)
    os.close(fd)
    calls, _ = read(tmp_path / "s")
    assert {(call.pid, call.tid) for call in calls} == {(4711, 4712)}


def test_at_its_limit_recording_stops_and_the_program_goes_on(
    tmp_path: Path, queues: str, capfd: pytest.CaptureFixture[str]
) -> None:
    probe = JournalProbe(
        tmp_path, actor="a", queues=queues, segment_bytes=1 << 14, limit_bytes=1 << 16
    )
    first, second = probe.socketpair()
    with first, second:
        for size in range(1, 4000):
            assert first.send(b"x" * (size % 7 + 1)) == size % 7 + 1
            assert len(second.recv(99)) == size % 7 + 1
    calls, reader = read(tmp_path)
    assert [call.order for call in calls] == list(range(1, len(calls) + 1))
    assert all(call.returned_ns for call in calls)
    assert 400 < len(calls) < 4000
    (loss,) = reader.losses
    assert (loss.witness, loss.what, loss.actor) == ("probe", "calls", "a")
    assert loss.reason == "spool limit of 65536 bytes reached"
    assert loss.since_ns is not None
    assert loss.since_ns >= calls[-1].entered_ns
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1 << 16
    line = f"netlab: call recording stopped in a (pid {os.getpid()}): {loss.reason}\n"
    assert capfd.readouterr().err == line
    probe.close()


def test_with_no_room_at_all_the_program_still_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    probe = JournalProbe(tmp_path, actor="a", limit_bytes=1)
    first, second = probe.socketpair()
    with first, second:
        assert first.send(b"x") == 1
    calls, reader = read(tmp_path)
    assert calls == []
    assert [loss.reason for loss in reader.losses] == ["spool limit of 1 bytes reached"]
    assert capfd.readouterr().err.count("\n") == 1
    probe.close()


def test_a_fault_at_entry_stops_recording_once_and_nothing_else(
    tmp_path: Path, queues: str, capfd: pytest.CaptureFixture[str]
) -> None:
    probe = JournalProbe(tmp_path, actor="a", queues=queues)
    first, second = probe.socketpair()
    assert first.state is not None
    first.state.spools, first.state.tail = (), None  # type: ignore[assignment]
    with first, second:
        assert first.send(b"once") == 4
        assert first.sendall(b" more") is None
        assert second.recv(100) == b"once more"
    calls, reader = read(tmp_path)
    assert ["TypeError" in loss.reason for loss in reader.losses] == [True]
    assert [call.op for call in calls] == ["socketpair"]
    assert capfd.readouterr().err.count("\n") == 1
    probe.close()


def test_a_fault_at_return_leaves_the_result_alone(
    tmp_path: Path, queues: str, capfd: pytest.CaptureFixture[str]
) -> None:
    probe = JournalProbe(tmp_path, actor="a", queues=queues)
    first, second = probe.socketpair()
    packed, probe.journal.packed = probe.journal.packed, None  # type: ignore[assignment]
    assert probe.select([], [first], [], 1) == ([], [first], [])
    probe.journal.packed = packed
    with first, second:
        assert first.send(b"x") == 1
    calls, reader = read(tmp_path)
    assert ["AttributeError" in loss.reason for loss in reader.losses] == [True]
    assert [(call.op, call.returned_ns) for call in calls][1:] == [("select", None)]
    assert capfd.readouterr().err.count("\n") == 1
    probe.close()


def test_a_vanished_folder_stops_recording_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "spools"
    probe = JournalProbe(folder, actor="a")
    folder.rmdir()
    first, second = probe.socketpair()
    with first, second:
        first.send(b"x")
        assert second.recv(5) == b"x"
    assert "call recording stopped in a" in capfd.readouterr().err
    probe.close()


def test_a_program_out_of_descriptors_keeps_its_witness(tmp_path: Path) -> None:
    out, err, _ = run(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        probe = JournalProbe(os.environ["NETLAB_SPOOL"], actor="full", segment_bytes=1 << 14)
        first, second = probe.socketpair()
        assert first.fileno() < 10, first.fileno()
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError as error:
            print(error.errno)
        for _ in range(1000):
            first.send(b"x"); second.recv(1)
        try:
            probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            print(error.errno)
        """,
    )
    assert (out.split(), err) == (["24", "24"], "")
    calls, reader = read(tmp_path)
    assert reader.losses == []
    assert sum(call.op == "send" for call in calls) == 1000
    assert [call.errno for call in calls if call.op == "socket"] == ["EMFILE"]


def test_the_spool_belongs_to_its_user_alone(tmp_path: Path) -> None:
    probe = JournalProbe(tmp_path / "s", actor="a")
    probe.socket().close()
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "s").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    probe.close()
