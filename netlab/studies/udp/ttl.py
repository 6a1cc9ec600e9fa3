"""A packet that goes in circles, and what ends it."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic

IP_RECVERR = 11
HOSTS = ("client", "server", "first", "second")
FORWARDS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.eth0.send_redirects": "0",
}


def client(probe: Probe, p: Params) -> Any:
    """Sends one datagram with this TTL, and waits for what comes of it."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, p.ttl)
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    sock.connect(("server", PORT))
    sock.send(b"n")
    ready = probe.poll()
    ready.register(sock, select.POLLIN)
    ready.poll(5_000)
    sock.setblocking(False)
    found = trial(sock.recv, 1)
    sock.close()
    return found


def ttls(evidence: Evidence) -> list[int]:
    """The TTL of each frame with the datagram, in order."""
    return [packet.ttl or 0 for packet in evidence.packets("UDP")]


def seen(evidence: Evidence) -> str:
    """The TTL on each link."""
    return f"TTL of the datagram, each time: {', '.join(map(str, ttls(evidence)))}."


MOST_ROWS = 12  # of the table; of a longer way the middle is left out


def table(evidence: Evidence) -> list[list[str]]:
    """Each frame: when, on which link, and with which TTL."""
    frames = [*evidence.packets("UDP"), *evidence.packets("ICMP")]
    hosts = {f"02:00:00:00:00:{number:02x}": name for number, name in enumerate(HOSTS, 1)}
    rows = []
    for packet in frames:
        sender, receiver = (hosts.get(mac, mac) for mac in evidence.macs(packet))
        after = shown(Kind.TIME, packet.time_ns - frames[0].time_ns)
        rows.append([after, f"{sender} to {receiver}", packet.protocol or "", f"{packet.ttl}"])
    if len(rows) > MOST_ROWS:
        half = MOST_ROWS // 2
        left_out = ["...", f"{len(rows) - MOST_ROWS} frames more", "", ""]
        rows = [*rows[:half], left_out, *rows[-half:]]
    return [["after", "from whom to whom", "what", "TTL"], *rows]


STUDY = Study(
    name="routing-loop",
    topic=Topic.UDP,
    question="Two routers each believe that the other knows the way. Where does a packet end?",
    setup="A client sends a datagram with TTL {ttl} for the server by way of a router, which "
    "passes it to a second router, which passes it back to the first, and so on.",
    prediction="Each router takes one from the TTL before it passes the packet on, and throws it "
    "away where nothing would be left: so it is on the wire {ttl} times, with one less each "
    "time. The router at which it ends says so to the sender: ICMP time exceeded, which "
    "traceroute makes a map of. The client's socket hears of it, as it asked to "
    "(IP_RECVERR): its next call fails with EHOSTUNREACH.",
    parameters=(Parameter("ttl", Kind.COUNT, 8, 1, 64, "time to live of the datagram"),),
    hosts=HOSTS,
    client=client,
    sysctls=lambda p: {"first": FORWARDS, "second": FORWARDS},
    options={
        "next_hops": {
            "client": {"server": "first"},
            "first": {"server": "second"},
            "second": {"server": "first"},
        }
    },
    expects=(
        Expect("how often the datagram is on the wire", Kind.COUNT, lambda p: p.ttl,
               lambda e: len(ttls(e)), "RFC 791 3.2; RFC 1812 5.3.1"),
        Expect("its TTL the last time", Kind.COUNT, lambda p: 1,
               lambda e: ttls(e)[-1] if ttls(e) else None, "RFC 1812 5.3.1: not passed on with 0"),
        Expect("ICMP messages", Kind.COUNT, lambda p: 1, lambda e: len(e.packets("ICMP")),
               "RFC 792: time exceeded in transit"),
        Expect("they come from the", Kind.WORD,
               lambda p: "first router" if p.ttl % 2 else "second router",
               lambda e: sender(e), "the client's frame is for the first"),
        Expect("recv() fails with", Kind.WORD, lambda p: "EHOSTUNREACH",
               lambda e: e.returned["client"]["error"],
               "man 7 ip, IP_RECVERR; __udp4_lib_err() of Linux"),
    ),
    connection=None,
    seen=seen,
    table=table,
    next=lambda p: (
        ("`netlab study routing-loop --set ttl=64`: what a loop costs. " if p.ttl < 64 else "")
        + "`netlab study two-hops`: a router that knows the way."
    ),
)  # fmt: skip


def sender(evidence: Evidence) -> str | None:
    """Which router sent the ICMP message; hosts have their number at the end of the address."""
    found = evidence.packets("ICMP")
    if not found or found[0].src is None:
        return None
    return {3: "first router", 4: "second router"}.get(int(found[0].src.split(".")[-1]))
