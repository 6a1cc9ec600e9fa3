"""One message down the stack: how many bytes each layer adds."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

ETHERNET, IPV4, TCP = 14, 20, 32


def client(probe: Probe, p: Params) -> None:
    """Sends one message."""
    sock = connected(probe)
    sock.send(b"n" * p.size)
    sock.close()


def frame(evidence: Evidence) -> Packet | None:
    """The frame that carried it."""
    found = evidence.frames("c>s", data=True)
    return found[0][0] if found else None


STUDY = Study(
    name="one-message",
    topic=Topic.LAYERS,
    question="A program sends {size}. How many bytes are on the wire, and who added which?",
    setup="A client sends one message of {size} over TCP on Ethernet.",
    prediction="66 bytes more: TCP adds 32 (20, and 12 of options: the timestamps of both "
    "ends), IPv4 adds 20, Ethernet 14. The network card adds 24 more that no capture shows: "
    "preamble, checksum and the gap. Each layer knows the one below only as a way to get "
    "bytes there.",
    parameters=(Parameter("size", Kind.SIZE, 100, 1, 1448, "of the message"),),
    server=reads_to_the_end,
    client=client,
    expects=(
        Expect("bytes of the frame", Kind.SIZE, lambda p: p.size + ETHERNET + IPV4 + TCP,
               lambda e: f.origlen_bytes if (f := frame(e)) else None, "the sum"),
        Expect("of these, the IP packet", Kind.SIZE, lambda p: p.size + IPV4 + TCP,
               lambda e: f.ip_len_bytes if (f := frame(e)) else None,
               "IEEE 802.3 3.2: 6 + 6 + 2 in front"),
        Expect("of these, the TCP segment's payload", Kind.SIZE, lambda p: p.size,
               lambda e: f.payload_len_bytes if (f := frame(e)) else None,
               "RFC 791 3.1: 20; RFC 9293 3.1: 20; RFC 7323 3.2: 12"),
        Expect("the server read", Kind.SIZE, lambda p: p.size, lambda e: e.returned["server"],
               "RFC 9293 2.2"),
    ),
    next="`netlab study one-message --set size=1`: 67 bytes for one. Then `netlab study nagle`.",
)  # fmt: skip
