"""Several workers wait at one listening socket: who gets the connection?"""

from __future__ import annotations

import os
import select
from collections import Counter
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.serving import ANSWER_BYTES, ask, core
from netlab.studies.sockets import connected, listening
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

WORKERS = 4
PLAIN, CORE = PORT, PORT + 1


def server(probe: Probe, p: Params) -> None:
    """Forks the workers, and waits for their end."""
    listener = listening(probe, 128, PLAIN)
    listener.setblocking(False)
    pids = [
        forked(probe, f"worker-{number}", lambda: worker(probe, listener))
        for number in range(WORKERS)
    ]
    for pid in pids:
        ended(pid)


def worker(probe: Probe, listener: Any) -> None:
    """Accepts, says who it is, keeps the connection, and waits for the next."""
    epoll = probe.epoll()
    epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    kept = []
    while epoll.poll():
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            continue  # another one was faster
        sock.recv(ANSWER_BYTES)
        sock.send(f"{os.getpid()}".encode())
        kept.append(sock)


def client(probe: Probe, p: Params) -> Any:
    """One client after the other connects and asks who serves it; all stay."""
    return {"plain": dealt(probe, p, PLAIN), "core": dealt(probe, p, CORE)}


def dealt(probe: Probe, p: Params, port: int) -> list[int]:
    """How many connections each worker got, the most first."""
    socks, who = [], Counter[str]()
    for _ in range(p.clients):
        socks.append(connected(probe, port=port))
        who[ask(socks[-1], b"hello")] += 1
    for sock in socks:
        sock.close()
    return sorted([*who.values(), *([0] * (WORKERS - len(who)))], reverse=True)


def experiment(stage: Stage) -> None:
    """The study's own workers, and those of the server core."""
    stage.start("server", server)
    stage.start("server", core, "base", WORKERS, False, CORE)
    for port in (PLAIN, CORE):
        stage.lab.wait_listening("server", port)
    stage.run("client", client)
    stage.lab.stop("server")


def shares(evidence: Evidence) -> list[list[str]]:
    """How many each worker got."""
    return [
        ["workers", *(f"#{number}" for number in range(1, WORKERS + 1))],
        ["that stay where they are", *map(str, told("plain")(evidence))],
        ["that register anew", *map(str, told("core")(evidence))],
    ]


def are_equal(found: list[int]) -> bool:
    """Whether no share is further from a quarter than chance would have it.

    Were each connection dealt by lot, a share would have the variance n x 1/4 x 3/4; allowed are
    three standard deviations.
    """
    total, parts = sum(found), len(found)
    return all((parts * share - total) ** 2 <= 9 * total * (parts - 1) for share in found)


def moment(evidence: Evidence) -> list[Window]:
    """A client comes, and is served."""
    return window(
        call_on(evidence, "connect", host="client"), call_on(evidence, "recv", host="client")
    )


STUDY = Study(
    name="who-accepts",
    topic=Topic.PROCESSES,
    question="Four workers wait at one listening socket. Who gets the connections?",
    setup="A server forks four workers that share a listening socket; each waits for it with an "
    "epoll of its own (EPOLLEXCLUSIVE: wake one of us). {clients} clients connect, each when the "
    "one before has been answered. Then the same with netlab's server core, whose workers leave "
    "the queue of those who wait, and register anew, each time they have accepted.",
    prediction="One worker gets most, on a quiet machine all. The kernel has a list of who waits, "
    "and wakes the first that sleeps; who was woken stays in the list, at the same place. As "
    "long as the first one is back asleep when the next client comes, it is the one, again "
    "and again; the others have a turn only while it is busy. That spreads work, not "
    "connections: those that stay open pile up in one worker. Who registers anew goes "
    "to the end of the list: then each has a quarter.",
    parameters=(Parameter("clients", Kind.COUNT, 64, 16, 500, "one after the other"),),
    server=server,
    client=client,
    experiment=experiment,
    table=shares,
    expects=(
        Expect("one worker has more than all others together", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if 2 * told("plain")(e)[0] > e.p.clients else "no",
               "add_wait_queue_exclusive() of Linux: at the tail, and there it stays; "
               "ep_poll_callback(): who does not sleep is passed over"),
        Expect("connections of who has most, where they register anew", Kind.COUNT,
               lambda p: -(-p.clients // WORKERS), lambda e: told("core")(e)[0],
               "the same list: who comes last, waits longest",
               more=lambda p: p.clients // 8, because="a worker that is not back in the list in "
               "time loses its turn to the next"),
    ),
    claims=(
        Claim("Workers that share a listening socket get equal shares.",
              lambda e: are_equal(told("plain")(e)),
              "where each that has accepted goes to the end of the list of those who wait"),
    ),
    next="`netlab study reuseport`: a listening socket for each.",
    moment=moment,
)  # fmt: skip
