"""One request takes long: who has to wait for it, in which kind of server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.serving import ANSWER_BYTES, answers_ns, ask, core
from netlab.studies.sockets import connected
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

BESIDE = 1  # a connection to the one loop, beside the slow one
SINGLE, THREADS, BASE = PORT, PORT + 1, PORT + 2
OTHERS = 3
EACH, MOST = 2, 100


def client(probe: Probe, p: Params) -> Any:
    """In each server one connection asks for something slow, the others for something quick."""
    found = {}
    for name, port in (("single", SINGLE), ("threads", THREADS)):
        socks = [connected(probe, port=port) for _ in range(OTHERS + 1)]
        for sock in socks:
            ask(sock, b"hello")
        found[name] = max(_waits_ns(probe, socks, p))
    socks, who = [], list[str]()
    while len(socks) < MOST and (len(set(who)) < 2 or min(map(who.count, who)) < EACH):
        socks.append(connected(probe, port=BASE))
        who.append(ask(socks[-1], b"hello"))
    waits = _waits_ns(probe, socks, p)
    of_its = [took for took, name in zip(waits, who[1:], strict=True) if name == who[0]]
    of_other = [took for took, name in zip(waits, who[1:], strict=True) if name != who[0]]
    return {**found, "same worker": min(of_its), "other worker": max(of_other)}


def _waits_ns(probe: Probe, socks: list[Any], p: Params) -> list[int]:
    """How long each but the first waits for its answer, while the first one's request is slow."""
    slow, *others = socks
    slow.send(b"sleep %d" % (p.slow // MS))
    time.sleep(head_start_ns(p) / 1e9)
    found = answers_ns(probe, others, b"hello")
    slow.recv(ANSWER_BYTES)
    for sock in socks:
        sock.close()
    return found


def head_start_ns(p: Params) -> int:
    """How long the slow request has been going on when the others come."""
    return p.slow // 10


def rest_ns(p: Params) -> int:
    """What is left of it then."""
    return p.slow - head_start_ns(p)


def experiment(stage: Stage) -> None:
    """Three servers on one host."""
    for mode, port in (("single", SINGLE), ("threads", THREADS), ("base", BASE)):
        stage.start("server", core, mode, 2, mode == "base", port)
    for port in (SINGLE, THREADS, BASE):
        stage.lab.wait_listening("server", port)
    stage.run("client", client)
    stage.lab.stop("server")


def _wait(name: str, what: str, predicted: Callable[[Params], int], source: str) -> Expect:
    return Expect(what, Kind.TIME, predicted, told(name), source,
                  less=lambda p: min(predicted(p), TURN_NS),
                  more=lambda p: (5 if predicted(p) else 4) * TURN_NS,
                  otherwise=lambda p: 0 if predicted(p) else rest_ns(p),
                  because="the others may come a turn late; a turn each for the wire's two frames, "
                  "the server, also from its sleep, and the client")  # fmt: skip


def moment(evidence: Evidence) -> list[Window]:
    """A client that shares its worker with the slow one: its request, and the answer."""
    return window(
        call_on(evidence, "send", -1, host="client", connection=BESIDE),
        call_on(evidence, "recv", -1, host="client", connection=BESIDE),
    )


STUDY = Study(
    name="slow-request",
    topic=Topic.PROCESSES,
    question="One request takes {slow}. How long do all others wait for theirs?",
    setup="Three servers: one process with one loop, a thread for each connection, and two worker "
    "processes with a loop each. In each, one client asks for something that keeps the server's "
    "function for {slow}; a tenth of that later the other clients ask for something quick.",
    prediction="One loop: as long as the rest of the slow one. The function that sleeps is the "
    "one that should call epoll_wait(): bytes lie in the kernel and nobody looks. Threads: not at "
    "all, each blocks for itself. Two workers: those who share the worker with the slow one wait "
    "just as long, the others not at all. So a loop must never block: slow work goes to a thread, "
    "to a task worker, or in small steps.",
    parameters=(Parameter("slow", Kind.TIME, 300 * MS, 100 * MS, 2000 * MS, "of the slow one"),),
    client=client,
    experiment=experiment,
    connection=BESIDE,
    expects=(
        _wait("single", "one loop: the longest wait of the others", rest_ns,
              "one thread does one thing at a time"),
        _wait("threads", "threads: the longest wait of the others", lambda p: 0,
              "man 7 pthreads: each thread is scheduled for itself"),
        _wait("same worker", "two workers: the shortest wait in the same one", rest_ns,
              "one thread does one thing at a time"),
        _wait("other worker", "two workers: the longest wait in the other one", lambda p: 0,
              "man 2 fork"),
    ),
    next="`netlab study slow-request --set slow=1s`.",
    cause="peer_app",
    waits_on="client poll",
    moment=moment,
)  # fmt: skip
