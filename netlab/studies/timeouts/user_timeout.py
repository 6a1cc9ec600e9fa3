"""TCP_USER_TIMEOUT: how long data may stay unacknowledged."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS, S, timer_room
from netlab.studies.programs import answers_once, until_the_client_has_ended
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window


def client(probe: Probe, p: Params) -> Any:
    """Speaks while the wire is cut, and waits for the answer."""
    sock = connected(probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, p.timeout // MS)
    sock.send(b"are you there?")
    sock.recv(100)
    sock.send(b"still there?")
    found = trial(sock.recv, 100)
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """From the message that nobody hears until recv() fails."""
    return window(
        call_on(evidence, "send", 1, host="client"), call_on(evidence, "recv", 1, host="client")
    )


STUDY = Study(
    name="user-timeout",
    topic=Topic.TIMEOUTS,
    question="The peer is gone without a word. How do I hear of it in {timeout}, not in 15 "
    "minutes?",
    setup="A client sets TCP_USER_TIMEOUT to {timeout}. Then the wire is cut behind its first "
    "message; it sends another and waits.",
    prediction="By default Linux would resend for some 15 minutes (tcp_retries2). With the option "
    "the connection is given up, and recv() fails with ETIMEDOUT. RFC 5482 counts from the "
    "segment that is not acknowledged; Linux counts from its first resend by the timer, which "
    "here comes after a tail loss probe (200 ms) and a retransmission time-out (200 ms): "
    "{timeout} and 400 ms.",
    parameters=(
        Parameter("timeout", Kind.TIME, 1000 * MS, 300 * MS, 10 * S, "TCP_USER_TIMEOUT"),
    ),
    server=answers_once,
    client=client,
    experiment=until_the_client_has_ended,
    wire=lambda p: "cut after data 2",
    expects=(
        Expect("recv() fails with", Kind.WORD, lambda p: "ETIMEDOUT",
               lambda e: e.returned["client"]["error"], "man 7 tcp, TCP_USER_TIMEOUT"),
        Expect("recv() fails after", Kind.TIME, lambda p: p.timeout + 400 * MS,
               lambda e: e.returned["client"]["took_ns"],
               "RFC 5482; tcp_clamp_rto_to_user_timeout() and retrans_stamp of Linux",
               less=TURN_NS, more=lambda p: timer_room(p.timeout + 400 * MS) + TURN_NS,
               because="the client may lose its turn before it looks at the clock; the timer wheel "
               "is up to 1/8 late, each time; a turn, until the client runs again"),
    ),
    next="`netlab study keepalive`: when nobody sends anything.",
    cause="user_timeout",
    moment=moment,
)  # fmt: skip
