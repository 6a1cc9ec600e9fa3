"""How often somebody must be woken for one request, and what that is in time."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind, shown
from netlab.studies.serving import MODES, REUSEPORT, ask, with_each_mode
from netlab.studies.sockets import connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

ROUND = 20  # requests, of which the last one asks for the switches


def client(probe: Probe, p: Params) -> Any:
    """Asks all servers in turn, round by round; of each round the switches and the fastest answer.

    In turn, so that what makes the machine slower for a while makes all of them slower.
    """
    socks = {mode: connected(probe, port=PORT + number) for number, mode in enumerate(MODES)}
    found: dict[str, list[list[int]]] = {mode: [] for mode in MODES}
    for sock in socks.values():
        ask(sock, b"hello")
    for _ in range(p.rounds):
        for mode, sock in socks.items():
            before = int(ask(sock, b"switches"))
            fastest_ns = min(_answer_ns(sock) for _ in range(ROUND - 1))
            found[mode].append([int(ask(sock, b"switches")) - before, fastest_ns])
    for sock in socks.values():
        sock.close()
    return found


def _answer_ns(sock: Any) -> int:
    begun_ns = time.monotonic_ns()
    ask(sock, b"hello")
    return time.monotonic_ns() - begun_ns


def of_rounds(evidence: Evidence, mode: str) -> tuple[list[int], list[int]]:
    """Of each round how many switches there were, and how long its fastest answer took."""
    switches, fastest_ns = zip(*evidence.returned["client"][mode], strict=True)
    return [*switches], [*fastest_ns]


def switches(evidence: Evidence, mode: str) -> int:
    """Of the round with the fewest: what else the machine does mostly adds to it."""
    return min(of_rounds(evidence, mode)[0])


def slowest(evidence: Evidence) -> str:
    """Whose fastest answer of a round is the slowest of them, most often.

    Round by round, since the fastest of all rounds may be of a moment in which the machine was
    faster than in any of the other servers' turns.
    """
    found = {mode: of_rounds(evidence, mode)[1] for mode in MODES}
    rounds = range(evidence.p.rounds)
    of_each = (max(MODES, key=lambda mode: found[mode][number]) for number in rounds)
    return Counter(of_each).most_common(1)[0][0]


def table(evidence: Evidence) -> list[list[str]]:
    """For one request."""
    rows = [["server", "switches for one request", "fastest answer"]]
    for mode in MODES:
        best_ns = min(of_rounds(evidence, mode)[1])
        rows.append([MODES[mode], f"{switches(evidence, mode) / ROUND:.2f}",
                     shown(Kind.TIME, best_ns)])  # fmt: skip
    return rows


def _switches(mode: str, what: str, each: int) -> Expect:
    return Expect(
        f"{what}: switches for {ROUND} requests", Kind.COUNT, lambda p: each * ROUND,
        lambda e: switches(e, mode),
        "man 7 sched: a thread that waits gives up its processor; man 5 proc_pid_status",
        less=each * ROUND // 4, more=each * ROUND,
        otherwise=lambda p: ROUND if each > 1 else 3 * ROUND,
        because="fewer, but hardly by one in four, where a thread that was held up finds the next "
        "message there, more where who wakes another loses the processor to it, once for each; it "
        "is the round with the fewest, for others who want the processor add to it",
    )  # fmt: skip


def moment(evidence: Evidence) -> list[Window]:
    """The last request to the one loop, and its answer; behind it comes a question."""
    return window(
        call_on(evidence, "send", -2, host="client"), call_on(evidence, "recv", -2, host="client")
    )


STUDY = Study(
    name="switches-per-request",
    topic=Topic.PROCESSES,
    question="How often must somebody be woken for one request, and what does that take?",
    setup="Five servers: a thread for each connection, one loop, two workers that accept for "
    "themselves, from one listening socket or each from its own (SO_REUSEPORT), and a master with "
    "two workers. One client asks them in turn, in {rounds} rounds: 20 requests to the first, "
    "waiting for each answer, then 20 to the next. The last of each 20 asks how often the threads "
    "of that server have left the processor, as the kernel says, and so does one before each 20. "
    "Told are the round with the fewest, and the fastest answer of all; whose fastest answer is "
    "the slowest is asked round by round.",
    prediction="Once, where one thread does all: it waits for the message, and is woken by it. "
    "Whether it waits in recv() or in epoll_wait(), as a thread or as a process, is the same to "
    "the kernel. Three times with a master and workers: the master waits for the client, the "
    "worker for the master, the master for the worker. Each of these is some microseconds in which "
    "nothing is computed, so the answer takes longer, however many processors there are.",
    parameters=(Parameter("rounds", Kind.COUNT, 15, 3, 100, "over all servers"),),
    client=client,
    experiment=with_each_mode,
    table=table,
    expects=(
        _switches("threads", "threads", 1),
        _switches("single", "one loop", 1),
        _switches("base", "workers that accept", 1),
        _switches(REUSEPORT, "workers with a socket each", 1),
        _switches("process", "master and workers", 3),
        Expect("whose fastest answer of a round is the slowest, most often", Kind.WORD,
               lambda p: "process", slowest,
               "two more waits on the way of each message; what else the machine does meanwhile "
               "is not of one server in most rounds"),
    ),
    next="`netlab study calls-per-request`: the calls. Then `netlab study switch-cost`.",
    moment=moment,
)  # fmt: skip
