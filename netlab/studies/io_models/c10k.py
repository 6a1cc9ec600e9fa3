"""Ten thousand connections, one process, one thread, one epoll."""

from __future__ import annotations

import select
import time
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.crowd import Crowd, crowd, descriptor_limit, most_connections, too_few
from netlab.studies.evidence import Evidence
from netlab.studies.moments import window
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import accepted, connected
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

FEW, ECHOES = 10, 101
MORE, ALL = b"more please", b"all of you"  # in place of a message to be given back


def server(probe: Probe, p: Params) -> Any:
    """An echo server: one loop around epoll_wait()."""
    idle = Crowd()
    guest = accepted(probe)
    epoll = select.epoll()
    socks: dict[int, Any] = {}

    def take(new: list[Any]) -> None:
        for sock in new:
            sock.setblocking(False)
            socks[sock.fileno()] = sock
            epoll.register(sock, select.EPOLLIN)

    take([guest])
    take(idle.grow(FEW))
    small_bytes = resident_bytes()
    answered, over = 0, False
    while not over or answered < len(idle.held):
        for fd, _ in epoll.poll():
            sock = socks[fd]
            data = sock.recv(100)
            if not data:
                epoll.unregister(fd)
                over = True
                continue
            if data == MORE:
                take(idle.grow(most_connections(p.connections)))
            elif data == ALL:
                idle.speak()
            sock.send(data)
            answered += sock is not guest
    grown_bytes = resident_bytes() - small_bytes
    guest.close()
    idle.close()
    return {"held": len(idle.held), "grown_bytes": grown_bytes}


def client(probe: Probe, p: Params) -> Any:
    """The fastest of many echoes: with 10 others there, and with all of them."""
    sock = connected(probe)
    few_ns = fastest_ns(sock)
    told(sock, MORE)
    many_ns = fastest_ns(sock)
    told(sock, ALL)
    sock.close()
    return {"few_ns": few_ns, "many_ns": many_ns}


def fastest_ns(sock: Any) -> int:
    """Of so many echoes: other programs can only make one slower."""
    return min(_echo_ns(sock) for _ in range(ECHOES))


def _echo_ns(sock: Any) -> int:
    begun_ns = time.monotonic_ns()
    told(sock, b"n")
    return time.monotonic_ns() - begun_ns


def told(sock: Any, text: bytes) -> None:
    """Say it, and wait until it is given back."""
    sock.send(text)
    assert sock.recv(100) == text


def resident_bytes() -> int:
    """How much memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def experiment(stage: Stage) -> None:
    """The crowd connects on the server's own host."""
    program = stage.start("server", server)
    stage.lab.wait_listening("server", PORT)
    others = stage.start("server", crowd)
    stage.run("client", client)
    stage.wait(program, others)
    stage.lab.settle()


def slower(evidence: Evidence) -> int:
    """What an echo takes among them all, in % of one among a few."""
    found: dict[str, int] = evidence.returned["client"]
    return round(100 * found["many_ns"] / found["few_ns"])


def table(evidence: Evidence) -> list[list[str]]:
    """What it costs, in numbers."""
    server, client = evidence.returned["server"], evidence.returned["client"]
    held = server["held"]
    return [
        ["", "measured"],
        ["descriptors that a process may have here (ulimit -Hn)", f"{descriptor_limit():,}"],
        ["connections held at once", f"{held:,}"],
        ["memory of the server's process, more than with 10",
         shown(Kind.SIZE, server["grown_bytes"])],
        ["for each connection, besides what its kernel keeps",
         shown(Kind.SIZE, server["grown_bytes"] // held)],
        ["fastest echo with 10 others", shown(Kind.TIME, client["few_ns"])],
        ["fastest echo with all of them", shown(Kind.TIME, client["many_ns"])],
    ]  # fmt: skip


def moment(evidence: Evidence) -> list[Window]:
    """The last echo with a few others there, and the last with all of them."""
    sends, recvs = (evidence.calls(op, host="client", connection=0) for op in ("send", "recv"))
    return [
        one
        for number in (ECHOES - 1, 2 * ECHOES)
        for one in window(*sends[number : number + 1], *recvs[number : number + 1])
    ]


STUDY = Study(
    name="c10k",
    topic=Topic.IO_MODELS,
    question="Can one process with one thread serve {connections} connections at once?",
    setup="A server of 30 lines, one loop around epoll_wait(), gives back what it reads. A client "
    "measures its echo while 10 others are connected, then while {connections} are (or as "
    "many as the limit on descriptors allows; 500 are kept free). In the end each of "
    "the others says something, too. They come over the server's own loopback; only the "
    "client is recorded.",
    prediction="Yes. In 1999, when Dan Kegel gave the problem its name, it was hard: a process or "
    "a thread for each takes memory and switches, select() and poll() look at every "
    "descriptor. With epoll an idle connection costs memory and nothing else, so the client "
    "does not notice them: its echo takes as long as before.",
    parameters=(Parameter("connections", Kind.COUNT, 10_000, 1000, 16_000, "held at once"),),
    experiment=experiment,
    expects=(
        Expect("connections held at once", Kind.COUNT, lambda p: most_connections(p.connections),
               lambda e: e.returned["server"]["held"], "man 2 getrlimit: RLIMIT_NOFILE"),
        Expect("of them answered when they spoke", Kind.COUNT,
               lambda p: most_connections(p.connections), lambda e: e.returned["server#2"],
               "its program"),
        Expect("an echo among them all takes, in % of one among 10", Kind.COUNT, lambda p: 100,
               slower, "man 7 epoll: the ready list", less=75, more=300,
               otherwise=lambda p: 100 * most_connections(p.connections) // FEW,
               because="a factor of 4: caches that others use too"),
    ),
    table=table,
    lacks=lambda: too_few(1000),
    next="`netlab study wait-cost`: the same with select() and poll(). `netlab serve echo` is a "
    "server of this kind with everything that is left out here.",
    cause="peer_app",
    waits_on="client recv",
    claims=(
        Claim("One process can serve 10,000 connections (C10K)",
              lambda e: e.returned["server#2"] >= 10_000,
              "with a limit on descriptors that allows it (ulimit -n)"),
    ),
    moment=moment,
)  # fmt: skip
