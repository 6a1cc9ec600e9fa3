"""`netlab trace`: programs of others on this machine, their calls and their packets."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_process import LIMIT_S, ORDINARY_USER, netlab_arguments, run_netlab
from trace_process import (
    CAPTURING_USER,
    FILE,
    Tracing,
    environment,
    opened,
    trace,
    tracer_of,
)

import netlab
from netlab.capture.files import read_raw
from netlab.model.call import is_inbound, is_outbound
from netlab.model.tables import Tables
from tests.private_network import in_private_network

REDIS = Path(__file__).resolve().parent.parent.parent / ".servers/bin"
PYTHON = "/usr/bin/python3"
PIECE, PIECES = 4093, 23
# struct vfs_cap_data (linux/capability.h): revision 2, effective; permitted CAP_NET_RAW.
CAP_NET_RAW_EP = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)

# A server in a process of its own, a client in another, one connection; then both have ended.
CONVERSATION = f"""
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    with socket.create_connection(listener.getsockname()) as client:
        for _ in range({PIECES}):
            client.sendall(bytes({PIECE}))
            client.recv(3, socket.MSG_WAITALL)
    os._exit(0)
accepted, _ = listener.accept()
for _ in range({PIECES}):
    accepted.recv({PIECE}, socket.MSG_WAITALL)
    accepted.sendall(b"yes")
assert accepted.recv(1) == b""
accepted.close()
os.wait()
"""


@contextmanager
def echoing() -> Iterator[int]:
    """Somebody else's conversation, which goes on all the time; its port."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        with socket.create_connection(listener.getsockname()) as one, listener.accept()[0] as other:
            while not over.wait(0.005):
                one.sendall(b"not yours")
                other.recv(100)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join()
        listener.close()


def moved(tables: Tables) -> Counter[str]:
    """Bytes that calls moved on TCP connections, by direction."""
    tcp = {c.connection for c in tables.connections if c.protocol == "tcp"}
    found: Counter[str] = Counter()
    for call in tables.calls:
        if call.connection in tcp and call.result and call.errno is None:
            found["out"] += call.result * is_outbound(call)
            found["in"] += call.result * is_inbound(call)
    return found


def all_is_matched(tables: Tables) -> None:
    """Every byte of every call has its frame, and the other way round."""
    assert tables.unmatched == []


def test_both_ends_of_a_conversation_and_nobody_elses_frames(tmp_path: Path) -> None:
    def work() -> None:
        with echoing() as port:
            done = trace(tmp_path, "--", PYTHON, "-c", CONVERSATION)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        raw, tables = opened(tmp_path)
        sent = PIECES * (PIECE + 3)
        assert moved(tables) == {"out": sent, "in": sent}
        all_is_matched(tables)
        assert [c.protocol for c in tables.connections] == ["tcp"]
        assert port not in {p.sport for p in tables.packets} | {p.dport for p in tables.packets}
        assert tables.connections[0].close_kind == "fin"
        last = done.stderr.splitlines()[-1]
        assert last == (
            f"netlab: {len(raw.frames)} packets and {len(raw.calls)} calls are in {FILE}: "
            f"netlab inspect {FILE} --connection 0"
        )

    in_private_network(work)


def test_all_traffic_is_there_if_asked_for(tmp_path: Path) -> None:
    def work() -> None:
        with echoing() as port:
            done = trace(tmp_path, "--all-traffic", "--", PYTHON, "-c", CONVERSATION)
        assert done.returncode == 0, done.stderr
        _, tables = opened(tmp_path)
        ports = {c.server_port for c in tables.connections if c.protocol == "tcp"} | {
            c.client_port for c in tables.connections if c.protocol == "tcp"
        }
        assert port in ports
        assert len(tables.connections) == 2

    in_private_network(work)


def test_a_user_who_may_capture_needs_no_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = trace(tmp_path, "--", PYTHON, "-c", CONVERSATION, before=CAPTURING_USER)
    assert done.returncode == 0, done.stderr
    _, tables = opened(tmp_path)
    all_is_matched(tables)


CURL = f"""
{PYTHON} -m http.server 8000 --bind 127.0.0.1 >log 2>&1 &
server=$!
until curl -s -o page http://127.0.0.1:8000/; do :; done
kill $server
wait $server
exit 9
"""


@pytest.mark.slow
def test_curl_and_a_threaded_http_server_of_one_shell(tmp_path: Path) -> None:
    def work() -> None:
        done = trace(tmp_path, "--", "sh", "-c", CURL)
        assert done.returncode == 9, done.stderr
        _, tables = opened(tmp_path)
        all_is_matched(tables)
        served = [c for c in tables.connections if c.server_bytes]
        assert len(served) == 1
        actors = {call.actor for call in tables.calls if call.connection == served[0].connection}
        assert any("curl" in actor for actor in actors)
        assert any("python3" in actor for actor in actors)
        assert (tmp_path / "page").read_bytes().startswith(b"<!DOCTYPE")

    in_private_network(work)


HANDS_ON = f"""
import os, socket, sys, threading
if len(sys.argv) > 1:
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        sock.sendall(b"x" * {PIECE})
    sys.exit()
listener = socket.create_server(("127.0.0.1", 0))
def read():
    with listener.accept()[0] as accepted:
        assert len(accepted.recv({PIECE}, socket.MSG_WAITALL)) == {PIECE}
thread = threading.Thread(target=read)
thread.start()
sock = socket.create_connection(listener.getsockname())
if os.fork() == 0:
    os.set_inheritable(sock.fileno(), True)
    os.execv(sys.executable, [sys.executable, sys.argv[0], str(sock.fileno())])
sock.close()
os.wait()
thread.join()
"""


def test_threads_children_and_what_they_execute_are_followed(tmp_path: Path) -> None:
    (tmp_path / "hands_on.py").write_text(HANDS_ON)

    def work() -> None:
        done = trace(tmp_path, "--", PYTHON, "hands_on.py")
        assert done.returncode == 0, done.stderr
        _, tables = opened(tmp_path)
        all_is_matched(tables)
        assert moved(tables) == {"out": PIECE, "in": PIECE}
        by_thread = {call.tid for call in tables.calls if is_inbound(call)}
        by_child = {call.pid for call in tables.calls if is_outbound(call)}
        accepts = [call for call in tables.calls if call.op == "accept4"]
        assert by_thread.isdisjoint({call.pid for call in accepts})  # the thread's own number
        assert len(by_child) == 1
        assert by_child.isdisjoint({call.pid for call in accepts})

    in_private_network(work)


DATAGRAMS = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 5353))
for connected in (True, False):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if connected:
        client.connect(("127.0.0.1", 5353))
        client.send(b"x" * 101)
    else:
        client.sendto(b"x" * 101, ("127.0.0.1", 5353))
    data, sender = server.recvfrom(1000)
    server.sendto(data[:7], sender)
    assert client.recv(100) == b"x" * 7
    client.close()
nobody = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
nobody.connect(("127.0.0.1", 9))
nobody.send(b"?")
try:
    nobody.recv(1)
except ConnectionRefusedError:
    pass
"""


def test_datagrams_and_what_icmp_says_of_them(tmp_path: Path) -> None:
    def work() -> None:
        with echoing():
            done = trace(tmp_path, "--", PYTHON, "-c", DATAGRAMS)
        assert done.returncode == 0, done.stderr
        _, tables = opened(tmp_path)
        protocols = Counter(packet.protocol for packet in tables.packets)
        assert protocols == {"UDP": 5, "ICMP": 1}
        assert Counter(item.reason for item in tables.unmatched) == {
            "refused: nobody listens at this port": 1
        }

    in_private_network(work)


@pytest.mark.root
def test_an_interface_without_ethernet_frames_is_named(tmp_path: Path) -> None:
    def work() -> None:
        for words in (
            "tuntap add dev tun7 mode tun", "addr add 10.9.9.1/24 dev tun7", "link set tun7 up"
        ):  # fmt: skip
            subprocess.run(["ip", *words.split()], check=True)
        done = trace(tmp_path, "--", "true")
        assert done.returncode == 0, done.stderr
        assert "packets of tun7 are not recorded: they are no Ethernet frames" in done.stderr
        assert [one.name for one in opened(tmp_path)[0].interfaces] == ["lo"]

    in_private_network(work)


UNANSWERED = """
import socket
listener = socket.socket()
listener.bind(("127.0.0.1", 7000))
listener.listen(0)
waiting = [socket.create_connection(("127.0.0.1", 7000)) for _ in range(1)]
late = socket.socket()
late.settimeout(None)
import signal
signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
signal.setitimer(signal.ITIMER_REAL, 3.3)
try:
    late.connect(("127.0.0.1", 7000))
except TimeoutError:
    pass
"""


@pytest.mark.slow
def test_frames_of_a_connect_that_does_not_return_are_the_programs(tmp_path: Path) -> None:
    """Nothing names its port before the call has returned, but the kernel knows."""

    def work() -> None:
        done = trace(tmp_path, "--", PYTHON, "-c", UNANSWERED)
        assert done.returncode == 0, done.stderr
        _, tables = opened(tmp_path)
        syns = Counter(packet.sport for packet in tables.packets if packet.tcp_flags == "SYN")
        few, many = sorted(syns.values())
        assert few == 1
        assert many >= 4  # at 0, 1, 2 and 3 s, and 4 s where the alarm is late

    in_private_network(work)


class Redis:
    """A redis-server that was there before."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [REDIS / "redis-server", "--port", "6399", "--save", "", "--bind", "127.0.0.1"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        until_s = time.monotonic() + LIMIT_S
        while True:
            try:
                self.client = socket.create_connection(("127.0.0.1", 6399))
                return
            except ConnectionRefusedError:
                assert time.monotonic() < until_s
                assert self.process.poll() is None

    def ask(self, words: bytes) -> bytes:
        self.client.sendall(words + b"\r\n")
        return self.client.recv(1 << 16)

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait()


def test_redis_is_attached_to_in_mid_connection_and_left_unharmed(tmp_path: Path) -> None:
    def work() -> None:
        with Redis(tmp_path) as redis:
            assert redis.ask(b"SET key " + b"v" * 101) == b"+OK\r\n"
            with Tracing(tmp_path, "-p", str(redis.process.pid)) as tracing:
                tracing.wait_for("recording process")
                assert tracer_of(redis.process.pid) != 0
                for _ in range(PIECES):
                    assert redis.ask(b"GET key").startswith(b"$101\r\n")
                code, stderr = tracing.end()
            assert code == 0, stderr
            assert tracer_of(redis.process.pid) == 0
            assert redis.ask(b"PING") == b"+PONG\r\n"
        _, tables = opened(tmp_path)
        assert moved(tables) == {"in": PIECES * 9, "out": PIECES * (6 + 101 + 2)}
        # All has its place; of the client's calls nobody knows.
        assert {item.reason for item in tables.unmatched} <= {"no call witness"}
        assert [item for item in tables.unmatched if item.call] == []
        assert len(tables.connections) == 1
        attached = [call for call in tables.calls if call.op == "attach"]
        assert len(attached) == 2  # the listener and the connection
        assert {call.actor.partition("/")[0] for call in tables.calls} == {"redis-server"}
        reads = [call for call in tables.calls if call.op == "read" and call.result]
        assert [call.start for call in reads] == [9 * n for n in range(PIECES)]

    in_private_network(work)


UNREAD = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server = listener.accept()[0]
client.sendall(b"x" * 1000)
assert len(server.recv(400)) == 400
print("ready", flush=True)
sys.stdin.readline()
client.sendall(b"y" * 100)
assert len(server.recv(700, socket.MSG_WAITALL)) == 700
print("done", flush=True)
sys.stdin.readline()
"""


def test_what_was_unread_at_the_attach_is_not_taken_for_what_came_after(tmp_path: Path) -> None:
    def work() -> None:
        program = subprocess.Popen(
            [PYTHON, "-c", UNREAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        with Tracing(tmp_path, "-p", str(program.pid)) as tracing:
            tracing.wait_for("recording process")
            program.stdin.write(b"go\n")
            program.stdin.flush()
            assert program.stdout.readline() == b"done\n"
            code, stderr = tracing.end()
        program.communicate(b"end\n")
        assert (code, program.returncode) == (0, 0), stderr
        _, tables = opened(tmp_path)
        queued = {call.inq_after_bytes for call in tables.calls if call.op == "attach"}
        assert queued == {None, 0, 600}
        (read,) = [call for call in tables.calls if is_inbound(call) and call.result]
        assert (read.start, read.stop, read.result) == (0, 100, 700)
        # The 600 bytes that were there before: of those no frame was captured.
        assert [(item.bytes, item.reason) for item in tables.unmatched if item.call] == [
            (600, "not captured: capture began late")
        ]

    in_private_network(work)


HEEDS = """
import signal, sys
count = 0
def heard(number, frame):
    global count
    count += 1
signal.signal(signal.SIGINT, heard)
print("ready", flush=True)
while not count:
    signal.sigtimedwait([], 0.05)
signal.sigtimedwait([], 0.5)
print("heard", count, flush=True)
sys.exit(5)
"""


def test_a_signal_to_netlab_is_the_programs_and_the_recording_is_finished(tmp_path: Path) -> None:
    def work() -> None:
        with Tracing(tmp_path, "--", PYTHON, "-c", HEEDS) as tracing:
            tracing.wait_for("ready", stdout=True)
            tracing.process.send_signal(signal.SIGINT)
            stdout, stderr = tracing.process.communicate(timeout=LIMIT_S)
        assert stdout.strip() == b"heard 1"
        assert tracing.process.returncode == 5, stderr
        opened(tmp_path)

    in_private_network(work)


def test_ctrl_c_at_the_terminal_reaches_the_program_once(tmp_path: Path) -> None:
    def work() -> None:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            netlab_arguments("trace", "-o", FILE, "--", PYTHON, "-c", HEEDS),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=lambda: _take_terminal(theirs),
        )
        os.close(theirs)
        said = b""
        while b"ready" not in said:
            assert select.select([ours], [], [], LIMIT_S)[0], said
            said += os.read(ours, 4096)
        os.write(ours, b"\x03")
        while b"packets and" not in said:
            assert select.select([ours], [], [], LIMIT_S)[0], said
            said += os.read(ours, 4096)
        assert process.wait(LIMIT_S) == 5
        os.close(ours)
        assert b"heard 1\r\n" in said
        opened(tmp_path)

    in_private_network(work)


def _take_terminal(descriptor: int) -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def test_a_program_that_is_killed_has_128_and_its_signal(tmp_path: Path) -> None:
    def work() -> None:
        done = trace(tmp_path, "--", "sh", "-c", "kill -KILL $$")
        assert done.returncode == 128 + signal.SIGKILL

    in_private_network(work)


def test_what_a_program_leaves_behind_is_recorded_until_ctrl_c_and_goes_on(tmp_path: Path) -> None:
    leaves = f"{PYTHON} -c 'import signal; signal.pause()' >log 2>&1 </dev/null & echo $!; exit 3"

    def work() -> None:
        with Tracing(tmp_path, "--", "sh", "-c", leaves) as tracing:
            assert tracing.process.stdout is not None
            left = int(tracing.process.stdout.readline())
            try:
                tracing.wait_for("sh has ended; a process that it started is still recorded")
                assert tracer_of(left) != 0
                code, stderr = tracing.end()
                assert tracer_of(left) == 0
            finally:
                os.kill(left, signal.SIGKILL)
        assert code == 3, stderr
        opened(tmp_path)

    in_private_network(work)


def test_a_killed_netlab_leaves_the_program_alone_and_its_calls_can_be_recovered(
    tmp_path: Path,
) -> None:
    code = f"import os, sys\n{CONVERSATION}\nprint(os.getpid(), flush=True)\n"
    code += "input()\nprint('went on', flush=True)"

    def work() -> None:
        process = subprocess.Popen(
            netlab_arguments("trace", "-o", FILE, "--", PYTHON, "-c", code),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
        until_s = time.monotonic() + LIMIT_S
        while tracer_of(pid):  # strace is told to go
            assert time.monotonic() < until_s
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"went on\n"
        assert process.stdout.read() == b""
        process.stdin.close()
        process.stdout.close()
        done = run_netlab(tmp_path, "recover", FILE)
        assert done.returncode == 0, done.stderr
        raw = read_raw(tmp_path / FILE)
        sent = [call.result for call in raw.calls if is_outbound(call) and call.inode]
        assert Counter(sent)[PIECE] == PIECES

    in_private_network(work)


@pytest.mark.slow
def test_at_its_limit_strace_leaves_the_process_and_that_is_said(tmp_path: Path) -> None:
    def work() -> None:
        with Redis(tmp_path) as redis:
            arguments = ("--spool-limit", "300", "-p", str(redis.process.pid))
            with Tracing(tmp_path, *arguments) as tracing:
                tracing.wait_for("recording process")
                redis.ask(b"PING")
                tracing.wait_for("spool limit reached: no further call is recorded")
                _, stderr = tracing.process.communicate(timeout=LIMIT_S)
            assert tracing.process.returncode == 0, stderr
            assert tracer_of(redis.process.pid) == 0
        raw = read_raw(tmp_path / FILE)
        assert [loss.reason for loss in raw.losses] == ["spool limit reached"]
        assert raw.description.form == "finished"

    in_private_network(work)


def test_a_killed_strace_leaves_the_program_alone_and_what_is_missing_is_said(
    tmp_path: Path,
) -> None:
    def work() -> None:
        with Redis(tmp_path) as redis:
            with Tracing(tmp_path, "-p", str(redis.process.pid)) as tracing:
                tracing.wait_for("recording process")
                redis.ask(b"PING")
                os.kill(tracer_of(redis.process.pid), signal.SIGKILL)
                _, stderr = tracing.process.communicate(timeout=LIMIT_S)
            assert tracing.process.returncode == 0
            assert b"strace was ended by SIGKILL: the calls after that are missing" in stderr
            assert redis.ask(b"PING") == b"+PONG\r\n"
        raw = read_raw(tmp_path / FILE)
        reasons = [loss.reason for loss in raw.losses if loss.witness == "strace"]
        assert "strace was ended by SIGKILL" in reasons
        # It may have been killed while it wrote.
        assert len(reasons) == 1 or any("the log ends within a line" in one for one in reasons)

    in_private_network(work)


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("netlab: ")
    return done.stderr


def test_without_the_right_to_capture_it_says_so_and_what_needs_none(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = trace(tmp_path, "--", "true", before=ORDINARY_USER)
    assert done.returncode == 3
    said = _one_line(done)
    assert "no right to capture packets here" in said
    assert "setcap cap_net_raw+ep" in said
    assert "netlab lab" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    for arguments, code, said in (
        ((), 2, "there is nothing to trace"),
        (("-p", "4194305"), 2, "there is no process 4194305"),
        (("--", "no-such-program"), 2, "there is no program no-such-program in PATH"),
        (("-p", "1", "--", "true"), 2, "there is both CMD and --pid"),
    ):
        done = trace(tmp_path, *arguments)
        assert done.returncode == code
        assert said in _one_line(done)
    assert list(tmp_path.iterdir()) == []


def test_without_strace(tmp_path: Path) -> None:
    done = trace(tmp_path, "--", PYTHON, "-c", "", env={"PATH": str(tmp_path)})
    assert done.returncode == 2
    assert "there is no strace here" in _one_line(done)


@pytest.mark.slow
def test_a_process_that_is_traced_already(tmp_path: Path) -> None:
    def work() -> None:
        with Redis(tmp_path) as redis, Tracing(tmp_path, "-p", str(redis.process.pid)) as first:
            first.wait_for("recording process")
            done = trace(tmp_path, "-p", str(redis.process.pid), "-o", "second.pcapng")
            assert done.returncode == 2
            assert "is traced already, by process" in _one_line(done)
            assert first.end()[0] == 0

    in_private_network(work)


@pytest.mark.slow
def test_a_process_that_ends_while_it_is_watched(tmp_path: Path) -> None:
    def work() -> None:
        with Redis(tmp_path) as redis:
            with Tracing(tmp_path, "-p", str(redis.process.pid)) as tracing:
                tracing.wait_for("recording process")
                redis.client.sendall(b"SHUTDOWN NOSAVE\r\n")
                _, stderr = tracing.process.communicate(timeout=LIMIT_S)
            assert tracing.process.returncode == 0, stderr
            _, tables = opened(tmp_path)
            assert "exit" in {call.op for call in tables.calls}

    in_private_network(work)


def test_another_users_process(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = trace(tmp_path, "-p", "1", before=CAPTURING_USER)
    assert done.returncode == 3
    assert "process 1 (" in _one_line(done)


@pytest.fixture
def sudo() -> Iterator[tuple[Path, list[str], dict[str, str]]]:
    """A folder of nobody's, and netlab as nobody called it by sudo: with Debian's Python and a copy
    that everyone may read."""
    folder = Path(tempfile.mkdtemp(prefix="netlab-sudo-"))
    try:
        folder.chmod(0o755)
        shutil.copytree(Path(netlab.__file__).parent, folder / "netlab")
        (folder / "out").mkdir()
        os.chown(folder / "out", 65534, 65534)
        program = (
            "import sys; sys.path[:0] = sys.argv[1:3]\n"
            "from netlab.commands.main import main\n"
            "main(sys.argv[3:])\n"
        )
        packages = sysconfig.get_paths()["purelib"]
        words = [PYTHON, "-I", "-c", program, f"{folder}", packages, "trace", "-o", FILE]
        called = {"SUDO_USER": "nobody", "SUDO_UID": "65534", "SUDO_GID": "65534"}
        yield folder / "out", words, {**os.environ, **called}
    finally:
        shutil.rmtree(folder)


@pytest.mark.root
def test_under_sudo_program_and_file_are_the_callers(
    sudo: tuple[Path, list[str], dict[str, str]],
) -> None:
    folder, words, env = sudo

    def work() -> None:
        code = f"import os; print(os.getresuid())\n{CONVERSATION}"
        done = subprocess.run(
            [*words, "--", PYTHON, "-c", code],
            cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == "(65534, 65534, 65534)\n"
        assert (folder / FILE).stat().st_uid == 65534
        all_is_matched(opened(folder)[1])

    in_private_network(work)


@pytest.mark.root
def test_a_python_that_was_given_the_right_to_capture_is_enough(
    sudo: tuple[Path, list[str], dict[str, str]],
) -> None:
    """What `setcap cap_net_raw+ep` does; the program that waits to be traced has no such right."""
    folder, words, _ = sudo
    granted = folder.parent / "python3"
    shutil.copy(PYTHON, granted)
    os.setxattr(granted, "security.capability", CAP_NET_RAW_EP)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

    def work() -> None:
        done = subprocess.run(
            [*nobody, f"{granted}", *words[1:], "--", PYTHON, "-c", CONVERSATION],
            cwd=folder, capture_output=True, text=True, timeout=LIMIT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        all_is_matched(opened(folder)[1])

    in_private_network(work)


@pytest.mark.root
def test_to_a_user_a_setuid_program_has_no_more_rights_and_that_is_said(
    sudo: tuple[Path, list[str], dict[str, str]],
) -> None:
    folder, words, _ = sudo
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    done = subprocess.run(
        [*nobody, *CAPTURING_USER, *words, "--", "passwd", "--help"],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert "/passwd is setuid: traced, it has no more rights" in done.stderr
    opened(folder)


@pytest.mark.root
def test_under_sudo_processes_of_others_can_be_attached_to(
    sudo: tuple[Path, list[str], dict[str, str]],
) -> None:
    folder, words, env = sudo

    def work() -> None:
        with Redis(folder) as redis:  # root's
            arguments = [*words, "-p", str(redis.process.pid)]
            with Tracing(folder, words=arguments, env=env) as tracing:
                tracing.wait_for("recording process")
                assert redis.ask(b"PING") == b"+PONG\r\n"
                owner = Path(f"/proc/{tracing.process.pid}").stat().st_uid
                code, stderr = tracing.end()
            assert code == 0, stderr
            assert owner == 65534
            assert tracer_of(redis.process.pid) == 0
            assert redis.ask(b"PING") == b"+PONG\r\n"
        _, tables = opened(folder)
        assert moved(tables) == {"in": 6, "out": 7}
        assert (folder / FILE).stat().st_uid == 65534

    in_private_network(work)


@pytest.mark.root
@pytest.mark.parametrize("witness", ["kernel", "both"])
def test_the_kernel_tells_the_calls_of_a_program(tmp_path: Path, witness: str) -> None:
    def work() -> None:
        with echoing():
            done = trace(tmp_path, "--witness", witness, "--", PYTHON, "-c", CONVERSATION)
        assert done.returncode == 0, done.stderr
        _, tables = opened(tmp_path)
        sent = PIECES * (PIECE + 3)
        assert moved(tables) == {"out": sent, "in": sent}
        all_is_matched(tables)
        assert len(tables.connections) == 1

    in_private_network(work)


@pytest.mark.root
def test_the_kernel_tells_the_calls_of_redis_that_runs_already(tmp_path: Path) -> None:
    def work() -> None:
        with Redis(tmp_path) as redis:
            redis.ask(b"PING")
            arguments = ("--witness", "kernel", "-p", str(redis.process.pid))
            with Tracing(tmp_path, *arguments) as tracing:
                tracing.wait_for("recording process")
                for _ in range(PIECES):
                    redis.ask(b"PING")
                code, stderr = tracing.end()
            assert code == 0, stderr
        _, tables = opened(tmp_path)
        assert moved(tables) == {"in": PIECES * 6, "out": PIECES * 7}
        assert [item for item in tables.unmatched if item.call] == []
        reads = [call for call in tables.calls if call.op == "read" and call.result]
        assert [call.start for call in reads] == [6 * n for n in range(PIECES)]

    in_private_network(work)
