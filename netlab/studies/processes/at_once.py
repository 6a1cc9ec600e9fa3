"""Many requests at once, each of which must wait for something: when is the last one answered?"""

from __future__ import annotations

import time
from statistics import quantiles
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.moments import back, call_on, window
from netlab.studies.parts import BUSY_NS, MS, TICK_NS
from netlab.studies.quantity import Kind, shown
from netlab.studies.serving import MODES, REUSEPORT, answers_ns, ask, callers, with_each_mode
from netlab.studies.sockets import connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

WORKERS, MOST = 2, 500


def client(probe: Probe, p: Params) -> Any:
    """All ask each server at once; how long they wait, in quarters, and until all were answered."""
    found = {}
    for number, mode in enumerate(MODES):
        port = PORT + number
        socks = (
            even(probe, p, port) if mode in ("base", REUSEPORT) else callers(probe, p.clients, port)
        )
        for sock in socks:
            ask(sock, b"hello")
        begun_ns = time.monotonic_ns()
        waits = answers_ns(probe, socks, b"sleep %d" % (p.each // MS))
        found[mode] = [*quantiles(waits, n=4), time.monotonic_ns() - begun_ns]
        for sock in socks:
            sock.close()
    return found


def even(probe: Probe, p: Params, port: int) -> list[Any]:
    """Connections of which each worker has as many: those that are too many are closed again."""
    kept: dict[str, list[Any]] = {}
    most = -(-p.clients // WORKERS)
    for _ in range(MOST):
        sock = connected(probe, port=port)
        mine = kept.setdefault(ask(sock, b"hello"), [])
        if len(mine) < most:
            mine.append(sock)
        else:
            sock.close()
        if sum(map(len, kept.values())) == most * WORKERS:
            break
    return [sock for mine in kept.values() for sock in mine]


def table(evidence: Evidence) -> list[list[str]]:
    """When so many had their answers, by server."""
    return [
        ["server", "1/4 after", "1/2", "3/4", "all"],
        *(
            [MODES[mode], *(shown(Kind.TIME, int(wait)) for wait in told(mode)(evidence))]
            for mode in MODES
        ),
    ]  # fmt: skip


def _last(mode: str, what: str, workers: int | None, source: str) -> Expect:
    """`workers`: how many do it, None for as many as there are requests."""

    def in_a_row(p: Params) -> int:
        return -(-p.clients // (workers or p.clients))

    return Expect(
        f"{what}: the last answer after", Kind.TIME, lambda p: p.each * in_a_row(p),
        lambda e: told(mode)(e)[-1], source,
        more=lambda p: BUSY_NS + 2 * TICK_NS * p.clients,
        otherwise=lambda p: p.each * -(-p.clients // (1 if workers == WORKERS else WORKERS)),
        because="on a busy machine each comes back from its sleep late, by some turns of others",
    )  # fmt: skip


def last_of_the_loop(evidence: Evidence) -> int | None:
    """Of the clients of the one loop, which come first, the one whose answer took longest."""
    took = {}
    for number in range(evidence.p.clients):
        asked = call_on(evidence, "send", -1, host="client", connection=number)
        got = back(call_on(evidence, "recv", -1, host="client", connection=number))
        if asked is not None and got is not None:
            took[number] = got - asked.entered_ns
    return max(took, key=lambda number: took[number], default=None)


def moment(evidence: Evidence) -> list[Window]:
    """Its request, and the answer."""
    number = last_of_the_loop(evidence) or 0
    return window(
        call_on(evidence, "send", -1, host="client", connection=number),
        call_on(evidence, "recv", -1, host="client", connection=number),
    )


STUDY = Study(
    name="at-once",
    topic=Topic.PROCESSES,
    question="{clients} requests come at once, and each takes {each} of waiting. When is the last "
    "one answered?",
    setup="The server's function sleeps for {each}, as if it waited for a database. {clients} "
    "clients ask at once: a server with a thread for each, one with a single loop, two workers "
    "that accept for themselves, from one listening socket or each from its own, and a master "
    "with two workers. Each worker has half of them.",
    prediction="Threads: after {each}, for they all sleep at the same time. One loop: after "
    "{clients} times that, one after the other. Two workers: half of it, whoever has the sockets. "
    "So for functions that wait, the number of threads or workers is the number of requests that "
    "are under way; a loop gets by with one only if its functions never wait.",
    parameters=(
        Parameter("clients", Kind.COUNT, 8, 2, 64, "at once"),
        Parameter("each", Kind.TIME, 60 * MS, 10 * MS, 200 * MS, "of waiting"),
    ),
    client=client,
    experiment=with_each_mode,
    connection=last_of_the_loop,
    table=table,
    expects=(
        _last("threads", "threads", None, "man 7 pthreads: each sleeps for itself"),
        _last("single", "one loop", 1, "one thing at a time"),
        _last("base", "workers that accept", WORKERS, "one thing at a time, twice"),
        _last(REUSEPORT, "workers with a socket each", WORKERS, "the same"),
        _last("process", "master and workers", WORKERS, "one thing at a time, twice"),
    ),
    next="`netlab study slow-request`: one slow among quick ones.",
    cause="peer_app",
    waits_on="client poll",
    moment=moment,
)  # fmt: skip
