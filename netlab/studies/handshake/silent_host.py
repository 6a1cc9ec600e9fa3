"""No answer at all: how often the SYN is sent again, and when connect() gives up."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import gap_ns
from netlab.studies.parts import BUSY_NS, S, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

LINEAR = 4  # the default of tcp_syn_linear_timeouts since Linux 6.5


def client(probe: Probe, p: Params) -> Any:
    """Connects to a host that is never heard of."""
    return trial(connected, probe)


def schedule(retries: int) -> tuple[int, int]:
    """How many SYNs are sent, and when connect() fails, in s after the first.

    tcp_write_timeout() of Linux: waits of 1 s, after the fifth each twice as long; it is over once
    as much time has gone by as `retries` doublings from 1 s would have taken, or after
    retries + tcp_syn_linear_timeouts resends.
    """
    sent, waited_s, wait_s = 1, 0, 1
    while True:
        waited_s += wait_s
        if waited_s >= 2 ** (retries + 1) - 1 or sent > retries + LINEAR:
            return sent, waited_s
        sent += 1
        if sent > LINEAR + 1:
            wait_s *= 2


STUDY = Study(
    name="silent-host",
    topic=Topic.HANDSHAKE,
    question="How long does connect() wait for a host that says nothing?",
    setup="The wire loses every frame of the server. The client connects; its kernel may "
    "resend the SYN {retries} times (net.ipv4.tcp_syn_retries, by default 6).",
    prediction="A SYN again every second, five times (net.ipv4.tcp_syn_linear_timeouts is 4),"
    " then after 2 s, 4 s and so on. connect() fails with ETIMEDOUT once so much time has "
    "gone by as if the waits had doubled from the start: 3, 7, 15 s for 1, 2, 3 "
    "retries.",
    # The kernel takes no 0 (ipv4_net_table: from 1 to 127).
    parameters=(Parameter("retries", Kind.COUNT, 1, 1, 3, "tcp_syn_retries of the client"),),
    client=client,
    wire=lambda p: "drop s>c any",
    sysctls=lambda p: {
        "client": {
            "net.ipv4.tcp_syn_retries": str(p.retries),
            "net.ipv4.tcp_syn_linear_timeouts": str(LINEAR),
        }
    },
    expects=(
        Expect(
            "SYNs sent",
            Kind.COUNT,
            lambda p: schedule(p.retries)[0],
            lambda e: len(e.frames("c>s", flags="SYN")),
            "man 7 tcp, tcp_syn_retries",
        ),
        Expect(
            "the second after",
            Kind.TIME,
            lambda p: S,
            lambda e: gap_ns(e.frames("c>s", flags="SYN")),
            "RFC 6298 2.1: 1 s before there is a round trip to go by",
            more=timer_room(S),
            because="the timer wheel: up to 1/8 late, never early",
        ),
        Expect(
            "connect() fails with",
            Kind.WORD,
            lambda p: "ETIMEDOUT",
            lambda e: e.returned["client"]["error"],
            "man 2 connect",
        ),
        Expect(
            "after",
            Kind.TIME,
            lambda p: schedule(p.retries)[1] * S,
            lambda e: e.returned["client"]["took_ns"],
            "tcp_write_timeout() and retransmits_timed_out() of Linux",
            more=lambda p: timer_room(schedule(p.retries)[1] * S) + BUSY_NS,
            because="the same for each; a turn each for the client, before and after",
        ),
    ),
    claims=(
        Claim(
            "connect() fails at once where there is no such host",
            lambda e: e.returned["client"]["took_ns"] < S,
            "if a router or the host itself says so",
        ),
    ),
    next="`netlab study connect-timeout`: a program that does not wait for its kernel to give up.",
    cause="syn_retry",
    lacks=lambda: "" if _has_linear() else "tcp_syn_linear_timeouts: Linux 6.5 brought it",
)


def _has_linear() -> bool:
    from pathlib import Path

    return Path("/proc/sys/net/ipv4/tcp_syn_linear_timeouts").exists()
