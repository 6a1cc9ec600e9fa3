"""The kernel witness on real programs: their calls, what the network did, what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from family import until

from netlab.capture.kernel import witness
from netlab.capture.kernel.instance import Instance, remove_abandoned
from netlab.capture.kernel.tracefs import Tracefs
from netlab.capture.kernel.witness import Harvest, KernelWitness
from netlab.capture.strace.asked import strace_options
from netlab.capture.strace.reader import StraceReader
from netlab.model.call import CallRecord
from netlab.model.errors import PrivilegeError, UsageError

pytestmark = pytest.mark.root

TALK = Path(__file__).with_name("straced_talk.py")
PYTHON = ["/usr/bin/python3", "-I", "-S"]
GATE = "import os, sys; sys.stdin.readline(); os.execvp(sys.argv[1], sys.argv[1:])"


def watched(command: Sequence[str], *, buffer_kb: int = 1024) -> tuple[Harvest, int]:
    """What the witness says of a program, and the program's pid."""
    with KernelWitness.open(buffer_kb=buffer_kb) as watching:
        gated = [sys.executable, "-c", GATE, *command]
        with subprocess.Popen(gated, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
            assert child.stdin is not None
            watching.follow(child.pid, host="lab", actor="prog")
            child.communicate(b"\n", timeout=60)
        return watching.finish(), child.pid


def instances() -> list[str]:
    with Tracefs.open() as tracefs:
        return [one.name for one in (tracefs.path / "instances").iterdir()]


def told(calls: Sequence[CallRecord]) -> list[str]:
    """Each call in its words: `sendto(3) = 23`."""
    return [
        f"{call.op}({call.fd if call.fd is not None else ''}) = {call.errno or call.result}"
        for call in sorted(calls, key=lambda one: (one.entered_ns, one.order))
        if call.op != "epoll_create1"  # of the interpreter, to see whether there is one
    ]


CONVERSATION = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
for _ in range(23):
    client.sendall(b"x" * 4093)
    server.recv(4093, socket.MSG_WAITALL)
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
server.setblocking(False)
try:
    server.recv(1)
except BlockingIOError:
    pass
client.shutdown(socket.SHUT_WR)
client.close(); server.close(); listener.close()
"""


def test_a_conversation_is_told_call_by_call() -> None:
    seen, pid = watched([*PYTHON, "-c", CONVERSATION])
    assert {call.pid for call in seen.calls} == {pid}
    assert {call.actor for call in seen.calls} == {"prog"}
    assert seen.losses == []
    exchange = ["sendto(4) = 4093", "recvfrom(5) = 4093"]
    assert told(seen.calls) == [
        "socket(3) = 3", "setsockopt(3) = 0", "bind(3) = 0", "listen(3) = 0",
        "socket(4) = 4", "connect(4) = 0", "accept4(3) = 5", *exchange * 23,
        "setsockopt(4) = 0", "recvfrom(5) = EAGAIN", "shutdown(4) = 0",
        "close(4) = 0", "close(5) = 0", "close(3) = 0", "exit() = None",
    ]  # fmt: skip
    sends = [call for call in seen.calls if call.op == "sendto"]
    reads = [call for call in seen.calls if call.op == "recvfrom"]
    assert {(call.requested_bytes, call.flags) for call in reads[:23]} == {(4093, 0x100)}
    (ends,) = {(call.local, call.peer) for call in sends}
    assert {(call.peer, call.local) for call in reads} == {ends}
    assert all(call.returned_ns and call.returned_ns > call.entered_ns for call in sends + reads)


def test_the_network_tells_its_states_and_what_each_segment_met() -> None:
    seen, _ = watched([*PYTHON, "-c", CONVERSATION])
    (local,) = {call.local for call in seen.calls if call.op == "sendto"}
    mine = [event for event in seen.events if event.local == local]
    states = [event.state for event in mine if event.state != event.old_state and event.old_state]
    assert states == ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSED"]
    probes = [event for event in mine if event.what == "tcp_probe"]
    assert probes
    assert all(probe.snd_cwnd and probe.snd_cwnd >= 10 for probe in probes)
    assert all(probe.srtt_ns is None or 0 < probe.srtt_ns < 10**9 for probe in probes)
    (inode,) = {call.inode for call in seen.calls if call.op == "sendto"}
    assert {probe.inode for probe in probes} == {inode}


def test_a_refused_connection_is_a_reset_and_a_drop() -> None:
    program = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    seen, _ = watched([*PYTHON, "-c", program])
    (connect,) = [call for call in seen.calls if call.op == "connect"]
    assert (connect.errno, connect.address) == ("ECONNREFUSED", "127.0.0.1:9")
    said = [
        (event.what, event.local == connect.local, event.reason)
        for event in seen.events
        if event.what != "inet_sock_set_state"
    ]
    assert said == [
        ("tcp_send_reset", False, "NO_SOCKET"),
        ("kfree_skb", False, "NO_SOCKET"),
        ("tcp_receive_reset", True, None),
    ]


def sequences(calls: Sequence[CallRecord], skip: Callable[[CallRecord], bool]) -> object:
    """Of each thread: what it called, on which descriptor, with which result."""
    found = defaultdict(list)
    for call in sorted(calls, key=lambda one: (one.entered_ns, one.order)):
        if not skip(call):
            found[call.tid].append((call.op, call.fd, call.result, call.errno))
    return dict(found)


def test_strace_and_kernel_see_the_same_calls_in_the_same_order(tmp_path: Path) -> None:
    log = tmp_path / "log.strace"
    command = ["strace", *strace_options(), "-o", str(log), "--", *PYTHON, str(TALK)]
    seen, tracer = watched(command)
    reader = StraceReader("lab", "prog")
    reader.feed(log.read_bytes())
    reader.finish()
    assert reader.faults == []
    assert seen.losses == []
    # The descriptors of a socketpair stand behind a pointer, so neither its call nor the execve
    # that closes them unused is the kernel witness's; and strace itself is in the kernel's view.
    pair = {one for c in reader.calls if c.op == "socketpair" for one in (c.inode, c.new_inode)}

    def unknown(call: CallRecord) -> bool:
        return call.op == "socketpair" or (call.op == "execve" and call.inode in pair)

    by_kernel = sequences(seen.calls, lambda call: call.pid == tracer)
    assert by_kernel == sequences(reader.calls, unknown)
    # An exit has its time from exit_group there, from the last sign of life here.
    times = {(c.tid, c.order): c for c in seen.calls if c.pid != tracer}
    assert len(times) > 50


THREADS = """
import os, socket, threading
def work(n):
    for _ in range(29):
        a = socket.socket(); b = os.dup(a.fileno()); a.close(); os.close(b)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def test_threads_that_share_descriptors_keep_theirs_apart() -> None:
    seen, pid = watched([*PYTHON, "-c", THREADS])
    made = [call for call in seen.calls if call.op == "socket"]
    assert len(made) == 4 * 29
    assert len({call.tid for call in made}) == 4
    assert {call.pid for call in made} == {pid}
    uses = defaultdict(list)
    for call in sorted(seen.calls, key=lambda one: one.entered_ns):
        if call.inode is not None:
            uses[call.inode].append(call.op)
    assert sorted(uses.values()) == [["socket", "fcntl", "close", "close"]] * (4 * 29)


ATTACHED = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
print(client.fileno(), os.fstat(client.fileno()).st_ino, *client.getsockname(), flush=True)
sys.stdin.readline()
client.send(b"x" * 23)
server.recv(100)
"""


def test_a_program_that_runs_already_keeps_its_sockets_numbers() -> None:
    with KernelWitness.open(buffer_kb=512) as watching:
        command = [*PYTHON, "-c", ATTACHED]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            fd, inode, host, port = child.stdout.readline().split()
            watching.follow(child.pid, host="lab", actor="prog")
            child.communicate("\n", timeout=60)
        seen = watching.finish()
    (send,) = [call for call in seen.calls if call.op == "sendto"]
    assert (send.fd, send.inode, send.local) == (int(fd), int(inode), f"{host}:{port}")
    assert (send.family, send.kind, send.result) == ("AF_INET", "SOCK_STREAM", 23)
    mine = [event for event in seen.events if event.local == send.local]
    assert {event.what for event in mine} >= {"tcp_probe"}


RECEIVES = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
sock.settimeout(0)
while sys.stdin.readline():
    try:
        sock.recv(1)
    except BlockingIOError:
        pass
    print(*sock.getsockname(), flush=True)
"""


def test_a_datagram_socket_that_only_receives_is_looked_at() -> None:
    with KernelWitness.open(buffer_kb=512) as watching:
        command = [*PYTHON, "-c", RECEIVES]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdin is not None
            watching.follow(child.pid, host="lab", actor="prog")
            found: list[CallRecord] = []

            def knows() -> bool:
                assert child.stdin is not None
                assert child.stdout is not None
                child.stdin.write("\n")
                child.stdin.flush()
                said.append(":".join(child.stdout.readline().split()))
                found.extend(watching.poll().calls)
                return any(call.local for call in found)

            said: list[str] = []
            until(knows, "the address of the socket")
            child.stdin.close()
            child.wait()
    known = {call.local for call in found if call.op == "recvfrom"}
    assert known == {said[0]}  # also of the first, which waited for the look


def test_a_process_that_is_gone_is_named_in_one_line() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    with (
        KernelWitness.open(buffer_kb=64) as watching,
        pytest.raises(UsageError, match="no process"),
    ):
        watching.follow(child.pid, host="lab", actor="prog")


def test_what_a_small_buffer_loses_is_counted() -> None:
    program = CONVERSATION.replace("range(23)", "range(2003)")
    with KernelWitness.open(buffer_kb=4) as watching:
        gated = [sys.executable, "-c", GATE, *PYTHON, "-c", program]
        with subprocess.Popen(gated, stdin=subprocess.PIPE) as child:
            watching.follow(child.pid, host="lab", actor="prog")
            child.communicate(b"\n", timeout=60)
        lost = watching.lost()
        seen = watching.finish()
    assert lost > 1000
    counted = [loss.count for loss in seen.losses if loss.reason == "trace buffer full"]
    known = sum(filter(None, counted))
    # A page that is full to its last byte has no room for the number.
    assert known <= lost if None in counted else known == lost
    assert known > 0
    assert {loss.witness for loss in seen.losses} == {"kernel"}


def test_what_this_kernel_lacks_is_named_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking = ("tcp/tcp_probe_of_the_future", "sock/inet_sock_set_state")
    monkeypatch.setattr(witness, "NETWORK", lacking)
    with KernelWitness.open(buffer_kb=64) as opened:
        assert opened.missing == lacking[:1]


def test_nothing_is_left_after_a_kill() -> None:
    program = """
import os, signal
from netlab.capture.kernel.witness import KernelWitness
with KernelWitness.open(buffer_kb=64):
    print(os.getpid(), flush=True)
    signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        mine = [name for name in instances() if name.startswith(f"netlab-{child.pid}-")]
        assert len(mine) == 2
        child.send_signal(signal.SIGKILL)
        child.wait()
    until(lambda: not set(mine) & set(instances()), "the guardian has removed them")


def test_the_next_one_removes_what_a_dead_one_left() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        tracefs = Tracefs.open()
        os.write(write, Instance.make(tracefs, "left", buffer_kb=64).path.name.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    name = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert name in instances()
    with Tracefs.open() as tracefs:
        assert name in remove_abandoned(tracefs)
    assert name not in instances()


def test_the_machines_own_trace_is_left_alone() -> None:
    names = ("tracing_on", "current_tracer", "trace_clock", "set_event", "set_event_pid",
             "buffer_size_kb")  # fmt: skip
    with Tracefs.open() as tracefs:
        before = [tracefs.read(name) for name in names]
        with KernelWitness.open(buffer_kb=64):
            during = [tracefs.read(name) for name in names]
        assert [tracefs.read(name) for name in names] == before == during


def test_without_the_right_there_is_one_clear_line() -> None:
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setresgid(1000, 1000, 1000)
            os.setresuid(1000, 1000, 1000)
            KernelWitness.open()
        except PrivilegeError as error:
            line = str(error)
            code = 3 if "tracefs" in line and "--witness strace" in line else 71
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
