"""How many calls one request costs in each kind of server."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.serving import MODES, REUSEPORT, ask, with_each_mode
from netlab.studies.sockets import connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

PROCESS = [*MODES].index("process")
LOOKS = 4  # one look for another message in so many, at most


def client(probe: Probe, p: Params) -> Any:
    """Asks each server so many times; between which moments it did."""
    found = {}
    for number, mode in enumerate(MODES):
        sock = connected(probe, port=PORT + number)
        ask(sock, b"hello")
        begun_ns = time.time_ns()
        for _ in range(p.times):
            ask(sock, b"hello")
        found[mode] = [begun_ns, time.time_ns()]
        sock.close()
    return found


def calls(evidence: Evidence, mode: str) -> Counter[tuple[str, str]]:
    """(actor, call): how often, while that server was asked; the others had nothing to do."""
    begun_ns, over_ns = evidence.returned["client"][mode]
    return Counter(
        (call.actor, call.op)
        for call in evidence.calls(host="server")
        if begun_ns <= call.entered_ns < over_ns
    )


def table(evidence: Evidence) -> list[list[str]]:
    """Who made which calls, for 100 requests."""
    rows = [["server", "who", "calls for one request"]]
    for mode in MODES:
        found = calls(evidence, mode)
        for actor in dict.fromkeys(actor for actor, _ in found):
            each = ", ".join(
                f"{op} {count / evidence.p.times:.2f}"
                for (who, op), count in found.items()
                if who == actor and count * 20 > evidence.p.times
            )
            if each:
                rows.append([MODES[mode], actor.partition("#")[0], each])
    return rows


def last_request(evidence: Evidence) -> list[Window]:
    """The last message to the master, and its answer."""
    sends = evidence.calls("send", host="client", connection=PROCESS)
    answers = evidence.calls("recv", host="client", connection=PROCESS)
    if not sends or answers[-1].returned_ns is None:
        return []
    return [(sends[-1].entered_ns, answers[-1].returned_ns)]


def _calls(mode: str, what: str, each: int, because: str) -> Expect:
    return Expect(
        f"{what}: calls", Kind.COUNT, lambda p: each * p.times,
        lambda e: calls(e, mode).total(), because,
        less=2, more=lambda p: 10 + (p.times // LOOKS if mode == "process" else 0),
        because="a call may lie on the edge of the time that is looked at, and a loop wakes now "
        "and then for its own sake" + ("; each role looks now and then whether there is a second "
        "message behind the first" if mode == "process" else ""),
    )  # fmt: skip


STUDY = Study(
    name="calls-per-request",
    topic=Topic.PROCESSES,
    question="How many system calls does a server make for one small request?",
    setup="Five servers, each asked {times} times by one client that waits for each answer: a "
    "thread that blocks, one loop, two workers that accept for themselves, from one listening "
    "socket or each from its own (SO_REUSEPORT), and a master that hands each message to one of "
    "two workers.",
    prediction="A thread that blocks: 2, recv and send; the recv is the waiting. A loop: 3, since "
    "it waits elsewhere, in epoll_wait. A worker with a loop and connections of its own: the same "
    "3, whichever listening socket they came from. A master with workers behind it: 9. It waits, "
    "receives, and sends the message on; the worker waits, receives, and sends the answer; the "
    "master waits, receives, and sends it to the client. That is the price of a crash that nobody "
    "sees.",
    parameters=(Parameter("times", Kind.COUNT, 100, 20, 1000, "requests to each"),),
    client=client,
    experiment=with_each_mode,
    connection=PROCESS,
    moment=last_request,
    table=table,
    expects=(
        _calls("threads", "threads", 2, "recv, send"),
        _calls("single", "one loop", 3, "epoll_wait, recv, send"),
        _calls("base", "workers that accept", 3, "epoll_wait, recv, send"),
        _calls(REUSEPORT, "workers with a socket each", 3, "epoll_wait, recv, send"),
        _calls("process", "master and workers", 9, "epoll_wait, recv, send, three times"),
    ),
    next="`netlab study switches-per-request`: what it costs beside the calls.",
)  # fmt: skip
