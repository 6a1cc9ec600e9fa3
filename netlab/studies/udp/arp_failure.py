"""Nobody answers ARP: how long connect() waits, and what it says."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.parts import BUSY_NS, S, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Expect, Params, Study, Topic

SOLICITS = 3  # mcast_solicit


def client(probe: Probe, p: Params) -> Any:
    """Connects to an address of its own link that nobody has."""
    nobody = ".".join([*socket.gethostbyname("server").split(".")[:3], "77"])
    return trial(connected, probe, nobody)


def gap_ns(evidence: Evidence) -> int | None:
    """Between the first two questions."""
    times = [packet.time_ns for packet in evidence.packets("ARP")]
    return times[1] - times[0] if len(times) > 1 else None


STUDY = Study(
    name="arp-failure",
    topic=Topic.UDP,
    question="`No route to host`. Who says that, if nobody is there, and after how long?",
    setup="A client connects to an address of its own link that no host has.",
    prediction="Its own kernel. It asks for the MAC address three times, a second apart "
    "(mcast_solicit 3, retrans_time_ms 1000), while the SYN waits; nobody answers, and connect() "
    "fails with EHOSTUNREACH 3 s after it was called. Not one IP packet has left. A host behind "
    "a router that is off is another matter: the router answers ARP, and may say nothing.",
    client=client,
    options={"resolve": True},
    expects=(
        Expect("connect() fails with", Kind.WORD, lambda p: "EHOSTUNREACH",
               lambda e: e.returned["client"]["error"], "RFC 1122 2.3.2.2; man 2 connect"),
        Expect("connect() fails after", Kind.TIME, lambda p: SOLICITS * S,
               lambda e: e.returned["client"]["took_ns"],
               "man 7 arp: mcast_solicit, retrans_time_ms",
               more=timer_room(SOLICITS * S) + BUSY_NS,
               because="the timer wheel: up to 1/8 late, each time"),
        Expect("ARP requests", Kind.COUNT, lambda p: SOLICITS,
               lambda e: len(e.packets("ARP")), "man 7 arp: mcast_solicit"),
        Expect("the second after", Kind.TIME, lambda p: S, gap_ns,
               "man 7 arp: retrans_time_ms", more=timer_room(S),
               because="the timer wheel"),
        Expect("IP packets", Kind.COUNT, lambda p: 0,
               lambda e: sum(f.protocol == "TCP" for f in e.tables.packets),
               "RFC 1122 2.3.2.2: kept until there is an address"),
    ),
    cause="unreachable",
    waits_on="client connect",
    next="`netlab study silent-host`: the host is there and its firewall drops.",
)  # fmt: skip
