"""SO_RCVTIMEO: the kernel ends a recv() that waits too long."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import BUSY_NS, MS, TURN_NS, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> None:
    """Says nothing until the client has gone."""
    sock = accepted(probe)
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Waits for an answer that does not come."""
    sock = connected(probe)
    seconds, rest_ns = divmod(p.timeout, 1_000_000_000)
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", seconds, rest_ns // 1000)
    )
    found = trial(sock.recv, 100)
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """The option, the call that it ends, and what the client does then."""
    return window(
        call_on(evidence, "setsockopt", host="client"), call_on(evidence, "close", host="client")
    )


STUDY = Study(
    name="rcvtimeo",
    topic=Topic.TIMEOUTS,
    question="SO_RCVTIMEO is {timeout}. What does recv() do when nothing comes?",
    setup="A client sets SO_RCVTIMEO and calls recv(); the server never sends.",
    prediction="recv() fails with EAGAIN after {timeout}, as if the socket did not block. The "
    "connection is as good as before: nobody but this call has timed out, and nothing is sent.",
    parameters=(Parameter("timeout", Kind.TIME, 300 * MS, 1 * MS, 10_000 * MS, "SO_RCVTIMEO"),),
    server=server,
    client=client,
    expects=(
        Expect("recv() fails with", Kind.WORD, lambda p: "EAGAIN",
               lambda e: e.returned["client"]["error"], "man 7 socket, SO_RCVTIMEO"),
        Expect("recv() fails after", Kind.TIME, lambda p: p.timeout,
               lambda e: e.returned["client"]["took_ns"],
               "man 7 socket; counted in ticks (CONFIG_HZ), rounded up",
               more=lambda p: timer_room(p.timeout) + TURN_NS,
               because="the timer wheel is up to 1/8 late; a turn, until the client runs again"),
        Expect("frames that the client sent in that time", Kind.COUNT, lambda p: 0,
               lambda e: _between(e), "it is no event of TCP"),
    ),
    claims=(
        Claim("A time-out of recv() ends the connection", lambda e: _between(e) != 0),
    ),
    moment=moment,
    next="`netlab study settimeout`: the same by poll().",
    cause=lambda p: "timer" if p.timeout >= BUSY_NS else "",
)  # fmt: skip


def _between(evidence: Evidence) -> int | None:
    call = evidence.call("recv", host="client")
    if call is None or call.returned_ns is None:
        return None
    return sum(
        call.entered_ns < packet.time_ns < call.returned_ns for packet, _ in evidence.frames("c>s")
    )
