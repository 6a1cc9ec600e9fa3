"""Which processes may be traced, and what they hold: /proc as it may read, and this process."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from netlab.lab import itself
from netlab.lab.tracing import tracees
from netlab.model.errors import NetlabError, PrivilegeError, UsageError

STATUS = """Name:\t{name}
State:\t{state}
Tgid:\t{tgid}
Pid:\t{pid}
TracerPid:\t{tracer}
Uid:\t{uids}
"""


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tracees, "_PROC", tmp_path)
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "net").symlink_to("net:[1]")
    return tmp_path


def process(
    proc: Path, pid: int, *, name: str = "redis-server", state: str = "S (sleeping)",
    tgid: int | None = None, tracer: int = 0, uids: str = "", flags: int = 0x400000,
    net: str = "net:[1]",
) -> None:  # fmt: skip
    folder = proc / f"{pid}"
    (folder / "ns").mkdir(parents=True)
    me = os.geteuid()
    uids = uids or f"{me}\t{me}\t{me}\t{me}"
    text = STATUS.format(
        name=name, state=state, tgid=tgid or pid, pid=pid, tracer=tracer, uids=uids
    )
    (folder / "status").write_text(text)
    (folder / "stat").write_text(f"{pid} ({name}) S 1 1 1 0 -1 {flags} 0 0")
    (folder / "ns" / "net").symlink_to(net)


def refusal(pid: int) -> NetlabError:
    with pytest.raises(NetlabError) as refused:
        tracees.check(pid)
    assert "\n" not in str(refused.value)
    return refused.value


def test_one_of_ours_may_be_traced(proc: Path) -> None:
    process(proc, 7, name="a) S (b")
    tracees.check(7)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"flags": 0x200000 | 0x40}, "7 (redis-server) is a kernel thread"),
        ({"state": "Z (zombie)"}, "process 7 (redis-server) has ended"),
        ({"tgid": 6}, "7 is a thread of process 6"),
        ({"tracer": 9}, "process 7 (redis-server) is traced already, by process 9"),
        ({"net": "net:[2]"}, "process 7 (redis-server) is in another network namespace"),
    ],
)
def test_others_are_refused_with_the_reason(proc: Path, how: dict[str, int], said: str) -> None:
    process(proc, 7, **how)  # type: ignore[arg-type]
    found = refusal(7)
    assert isinstance(found, UsageError)
    assert found.message == said
    assert found.hint


def test_one_that_is_gone(proc: Path) -> None:
    assert refusal(8).message == "there is no process 8"


def test_this_process_itself(proc: Path) -> None:
    process(proc, os.getpid())
    assert "this netlab itself" in refusal(os.getpid()).message


def test_another_users_process_is_roots_to_trace(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    process(proc, 7, uids="0\t0\t0\t0")
    found = refusal(7)
    assert isinstance(found, PrivilegeError)
    assert found.message == "process 7 (redis-server) belongs to root"
    assert found.hint == itself.as_root("trace -p 7")


def test_open_sockets_are_listed_with_their_ends_and_queues() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("::", 0))
        client.sendall(b"x" * 101)
        accepted.recv(1, socket.MSG_PEEK)
        os.set_inheritable(client.fileno(), True)
        found = {one.fd: one for one in tracees.open_sockets([os.getpid()])}
        port = listener.getsockname()[1]
        here = f"127.0.0.1:{client.getsockname()[1]}"
        listens = found[listener.fileno()]
        assert (listens.local, listens.peer, listens.listens) == (f"127.0.0.1:{port}", None, True)
        assert (listens.inq_bytes, listens.outq_bytes) == (None, None)
        read = found[accepted.fileno()]
        assert (read.local, read.peer) == (f"127.0.0.1:{port}", here)
        assert (read.inq_bytes, read.outq_bytes) == (101, 0)
        assert read.closes_on_exec
        assert not found[client.fileno()].closes_on_exec
        assert found[client.fileno()].inode == os.fstat(client.fileno()).st_ino
        bound = found[datagrams.fileno()]
        assert (bound.family, bound.kind) == ("AF_INET6", "SOCK_DGRAM")
        assert bound.local == f"[::]:{datagrams.getsockname()[1]}"
        assert bound.inq_bytes is None


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert tracees.open_sockets([4194305]) == []
    assert tracees.name_of(4194305) == ""
    assert not tracees.is_attached(4194305, 1)
