"""What select, poll and epoll cost while most connections say nothing."""

from __future__ import annotations

import resource
import select
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.crowd import Crowd, crowd, descriptor_limit, most_connections, too_few
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Claim, Curves, Expect, Parameter, Params, Study, Topic

STEPS = (10, 30, 100, 300, 900, 3000, 10_000)
BASE, FEW = 100, 900  # idle connections that others are compared with; the most for select
ROUNDS, LEAST_NS = 5, 2_000_000  # the best of so many rounds; of each call at least so long
NAMES = ("select", "poll", "epoll_wait")


def steps(p: Params) -> list[int]:
    """Of how many idle connections is asked, one time after the other."""
    most = most_connections(p.most)
    return [*(step for step in STEPS if step < most), most]


def server(probe: Probe, p: Params) -> Any:
    """With one connection that always has a byte to read, and many that have none."""
    idle = Crowd()
    sock = accepted(probe)
    select.select([sock], [], [], 10)  # the client's byte is there
    watched = [sock.fileno(), *(new.fileno() for new in idle.grow(steps(p)[-1]))]
    waits: dict[str, dict[int, Callable[[], list[Any]]]] = {name: {} for name in NAMES}
    for count in steps(p):
        poll, epoll, some = select.poll(), select.epoll(), watched[: count + 1]
        for descriptor in some:
            poll.register(descriptor, select.POLLIN)
            epoll.register(descriptor, select.EPOLLIN)
        waits["poll"][count] = partial(poll.poll, 0)
        waits["epoll_wait"][count] = partial(epoll.poll, 0)
        if count <= FEW:
            waits["select"][count] = partial(_selected, some)
    found: dict[str, dict[int, int]] = {name: {} for name in NAMES}
    for _ in range(ROUNDS):  # so what makes the machine slower for a while is not of one number
        for name in NAMES:
            for count, wait in waits[name].items():
                took_ns = cost_ns(wait)
                found[name][count] = min(found[name].get(count, took_ns), took_ns)
    refused = ""
    try:
        _selected(watched)
    except ValueError as error:
        refused = f"{error}"
    past_limit = beyond_the_limit(poll, len(watched))
    idle.close()
    sock.send(b"n")
    sock.close()
    costs = {name: [*map(list, by_count.items())] for name, by_count in found.items()}
    return {"costs": costs, "refused": refused, "past limit": past_limit}


def _selected(watched: list[int]) -> list[int]:
    return select.select(watched, (), (), 0)[0]


def beyond_the_limit(poll: Any, count: int) -> str:
    """What poll() of so many descriptors says where RLIMIT_NOFILE is one less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count - 1, hard))
    try:
        return str(trial(poll.poll, 0)["error"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cost_ns(wait: Callable[[], list[Any]]) -> int:
    """Processor time of one call. Other programs cannot lengthen it but by emptying the caches."""
    calls, begun_ns = 0, time.thread_time_ns()
    while (took_ns := time.thread_time_ns() - begun_ns) < LEAST_NS:
        for _ in range(8):
            assert len(wait()) == 1
        calls += 8
    return took_ns // calls


def client(probe: Probe, p: Params) -> None:
    """The one connection that is not idle."""
    sock = connected(probe)
    sock.send(b"n")
    sock.recv(1)
    sock.close()


def experiment(stage: Stage) -> None:
    """The crowd connects on the server's own host."""
    program = stage.start("server", server)
    stage.lab.wait_listening("server", PORT)
    idle = stage.start("server", crowd)
    stage.run("client", client)
    stage.wait(program, idle)
    stage.lab.settle()


def costs(evidence: Evidence, name: str) -> dict[int, int]:
    """What a call cost, in ns, by how many were idle."""
    return dict(evidence.returned["server"]["costs"][name])


def percent(evidence: Evidence, name: str) -> int:
    """What it cost with the most, in % of what it cost with 100."""
    found = costs(evidence, name)
    return round(100 * found[max(found)] / found[BASE])


def table(evidence: Evidence) -> list[list[str]]:
    """The costs in numbers."""
    found = [costs(evidence, name) for name in NAMES]
    rows = [
        [f"{count:,}", *(shown(Kind.TIME, one.get(count)) for one in found)]
        for count in steps(evidence.p)
    ]
    return [
        ["idle", *NAMES],
        *([text.replace("not seen", "cannot") for text in row] for row in rows),
    ]


def seen(evidence: Evidence) -> str:
    """How many there were, and why no more."""
    return (
        f"{steps(evidence.p)[-1]:,} idle connections were held; a process may have "
        f"{descriptor_limit():,} descriptors here (ulimit -Hn)."
    )


def curves(evidence: Evidence) -> Curves:
    """The same as curves."""
    series = tuple((name, tuple(costs(evidence, name).items())) for name in NAMES)
    return Curves("processor time of one call, over idle connections", series,
                  Kind.COUNT, Kind.TIME, log=True)  # fmt: skip


def slope(evidence: Evidence, name: str) -> int:
    """What one connection more costs from 100 to 900, in % of what it does from 10 to 100."""
    found = costs(evidence, name)
    least = STEPS[0]
    first = (found[BASE] - found[least]) / (BASE - least)
    return round(100 * (found[FEW] - found[BASE]) / (FEW - BASE) / first)


def _grows(name: str) -> Expect:
    return Expect(
        f"{name}(): one connection more from {BASE} to {FEW}, in % of {STEPS[0]} to {BASE}",
        Kind.COUNT, lambda p: 100, lambda e: slope(e, name),
        f"man 2 {name}: the kernel asks each descriptor",
        less=50, more=200, otherwise=lambda p: 1000,
        because="what does not stay in the processor's first cache costs up to three times as "
        "much; a cost that grew by the square would be 10 times it",
    )  # fmt: skip


STUDY = Study(
    name="wait-cost",
    topic=Topic.IO_MODELS,
    question="One connection is busy, thousands say nothing. What do the thousands cost?",
    setup="A server holds {most} idle connections, or what its limit on descriptors leaves (500 "
    "are kept free), and one with a byte to read. It asks select(), poll() and epoll_wait() which "
    "one that is, of it and 10 idle ones, then of it and more of them, up to all, and measures the "
    "processor time of a call: in five rounds, of which the best is told. The idle ones come over "
    "the server's own loopback and are not recorded.",
    prediction="select() and poll() are handed the whole list each time, and the kernel asks each "
    "descriptor: ten times the connections, ten times the cost (and more, once the list is too "
    "long for the processor's caches). epoll keeps the list in the "
    "kernel, and what becomes ready is put on a second list: epoll_wait() only takes from "
    "there, and costs the same with any number. select() ends at descriptor 1,023: "
    "its sets are 1,024 bits. poll() ends at RLIMIT_NOFILE, which may be raised.",
    parameters=(Parameter("most", Kind.COUNT, 16_000, 1100, 16_000, "idle connections, at most"),),
    server=server,
    client=client,
    experiment=experiment,
    expects=(
        _grows("poll"),
        _grows("select"),
        Expect(f"epoll_wait() takes with the most, in % of epoll_wait() with {BASE}", Kind.COUNT,
               lambda p: 100, lambda e: percent(e, "epoll_wait"),
               "man 7 epoll: the ready list; ep_send_events() of Linux",
               less=75, more=300, otherwise=lambda p: 100 * steps(p)[-1] // BASE,
               because="a factor of 4: caches that others use too"),
        Expect("select() with a descriptor of 1,024 or more", Kind.WORD,
               lambda p: "refused",
               lambda e: "refused" if e.returned["server"]["refused"] else "taken",
               "man 2 select: FD_SETSIZE is 1,024; Python raises ValueError"),
        Expect("poll() of one descriptor more than RLIMIT_NOFILE", Kind.WORD, lambda p: "EINVAL",
               lambda e: e.returned["server"]["past limit"], "man 2 poll, EINVAL"),
    ),
    seen=seen,
    table=table,
    curves=curves,
    connection=None,
    lacks=lambda: too_few(1100),
    next="`netlab study c10k`: 10,000 connections that are answered.",
    claims=(
        Claim("poll() has no limit, but looks at every descriptor",
              lambda e: percent(e, "poll") > 100 * steps(e.p)[-1] // (4 * BASE),
              "for at most RLIMIT_NOFILE descriptors; of more it says EINVAL"),
        Claim("epoll costs the same, however many connections are idle",
              lambda e: percent(e, "epoll_wait") <= 400),
    ),
)  # fmt: skip
