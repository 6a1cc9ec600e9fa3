"""Python's settimeout(): a socket that does not block, and poll() in front of it."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.parts import BUSY_NS, MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic
from netlab.studies.timeouts.rcvtimeo import server


def client(probe: Probe, p: Params) -> Any:
    """Waits for an answer that does not come."""
    sock = connected(probe)
    sock.settimeout(p.timeout / 1e9)
    found = trial(sock.recv, 100)
    sock.close()
    return found


STUDY = Study(
    name="settimeout",
    topic=Topic.TIMEOUTS,
    question="settimeout({timeout}) in place of SO_RCVTIMEO: who keeps the time?",
    setup="A client calls settimeout() and recv(); the server never sends.",
    prediction="Python makes the socket non-blocking and waits with poll() first; recv() is "
    "not even called. It raises TimeoutError after {timeout}. The kernel's timer for poll() "
    "is a high-resolution one: it is late by microseconds, where that of SO_RCVTIMEO counts "
    "in ticks.",
    parameters=(Parameter("timeout", Kind.TIME, 300 * MS, 1 * MS, 10_000 * MS, "of the socket"),),
    server=server,
    client=client,
    expects=(
        Expect("the program gets", Kind.WORD, lambda p: "timed out",
               lambda e: e.returned["client"]["error"], "Python's socket module: TimeoutError"),
        Expect("recv() ends after", Kind.TIME, lambda p: p.timeout,
               lambda e: e.returned["client"]["took_ns"], "man 2 poll; schedule_hrtimeout()",
               more=MS + TURN_NS,
               because="poll() counts in ms; a turn, until the client runs again"),
    ),
    next="`netlab study rcvtimeo`, and compare how late each is.",
    cause=lambda p: "timer" if p.timeout >= BUSY_NS else "",
)  # fmt: skip
