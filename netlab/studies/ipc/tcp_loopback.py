"""TCP on one machine: are there packets, if there is no wire?"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.sockets import listening, read_exactly
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic

SIZE = 100
HANDSHAKE, GOODBYE = 3, 3
QUICK_ACKS = 2  # one of each end may answer the first bytes at once


def client(probe: Probe, p: Params) -> Any:
    """Asks a child so many times, over TCP on loopback and over a Unix socket."""
    found = {}
    before = packets()
    listener = listening(probe)

    def over_tcp() -> None:
        sock, _ = listener.accept()
        _answer(sock, p)

    pid = forked(probe, "child", over_tcp)
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("127.0.0.1", PORT))
    _ask(sock, p)
    ended(pid)
    listener.close()
    found["tcp"] = packets() - before

    before = packets()
    one, other = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def over_unix() -> None:
        one.close()
        _answer(other, p)

    pid = forked(probe, "child", over_unix)
    other.close()
    _ask(one, p)
    ended(pid)
    found["unix"] = packets() - before
    return found


def _ask(sock: Any, p: Params) -> None:
    for _ in range(p.times):
        sock.send(b"n" * SIZE)
        read_exactly(sock, SIZE)
    sock.close()


def _answer(sock: Any, p: Params) -> None:
    for _ in range(p.times):
        read_exactly(sock, SIZE)
        sock.send(b"n" * SIZE)
    sock.recv(1)
    sock.close()


def packets() -> int:
    """How many this host's loopback interface has carried (man 5 proc_pid_net)."""
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            return int(rest.split()[1])
    raise LookupError("there is no loopback interface")


STUDY = Study(
    name="tcp-loopback",
    topic=Topic.IPC,
    question="Two processes of one machine talk over TCP. Are there packets, without a wire?",
    setup="A process asks its child {times} times, 100 bytes there and 100 back: over TCP to "
    "127.0.0.1, then over a pair of Unix sockets. The host's loopback interface counts packets.",
    prediction="Yes. TCP does not know that the other end is near: it shakes hands (3 packets), "
    "cuts segments, numbers and acknowledges them, and says goodbye. Each answer carries the ACK "
    "of its question, so a round trip is two packets. A Unix socket hands the bytes over inside "
    "the kernel: no packet at all, no port, no window, and nothing that tcpdump could see.",
    parameters=(Parameter("times", Kind.COUNT, 50, 10, 2000, "round trips"),),
    client=client,
    connection=None,
    expects=(
        Expect("packets of TCP on loopback", Kind.COUNT,
               lambda p: HANDSHAKE + 2 * p.times + GOODBYE, told("tcp"),
               "RFC 9293 3.5, 3.6 and 3.8.6.3",
               more=lambda p: QUICK_ACKS + 1 + p.times // 2,
               because="Linux acknowledges the first bytes of each side at once, a FIN may be "
               "acknowledged alone, and where a busy machine lets an answer wait for 40 ms "
               "the ACK goes without it"),
        Expect("packets of the Unix sockets", Kind.COUNT, lambda p: 0, told("unix"),
               "man 7 unix: communicate between processes on the same machine"),
    ),
    next="`netlab study ipc`: what it costs in time.",
)  # fmt: skip
