"""`netlab.record` around the caller's own code, each test in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import netlab
from netlab.capture.files import read_raw, recover
from netlab.correlate.ledger import ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.lab import syscalls
from netlab.model.errors import BadRecording, UsageError
from netlab.model.frame import DIRECTION_IN
from netlab.model.probe import Probe
from tests.private_network import in_private_network

MESSAGES, SIZE_BYTES = 23, 4093


def echo(probe: Probe, messages: int = MESSAGES, size_bytes: int = SIZE_BYTES) -> tuple[int, int]:
    """A conversation over two traced sockets in one thread; the ports of client and server."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    for number in range(messages):
        client.sendall(bytes([number % 251]) * size_bytes)
        receive(server, size_bytes)
        server.sendall(b"k")
        receive(client, 1)
    found = client.getsockname()[1], listener.getsockname()[1]
    client.close()
    server.close()
    listener.close()
    return found


def receive(sock: socket.socket, count: int) -> None:
    while count:
        count -= len(sock.recv(count))


def left_behind(path: Path) -> list[str]:
    return sorted(item.name for item in path.parent.iterdir() if item != path)


def test_with_code_each_call_names_the_line_that_made_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        with netlab.record(path, code=True) as probe:
            echo(probe, messages=1)

    in_private_network(work)
    calls = [call for call in read_raw(path).calls if call.op in ("connect", "sendall", "recv")]
    assert len(calls) >= 5
    assert all(call.code is not None and call.code.startswith(f"{__file__}:") for call in calls)


def test_a_block_is_recorded_with_every_call_and_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        with netlab.record(path, actor="echo") as probe:
            echo(probe)

    in_private_network(work)
    raw = read_raw(path)
    tables = analyse(raw)
    assert raw.description.form == "finished"
    assert left_behind(path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert raw.losses == []
    assert {call.actor for call in raw.calls} == {"echo"}
    assert sum(call.op == "sendall" for call in raw.calls) == 2 * MESSAGES
    assert {frame.flags & 3 for frame in raw.frames} == {DIRECTION_IN}
    (connection,) = tables.connections
    assert connection.client_bytes == MESSAGES * SIZE_BYTES
    assert connection.server_bytes == MESSAGES
    carried = [span for span in tables.spans if span.role == "carried"]
    assert sum((span.stop or 0) - (span.start or 0) for span in carried) == (
        MESSAGES * SIZE_BYTES + MESSAGES
    )
    assert tables.unmatched == []


def test_what_the_interface_lost_and_received_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        with netlab.record(path) as probe:
            echo(probe)

    in_private_network(work)
    raw = read_raw(path)
    (interface,) = raw.interfaces
    assert (interface.name, interface.dropped) == ("lo", 0)
    assert interface.received == len(raw.frames)


def test_a_block_that_raises_is_recorded_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        def block() -> None:
            with netlab.record(path) as probe:
                echo(probe, messages=3)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            block()
        assert [t.name for t in threading.enumerate()] == ["MainThread"]

    in_private_network(work)
    raw = read_raw(path)
    assert raw.description.form == "finished"
    assert sum(call.op == "sendall" for call in raw.calls) == 6
    assert left_behind(path) == []


def test_the_file_grows_while_the_block_runs(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> tuple[str, int, bool]:
        with netlab.record(path) as probe:
            echo(probe)
            for _ in range(600):  # until all is there; the end only guards against hanging
                raw = read_raw(path)
                sent = sum(call.op == "sendall" for call in raw.calls)
                if sent == 2 * MESSAGES and len(raw.frames) >= 2 * MESSAGES:
                    break
                threading.Event().wait(0.1)
            return raw.description.form, sent, len(raw.frames) >= 2 * MESSAGES

    assert in_private_network(work) == ("live", 2 * MESSAGES, True)


def test_at_the_spool_limit_the_block_goes_on_and_the_loss_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        with netlab.record(path, spool_limit_bytes=1 << 16) as probe:
            echo(probe, messages=499)

    in_private_network(work)
    (line,) = capfd.readouterr().err.splitlines()
    assert "spool limit of 65536 bytes reached" in line
    raw = read_raw(path)
    assert left_behind(path) == []
    (loss,) = raw.losses
    assert (loss.witness, loss.what, loss.actor) == ("probe", "calls", "main")
    assert "spool limit of 65536 bytes" in loss.reason
    sent = [call.result for call in raw.calls if call.op == "sendall"]
    assert 50 < len(sent) < 998
    assert sent[:4] == [SIZE_BYTES, 1, SIZE_BYTES, 1]
    assert sum(bytes(frame.data).endswith(b"k") for frame in raw.frames) >= 499


def test_calls_beyond_the_journal_limit_are_packed(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        with netlab.record(path, journal_limit=7) as probe:
            echo(probe)

    in_private_network(work)
    assert path.read_bytes().count(b"\nNETLAB_WITNESS=") == 7
    assert sum(call.op == "sendall" for call in read_raw(path).calls) == 2 * MESSAGES


def test_ports_choose_the_packets_and_leave_the_calls(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> int:
        with netlab.record(path, ports=[7777]) as probe:
            echo(probe, messages=2)
            receiver = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
            receiver.bind(("127.0.0.1", 7777))
            sender = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.sendto(b"wanted", receiver.getsockname())
            return os.getpid()

    in_private_network(work)
    raw = read_raw(path)
    assert [bytes(frame.data[42:]) for frame in raw.frames] == [b"wanted"]
    assert sum(call.op == "sendall" for call in raw.calls) == 4


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")  # that is what is tested
def test_forked_children_are_recorded_and_cannot_end_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> tuple[int, int]:
        child = 0
        try:
            with netlab.record(path) as probe:
                left, right = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                child = os.fork()
                if child == 0:
                    left.sendall(b"from the child")
                    raise SystemExit  # leaves the block as a careless child would
                os.waitpid(child, 0)
                receive(right, 14)
                echo(probe, messages=1)
        except SystemExit:
            os._exit(0)
        return os.getpid(), child

    parent, child = in_private_network(work)
    raw = read_raw(path)
    (sent,) = (call for call in raw.calls if call.op == "sendall" and call.pid == child)
    assert sent.result == 14
    assert {call.pid for call in raw.calls} == {parent, child}
    (inherited,) = raw.inheritances
    assert (inherited.pid, inherited.parent_pid) == (child, parent)
    assert sum(call.op == "sendall" and call.pid == parent for call in raw.calls) == 2
    assert raw.description.form == "finished"


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("reads", [True, False])
def test_a_child_that_leaves_without_a_word_closes_what_it_held(
    tmp_path: Path, reads: bool
) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> int:
        with netlab.record(path) as probe:
            listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            child = os.fork()
            if child == 0:
                client = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
                client.connect(listener.getsockname())
                client.sendall(b"request")
                client.recv(6, 0 if reads else socket.MSG_PEEK)  # the answer has come, either way
                os._exit(0)
            server, _ = listener.accept()
            receive(server, 7)
            server.sendall(b"answer")
            os.waitpid(child, 0)
            with suppress(ConnectionResetError):
                assert server.recv(1) == b""
            server.close()
            listener.close()
        return child

    child = in_private_network(work)
    tables = analyse(read_raw(path))
    (end,) = (call for call in tables.calls if call.op == "exit" and call.pid == child)
    roles = [span.role for span in tables.spans if span.call == end.call]
    assert roles == ["fin" if reads else "rst"]
    assert ledger_mismatches(tables) == []


def holds_a_ring(pid: int) -> bool:
    """Whether a process maps a packet socket's memory."""
    return any("socket:" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def sockets_of(pid: int) -> int:
    found = 0
    for number in os.listdir(f"/proc/{pid}/fd"):  # the descriptor of the list itself is gone
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:")
    return found


def recorder_here() -> int:
    """The recorder of this test: it is in the same network, which is the test's own."""
    network = os.readlink("/proc/self/ns/net")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if os.readlink(entry / "ns" / "net") == network:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                found += [int(entry.name)] if b"netlab.lab.beside" in words else []
        except (OSError, ValueError):
            continue
    (recorder,) = found
    return recorder


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_only_the_recorder_holds_the_ring_and_no_child_its_link(tmp_path: Path) -> None:
    def work() -> tuple[bool, bool, bool, int]:
        with netlab.record(tmp_path / "mine.pcapng"):
            recorder = recorder_here()
            ready, tell = os.pipe()
            ended, end = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(end)
                os.write(tell, b".")
                os.read(ended, 1)
                os._exit(0)
            os.read(ready, 1)
            rings = holds_a_ring(os.getpid()), holds_a_ring(child), holds_a_ring(recorder)
            found = *rings, sockets_of(os.getpid()) - sockets_of(child)
            os.close(end)
            os.waitpid(child, 0)
            return found

    assert in_private_network(work) == (False, False, True, 1)


def test_the_caller_has_no_child_and_no_thread_for_it(tmp_path: Path) -> None:
    def work() -> None:
        with netlab.record("mine.pcapng") as probe:
            assert [t.name for t in threading.enumerate()] == ["MainThread"]
            with pytest.raises(ChildProcessError):
                os.wait()
            os.chdir("/")
            echo(probe, messages=1)

    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        in_private_network(work)
    finally:
        os.chdir(before)
    assert read_raw(tmp_path / "mine.pcapng").description.form == "finished"
    assert left_behind(tmp_path / "mine.pcapng") == []


KILLED = """
import socket, sys
import netlab
with netlab.record(sys.argv[1]) as probe:
    left, right = probe.socketpair()
    for _ in range(101):
        left.send(b"x" * 7)
        right.recv(7)
    print("inside", flush=True)
    right.recv(1)
"""


def test_a_killed_caller_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"
    caller = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with caller:
        assert caller.stdout is not None
        assert caller.stderr is not None
        assert caller.stdout.readline() == "inside\n"
        while (Path(f"/proc/{caller.pid}/stat").read_text().rpartition(")")[2].split()[0]) != "S":
            os.sched_yield()  # until it is inside its last recv
        caller.kill()
        said = caller.stderr.read()  # to its end, which is that of the recorder, too
    assert "netlab: recording calls without packets" in said or said == ""
    raw = read_raw(path)
    assert raw.description.form == "finished"
    assert left_behind(path) == []
    counts = Counter(call.op for call in raw.calls)
    assert (counts["send"], counts["recv"], counts["exit"]) == (101, 102, 1)
    (inside, end) = [call for call in raw.calls if call.returned_ns is None]
    assert (inside.op, end.op, end.pid) == ("recv", "exit", caller.pid)


def test_a_killed_recorder_is_said_and_what_it_left_recovers(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> bool:
        done = []

        def block() -> None:
            with netlab.record(path) as probe:
                os.kill(recorder_here(), signal.SIGKILL)
                echo(probe)
                done.append(True)

        with pytest.raises(BadRecording, match=r"the recorder of .* was killed: run `netlab rec"):
            block()
        return done == [True]

    assert in_private_network(work)
    raw = recover(path)
    assert sum(call.op == "sendall" for call in raw.calls) == 2 * MESSAGES


def test_without_the_right_to_capture_calls_are_recorded_and_it_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> None:
        syscalls.give_up_privileges()
        with netlab.record(path) as probe:
            echo(probe, messages=2)

    in_private_network(work)
    raw = read_raw(path)
    assert raw.description.form == "finished"
    assert left_behind(path) == []
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("netlab: recording calls without packets: no right to capture")
    assert "setcap cap_net_raw+ep" in line
    assert raw.frames == []
    assert sum(call.op == "sendall" for call in raw.calls) == 4
    (loss,) = raw.losses
    assert (loss.witness, loss.count) == ("packets", None)
    assert loss.reason.startswith("no right to capture: run as root")


def a_symbolic_link(folder: Path) -> Path:
    (folder / "link.pcapng").symlink_to(folder / "target")
    return folder / "link.pcapng"


@pytest.mark.parametrize(
    ("place", "options"),
    [
        (lambda folder: folder / "gone" / "mine.pcapng", {}),
        (a_symbolic_link, {}),
        (lambda folder: folder / "mine.pcapng", {"interface": "nope0"}),
        (lambda folder: folder / "mine.pcapng", {"ports": [70000]}),
        (lambda folder: folder / "mine.pcapng", {"queues": "always"}),
        (lambda folder: Path("."), {}),
    ],
)
def test_what_cannot_begin_leaves_nothing(
    tmp_path: Path, place: Callable[[Path], Path], options: dict[str, object]
) -> None:
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def work() -> None:
        descriptors = os.listdir("/proc/self/fd")
        with pytest.raises(UsageError), netlab.record(path, **options):  # type: ignore[arg-type]
            raise AssertionError("the block must not run")
        assert os.listdir("/proc/self/fd") == descriptors
        assert [t.name for t in threading.enumerate()] == ["MainThread"]

    in_private_network(work)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_stops_the_recording_and_not_the_block(tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"

    def work() -> tuple[bool, str]:
        done = []

        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

        def block() -> None:
            with netlab.record(path) as probe:
                echo(probe, messages=37, size_bytes=100_003)
                done.append(True)

        with pytest.raises(BadRecording) as error:
            block()
        return done == [True], str(error.value)

    done, text = in_private_network(work)
    assert done
    assert text.startswith(f"recording stopped: {path}: File too large")
    raw = read_raw(path)
    assert len(raw.frames) > 10
    assert raw.faults == []
