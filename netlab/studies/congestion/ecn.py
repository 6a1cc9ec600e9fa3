"""ECN: how two ends agree that routers may mark packets instead of losing them."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import nth, window
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

TOS_AT = 14 + 1  # in a frame: behind the Ethernet header, the second byte of IPv4's


def client(probe: Probe, p: Params) -> None:
    """Sends a few segments."""
    sock = connected(probe)
    sock.sendall(b"n" * 10_000)
    sock.close()


def flags(evidence: Evidence, direction: str) -> str:
    """The flags of the first frame of a direction: SYN, or SYN-ACK."""
    frames = evidence.frames(direction)
    return frames[0][0].tcp_flags or "" if frames else "none"


def marks(evidence: Evidence, *, data: bool) -> str:
    """What the two ECN bits of the client's frames are, with data or without."""
    numbers = {packet.frame for packet, _ in evidence.frames("c>s", data=data)}
    frames = [frame for frame in evidence.raw.frames if frame.number in numbers]
    bits = {frame.data[TOS_AT] & 0b11 for frame in frames}
    return ", ".join(f"{one:02b}" for one in sorted(bits))


def moment(evidence: Evidence) -> list[Window]:
    """The handshake, and the first data."""
    return window(nth(evidence.frames(), 0), nth(evidence.frames("c>s", data=True), 0))


STUDY = Study(
    name="ecn",
    topic=Topic.CONGESTION,
    question="net.ipv4.tcp_ecn is {asks} at the client and {agrees} at the server. What do they "
    "say about ECN, and where?",
    setup="A client connects and sends 10,000 bytes. (The wire of the lab marks nothing: this is "
    "about what a router would have to see.)",
    prediction="A client that wants ECN (explicit congestion notification) sets both flags, ECE "
    "and CWR, in its SYN. A server that can (2, the default: when asked) answers with ECE alone in "
    "its SYN-ACK: alone, since some old hosts send both bits back as they came (RFC 3168 6.1.1), "
    "and that is no consent. From then on each IP header with data carries ECT(0), "
    "the bits 10: a router whose queue grows may change them to 11, where it would drop others. "
    "Pure ACKs are not marked so.",
    parameters=(
        Parameter("asks", Kind.COUNT, 1, 1, 2, "net.ipv4.tcp_ecn of the client; 1: it asks"),
        Parameter("agrees", Kind.COUNT, 2, 0, 2, "net.ipv4.tcp_ecn of the server; 0: never"),
    ),
    server=reads_to_the_end,
    client=client,
    sysctls=lambda p: {
        "client": {"net.ipv4.tcp_ecn": f"{p.asks}"},
        "server": {"net.ipv4.tcp_ecn": f"{p.agrees}"},
    },
    expects=(
        Expect("flags of the first segment", Kind.WORD,
               lambda p: "SYN ECE CWR" if p.asks == 1 else "SYN", lambda e: flags(e, "c>s"),
               "RFC 3168 6.1.1; ip-sysctl, tcp_ecn"),
        Expect("flags of the answer", Kind.WORD,
               lambda p: "SYN ACK ECE" if p.asks == 1 and p.agrees else "SYN ACK",
               lambda e: flags(e, "s>c"), "the same"),
        Expect("ECN bits of the client's frames with data", Kind.WORD,
               lambda p: "10" if p.asks == 1 and p.agrees else "00",
               lambda e: marks(e, data=True), "RFC 3168 6.1.2"),
        Expect("and of those without", Kind.WORD, lambda p: "00", lambda e: marks(e, data=False),
               "RFC 3168 6.1.4: not on pure ACKs"),
    ),
    next=lambda p: (
        "`netlab study ecn --set agrees=0`."
        if p.agrees
        else "`netlab study ecn --set agrees=2`: a server that agrees, if it is asked."
    ),
    moment=moment,
)  # fmt: skip
