"""SO_REUSEPORT: several listeners at one port, and who gets which connection."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import PORT, Expect, Params, Study, Topic, Window

CLIENTS = 32
UNLIKELY = 13  # 30 or more of 32 tosses of a coin alike, or 2 or fewer: once in 4 million


def listener(probe: Probe, shares: bool) -> Any:
    """One at the port of all."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    if shares:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("0.0.0.0", PORT))
    sock.listen(CLIENTS)
    return sock


def server(probe: Probe, p: Params) -> Any:
    """Two listeners as two processes would have them, and one that does not want to share."""
    found = {"alone": ""}
    listeners = [listener(probe, True)]
    found["alone"] = trial(listener, probe, False)["error"]
    listeners.append(listener(probe, True))
    ready = probe.poll()
    for sock in listeners:
        ready.register(sock, select.POLLIN)
    accepted: dict[int, list[Any]] = {sock.fileno(): [] for sock in listeners}
    while sum(map(len, accepted.values())) < CLIENTS:
        for fd, _ in ready.poll():
            sock = next(one for one in listeners if one.fileno() == fd)
            accepted[fd].append(sock.accept()[0])
    for sock in (*listeners, *(one for those in accepted.values() for one in those)):
        sock.close()
    return {**found, "counts": [len(those) for those in accepted.values()]}


def client(probe: Probe, p: Params) -> None:
    """So many connections; they end when the server closes them."""
    socks = [connected(probe) for _ in range(CLIENTS)]
    for sock in socks:
        sock.recv(1)
        sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """A client comes, and one of the listeners has it."""
    return window(
        call_on(evidence, "connect", host="client"), call_on(evidence, "accept", host="server")
    )


STUDY = Study(
    name="reuse-port",
    topic=Topic.TIMEOUTS,
    question="Two listeners have the same port. Which of them gets a connection?",
    setup="A server binds two sockets to one port with SO_REUSEPORT, and tries a third without. "
    "32 clients connect; what each listener accepted is counted.",
    prediction="The kernel takes a hash of both ends of the connection at its SYN, and by that "
    "one of the listeners: each gets about half, at random and for good, however busy its "
    "process is. Each has a queue of its own. A socket without the option is refused: "
    "EADDRINUSE.",
    server=server,
    client=client,
    expects=(
        Expect("connections that the first listener got", Kind.COUNT, lambda p: CLIENTS // 2,
               lambda e: e.returned["server"]["counts"][0],
               "reuseport_select_sock() of Linux; man 7 socket, SO_REUSEPORT",
               less=UNLIKELY, more=UNLIKELY,
               because="chance: 32 coins show more on one side once in 4 million"),
        Expect("that both got", Kind.COUNT, lambda p: CLIENTS,
               lambda e: sum(e.returned["server"]["counts"]), "each SYN is for one of them"),
        Expect("a third without the option", Kind.WORD, lambda p: "EADDRINUSE",
               lambda e: e.returned["server"]["alone"], "man 7 socket: set on every socket"),
    ),
    next="`netlab study accept-queue`: what becomes of those who wait at the busy one.",
    moment=moment,
)  # fmt: skip
