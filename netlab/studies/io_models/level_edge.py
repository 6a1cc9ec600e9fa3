"""One socket, two epolls: how often each reports that it is readable."""

from __future__ import annotations

import select
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window

WITHIN_S = 10
PIECES_SHOWN = 4


def server(probe: Probe, p: Params) -> Any:
    """Reads a message in small pieces and asks both epolls before each; then lets two lie."""
    sock = accepted(probe)
    level, edge = probe.epoll(), probe.epoll()
    level.register(sock, select.EPOLLIN)
    edge.register(sock, select.EPOLLIN | select.EPOLLET)
    said = {"level": 0, "edge": 0}
    level.poll(WITHIN_S)  # the message is there
    while level.poll(0):
        said["level"] += 1
        said["edge"] += len(edge.poll(0))
        sock.recv(p.piece)
    said["unread"] = _next(sock, level, edge)
    said["more"] = _next(sock, level, edge, unread=p.size)
    sock.recv(2 * p.size)
    level.close()
    edge.close()
    sock.close()
    return said


def _next(sock: Any, level: Any, edge: Any, unread: int = 0) -> int:
    """Ask the client for another message; whether the edge says that it came. It is not read."""
    sock.send(b"y")
    if unread:  # level says so already: this waits for more than lay there
        edge_says = len(edge.poll(WITHIN_S))
    else:
        level.poll(WITHIN_S)
        edge_says = len(edge.poll(0))
    return edge_says + len(edge.poll(0))


def client(probe: Probe, p: Params) -> None:
    """Sends a message, and another whenever it is asked."""
    sock = connected(probe)
    sock.send(b"n" * p.size)
    while sock.recv(1):
        sock.send(b"n" * p.size)
    sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """The first pieces."""
    waits, recvs = evidence.calls("epoll_wait"), evidence.calls("recv", host="server")
    if not waits or len(recvs) < PIECES_SHOWN:
        return []
    return [(waits[0].entered_ns, recvs[PIECES_SHOWN - 1].returned_ns or waits[0].entered_ns)]


STUDY = Study(
    name="level-edge",
    topic=Topic.IO_MODELS,
    question="A message of {size} is read {piece} at a time. How often does epoll report it?",
    setup="A server watches one connection with two epolls, one level-triggered, one "
    "edge-triggered (EPOLLET), and asks both before each recv() of {piece}. Then it has the client "
    "send two more messages, one after the other, and reads neither.",
    prediction="Level-triggered: before each recv(), for as long as a byte is left. "
    "Edge-triggered: once, when the message came. Of the two that are not read it reports "
    "each once: new bytes are an event, whether or not old ones still lie there.",
    parameters=(
        Parameter("size", Kind.SIZE, 100, 1, 1000, "of a message"),
        Parameter("piece", Kind.SIZE, 10, 1, 1000, "that one recv() takes"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("reports of the level-triggered epoll", Kind.COUNT,
               lambda p: -(-p.size // p.piece), lambda e: e.returned["server"]["level"],
               "man 7 epoll: a faster poll(2)"),
        Expect("reports of the edge-triggered epoll", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["server"]["edge"], "man 7 epoll: only when changes occur"),
        Expect("its reports of the second message", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["server"]["unread"], "the same"),
        Expect("of the third, the second still unread", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["server"]["more"],
               "ep_poll_callback() of Linux: it is called for each segment"),
    ),
    moment=moment,
    claims=(
        Claim("epoll reports a socket for as long as there is something to read",
              lambda e: e.returned["server"]["level"] > e.returned["server"]["edge"],
              "without EPOLLET"),
    ),
    next="`netlab study missed-edge`: what becomes of a program that did not read to the end.",
)  # fmt: skip
