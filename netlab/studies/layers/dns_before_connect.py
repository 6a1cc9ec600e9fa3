"""A name must become an address before a connection can be made: one round trip more."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.parts import MS, TURN_NS, delay, felt
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic

DNS_PORT = 53
NAME = "shop.example"
HEADER = struct.Struct("!6H")  # number, flags, and how many of each: RFC 1035 4.1.1
ASKED, ANSWERED = 0x0100, 0x8180  # recursion desired; response, and recursion available
A, IN = 1, 1  # an IPv4 address, of the internet
VISITS = 2


def question(name: str) -> bytes:
    """A name as it is asked for: a length before each label, zero behind the last."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return labels + b"\0" + struct.pack("!2H", A, IN)


def query(number: int, name: str) -> bytes:
    """RFC 1035 4.1: a header and one question."""
    return HEADER.pack(number, ASKED, 1, 0, 0, 0) + question(name)


def answer(asked: bytes, address: str) -> bytes:
    """The question again, and a record: its name is a pointer to byte 12, where the question is."""
    number = HEADER.unpack(asked[: HEADER.size])[0]
    record = struct.pack("!3HIH", 0xC000 | HEADER.size, A, IN, 60, 4) + socket.inet_aton(address)
    return HEADER.pack(number, ANSWERED, 1, 1, 0, 0) + asked[HEADER.size :] + record


def server(probe: Probe, p: Params) -> None:
    """A name server that knows one name; then what is to be found there."""
    names = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("0.0.0.0", DNS_PORT))
    listener = listening(probe)
    asked, asker = names.recvfrom(512)
    names.sendto(answer(asked, socket.gethostbyname("server")), asker)
    for _ in range(VISITS):
        sock, _ = listener.accept()
        sock.recv(100)
        sock.send(b"welcome")
        sock.recv(100)
        sock.close()
    listener.close()
    names.close()


def client(probe: Probe, p: Params) -> Any:
    """Asks for the address and visits it; a second visit needs no name any more."""
    begun_ns = time.monotonic_ns()
    address = resolved(probe, p, NAME)
    name_ns = time.monotonic_ns() - begun_ns
    for _ in range(2):
        _visit(probe, address)
    return {"name_ns": name_ns}


def resolved(probe: Probe, p: Params, name: str) -> str:
    """The address behind a name. UDP resends nothing by itself."""
    names = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.settimeout(p.patience / 1e9)
    names.connect(("server", DNS_PORT))
    for number in range(1, 10):
        names.send(query(number, name))
        try:
            said = names.recv(512)
        except TimeoutError:
            continue
        names.close()
        return socket.inet_ntoa(said[-4:])
    raise TimeoutError(f"{name} was not found")


def _visit(probe: Probe, address: str) -> None:
    """Connect, ask, and wait for the answer."""
    sock = connected(probe, address, PORT)
    sock.send(b"hello")
    sock.recv(100)
    sock.close()


def trips(evidence: Evidence, visit: int) -> int | None:
    """How often the direction turned, from the client's first word of a visit to its answer."""
    first: dict[int, int] = {}
    for packet, segment in evidence.frames("s>c", data=True, connection=None):
        first.setdefault(segment.connection, packet.time_ns)
    answers = sorted(first.values())
    if visit >= len(answers):
        return None
    since_ns = answers[visit - 1] if visit else 0
    turns, last = 0, None
    for packet in evidence.tables.packets:
        if since_ns < packet.time_ns <= answers[visit] and not _is_goodbye(packet):
            turns += packet.direction == "s>c" and last == "c>s"
            last = packet.direction
    return turns


def _is_goodbye(packet: Packet) -> bool:
    """Whether it belongs to the end of the visit before: nobody waits for it."""
    flags = packet.tcp_flags or ""
    return "FIN" in flags or (flags == "ACK" and not packet.payload_len_bytes)


STUDY = Study(
    name="dns-before-connect",
    topic=Topic.LAYERS,
    question="I connect to a name. How much later is the first byte of the answer there?",
    setup="A client asks a name server for the address of shop.example, connects to it, sends a "
    "greeting and waits for the answer. Then it visits the same address again. All of them "
    "are {rtt} of round trip away; with lose=1 the first query is lost.",
    prediction="Three round trips: one for the name, one for the handshake, one for the "
    "greeting and its answer. TCP knows addresses only; the name is asked for before, over "
    "UDP, in one datagram each way. The second visit needs two, for the address is known. UDP "
    "sends nothing again: who asks must have a timer of his own, here {patience}, which comes on "
    "top where a query is lost.",
    parameters=(
        Parameter("rtt", Kind.TIME, 100 * MS, 10 * MS, 1000 * MS, "round trip of the wire"),
        Parameter("lose", Kind.COUNT, 0, 0, 1, "1: the first query is lost"),
        Parameter("patience", Kind.TIME, 1500 * MS, 1100 * MS, 5000 * MS, "before it asks again"),
    ),
    server=server,
    client=client,
    wire=lambda p: "; ".join(filter(None, [delay(p), "drop c>s datagram 1" if p.lose else ""])),
    sysctls=lambda p: {"server": {"net.ipv4.ip_unprivileged_port_start": f"{DNS_PORT}"}},
    expects=(
        Expect("round trips to the first byte of the answer", Kind.COUNT, lambda p: 3,
               lambda e: trips(e, 0), "RFC 1035 4.2.1; RFC 9293 3.5"),
        Expect("at the second visit", Kind.COUNT, lambda p: 2,
               lambda e: trips(e, 1), "RFC 9293 3.5"),
        Expect("the name was there after", Kind.TIME,
               lambda p: p.rtt + (p.patience if p.lose else 0),
               lambda e: e.returned["client"]["name_ns"],
               "RFC 1035 4.2.1: a datagram each way, and no timer but the program's",
               more=lambda p: 4 * TURN_NS + (MS + TURN_NS if p.lose else 0),
               because="a turn each for the wire's two frames and two programs; the patience of "
               "one counts in ms, and ends a turn late"),
        Expect("datagrams of the lookup", Kind.COUNT, lambda p: 3 if p.lose else 2,
               lambda e: len(e.packets("UDP")), "RFC 1035 4.2.1"),
    ),
    claims=(
        Claim("The first answer is there after one round trip",
              lambda e: trips(e, 0) == 1),
    ),
    next=lambda p: (
        "`netlab study dns-before-connect --set lose=0`: none is lost."
        if p.lose
        else "`netlab study dns-before-connect --set lose=1`: what a lost query costs."
    ),
    cause=lambda p: "timer" if p.lose else felt("network")(p),
)  # fmt: skip
