"""Signal-driven I/O: the kernel tells of bytes by a signal."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

RULED_OFF = PORT + 1  # a datagram to this port ends a round
PATIENCE_S = 0.1
POLL_IN = 1  # si_code, asm-generic/siginfo.h


def server(probe: Probe, p: Params) -> Any:
    """Does not look before all datagrams are there; by SIGIO, then by a signal that is queued."""
    signals = {"SIGIO": signal.SIGIO, "SIGRTMIN": signal.SIGRTMIN}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.values())
    over = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    over.bind(("0.0.0.0", RULED_OFF))
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sock, fcntl.F_SETFL, fcntl.fcntl(sock, fcntl.F_GETFL) | os.O_ASYNC)
    sock.bind(("0.0.0.0", PORT))
    found = {}
    for name, number in signals.items():
        _, asker = over.recvfrom(1)  # all of this round have come
        found[name] = {"signals": _taken(number), "datagrams": _read(sock)}
        fcntl.fcntl(sock, fcntl.F_SETSIG, signal.SIGRTMIN)  # from the next round on
        over.sendto(b"y", asker)
    sock.close()
    over.close()
    return found


def _taken(number: int) -> list[int]:
    """All such signals that are pending: what each says has happened."""
    codes = []
    while (told := signal.sigtimedwait([number], PATIENCE_S)) is not None:
        codes.append(told.si_code)
    return codes


def _read(sock: Any) -> int:
    """recv() until there is nothing; how many datagrams there were."""
    count = 0
    try:
        while sock.recv(100):
            count += 1
    except BlockingIOError:
        pass
    return count


def client(probe: Probe, p: Params) -> None:
    """Two rounds of datagrams."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(2):
        for _ in range(p.messages):
            sock.sendto(b"n", ("server", PORT))
        sock.sendto(b"o", ("server", RULED_OFF))
        sock.recv(1)
    sock.close()


def _signals(name: str) -> Any:
    return lambda e: len(e.returned["server"][name]["signals"])


def _datagrams(name: str) -> Any:
    return lambda e: e.returned["server"][name]["datagrams"]


def moment(evidence: Evidence) -> list[Window]:
    """The first round: the first datagram and the last, which all come, and then they are read."""
    last = evidence.p.messages - 1
    return [
        *window(call_on(evidence, "sendto", host="client")),
        *window(call_on(evidence, "sendto", last, host="client")),
        *window(
            call_on(evidence, "recv", host="server"), call_on(evidence, "recv", last, host="server")
        ),
    ]


STUDY = Study(
    name="signal-driven",
    topic=Topic.IO_MODELS,
    question="The kernel may send a signal when bytes come. {messages} messages: how many signals?",
    setup="A server's UDP socket has O_ASYNC and an owner (F_SETOWN), and the server has blocked "
    "SIGIO. When {messages} datagrams have come, it takes the signals that are pending, and "
    "reads until EAGAIN. The same again with F_SETSIG: SIGRTMIN in place of SIGIO.",
    prediction="One. Signals like SIGIO are not counted: one is pending, or none. It means "
    "only that something happened since, so one reads until EAGAIN, as with EPOLLET. Real-time "
    "signals are queued, one for each datagram, and say what happened (POLL_IN); "
    "but their queue is finite, and when it is full SIGIO comes again. That, and that a signal "
    "interrupts whatever the program does, is why servers use epoll.",
    parameters=(Parameter("messages", Kind.COUNT, 5, 2, 100, "datagrams of each round"),),
    server=server,
    client=client,
    expects=(
        Expect("SIGIO: signals", Kind.COUNT, lambda p: 1, _signals("SIGIO"),
               "man 7 signal: standard signals do not queue"),
        Expect("datagrams that were there", Kind.COUNT, lambda p: p.messages, _datagrams("SIGIO"),
               "man 7 udp"),
        Expect("SIGRTMIN: signals", Kind.COUNT, lambda p: p.messages, _signals("SIGRTMIN"),
               "man 2 fcntl, F_SETSIG; man 7 signal: real-time signals queue"),
        Expect("of them with the code POLL_IN", Kind.COUNT, lambda p: p.messages,
               lambda e: e.returned["server"]["SIGRTMIN"]["signals"].count(POLL_IN),
               "man 2 sigaction: si_code"),
        Expect("datagrams that were there", Kind.COUNT, lambda p: p.messages,
               _datagrams("SIGRTMIN"), "man 7 udp"),
    ),
    claims=(
        Claim("There is a SIGIO for each message",
              lambda e: len(e.returned["server"]["SIGIO"]["signals"]) == e.p.messages,
              "if each is taken before the next message comes"),
    ),
    next="`netlab study level-edge`: epoll tells of the same changes.",
    moment=moment,
)  # fmt: skip
