"""ARP: a frame needs a MAC address, and the program gave none."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.moments import back, window
from netlab.studies.parts import RTT, TURN_NS, S, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import Expect, Params, Study, Topic, Window

ALL = "ff:ff:ff:ff:ff:ff"
OPERATION_AT, REQUEST = 14 + 7, 1


def server(probe: Probe, p: Params) -> None:
    """Accepts twice."""
    listener = listening(probe)
    for _ in range(2):
        sock, _ = listener.accept()
        sock.recv(1)
        sock.close()
    listener.close()


def client(probe: Probe, p: Params) -> None:
    """Connects twice."""
    for _ in range(2):
        connected(probe).close()


def to_whom(evidence: Evidence) -> str:
    """Who the ARP frames were for, in order."""
    frames = evidence.packets("ARP")
    return ", ".join("all" if evidence.macs(f)[1] == ALL else "one" for f in frames)


def seen(evidence: Evidence) -> str:
    """What was asked and answered."""
    told = []
    for packet in evidence.packets("ARP")[:2]:
        source, target = evidence.macs(packet)
        kind = "request" if evidence.data(packet)[OPERATION_AT] == REQUEST else "reply"
        told.append(f"{source} to {target}: ARP {kind}")
    return f"Before the SYN: {'; '.join(told)}." if told else ""


def syns(evidence: Evidence) -> list[Packet]:
    """The first frame of each connection."""
    return [f for f, _ in evidence.frames("c>s", flags="SYN", connection=None)]


def before(evidence: Evidence, number: int) -> int:
    """ARP frames between the connection before and this one's SYN."""
    times = [0, *(f.time_ns for f in syns(evidence))]
    if number + 1 >= len(times):
        return 0
    return sum(times[number] < f.time_ns < times[number + 1] for f in evidence.packets("ARP"))


def moment(evidence: Evidence) -> list[Window]:
    """The first connection, until the server has it: its SYN leaves when ARP has answered."""
    return window(evidence.call("connect"), back(evidence.call("accept")))


STUDY = Study(
    name="arp",
    topic=Topic.UDP,
    question="I connect to an IP address. Who knows which network card that is?",
    setup="A client connects to a server on its own link, twice. The hosts have just been "
    "switched on: neither knows the other's MAC address.",
    prediction="Nobody, at first. The kernel sets the SYN aside and asks all on the link: who "
    "has this address? (ARP, a broadcast.) The one who has it answers the asker alone, and has "
    "learned the asker's address from the question. The SYN leaves then. Both remember the "
    "answer: before the second SYN nobody asks. (The wire does not delay ARP.)",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=delay,
    options={"resolve": True},
    expects=(
        Expect("ARP frames before the first SYN", Kind.COUNT, lambda p: 2,
               lambda e: before(e, 0), "RFC 826: a request, and a reply"),
        Expect("for whom they are", Kind.WORD, lambda p: "all, one", to_whom,
               "RFC 826: the request is broadcast"),
        Expect("ARP frames before the second SYN", Kind.COUNT, lambda p: 0,
               lambda e: before(e, 1), "man 7 arp: a cache; RFC 1122 2.3.2.1"),
        Expect("the first connect() takes", Kind.TIME, lambda p: p.rtt,
               lambda e: took_ns(e.call("connect")), "RFC 1122 2.3.2.2: the packet is kept",
               more=5 * TURN_NS, otherwise=lambda p: p.rtt + 1 * S,  # the SYN is sent again then
               because="a turn each for the wire's two frames of ARP and two of TCP, and the "
               "client"),
    ),
    seen=seen,
    moment=moment,
    next="`netlab study arp-failure`: nobody has it. `netlab study ipv6-neighbours`: without "
    "broadcast.",
)  # fmt: skip
