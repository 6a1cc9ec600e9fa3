"""Keep-alive: how long until a dead peer is noticed, when nobody has anything to say."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import TURN_NS, S, timer_room
from netlab.studies.programs import answers_once, until_the_client_has_ended
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window


def client(probe: Probe, p: Params) -> Any:
    """Waits for a peer that has gone."""
    sock = connected(probe)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, p.idle // S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, p.interval // S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, p.count)
    sock.send(b"are you there?")
    sock.recv(100)
    found = trial(sock.recv, 100)
    sock.close()
    return found


def probes(evidence: Evidence) -> int:
    """Keep-alives that left."""
    return sum(s.keep_alive is True for _, s in evidence.frames("c>s"))


def dead_ns(p: Params) -> int:
    """idle + interval x count."""
    return p.idle + p.interval * p.count


def moment(evidence: Evidence) -> list[Window]:
    """What is set; and then the silence, until it is broken off."""
    return window(
        call_on(evidence, "setsockopt", host="client"),
        call_on(evidence, "setsockopt", -1, host="client"),
    ) + window(call_on(evidence, "recv", 1, host="client"))


STUDY = Study(
    name="keepalive",
    topic=Topic.TIMEOUTS,
    question="The peer's machine has vanished, and nobody sends. When is it noticed?",
    setup="A client sets SO_KEEPALIVE with idle {idle}, interval {interval} and count "
    "{count}, and waits in recv(). The wire is cut.",
    prediction="After the idle time a probe leaves (a segment with an old number, which asks "
    "for an ACK), then one after each interval. When {count} were not answered, recv() fails "
    "with ETIMEDOUT: idle + interval x count. The defaults are 2 hours, 75 s and 9.",
    parameters=(
        Parameter("idle", Kind.TIME, 1 * S, 1 * S, 10 * S, "TCP_KEEPIDLE, whole seconds"),
        Parameter("interval", Kind.TIME, 1 * S, 1 * S, 10 * S, "TCP_KEEPINTVL, whole seconds"),
        Parameter("count", Kind.COUNT, 2, 1, 9, "TCP_KEEPCNT"),
    ),
    server=answers_once,
    client=client,
    experiment=until_the_client_has_ended,
    wire=lambda p: "cut after c>s ack 2",
    expects=(
        Expect("recv() fails with", Kind.WORD, lambda p: "ETIMEDOUT",
               lambda e: e.returned["client"]["error"], "man 7 tcp"),
        Expect("recv() fails after", Kind.TIME, dead_ns,
               lambda e: e.returned["client"]["took_ns"], "RFC 9293 3.8.4; man 7 tcp", less=TURN_NS,
               more=lambda p: timer_room(dead_ns(p)) + TURN_NS,
               because="the client may lose its turn before it looks at the clock; the timer wheel "
               "is up to 1/8 late, each time; a turn, until the client runs again"),
        Expect("keep-alives on the wire", Kind.COUNT, lambda p: p.count, probes,
               "tcp_keepalive_timer() of Linux"),
    ),
    claims=(
        Claim("TCP notices when the peer has vanished",
              lambda e: e.returned["client"]["error"] == "ETIMEDOUT",
              "with SO_KEEPALIVE, or when there are bytes to send"),
    ),
    next="`netlab study user-timeout`: when there is data on its way.",
    cause="keepalive",
    moment=moment,
)  # fmt: skip
