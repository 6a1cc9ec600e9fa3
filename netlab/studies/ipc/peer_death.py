"""The peer is killed: which kinds of IPC tell, which call, and which say nothing for ever."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.queues import (
    posix_calls,
    posix_queue,
    sysv_calls,
    sysv_queue,
    tcp_pair,
)
from netlab.studies.sockets import trial
from netlab.studies.study import Expect, Params, Study, Topic

Call = Callable[[], object]
Ends = tuple[Call, Call, Call]  # the survivor's receive and send, and to close the other end


def lacks() -> str:
    """Python's own library has no message queues."""
    missing = [name for name in ("posix_ipc", "sysv_ipc") if not find_spec(name)]
    return f"the package {missing[0]}: pip install netlab[ipc]" if missing else ""


def client(probe: Probe, p: Params) -> Any:
    """For each kind: a child that has the other end is killed, then one receive, two sends."""
    with contextlib.ExitStack() as after:
        kinds = {
            "pipe": _pipes(probe),
            "stream": _unix(probe, socket.SOCK_STREAM),
            "seqpacket": _unix(probe, socket.SOCK_SEQPACKET),
            "datagram": _unix(probe, socket.SOCK_DGRAM),
            "tcp": _tcp(probe),
            "posix": _posix(after),
            "sysv": _sysv(after),
            "memory": _memory(after),
        }
        found = {name: _after_death(probe, *ends) for name, ends in kinds.items()}
        return found | {"signal": _signals(probe)}


def _after_death(probe: Probe, receive: Call, send: Call, close_other: Call) -> str:
    pid = _killed(probe)
    close_other()
    ended(pid)
    return ", ".join((_said(receive, "got"), _said(send), _said(send)))


def _killed(probe: Probe) -> int:
    """The pid of a child that is killed."""
    return forked(probe, "child", lambda: os.kill(os.getpid(), signal.SIGKILL))


def _said(call: Call, done: str = "sent") -> str:
    """What came of a call, in a word."""
    found = trial(call)
    return found["error"] or (done if found["value"] else "end")


def _signals(probe: Probe) -> str:
    """The pid is all that there is of the other end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    pid = _killed(probe)
    ended(pid)

    def receive() -> int:
        if signal.sigtimedwait({signal.SIGUSR1}, 0) is None:
            raise BlockingIOError(errno.EAGAIN, "no signal is pending")
        return 1

    def send() -> int:
        os.kill(pid, signal.SIGUSR1)
        return 1

    return ", ".join((_said(receive, "got"), _said(send), _said(send)))


def _memory(after: contextlib.ExitStack) -> Ends:
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    after.callback(memory.close)
    memory[0] = 1

    def write() -> int:
        memory[0] += 1
        return 1

    return lambda: memory[0], write, lambda: None


def _pipes(probe: Probe) -> Ends:
    (back, back_in), (there_out, there) = probe.pipe(), probe.pipe()

    def close_other() -> None:
        back_in.close()
        there_out.close()

    return lambda: back.read(10), lambda: there.write(b"n"), close_other


def _unix(probe: Probe, kind: int) -> Ends:
    ours, other = probe.socketpair(socket.AF_UNIX, kind)
    ours.setblocking(False)
    return lambda: ours.recv(10), lambda: ours.send(b"n"), other.close


def _tcp(probe: Probe) -> Ends:
    listener, ours, other = tcp_pair(probe)
    listener.close()
    ours.settimeout(20)
    return lambda: ours.recv(10), lambda: ours.send(b"n"), other.close


def _posix(after: contextlib.ExitStack) -> Ends:
    queue = posix_queue(100)
    after.callback(queue.close)
    send, receive = posix_calls(queue)
    return receive, lambda: send(b"n"), lambda: None


def _sysv(after: contextlib.ExitStack) -> Ends:
    queue = sysv_queue(100)
    after.callback(queue.remove)
    send, receive = sysv_calls(queue)
    return receive, lambda: send(b"n"), lambda: None


def _row(name: str, what: str, said: str, source: str) -> Expect:
    return Expect(what, Kind.WORD, lambda p: said, told(name), source)


def over_unix(evidence: Evidence) -> int | None:
    """The Unix socket: of the others there is less to see."""
    return next((c.connection for c in evidence.tables.connections if c.protocol == "unix"), None)


STUDY = Study(
    name="peer-death",
    topic=Topic.IPC,
    question="The process at the other end is killed. Who tells me, and at which call?",
    setup="For each kind of IPC a child holds the other end and is killed with SIGKILL. Then the "
    "survivor tries to receive once, and to send twice, without blocking (of shared memory: reads "
    "once and writes twice).",
    prediction="Who has a connection is told: the kernel closes what the dead process had open, "
    "and reading gives the end. Sending to a pipe or a Unix socket fails at once. TCP takes the "
    "first send, since a FIN only says that the peer will not send; the RST that comes back fails "
    "the second. A Unix datagram socket hears nothing, but its first send is refused. Queues and "
    "shared memory have no peer at all: they take every message, and nobody will ever read it. So "
    "servers lay a pipe beside them, whose end is the message. A signal is sent to a pid, and that "
    "is nobody's once the parent has waited; but the kernel gives it to another process in time.",
    client=client,
    connection=over_unix,
    lacks=lacks,
    expects=(
        _row("pipe", "pipe", "end, EPIPE, EPIPE", "man 7 pipe"),
        _row("stream", "Unix stream", "end, EPIPE, EPIPE", "man 7 unix; man 2 send, EPIPE"),
        _row("seqpacket", "Unix seqpacket", "end, EPIPE, EPIPE", "man 7 unix"),
        _row("tcp", "TCP on loopback", "end, sent, EPIPE",
             "RFC 9293 3.6.1: data that comes after CLOSE gets an RST"),
        _row("datagram", "Unix datagram", "EAGAIN, ECONNREFUSED, ENOTCONN",
             "unix_dgram_sendmsg() of Linux: a dead peer is refused and forgotten"),
        _row("posix", "POSIX queue", "EAGAIN, sent, sent", "man 7 mq_overview"),
        _row("sysv", "System V queue", "EAGAIN, sent, sent",
             "man 2 msgsnd (there an empty queue is ENOMSG)"),
        _row("memory", "shared memory", "got, sent, sent",
             "man 2 mmap: the page lives until the last process that has it ends"),
        _row("signal", "signal", "EAGAIN, ESRCH, ESRCH",
             "man 2 kill, ESRCH: once its parent has waited for it, the pid is nobody's"),
    ),
    next="`netlab study write-after-close`: the RST between two machines.",
)  # fmt: skip
