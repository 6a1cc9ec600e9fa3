"""How often somebody must be woken for one request, and what that is in time."""

from __future__ import annotations

import time
from statistics import median_low
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind, shown
from netlab.studies.serving import MODES, REUSEPORT, ask, with_each_mode
from netlab.studies.sockets import connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

ROUND = 20  # requests


def client(probe: Probe, p: Params) -> Any:
    """Asks each server in rounds; of each round the switches, of all the fastest answer."""
    found = {}
    for number, mode in enumerate(MODES):
        sock = connected(probe, port=PORT + number)
        ask(sock, b"hello")
        rounds, answers_ns = [], []
        for _ in range(p.rounds):
            before = int(ask(sock, b"switches"))
            answers_ns += [_answer_ns(sock) for _ in range(ROUND)]
            rounds.append(int(ask(sock, b"switches")) - before)
        found[mode] = [median_low(rounds), min(answers_ns)]
        sock.close()
    return found


def _answer_ns(sock: Any) -> int:
    begun_ns = time.monotonic_ns()
    ask(sock, b"hello")
    return time.monotonic_ns() - begun_ns


def best_ns(evidence: Evidence, mode: str) -> int:
    """Its fastest answer."""
    best: int = evidence.returned["client"][mode][1]
    return best


def table(evidence: Evidence) -> list[list[str]]:
    """For one request."""
    return [
        ["server", "switches for one request", "fastest answer"],
        *(
            [MODES[mode], f"{count / ROUND:.2f}", shown(Kind.TIME, best)]
            for mode, (count, best) in evidence.returned["client"].items()
        ),
    ]


def _switches(mode: str, what: str, each: int) -> Expect:
    return Expect(
        f"{what}: switches for {ROUND} requests", Kind.COUNT, lambda p: each * ROUND,
        lambda e: e.returned["client"][mode][0],
        "man 7 sched: a thread that waits gives up its processor; man 5 proc_pid_status",
        less=each * ROUND // 4, more=each * ROUND,
        otherwise=lambda p: ROUND if each > 1 else 3 * ROUND,
        because="fewer where a thread that was held up finds the next message there, more where "
        "a busy machine takes the processor away in between; so it is the median of all rounds",
    )  # fmt: skip


def moment(evidence: Evidence) -> list[Window]:
    """The last request, and its answer."""
    return window(
        call_on(evidence, "send", -1, host="client"), call_on(evidence, "recv", -1, host="client")
    )


STUDY = Study(
    name="switches-per-request",
    topic=Topic.PROCESSES,
    question="How often must somebody be woken for one request, and what does that take?",
    setup="Five servers: a thread for each connection, one loop, two workers that accept for "
    "themselves, from one listening socket or each from its own (SO_REUSEPORT), and a master with "
    "two workers. Each is asked by one client that waits for each answer, in {rounds} rounds of 20 "
    "requests. Before and after each round the kernel says how often the threads of the server "
    "have left the processor.",
    prediction="Once, where one thread does all: it waits for the message, and is woken by it. "
    "Whether it waits in recv() or in epoll_wait(), as a thread or as a process, is the same to "
    "the kernel. Three times with a master and workers: the master waits for the client, the "
    "worker for the master, the master for the worker. Each of these is some microseconds in which "
    "nothing is computed, so the answer takes longer, however many processors there are.",
    parameters=(Parameter("rounds", Kind.COUNT, 7, 3, 100, "for each server"),),
    client=client,
    experiment=with_each_mode,
    table=table,
    expects=(
        _switches("threads", "threads", 1),
        _switches("single", "one loop", 1),
        _switches("base", "workers that accept", 1),
        _switches(REUSEPORT, "workers with a socket each", 1),
        _switches("process", "master and workers", 3),
        Expect("whose fastest answer is the slowest of them", Kind.WORD, lambda p: "process",
               lambda e: max(MODES, key=lambda mode: best_ns(e, mode)),
               "two more waits on the way of each message"),
    ),
    next="`netlab study calls-per-request`: the calls. Then `netlab study switch-cost`.",
    moment=moment,
)  # fmt: skip
