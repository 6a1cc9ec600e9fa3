"""A listening socket for each worker: how does the kernel deal out the connections?"""

from __future__ import annotations

from math import isqrt

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.processes.who_accepts import WORKERS, dealt
from netlab.studies.quantity import Kind
from netlab.studies.serving import with_core
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window


def client(probe: Probe, p: Params) -> list[int]:
    """One client after the other connects and asks who serves it; all stay."""
    return dealt(probe, p, PORT)


def experiment(stage: Stage) -> None:
    """Workers with listening sockets of their own, at the same port."""
    with_core(stage, "base", WORKERS, True)


def dealt_out(evidence: Evidence) -> list[int]:
    """How many each worker got, the most first."""
    found: list[int] = evidence.returned["client"]
    return found


def shares(evidence: Evidence) -> str:
    """The same in words."""
    return f"The workers got {', '.join(map(str, dealt_out(evidence)))} connections."


def spread(p: Params) -> int:
    """Four standard deviations of what chance gives one of four, rounded up."""
    return isqrt(16 * p.clients * (WORKERS - 1) // WORKERS**2) + 1


def moment(evidence: Evidence) -> list[Window]:
    """A client comes, and is served."""
    return window(
        call_on(evidence, "connect", host="client"), call_on(evidence, "recv", host="client")
    )


STUDY = Study(
    name="reuseport",
    topic=Topic.PROCESSES,
    question="Four sockets listen at one port (SO_REUSEPORT). Who gets the connections?",
    setup="A server forks four workers, each with a listening socket of its own at the same port. "
    "{clients} clients connect, each when the one before has been answered.",
    prediction="Each about a quarter. The kernel computes a hash of both addresses and ports, and "
    "that says which socket's queue the connection is for, as a die would: nobody chooses, and "
    "nobody looks who is free. So a connection may wait in the queue of a worker that is stuck, "
    "while the others sleep.",
    parameters=(Parameter("clients", Kind.COUNT, 128, 32, 1000, "one after the other"),),
    client=client,
    experiment=experiment,
    seen=shares,
    expects=(
        Expect("connections of the worker that has the most", Kind.COUNT,
               lambda p: p.clients // WORKERS, lambda e: dealt_out(e)[0],
               "man 7 socket, SO_REUSEPORT; reuseport_select_sock() of Linux: a hash",
               more=spread, because="four standard deviations of a die with four faces"),
        Expect("connections of the worker that has the fewest", Kind.COUNT,
               lambda p: p.clients // WORKERS,
               lambda e: dealt_out(e)[-1],
               "the same", less=spread, because="the same"),
    ),
    claims=(
        Claim("SO_REUSEPORT spreads connections evenly over the workers.",
              lambda e: dealt_out(e)[0] <= e.p.clients // WORKERS + spread(e.p),
              "only as evenly as chance does, whether they are free or not"),
    ),
    next="`netlab study who-accepts`: one socket for all.",
    moment=moment,
)  # fmt: skip
