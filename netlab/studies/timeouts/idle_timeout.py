"""A server does not wait for ever for a silent client."""

from __future__ import annotations

import select
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, nth, window
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

BEATS = 6
EVERY = 2  # heartbeats in the time that the server allows


def server(probe: Probe, p: Params) -> Any:
    """Closes a connection on which nothing came for too long."""
    sock = accepted(probe)
    sock.settimeout(p.idle / 1e9)
    heard = 0
    try:
        while data := sock.recv(100):
            heard += len(data)
        ended = "client"
    except TimeoutError:
        ended = "server"
    sock.close()
    return {"ended": ended, "heard": heard}


def client(probe: Probe, p: Params) -> Any:
    """Has nothing to say for a long time; with heartbeats it says that."""
    sock = connected(probe)
    readable = probe.poll()
    readable.register(sock, select.POLLIN)
    ended = False
    for _ in range(BEATS):
        ended = bool(readable.poll(p.idle / 1e6 / EVERY))
        if ended:
            break
        if p.heartbeat:
            sock.send(b".")
    sock.close()
    return ended


def lasted_ns(evidence: Evidence) -> int | None:
    """From the end of the handshake to the first FIN."""
    frames = evidence.frames()
    fins = [f.time_ns for f, _ in frames if "FIN" in (f.tcp_flags or "")]
    return fins[0] - frames[2][0].time_ns if fins else None


def lasts_ns(p: Params) -> int:
    """As long as the server allows, or until the client has had enough."""
    return BEATS * p.idle // EVERY if p.heartbeat else p.idle


def moment(evidence: Evidence) -> list[Window]:
    """From when the server waits until both have closed."""
    return window(call_on(evidence, "recv", host="server"), nth(evidence.frames(), -1))


STUDY = Study(
    name="idle-timeout",
    topic=Topic.TIMEOUTS,
    question="A client connects and says nothing. How long does the server keep it?",
    setup="A server calls settimeout({idle}) and closes when nothing came in that time. A "
    "client has nothing to say; with heartbeat=1 it sends a byte every half of that time, six "
    "times, and then closes.",
    prediction="TCP itself has no time-out for silence: an idle connection costs no frame and "
    "may last for years. So the server's program must end it, after {idle}, or its descriptors "
    "run out. Each byte begins the time anew: a client with heartbeats stays as long as it "
    "likes, which is what they are for.",
    parameters=(
        Parameter("idle", Kind.TIME, 500 * MS, 200 * MS, 5_000 * MS, "that the server allows"),
        Parameter("heartbeat", Kind.COUNT, 0, 0, 1, "1: the client sends some"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("the connection was ended by the", Kind.WORD,
               lambda p: "client" if p.heartbeat else "server",
               lambda e: e.returned["server"]["ended"], "the programs"),
        Expect("it lasted", Kind.TIME, lasts_ns, lasted_ns, "man 2 poll: never early",
               more=lambda p: (MS + TURN_NS) * (BEATS + 1 if p.heartbeat else 3),
               because="poll() counts in ms; a turn each for the wire, the server's accept() and "
               "its recv(), or with heartbeats for the client each time"),
        Expect("bytes that the server heard", Kind.SIZE, lambda p: BEATS * p.heartbeat,
               lambda e: e.returned["server"]["heard"], "the client's program"),
    ),
    next="`netlab study idle-timeout --set heartbeat=1`, then `netlab study slow-client`.",
    cause=lambda p: "" if p.heartbeat else "timer",
    waits_on="server recv",
    moment=moment,
)  # fmt: skip
