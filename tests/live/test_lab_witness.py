"""strace watches the programs of a lab: what it saw, and what becomes of them when it cannot."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_process import ORDINARY_USER, complaint, mark_of, processes_marked, run_netlab
from test_lab_failures import FETCH, SERVE, RunningLab

from netlab.capture.files import read_raw
from netlab.correlate.ledger import ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.explain.analysis import analyse
from netlab.lab.experiment import Lab
from netlab.model.call import CallRecord
from netlab.model.recording import RawRecording
from netlab.model.tables import Role

WHO = pytest.mark.parametrize("who", [(), ORDINARY_USER], ids=["as we are", "ordinary user"])
PAGE_BYTES = 94_139
PYTHON = shlex.quote(sys.executable)
# Answers once a child has spoken for it: accepted here, read and written there, by dup'ed numbers.
FORKING = """
import os, socket, sys
listener = socket.create_server(("", 80))
for _ in range(3):
    sock, _ = listener.accept()
    if os.fork() == 0:
        other = os.dup(sock.fileno())
        sock.close()
        os.write(other, os.read(other, 97) * 41)
        os._exit(0)
    sock.close()
    os.wait()
"""
ASK = """
import socket
for _ in range(3):
    with socket.create_connection(("server", 80)) as sock:
        sock.sendall(b"x" * 97)
        print(sum(map(len, iter(lambda: sock.recv(1000), b""))))
"""
# PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP: ptrace fails with EPERM for all that are executed here.
NO_PTRACE = """
import ctypes, os, struct, sys
number = {"x86_64": 101, "aarch64": 117, "riscv64": 117}[os.uname().machine]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = b"".join(struct.pack("=HBBI", *one) for one in code)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, program)), 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page").write_bytes(os.urandom(PAGE_BYTES))
    return tmp_path


def recorded(path: Path) -> RawRecording:
    raw = read_raw(path)
    assert raw.description.form == "finished"
    assert (raw.faults, raw.losses) == ([], [])
    return raw


def seen(raw: RawRecording, actor: str = "") -> list[CallRecord]:
    return [c for c in raw.calls if c.witness == "strace" and c.actor.startswith(actor)]


@WHO
def test_calls_of_server_and_client_are_mapped_to_the_byte(
    folder: Path, who: tuple[str, ...]
) -> None:
    done = run_netlab(
        folder, "lab", "--server", SERVE, "--client", "curl -s -o got http://server/page",
        "--wire", "delay 5ms; drop s>c data 3", "-o", "a.pcapng", before=who,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "got").read_bytes() == (folder / "page").read_bytes()
    raw = recorded(folder / "a.pcapng")
    tables = analyse(raw)
    assert ledger_mismatches(tables) == []
    (tcp,) = [c for c in tables.connections if c.protocol == "tcp"]
    assert [gap for gap in tables.unmatched if gap.connection == tcp.connection] == []
    moved: dict[str, int] = {"client": 0, "server": 0}
    for call in tables.calls:
        if call.connection == tcp.connection and call.start is not None and call.stop is not None:
            moved[call.host] += call.stop - call.start
    assert moved["client"] == moved["server"] == tcp.client_bytes + tcp.server_bytes
    assert tcp.server_bytes > PAGE_BYTES
    spans = [s for s in tables.spans if s.role == Role.CARRIED and s.direction == "s>c"]
    assert sum(s.stop - s.start for s in spans) == tcp.server_bytes
    (words,) = [words for words in raw.description.witnesses if "strace" in words]
    assert re.search(
        r"strace \d+\.\d+ \(-f -yy .*\), attached to each command: .* ms longer", words
    )


@pytest.mark.parametrize("witness", ["auto", "strace"])
def test_pids_are_those_of_the_machine(tmp_path: Path, witness: str) -> None:
    with Lab(path=tmp_path / "a.pcapng", witness=witness) as lab:
        server = lab.start("server", [sys.executable, "-c", FORKING])
        lab.wait_listening("server")
        client = lab.run("client", [sys.executable, "-c", ASK])
        lab.wait(server)
        assert client.stdout == b"3977\n" * 3, client.stderr
    raw = recorded(tmp_path / "a.pcapng")
    assert {call.pid for call in seen(raw, "client")} == {client.pid}
    accepts = [call for call in seen(raw, "server") if call.op == "accept4"]
    assert {call.pid for call in accepts} == {server.pid}
    writers = {call.pid for call in seen(raw, "server") if call.op == "write"}
    assert len(writers) == 3
    assert server.pid not in writers
    assert {(item.parent_pid, item.pid) for item in raw.inheritances} >= {
        (server.pid, writer) for writer in writers
    }
    tables = analyse(raw)
    assert ledger_mismatches(tables) == []
    tcp = {c.connection for c in tables.connections if c.protocol == "tcp"}
    assert len(tcp) == 3
    assert [gap for gap in tables.unmatched if gap.connection in tcp] == []


# Two processes fork at once, again and again, children that live as short as they can; each child
# writes its number and its parent's, as the machine has them, to a socket that it inherited.
HASTY = """
import os, socket
proc = int(os.environ["NETLAB_PROC_FD"])
me = lambda: os.readlink("self", dir_fd=proc)
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
parents = []
for _ in range(2):
    if (parent := os.fork()) == 0:
        mine = me()
        for _ in range(CHILDREN):
            if os.fork() == 0:
                theirs.send(f"{mine} {me()}".encode())
                os._exit(0)
            os.wait()
        os._exit(0)
    parents.append(parent)
for _ in range(2 * CHILDREN):
    print(ours.recv(100).decode(), flush=True)
for _ in parents:
    os.wait()
"""


def test_children_of_two_parents_at_once_are_told_apart(tmp_path: Path) -> None:
    with Lab(path=tmp_path / "a.pcapng") as lab:
        script = HASTY.replace("CHILDREN", "61")
        program = lab.run("client", [sys.executable, "-c", script])
        assert program.status == 0, program.stderr
    raw = recorded(tmp_path / "a.pcapng")
    told = {tuple(map(int, line.split())) for line in program.stdout.decode().splitlines()}
    assert len(told) == 122
    assert {call.pid for call in seen(raw) if call.op == "sendto"} == {pid for _, pid in told}
    assert {(item.parent_pid, item.pid) for item in raw.inheritances} >= told


def test_none_watches_nobody(folder: Path) -> None:
    done = run_netlab(
        folder, "lab", "--server", SERVE, "--client", FETCH, "-o", "a.pcapng", "--witness", "none",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    raw = recorded(folder / "a.pcapng")
    assert raw.calls == []
    assert not any("strace" in words for words in raw.description.witnesses)


@pytest.mark.parametrize("who", [(), ORDINARY_USER], ids=["as we are", "ordinary user"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("sh -c 'exit 7'", 7),
        ("sh -c 'kill -TERM $$'", 143),
        ("sh -c 'kill -9 $$'", 137),
        ("sh -c 'kill -SEGV $$'", 139),
    ],
)
def test_an_end_is_the_programs_own(
    tmp_path: Path, command: str, code: int, who: tuple[str, ...]
) -> None:
    done = run_netlab(tmp_path, "lab", "--client", command, "-o", "a.pcapng", "--quiet", before=who)
    assert (done.returncode, done.stderr) == (code, "")


def test_signals_and_the_session_are_the_programs_own(tmp_path: Path) -> None:
    script = (
        "trap 'echo told; exit 5' TERM; cut -d' ' -f5-6 /proc/$$/stat; echo $$; "
        "while :; do sleep .1; done"
    )
    with Lab(path=tmp_path / "a.pcapng") as lab:
        program = lab.start("client", ["sh", "-c", script])
        assert lab.wait_until(lambda: program.stdout.count(b"\n") == 2)
        lab.signal(program, signal.SIGTERM)
        lab.wait(program)
    group, session, pid, told = program.stdout.split()
    assert group == session == pid
    assert (told, program.status) == (b"told", 5)


def test_a_setuid_program_gets_no_rights_and_that_is_said(tmp_path: Path) -> None:
    program = tmp_path / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    done = run_netlab(
        tmp_path, "lab", "--client", "./id -u", "-o", "a.pcapng", before=ORDINARY_USER
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "1000\n")
    said = "./id is set-uid or set-gid: in a lab it gets no more rights by that"
    assert [line for line in done.stderr.splitlines() if "set-uid" in line] == [
        f"netlab: note: {said}"
    ]
    assert said in recorded(tmp_path / "a.pcapng").description.notes


# Where there is none.


@pytest.fixture
def no_strace() -> Iterator[str]:
    """A PATH with all that there is but strace."""
    with tempfile.TemporaryDirectory() as name:
        for place in ("/usr/bin", "/bin"):
            for file in Path(place).iterdir():
                link = Path(name, file.name)
                if file.name != "strace" and not link.exists():
                    link.symlink_to(file)
        yield f"PATH={name}"


def test_strace_is_not_there(tmp_path: Path, no_strace: str) -> None:
    before = ("env", no_strace)
    done = run_netlab(tmp_path, "lab", "--client", "true", "-o", "a.pcapng", before=before)
    assert done.returncode == 0
    (note,) = [line for line in done.stderr.splitlines() if "strace" in line]
    assert note == (
        "netlab: note: there is no strace here, which shows the calls of programs, so packets "
        "alone are recorded: install it (apt install strace), or record packets alone with "
        "--witness none"
    )
    assert read_raw(tmp_path / "a.pcapng").calls == []


def test_strace_was_asked_for_and_is_not_there(tmp_path: Path, no_strace: str) -> None:
    done = run_netlab(
        tmp_path, "lab", "--client", "true", "-o", "a.pcapng", "--witness", "strace",
        before=("env", no_strace),
    )  # fmt: skip
    assert done.returncode == 2
    assert complaint(done).startswith("netlab: there is no strace here")
    assert list(tmp_path.iterdir()) == []


def test_ptrace_is_refused(folder: Path) -> None:
    before = (*ORDINARY_USER, sys.executable, "-c", NO_PTRACE)
    done = run_netlab(
        folder, "lab", "--server", SERVE, "--client", "curl -s -o got http://server/page",
        "-o", "a.pcapng", "--quiet", before=before,
    )  # fmt: skip
    assert done.returncode == 0
    assert complaint(done) == (
        "netlab: not all was recorded: strace: some calls of server lost, strace did not attach "
        "(ptrace: Operation not permitted); strace: some calls of client lost, strace did not "
        "attach (ptrace: Operation not permitted)\n"
    )
    assert (folder / "got").read_bytes() == (folder / "page").read_bytes()
    raw = read_raw(folder / "a.pcapng")
    assert [(loss.witness, loss.actor) for loss in raw.losses] == [
        ("strace", "server"), ("strace", "client"),
    ]  # fmt: skip
    assert len(raw.frames) > 10


def test_ptrace_is_refused_where_strace_was_asked_for(tmp_path: Path) -> None:
    before = (*ORDINARY_USER, sys.executable, "-c", NO_PTRACE)
    done = run_netlab(
        tmp_path, "lab", "--client", "sleep 99", "-o", "a.pcapng", "--witness", "strace",
        before=before,
    )  # fmt: skip
    assert done.returncode == 3
    assert complaint(done).startswith(
        "netlab: the calls of the client cannot be recorded: strace did not attach (ptrace: "
        "Operation not permitted): "
    )
    assert list(tmp_path.iterdir()) == []


# When it, or what it depends on, is killed.


def tracers(folder: Path) -> dict[int, int]:
    """The straces of this lab, by the pid that each was attached to."""
    found = {}
    for pid in processes_marked(folder):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"strace":
            found[int(words[-2])] = pid
    return found


def test_strace_is_killed_and_its_program_goes_on(tmp_path: Path) -> None:
    os.environ["NETLAB_TEST_MARK"] = mark_of(tmp_path)
    try:
        with Lab(path=tmp_path / "a.pcapng", wire="delay 1ms") as lab:
            server = lab.start("server", [sys.executable, "-c", FORKING.replace("(3)", "(6)")])
            lab.wait_listening("server")
            assert lab.run("client", [sys.executable, "-c", ASK]).stdout == b"3977\n" * 3
            assert server.pid is not None
            os.kill(tracers(tmp_path)[server.pid], signal.SIGKILL)
            assert lab.run("client", [sys.executable, "-c", ASK]).stdout == b"3977\n" * 3
            lab.wait(server)
            assert server.status == 0
    finally:
        del os.environ["NETLAB_TEST_MARK"]
    raw = lab.recording.raw
    (loss,) = raw.losses
    assert (loss.witness, loss.actor, loss.count) == ("strace", "server", None)
    assert loss.reason == "strace was ended by SIGKILL"
    (inside,) = [c for c in seen(raw, "server") if c.returned_ns is None and c.op != "exit"]
    assert (inside.op, inside.pid) == ("accept4", server.pid)
    assert len([c for c in seen(raw, "server") if c.op == "write"]) == 3  # of six
    assert len([c for c in seen(raw, "client") if c.op == "sendto"]) == 6
    tables = lab.recording.tables
    assert ledger_mismatches(tables) == []


# A worker that answers on one connection until its client closes.
SERVING = """
import os, socket
listener = socket.create_server(("", 80))
sock, _ = listener.accept()
if os.fork() == 0:
    while data := os.read(sock.fileno(), 97):
        os.write(sock.fileno(), data * 3)
    os._exit(0)
sock.close()
os.wait()
"""
ASKING_TWICE = """
import signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
with socket.create_connection(("server", 80)) as sock:
    for _ in range(2):
        sock.sendall(b"x" * 97)
        print(len(sock.recv(291, socket.MSG_WAITALL)), flush=True)
        signal.sigwait({signal.SIGUSR1})
"""


def test_strace_is_killed_in_the_middle_of_a_connection(tmp_path: Path) -> None:
    """What a worker did afterwards is not known, and nobody says that it did nothing."""
    os.environ["NETLAB_TEST_MARK"] = mark_of(tmp_path)
    try:
        with Lab(path=tmp_path / "a.pcapng", wire="delay 1ms") as lab:
            server = lab.start("server", [sys.executable, "-c", SERVING])
            lab.wait_listening("server")
            client = lab.start("client", [sys.executable, "-c", ASKING_TWICE])
            assert lab.wait_until(lambda: client.stdout == b"291\n")
            assert server.pid is not None
            os.kill(tracers(tmp_path)[server.pid], signal.SIGKILL)
            lab.signal(client, signal.SIGUSR1)
            assert lab.wait_until(lambda: client.stdout == b"291\n" * 2)
            lab.signal(client, signal.SIGUSR1)
            lab.wait(client, server)
            assert (client.status, server.status) == (0, 0)
    finally:
        del os.environ["NETLAB_TEST_MARK"]
    tables = lab.recording.tables
    assert ledger_mismatches(tables) == []
    (tcp,) = [c.connection for c in tables.connections if c.protocol == "tcp"]
    gaps = [gap for gap in tables.unmatched if gap.connection == tcp]
    assert {(gap.start, gap.stop, gap.reason) for gap in gaps} == {
        (97, 194, Reason.LIMIT), (291, 582, Reason.LIMIT),
    }  # fmt: skip


def test_netlab_is_killed_and_the_log_is_recovered(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path, before=ORDINARY_USER)
    os.kill(lab.named["netlab"], signal.SIGKILL)
    assert lab.end()[0] == -signal.SIGKILL
    logs = sorted(p.name for p in (tmp_path / "a.pcapng.spools").glob("*.strace"))
    assert logs == ["client+client.strace", "server+server.strace"]
    live = len(read_raw(tmp_path / "a.pcapng").calls)
    done = run_netlab(tmp_path, "recover", "a.pcapng")
    assert done.returncode == 0, done.stderr
    raw = read_raw(tmp_path / "a.pcapng")
    assert len(raw.calls) >= live
    assert any(call.op == "accept4" for call in seen(raw, "server"))
    assert any(call.op == "connect" for call in seen(raw, "client"))
    # One log, read by the recorder and again now: nothing stands twice.
    keys = [(call.pid, call.tid, call.order, call.entered_ns) for call in raw.calls]
    assert len(set(keys)) == len(keys)


def test_the_keeper_is_killed(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path)
    keeper = sorted(lab.pids("netlab.lab.helper"))[1]
    os.kill(keeper, signal.SIGKILL)
    assert lab.end() == (1, "netlab: the lab's helper died: what was recorded is in a.pcapng\n")
    raw = read_raw(tmp_path / "a.pcapng")
    assert raw.description.form == "finished"
    assert seen(raw, "client")


def test_a_limit_on_the_log(tmp_path: Path) -> None:
    """Beyond it strace leaves the program, which goes on."""
    loop = (
        "import os, socket\na, b = socket.socketpair()\n"
        "for _ in range(9973): a.send(b'x'); b.recv(1)"
    )
    with Lab(path=tmp_path / "a.pcapng", spool_limit_bytes=1 << 18) as lab:
        program = lab.run("client", [sys.executable, "-c", loop])
        assert program.status == 0, program.stderr
    (loss,) = [loss for loss in lab.recording.raw.losses if loss.witness == "strace"]
    assert (loss.reason, loss.actor) == ("spool limit", "client")
    sends = len([c for c in seen(lab.recording.raw) if c.op == "sendto"])
    assert 100 < sends < 9973
