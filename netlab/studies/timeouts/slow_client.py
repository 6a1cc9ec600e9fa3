"""A client that is never silent for long, and never done."""

from __future__ import annotations

import select
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, window
from netlab.studies.parts import BUSY_NS, MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> Any:
    """Waits for the end of a line: at most so long for each byte, and so long for all."""
    sock = accepted(probe)
    begun_ns = time.monotonic_ns()
    got, late = b"", 0
    while not got.endswith(b"\n"):
        left_ns = begun_ns + p.deadline - time.monotonic_ns() if p.deadline else p.timeout
        if left_ns <= 0:
            break
        sock.settimeout(min(p.timeout, left_ns) / 1e9)
        try:
            data = sock.recv(1)
        except TimeoutError:
            late += left_ns >= p.timeout
            continue
        if not data:
            break
        got += data
    took_ns = time.monotonic_ns() - begun_ns
    sock.close()
    return {"bytes": len(got), "late": late, "took_ns": took_ns}


def client(probe: Probe, p: Params) -> int:
    """A byte now and then, and never the end of the line."""
    sock = connected(probe)
    closed = probe.poll()
    closed.register(sock, select.POLLIN)
    sent = 0
    while sent < p.bytes and not trial(sock.send, b"n")["error"]:
        sent += 1
        if closed.poll(p.gap / 1e6):
            break
    sock.close()
    return sent


def lasts_ns(p: Params) -> int:
    """Until the deadline, or until the client is tired of it."""
    return min(p.deadline or p.bytes * p.gap, p.bytes * p.gap)


def accepted_bytes(evidence: Evidence) -> int:
    """What came in time."""
    return int(evidence.returned["server"]["bytes"])


def moment(evidence: Evidence) -> list[Window]:
    """The first two bytes; and the end."""
    reads = evidence.calls("recv", host="server")
    if len(reads) < 3:
        return []
    return [
        *window(call_on(evidence, "send", host="client"), back(reads[1])),
        *window(reads[-1], call_on(evidence, "close", host="server")),
    ]


STUDY = Study(
    name="slow-client",
    topic=Topic.TIMEOUTS,
    question="My server has a time-out of {timeout}. How long can one client keep it busy?",
    setup="A server waits for a line with settimeout({timeout}) around each recv(), and "
    "{deadline} for the whole line (0: no limit). A client sends a byte every {gap}, {bytes} "
    "in all, and never the end of the line.",
    prediction="For as long as the client likes: a time-out around recv() begins anew with each "
    "byte, and never ends while one comes every {gap}. What helps is a deadline for the whole "
    "request: then it is over after {deadline}, with one byte for each {gap} of it.",
    parameters=(
        Parameter("timeout", Kind.TIME, 400 * MS, 300 * MS, 2_000 * MS, "around each recv()"),
        Parameter("deadline", Kind.TIME, 1_000 * MS, 0, 5_000 * MS, "for the whole line; 0: none"),
        Parameter("gap", Kind.TIME, 100 * MS, 50 * MS, 150 * MS, "between two bytes"),
        Parameter("bytes", Kind.COUNT, 30, 10, 50, "that the client sends"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("the server was kept busy for", Kind.TIME, lasts_ns,
               lambda e: e.returned["server"]["took_ns"], "the server's program",
               less=lambda p: 0 if lasts_ns(p) == p.deadline else BUSY_NS,
               more=lambda p: (MS + TURN_NS) * (1 if lasts_ns(p) == p.deadline else p.bytes + 2),
               because="poll() counts in ms; a turn for the server at its deadline, or for the "
               "client each time, the wire and the server"),
        Expect("recv() timed out so often", Kind.COUNT, lambda p: 0,
               lambda e: e.returned["server"]["late"], "each byte begins the time anew"),
        Expect("bytes that it read", Kind.SIZE, lambda p: lasts_ns(p) // p.gap, accepted_bytes,
               "one at once, then one for each gap", less=lambda p: lasts_ns(p) // p.gap // 3,
               more=1, because="the client sleeps longer than it asked for, on a busy machine"),
    ),
    cause="peer_app",
    waits_on="server recv",
    next=lambda p: (
        "`netlab study slow-client --set deadline=0ms`: no limit but the client's patience."
        if p.deadline
        else "`netlab study slow-client --set deadline=1s`: a limit for the whole line."
    ),
    moment=moment,
)  # fmt: skip
