"""No answer at all: how often the SYN is sent again, and when connect() gives up."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, Frame, gap_ns
from netlab.studies.parts import BUSY_NS, TICK_NS, S, timer_room
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import connected, trial
from netlab.studies.stage import Stage
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

# tcp_syn_linear_timeouts of each: the default since Linux 6.5, and as it was before.
CLIENTS = {"client": 4, "older": 0}


def client(probe: Probe, p: Params) -> Any:
    """Connects to a host that is never heard of."""
    return trial(connected, probe)


def experiment(stage: Stage) -> None:
    """Both try at the same time."""
    stage.wait(*(stage.start(host, client) for host in CLIENTS))
    stage.lab.settle()


def schedule(retries: int, linear: int) -> tuple[int, ...]:
    """When each SYN is sent, and at last when connect() fails, in s after the first.

    tcp_write_timeout() of Linux: waits of 1 s, after `linear` of them each twice as long; it is
    over once as much time has gone by as `retries` doublings from 1 s would have taken, or after
    retries + linear resends.
    """
    times_s, wait_s = [0], 1
    while True:
        times_s.append(times_s[-1] + wait_s)
        if times_s[-1] >= 2 ** (retries + 1) - 1 or len(times_s) > retries + linear + 1:
            return tuple(times_s)
        if len(times_s) > linear + 1:
            wait_s *= 2


def syns(evidence: Evidence, host: str) -> list[Frame]:
    """What a client said."""
    return evidence.frames("c>s", flags="SYN", connection=of(evidence, host))


def of(evidence: Evidence, host: str) -> int | None:
    """The number of its connection."""
    call = evidence.call("connect", host=host)
    return call.connection if call is not None else None


def table(evidence: Evidence) -> list[list[str]]:
    """When each SYN left, after the first."""
    rows = [["tcp_syn_linear_timeouts", "SYNs after", "connect() failed after"]]
    for host, linear in CLIENTS.items():
        frames = syns(evidence, host)
        if not frames:
            continue
        after = [shown(Kind.TIME, frame.time_ns - frames[0][0].time_ns) for frame, _ in frames[1:]]
        took = shown(Kind.TIME, evidence.returned[host]["took_ns"])
        rows.append([f"{linear}", ", ".join(after), took])
    return rows


def _expects(host: str, which: str) -> tuple[Expect, ...]:
    linear = CLIENTS[host]

    def last_s(p: Params) -> int:
        """When the last SYN leaves."""
        return schedule(p.retries, linear)[-2]

    def over_s(p: Params) -> int:
        return schedule(p.retries, linear)[-1]

    return (
        Expect(f"{which}: SYNs sent", Kind.COUNT, lambda p: len(schedule(p.retries, linear)) - 1,
               lambda e: len(syns(e, host)), "man 7 tcp, tcp_syn_retries"),
        Expect(f"{which}: the second after", Kind.TIME, lambda p: S,
               lambda e: gap_ns(syns(e, host)),
               "RFC 6298 2.1: 1 s before there is a round trip to go by",
               more=timer_room(S), because="the timer wheel: up to 1/8 late, never early"),
        Expect(f"{which}: the last after the first by", Kind.TIME, lambda p: last_s(p) * S,
               lambda e: gap_ns(syns(e, host), 0, len(syns(e, host)) - 1),
               "RFC 6298 5.5: back off the timer; tcp_syn_linear_timeouts of Linux",
               more=lambda p: timer_room(last_s(p) * S) + last_s(p) * 2 * TICK_NS,
               because="the same for each"),
        Expect(f"{which}: it fails with", Kind.WORD, lambda p: "ETIMEDOUT",
               lambda e: e.returned[host]["error"], "man 2 connect"),
        Expect(f"{which}: connect() fails after", Kind.TIME, lambda p: over_s(p) * S,
               lambda e: e.returned[host]["took_ns"],
               "tcp_write_timeout() and retransmits_timed_out() of Linux",
               more=lambda p: timer_room(over_s(p) * S) + over_s(p) * 2 * TICK_NS + BUSY_NS,
               because="the same for each; a turn each for the client, before and after"),
    )  # fmt: skip


STUDY = Study(
    name="silent-host",
    topic=Topic.HANDSHAKE,
    question="How long does connect() wait for a host that says nothing?",
    setup="The wire loses every frame of the server. Two clients connect, whose kernels give up "
    "at the first timer that runs out once as much time has gone by as {retries} resends of the "
    "SYN would have taken, were each wait twice the one before "
    "(net.ipv4.tcp_syn_retries, by default 6): one with net.ipv4.tcp_syn_linear_timeouts 4, the "
    "default since Linux 6.5, and `older` with 0, as it was before.",
    prediction="As it was before: a SYN again after 1 s, and each wait is twice the one before, so "
    "they leave 1 s, 3 s, 7 s after the first. The last wait ends in ETIMEDOUT in place of "
    "a SYN: after 3, 7, 15 s for 1, 2, 3 retries; with the default of 6 after 127 s. Since then "
    "the first waits do not double: a SYN again every second, five times, then after 2 s, 4 s and "
    "so on. connect() fails at the first timer that runs out after that time, which need not be "
    "the same one: after 3, 7, 19 s; with the default of 6 after 131 s.",
    # The kernel takes no 0 (ipv4_net_table: from 1 to 127).
    parameters=(Parameter("retries", Kind.COUNT, 2, 1, 3, "tcp_syn_retries of the clients"),),
    hosts=("client", "server", "older"),
    experiment=experiment,
    wire=lambda p: "drop s>c any",
    sysctls=lambda p: {
        host: {
            "net.ipv4.tcp_syn_retries": str(p.retries),
            "net.ipv4.tcp_syn_linear_timeouts": str(linear),
        }
        for host, linear in CLIENTS.items()
    },
    connection=lambda evidence: of(evidence, "older"),
    table=table,
    expects=(*_expects("older", "before 6.5"), *_expects("client", "since 6.5")),
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
