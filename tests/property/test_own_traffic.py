"""Which frames are a program's: whatever the order of frames and names, exactly by the rule.

A frame is the program's if some name fits it that was heard of at most 5 s after it was stamped.
The rule is said again here, plainly and over all pairs; what fits what, by hand.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import ARP, Ether

from netlab.lab.tracing.own_traffic import OwnTraffic, SocketName, maybe_name

S = 1_000_000_000
HOLD = 5 * S
OURS = {"10.0.0.1", "127.0.0.1", "fd00::1"}
CLIENT, WEB, DNS = ("10.0.0.1", 1000), ("93.0.0.2", 80), ("93.0.0.9", 53)
HERE, LOCAL_WEB = ("127.0.0.1", 2000), ("127.0.0.1", 80)
ASKS, SIX, SIX_WEB = ("10.0.0.1", 5000), ("fd00::1", 5000), ("fd00::9", 53)
GROUP = ("239.1.1.1", 5000)


def tcp(a: Any, b: Any) -> Any:
    return IP(src=a[0], dst=b[0]) / TCP(sport=a[1], dport=b[1])


def udp(a: Any, b: Any, payload: bytes = b"x" * 8) -> Any:
    return IP(src=a[0], dst=b[0]) / UDP(sport=a[1], dport=b[1]) / payload


def bytes_of(packet: Any) -> bytes:
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)


Ends = tuple[str, tuple[str, int], tuple[str, int]]

# What a frame is, and between which ends it goes; None: no end is a TCP or UDP socket.
KINDS: list[tuple[bytes, Ends | None]] = [
    (bytes_of(tcp(CLIENT, WEB)), ("tcp", CLIENT, WEB)),
    (bytes_of(tcp(WEB, CLIENT)), ("tcp", WEB, CLIENT)),
    (bytes_of(tcp(HERE, LOCAL_WEB)), ("tcp", HERE, LOCAL_WEB)),
    (bytes_of(tcp(LOCAL_WEB, HERE)), ("tcp", LOCAL_WEB, HERE)),
    (bytes_of(udp(ASKS, DNS)), ("udp", ASKS, DNS)),
    (bytes_of(udp(DNS, ASKS)), ("udp", DNS, ASKS)),
    (bytes_of(udp(DNS, GROUP)), ("udp", DNS, GROUP)),
    (
        bytes_of(IPv6(src=SIX[0], dst=SIX_WEB[0]) / UDP(sport=5000, dport=53) / b"x"),
        ("udp", SIX, SIX_WEB),
    ),
    (
        bytes_of(IP(src="10.0.0.254", dst="10.0.0.1") / ICMP(type=3, code=1) / tcp(CLIENT, WEB)),
        ("tcp", CLIENT, WEB),
    ),
    (
        bytes_of(IP(src=DNS[0], dst="10.0.0.1") / ICMP(type=3, code=3) / udp(ASKS, DNS)),
        ("udp", ASKS, DNS),
    ),
    (
        bytes_of(
            IPv6(src=SIX_WEB[0], dst=SIX[0])
            / ICMPv6DestUnreach(code=4)
            / IPv6(src=SIX[0], dst=SIX_WEB[0])
            / UDP(sport=5000, dport=53)
        ),
        ("udp", SIX, SIX_WEB),
    ),
    (bytes_of(IP(src="10.0.0.1", dst="93.0.0.2") / ICMP()), None),
    (bytes(Ether() / ARP()), None),
    (b"\x02\x00", None),
]
FIRST = bytearray(bytes_of(IP(src=ASKS[0], dst=DNS[0], flags="MF", id=1, proto=17)
                  / (struct.pack("!HHHH", 5000, 53, 24, 0) + b"x" * 8)))  # fmt: skip
SECOND = bytearray(bytes_of(IP(src=ASKS[0], dst=DNS[0], frag=2, id=1, proto=17) / (b"y" * 8)))
NAMES = [
    SocketName("tcp", CLIENT, WEB),
    SocketName("tcp", WEB, CLIENT),  # the other end's own: the same frames
    SocketName("tcp", LOCAL_WEB, HERE),
    SocketName("tcp", CLIENT),
    SocketName("tcp", ("0.0.0.0", 80)),
    SocketName("tcp", ("::", 80)),
    SocketName("tcp", ("0.0.0.0", 1000)),
    SocketName("udp", ASKS, DNS),
    SocketName("udp", ("0.0.0.0", 5000)),
    SocketName("udp", ("::", 5000)),
    SocketName("udp", ("0.0.0.0", 53)),  # not ours: only others are there
    SocketName("udp", SIX),
    SocketName("udp", ("10.0.0.1", 53)),
]


@dataclass(frozen=True)
class Passed:
    """A frame, or the two fragments of a packet, that passed at this time."""

    kind: int
    time: int
    backwards: bool = False


@dataclass(frozen=True)
class Heard:
    name: int
    time: int


# On both sides of the limit, and on it.
times = st.builds(lambda turn, off: turn * HOLD + off, st.integers(1, 3), st.integers(-1, 1))
passed = st.builds(Passed, st.integers(0, len(KINDS)), times, st.booleans())
heard = st.builds(Heard, st.integers(0, len(NAMES) - 1), times)


def fits(name: SocketName, ends: Ends) -> bool:
    protocol, source, destination = ends
    if name.protocol != protocol:
        return False
    if name.peer is not None:
        return (source, destination) in ((name.local, name.peer), (name.peer, name.local))
    host, port = name.local
    for end in (source, destination):
        may_be_ours = end[0] in OURS or end[0] == GROUP[0]
        wildcard = host == "::" or (host == "0.0.0.0" and ":" not in end[0])
        if end[1] == port and (end[0] == host or (wildcard and may_be_ours)):
            return True
    return False


def frames_of(event: Passed, number: int) -> list[tuple[tuple[int, bytes, int, int], Ends | None]]:
    """The frames (their flags are a number to tell them by), each with its ends."""
    if event.kind < len(KINDS):
        data, ends = KINDS[event.kind]
        return [((event.time, data, len(data), 2 * number), ends)]
    parts = []
    for place, part in enumerate((FIRST, SECOND)):
        data = bytes(part[:18] + struct.pack("!H", number) + part[20:])
        parts.append(((event.time, data, len(data), 2 * number + place), ("udp", ASKS, DNS)))
    return parts[::-1] if event.backwards else parts


def run(events: Sequence[Passed | Heard], *, advance: bool) -> tuple[set[int], OwnTraffic]:
    own = OwnTraffic(OURS.__contains__, hold_ns=HOLD)
    taken: list[int] = []
    for number, event in enumerate(events):
        if isinstance(event, Heard):
            own.name(NAMES[event.name], event.time)
        else:
            for frame, _ in frames_of(event, number):
                own.frames(event.kind % 2, [frame])
        if advance:
            to_come = [e.time for e in events[number + 1 :] if isinstance(e, Heard)]
            own.advance(min(to_come, default=1 << 62))
        for interface in (0, 1):
            found = own.take(interface)
            taken += [flags for _, _, _, flags in found]
            assert all((kind_of(events[flags // 2])) % 2 == interface for *_, flags in found)
    assert len(taken) == len(set(taken))
    return set(taken), own


def kind_of(event: Passed | Heard) -> int:
    assert isinstance(event, Passed)
    return event.kind


def expected(events: Sequence[Passed | Heard]) -> set[int]:
    names = [(NAMES[e.name], e.time) for e in events if isinstance(e, Heard)]
    return {
        frame[3]
        for number, event in enumerate(events)
        if isinstance(event, Passed)
        for frame, ends in frames_of(event, number)
        if ends is not None
        and any(fits(name, ends) and event.time >= at - HOLD for name, at in names)
    }


@settings(max_examples=300, deadline=None)
@example([Passed(0, HOLD), Heard(0, 2 * HOLD)], True)
@example([Passed(0, HOLD - 1), Heard(0, 2 * HOLD)], True)
@given(st.lists(passed | heard, min_size=5, max_size=25), st.booleans())
def test_exactly_those_whose_socket_was_named_within_5_s(
    events: list[Passed | Heard], advance: bool
) -> None:
    found, own = run(events, advance=advance)
    assert found == expected(events)
    if advance:
        assert not own.waits
        assert own._waiting_bytes == 0
        assert not own._flows
        assert not own._orphans
        assert not own._oldest


@settings(max_examples=200, deadline=None)
@given(st.lists(passed | heard, max_size=25), st.integers(0, 5_000))
def test_with_too_little_room_only_the_oldest_are_lost_and_they_are_counted(
    events: list[Passed | Heard], room: int
) -> None:
    own = OwnTraffic(OURS.__contains__, hold_ns=HOLD, limit_bytes=room)
    taken = set()
    for number, event in enumerate(events):
        if isinstance(event, Heard):
            own.name(NAMES[event.name], event.time)
        else:
            own.frames(0, [frame for frame, _ in frames_of(event, number)])
        assert own._waiting_bytes <= room
        taken |= {flags for *_, flags in own.take(0)}
    missing = expected(events) - taken
    assert taken <= expected(events)
    assert len(missing) <= own.crowded_out


def test_a_new_address_of_this_machine_makes_what_waits_ours() -> None:
    ours = {"127.0.0.1"}
    own = OwnTraffic(ours.__contains__)
    own.name(SocketName("tcp", ("0.0.0.0", 1000)), S)
    own.frames(0, [(S, KINDS[0][0], 54, 0)])
    assert own.take(0) == []
    ours.add("10.0.0.1")
    own.reconsider()
    assert len(own.take(0)) == 1


def test_names_have_a_limit_too_and_the_longest_unheard_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("netlab.lab.tracing.own_traffic.MOST_NAMES", 2)
    own = OwnTraffic(OURS.__contains__)
    own.name(NAMES[0], S)
    own.name(SocketName("tcp", CLIENT, ("1.1.1.1", 1)), S)
    own.name(NAMES[0], 2 * S)
    own.name(SocketName("tcp", CLIENT, ("1.1.1.1", 2)), S)
    assert own.forgotten_names == 1
    own.frames(0, [(S, KINDS[0][0], 54, 0)])
    assert len(own.take(0)) == 1


@pytest.mark.parametrize(
    ("kind", "local", "peer", "name"),
    [
        ("SOCK_STREAM", "10.0.0.1:1000", "93.0.0.2:80", SocketName("tcp", CLIENT, WEB)),
        (None, "[::ffff:10.0.0.1]:1000", "[::ffff:93.0.0.2]:80", SocketName("tcp", CLIENT, WEB)),
        ("SOCK_STREAM", "0.0.0.0:80", None, SocketName("tcp", ("0.0.0.0", 80))),
        ("SOCK_DGRAM", "0.0.0.0:5000", "93.0.0.9:53", SocketName("udp", ("0.0.0.0", 5000))),
        ("SOCK_DGRAM", "[fe80::1%eth0]:5000", None, SocketName("udp", ("fe80::1", 5000))),
        ("SOCK_DGRAM", "10.0.0.1:5000", "0.0.0.0:0", SocketName("udp", ASKS)),
        ("SOCK_STREAM", "0.0.0.0:0", "93.0.0.2:80", None),
        ("SOCK_STREAM", "unix:/x", None, None),
        ("SOCK_STREAM", None, "93.0.0.2:80", None),
    ],
)
def test_a_name_from_what_calls_say(
    kind: str | None, local: str | None, peer: str | None, name: SocketName | None
) -> None:
    assert maybe_name(kind, local, peer) == name
