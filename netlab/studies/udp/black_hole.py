"""A link in the middle takes only smaller packets, and does not say so."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, nth, window
from netlab.studies.parts import BUSY_NS, MS, TURN_NS, S, no_tail_loss_probes, timer_room
from netlab.studies.programs import until_the_client_has_ended
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, read_exactly, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SMALL, LARGE = 100, 3 * 1448  # 1448: a full segment, MTU 1500 less 52 of headers
MTU = 1400
BASE_MSS = 1024  # tcp_base_mss
RTO_NS = 200 * MS
PATIENCE_S = 3.0


def server(probe: Probe, p: Params) -> None:
    """Answers a small message and a large one."""
    sock = accepted(probe)
    for size in (SMALL, LARGE):
        read_exactly(sock, size)
        sock.send(b"yes")
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Sends them, and waits for the answers."""
    sock = connected(probe)
    sock.settimeout(PATIENCE_S)
    found = []
    for size in (SMALL, LARGE):
        sock.sendall(b"n" * size)
        found.append(trial(sock.recv, 100))
    sock.close()
    return found


def told(evidence: Evidence, number: int) -> str:
    """What came of the answer to a message."""
    return evidence.returned["client"][number]["error"] or "answered"


def helps_ns(p: Params) -> int:
    """The third time-out is the first that is 0.6 s after the first resend: see the source."""
    return RTO_NS * (1 + 2 + 4)


def sysctls(p: Params) -> dict[str, dict[str, str]]:
    """Neither host sends tail loss probes; the client may look for a smaller segment."""
    found = {host: dict(settings) for host, settings in no_tail_loss_probes(p).items()}
    found["client"] |= {
        "net.ipv4.tcp_mtu_probing": str(p.probing),
        "net.ipv4.tcp_base_mss": "1024",
        "net.ipv4.tcp_retries1": "1",
    }
    return found


def moment(evidence: Evidence) -> list[Window]:
    """The large message and its copies, until a smaller one is answered; and what comes of it."""
    smaller = nth(
        [one for one in evidence.frames("c>s") if one[1].payload_len_bytes == BASE_MSS], 0
    )
    answer = evidence.call("recv", 1, host="client")
    if smaller is None:
        return window(evidence.call("sendall", 1), answer)
    taken = [one for one in evidence.frames("s>c") if one[0].time_ns > smaller.time_ns]
    return window(evidence.call("sendall", 1), smaller, nth(taken, 0)) + window(
        evidence.call("send", 1, host="server"), back(answer)
    )


STUDY = Study(
    name="black-hole",
    topic=Topic.UDP,
    question="Small messages get through, large ones hang, and nothing is refused. What is this?",
    setup="In the middle there is a link with an MTU of 1,400, and somebody filters ICMP. A client "
    "sends 100 bytes, then 4,344, and waits up to 3 s for each answer. "
    "net.ipv4.tcp_mtu_probing of the client is {probing} (tcp_retries1 is 1), and "
    "neither host sends tail loss probes.",
    prediction="A black hole for path MTU discovery: full segments vanish, and nobody says "
    "why. TCP sends them again at the same size, for 15 minutes. connect() and small messages "
    "work, so everybody suspects the program. With tcp_mtu_probing 1 the kernel becomes "
    "suspicious after some time-outs, here the third (1.4 s), and tries again with segments of "
    "1,024 bytes (tcp_base_mss).",
    parameters=(
        Parameter("probing", Kind.COUNT, 1, 0, 1, "tcp_mtu_probing of the client"),
    ),
    server=server,
    client=client,
    experiment=until_the_client_has_ended,
    wire=lambda p: f"mtu {MTU} without icmp",
    sysctls=sysctls,
    expects=(
        Expect("the small message is", Kind.WORD, lambda p: "answered", lambda e: told(e, 0),
               "it fits"),
        Expect("the large one is", Kind.WORD,
               lambda p: "answered" if p.probing else "timed out", lambda e: told(e, 1),
               "RFC 2923 2.1; RFC 4821"),
        Expect("the large one takes", Kind.TIME, lambda p: helps_ns(p) if p.probing else 3 * S,
               lambda e: e.returned["client"][1]["took_ns"],
               "tcp_write_timeout() of Linux: once 0.6 s have gone by (tcp_retries1)",
               less=TURN_NS, more=lambda p: timer_room(helps_ns(p)) + 8 * BUSY_NS,
               because="the client may lose its turn before it looks at the clock; the timer wheel "
               "is up to 1/8 late; a turn each for the wire's two frames in the trips that the RTO "
               "is computed from, which doubles"),
        Expect("payload of the largest segment that arrived", Kind.SIZE,
               lambda p: BASE_MSS if p.probing else SMALL, lambda e: arrived(e),
               "tcp_mtu_probing() of Linux; RFC 4821 7.7"),
        Expect("ICMP messages", Kind.COUNT, lambda p: 0, lambda e: len(e.packets("ICMP")),
               "filtered"),
    ),
    moment=moment,
    cause=lambda p: "path_mtu" if p.probing else "",
    waits_on="client recv",
    next=lambda p: (
        f"`netlab study black-hole --set probing={1 - p.probing}`"
        f"{': the default' if p.probing else ''}."
    ),
)  # fmt: skip


def arrived(evidence: Evidence) -> int:
    """The payload of the largest segment of the client that arrived."""
    return max(
        (
            segment.payload_len_bytes
            for packet, segment in evidence.frames("c>s", data=True)
            if packet.arrived_ns is not None
        ),
        default=0,
    )
