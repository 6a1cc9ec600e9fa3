"""One message down the stack: how many bytes each layer adds."""

from __future__ import annotations

from netlab.decode.checksums import checksum
from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.moments import window
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

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


def cards(evidence: Evidence) -> str | None:
    """The MAC addresses, by their last number: the lab numbers its hosts."""
    found = frame(evidence)
    if found is None:
        return None
    return ", ".join(f"card {int(mac[-2:], 16)}" for mac in evidence.macs(found))


def sums(evidence: Evidence) -> str | None:
    """What is left when header, and segment with its pseudo-header, are summed up."""
    found = frame(evidence)
    if found is None:
        return None
    packet = evidence.data(found)[ETHERNET:]
    header, segment = packet[:IPV4], packet[IPV4 : found.ip_len_bytes]
    pseudo = header[12:20] + bytes([0, header[9]]) + len(segment).to_bytes(2, "big")
    return f"{checksum(header)}, {checksum(pseudo + segment)}"


def table(evidence: Evidence) -> list[list[str]]:
    """What each layer put in front, as the frame has it, from the message down to the wire."""
    found = frame(evidence)
    if found is None:
        return []
    packet = evidence.data(found)[ETHERNET:]
    ip_bytes = 4 * (packet[0] & 15)
    tcp_bytes = 4 * (packet[ip_bytes + 12] >> 4)
    size = found.payload_len_bytes or 0
    rows = [["layer", "adds", "makes", "what it puts in front"], ["program", "", f"{size:,} B", ""]]
    for layer, adds, what in (
        ("TCP", tcp_bytes, "ports, numbers, window, checksum, timestamps"),
        ("IPv4", ip_bytes, "addresses of the hosts, TTL, checksum of itself"),
        ("Ethernet", ETHERNET, "addresses of the cards on this link"),
    ):
        size += adds
        rows.append([layer, f"{adds} B", f"{size:,} B", what])
    return rows


def moment(evidence: Evidence) -> list[Window]:
    """From the connection until the message is read."""
    return window(
        evidence.call("connect"), evidence.call("send"), evidence.call("recv", host="server")
    )


STUDY = Study(
    name="one-message",
    topic=Topic.LAYERS,
    question="A program sends {size}. How many bytes are on the wire, and who added which?",
    setup="A client sends one message of {size} over TCP on Ethernet.",
    prediction="66 bytes more. TCP adds 32: ports, numbers, a checksum over all of the segment, "
    "and 12 of options, the timestamps of both ends. IPv4 adds 20: the addresses of the two "
    "hosts, a checksum of its own header alone, and a TTL of 64, so that no packet goes in circles "
    "for ever. Ethernet adds 14: the addresses of the two network cards on this link. The card "
    "adds 24 more that no capture shows: preamble, checksum and the gap. Each layer takes what is "
    "above it for bytes, and does not look inside; the MTU, 1,500, is for all but Ethernet.",
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
        Expect("the MTU of the client's link, as its SYN tells it (MSS + 40)", Kind.SIZE,
               lambda p: 1500, lambda e: mss + 40 if (mss := e.connection.client_mss) else None,
               "RFC 9293 3.7.1: the MTU less headers without options; RFC 894: 1,500"),
        Expect("TTL", Kind.COUNT, lambda p: 64, lambda e: f.ttl if (f := frame(e)) else None,
               "RFC 1700: 64; net.ipv4.ip_default_ttl"),
        Expect("checksums of IP and TCP, summed up with the rest", Kind.WORD,
               lambda p: "0, 0", sums, "RFC 1071: all words and the sum itself give 0"),
        Expect("the frame goes from and to", Kind.WORD,
               lambda p: "card 1, card 2", cards,
               "RFC 894: the cards of client and server, as the lab numbers them"),
        Expect("the server read", Kind.SIZE, lambda p: p.size, lambda e: e.returned["server"],
               "RFC 9293 2.2"),
    ),
    moment=moment,
    table=table,
    next=lambda p: (
        ("`netlab study one-message --set size=1`: 67 bytes for one. Then " if p.size > 1 else "")
        + "`netlab study two-hops`: what a router changes."
    ),
)  # fmt: skip
