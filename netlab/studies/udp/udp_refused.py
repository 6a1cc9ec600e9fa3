"""A datagram to nobody: who says so, and to whom."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.parts import RTT, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import trial
from netlab.studies.study import PORT, Claim, Expect, Params, Study, Topic


def client(probe: Probe, p: Params) -> Any:
    """Sends to a port that nobody has: with a connected socket, then with one that is not."""
    connected = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connected.connect(("server", PORT))
    first = trial(connected.send, b"hello?")
    ready = probe.poll()
    ready.register(connected, select.POLLIN)
    ready.poll(5_000)
    second = trial(connected.send, b"hello?")
    plain = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.sendto(b"hello?", ("server", PORT))
    other = probe.poll()
    other.register(plain, select.POLLIN)
    heard = len(other.poll(2 * p.rtt / 1e6 + 100))
    connected.close()
    plain.close()
    return {"first": first, "second": second, "heard": heard}


STUDY = Study(
    name="udp-refused",
    topic=Topic.UDP,
    question="UDP has no connections. How can send() fail with ECONNREFUSED?",
    setup="A client sends datagrams to a port that no program of the host has: from a socket "
    "that was connect()ed to it, and from one that was not.",
    prediction="The host answers each with ICMP port unreachable. To a connected socket that "
    "becomes the error of its *next* call: the second send() fails with ECONNREFUSED. The "
    "other socket hears nothing.",
    parameters=(RTT,),
    client=client,
    wire=delay,
    expects=(
        Expect("the first send() on the connected socket", Kind.WORD, lambda p: "no error",
               lambda e: e.returned["client"]["first"]["error"] or "no error", "man 7 udp"),
        Expect("the second", Kind.WORD, lambda p: "ECONNREFUSED",
               lambda e: e.returned["client"]["second"]["error"] or "no error",
               "RFC 1122 4.1.3.3; man 7 udp"),
        Expect("events on the socket that is not connected", Kind.COUNT, lambda p: 0,
               lambda e: e.returned["client"]["heard"], "man 7 udp: only IP_RECVERR would tell"),
        Expect("ICMP messages", Kind.COUNT, lambda p: 2, lambda e: len(e.packets("ICMP")),
               "RFC 792: destination unreachable; the second datagram was not sent"),
    ),
    connection=0,
    claims=(
        Claim("UDP tells its program when a port is closed",
              lambda e: e.returned["client"]["second"]["error"] == "ECONNREFUSED",
              "if the socket is connected, and with the next call"),
    ),
    next="`netlab study refused`: TCP's own word for it.",
)  # fmt: skip
