"""The cable is pulled, and put back."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.moments import back, window
from netlab.studies.parts import BUSY_NS, MS, TICK_NS, TURN_NS, no_tail_loss_probes, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, read_exactly
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

WARM_UP = 8  # exchanges, so that the round trip is known and its variation has settled
SIZE = 100


def server(probe: Probe, p: Params) -> int:
    """Answers each message; how many there were."""
    sock = accepted(probe)
    count = 0
    while sock.recv(SIZE):
        sock.send(b"n" * SIZE)
        count += 1
    sock.close()
    return count


def client(probe: Probe, p: Params) -> None:
    """Some exchanges, while somebody pulls the cable."""
    sock = connected(probe)
    for _ in range(WARM_UP + 1):
        sock.send(b"n" * SIZE)
        read_exactly(sock, SIZE)
    sock.close()


def resends(p: Params) -> list[int]:
    """When the message leaves again, in ns after it first did: each wait doubles the last."""
    wait_ns = p.rtt + 200 * MS
    times = [wait_ns]
    while times[-1] < p.out:
        wait_ns *= 2
        times.append(times[-1] + wait_ns)
    return times


def answered_ns(p: Params) -> int:
    """A round trip after the first resend that finds the cable in its place."""
    return resends(p)[-1] + p.rtt


def room_ns(p: Params) -> int:
    """Each timer is up to 1/8 late."""
    return timer_room(resends(p)[-1]) + (BUSY_NS << len(resends(p))) // 4


def of_last(evidence: Evidence) -> list[Packet]:
    """The last message, each time that it left."""
    return [f for f, s in evidence.frames("c>s", data=True) if s.start == WARM_UP * SIZE]


def moment(evidence: Evidence) -> list[Window]:
    """The message and its copies that are lost; the one that arrives, until its answer is read."""
    sent = evidence.call("send", WARM_UP, host="client")
    lost = [frame for frame in of_last(evidence) if frame.arrived_ns is None]
    arrived = [frame for frame in of_last(evidence) if frame.arrived_ns is not None]
    return [
        *window(sent, *lost[-1:]),
        *window(*arrived[:1], back(evidence.call("recv", -1, host="client"))),
    ]


STUDY = Study(
    name="cable-pulled",
    topic=Topic.TEARDOWN,
    question="Somebody pulls the cable and puts it back after {out}. What happens to my "
    "connections?",
    setup="A client and a server exchange messages over {rtt} of round trip. Then nothing "
    "passes for {out}, while the client waits for an answer. Tail loss probes are off, so that "
    "only the retransmission timer acts.",
    prediction="Nothing: a connection is what two kernels remember, and no cable is part of it. "
    "No call fails. The message leaves again after an RTO (round trip + 200 ms), and each time "
    "after twice as long. The first copy after the cable is back arrives; but nobody tells TCP "
    "that it is back, so the wait may be twice as long as the outage. Linux gives up after 15 "
    "resends, some 15 minutes.",
    parameters=(
        Parameter("out", Kind.TIME, 1_000 * MS, 900 * MS, 1_100 * MS, "how long nothing passes"),
        Parameter("rtt", Kind.TIME, 20 * MS, 10 * MS, 30 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=lambda p: f"delay {p.rtt // 2}ns; cut after s>c data {WARM_UP} for {p.out + p.rtt // 2}ns",
    sysctls=no_tail_loss_probes,
    expects=(
        Expect("the answer comes after", Kind.TIME, answered_ns,
               lambda e: took_ns(e.call("recv", -1, host="client")),
               "RFC 6298 5.5; TCP_RTO_MIN of Linux: 200 ms",
               less=lambda p: TURN_NS + (TICK_NS << len(resends(p))), more=room_ns,
               because="the client may call recv() a turn late; the RTO is set in ticks, and "
               "doubles; the timer wheel is up to 1/8 late; a turn each for the wire's two frames "
               "in the trips that the RTO is computed from"),
        Expect("copies of the message that left", Kind.COUNT, lambda p: len(resends(p)) + 1,
               lambda e: copies(e), "RFC 6298 5.5: the timer doubles"),
        Expect("messages that the server answered", Kind.COUNT, lambda p: WARM_UP + 1,
               lambda e: e.returned["server"], "RFC 9293 3.8: reliable"),
        Expect("resets", Kind.COUNT, lambda p: 0,
               lambda e: sum("RST" in (f.tcp_flags or "") for f, _ in e.frames()),
               "RFC 9293 3.8.3: only R2 resends in vain end it"),
    ),
    moment=moment,
    cause="rto",
    waits_on="client recv",
    next="`netlab study user-timeout`: when you want to know sooner.",
)  # fmt: skip


def copies(evidence: Evidence) -> int:
    """How often the last message left."""
    return len(of_last(evidence))
