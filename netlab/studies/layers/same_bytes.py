"""The same bytes by TCP, by UDP, and by a Unix socket: what each puts on the wire."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import connected, listening, read_exactly, read_to_end
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

ETHERNET, IPV4, UDP = 14, 20, 8
TCP, TCP_SYN = 32, 40  # with its options: timestamps; MSS, SACK, timestamps, window scale
FRAMES = 9  # handshake 3, data and its ACK, four to close
RIDING = 3  # ACKs that may ride on another frame: of the data, of each FIN


def server(probe: Probe, p: Params) -> Any:
    """Takes them over TCP, then over UDP."""
    datagrams = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", PORT))
    listener = listening(probe)
    stream, _ = listener.accept()
    found = {"TCP": read_to_end(stream)}
    stream.close()
    found["UDP"] = len(datagrams.recv(65536))
    datagrams.close()
    listener.close()
    return found


def client(probe: Probe, p: Params) -> Any:
    """Sends them three times."""
    data = b"n" * p.size
    stream = connected(probe)
    stream.send(data)
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)
    stream.close()
    datagrams = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.sendto(data, ("server", PORT))
    datagrams.close()
    here, there = probe.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    here.send(data)
    read_exactly(there, p.size)
    here.close()
    there.close()
    return {"Unix": p.size}


def carried(evidence: Evidence, protocol: str) -> list[Packet]:
    """The frames of a protocol."""
    return evidence.packets(protocol)


def bytes_of(packets: list[Packet]) -> int:
    """Bytes of these frames."""
    return sum(packet.origlen_bytes for packet in packets)


def arrived(evidence: Evidence) -> dict[str, int]:
    """Bytes that were read, of each way."""
    return {**evidence.returned["server"], **evidence.returned["client"]}


def table(evidence: Evidence) -> list[list[str]]:
    """Each way in a row."""
    rows = [["", "bytes read", "frames", "bytes on the wire"]]
    for way, got in arrived(evidence).items():
        frames = carried(evidence, way) if way != "Unix" else others(evidence)
        size = shown(Kind.SIZE, bytes_of(frames))
        rows.append([way, f"{got:,}", f"{len(frames)}", size])
    return rows


def others(evidence: Evidence) -> list[Packet]:
    """Frames that are neither TCP nor UDP."""
    return [one for one in evidence.tables.packets if one.protocol not in ("TCP", "UDP")]


def moment(evidence: Evidence) -> list[Window]:
    """The TCP connection, from handshake to end."""
    return window(evidence.call("connect"), call_on(evidence, "recv", host="client"))


STUDY = Study(
    name="same-bytes",
    topic=Topic.LAYERS,
    question="The same {size} by TCP, by UDP and by a Unix socket: what is on the wire?",
    setup="A client sends {size} to a server over a TCP connection and closes it, sends them "
    "again in a datagram, and last through a pair of Unix sockets to itself.",
    prediction="TCP needs a handshake, ACKs and an end: nine frames for one message, or up to "
    "three fewer where an ACK rides on another frame. UDP needs one, with 42 bytes in front of "
    "the message: but nobody knows whether it arrived. A Unix socket needs none: its "
    "kernel hands the bytes from one process to another of the same machine.",
    parameters=(Parameter("size", Kind.SIZE, 100, 1, 1448, "of the message"),),
    server=server,
    client=client,
    # No probe for a lost tail: on a busy machine it may come too early, and is a frame more.
    sysctls=lambda p: {h: {"net.ipv4.tcp_early_retrans": "0"} for h in ("client", "server")},
    expects=(
        Expect("frames, TCP", Kind.COUNT, lambda p: FRAMES, lambda e: len(carried(e, "TCP")),
               "RFC 9293 3.5 and 3.6", less=RIDING, because="ACKs that ride on another frame"),
        Expect("bytes on the wire, TCP", Kind.SIZE,
               lambda p: p.size + FRAMES * (ETHERNET + IPV4 + TCP) + 2 * (TCP_SYN - TCP),
               lambda e: bytes_of(carried(e, "TCP")), "RFC 9293 3.1; RFC 7323",
               less=RIDING * (ETHERNET + IPV4 + TCP), because="the same"),
        Expect("frames, UDP", Kind.COUNT, lambda p: 1, lambda e: len(carried(e, "UDP")), "RFC 768"),
        Expect("bytes on the wire, UDP", Kind.SIZE, lambda p: p.size + ETHERNET + IPV4 + UDP,
               lambda e: bytes_of(carried(e, "UDP")), "RFC 768: a header of 8 bytes"),
        Expect("all other frames", Kind.COUNT, lambda p: 0, lambda e: len(others(e)),
               "man 7 unix: processes on the same machine"),
        Expect("bytes that came, of each", Kind.WORD, lambda p: f"{p.size}, {p.size}, {p.size}",
               lambda e: ", ".join(map(str, arrived(e).values())), "its program"),
    ),
    table=table,
    moment=moment,
    claims=(
        Claim("A Unix socket puts nothing on the wire", lambda e: not others(e)),
    ),
    next="`netlab study one-message`: which layer adds which bytes.",
)  # fmt: skip
