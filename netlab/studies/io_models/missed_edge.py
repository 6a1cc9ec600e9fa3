"""Edge-triggered epoll: who does not read to the end, waits for the next bytes."""

from __future__ import annotations

import select
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SENT, TAKEN = 1000, 100
PATIENCE_S = 0.3


def server(probe: Probe, p: Params) -> Any:
    """Waits, reads a part, and waits again."""
    sock = accepted(probe)
    sock.setblocking(False)
    epoll = probe.epoll()
    epoll.register(sock, select.EPOLLIN | (select.EPOLLET if p.edge else 0))
    first = len(epoll.poll(20))
    got = len(sock.recv(TAKEN))
    second = len(epoll.poll(PATIENCE_S))
    left = len(sock.recv(SENT))
    epoll.close()
    sock.send(b"n")
    sock.close()
    return [first, got, second, left]


def client(probe: Probe, p: Params) -> None:
    """Sends once, and waits."""
    sock = connected(probe)
    sock.send(b"n" * SENT)
    sock.recv(10)
    sock.close()


def told(evidence: Evidence) -> list[int]:
    """What the server found."""
    found: list[int] = evidence.returned["server"]
    return found


def moment(evidence: Evidence) -> list[Window]:
    """From the message until all of it was read."""
    return window(
        call_on(evidence, "send", host="client"), call_on(evidence, "recv", 1, host="server")
    )


STUDY = Study(
    name="missed-edge",
    topic=Topic.IO_MODELS,
    question="epoll said that the socket is readable. I read a part. Will it say so again?",
    setup="A client sends 1,000 bytes. The server's epoll (edge-triggered where edge is 1) "
    "reports them; it reads 100 and waits again, for 0.3 s.",
    prediction="Level-triggered: yes, for as long as there is something to read. "
    "Edge-triggered: no. It tells of a change, and nothing has changed: 900 bytes lie there "
    "and the program sleeps. So with EPOLLET one reads until EAGAIN.",
    parameters=(Parameter("edge", Kind.COUNT, 1, 0, 1, "1: EPOLLET"),),
    server=server,
    client=client,
    expects=(
        Expect("events of the first wait", Kind.COUNT, lambda p: 1, lambda e: told(e)[0],
               "man 7 epoll"),
        Expect("events of the second wait", Kind.COUNT, lambda p: 0 if p.edge else 1,
               lambda e: told(e)[2], "man 7 epoll: Level-triggered and edge-triggered"),
        Expect("bytes that lay there all the time", Kind.SIZE, lambda p: SENT - TAKEN,
               lambda e: told(e)[3], "the same"),
    ),
    next="`netlab study missed-edge --set edge={not_edge}`.",
    cause=lambda p: "left_unread" if p.edge else "",
    waits_on="server epoll_wait",
    moment=moment,
)  # fmt: skip
