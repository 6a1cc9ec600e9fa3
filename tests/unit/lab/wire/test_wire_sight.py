"""What frames are in their conversations: numbers, connections, bytes and copies."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_frames import CLIENT, ICMP, ICMPV6, OTHER, SERVER, ip, tcp, udp

from netlab.correlate.flows import flows_from_packets
from netlab.decode.packets import decode
from netlab.lab.wire.headers import ip_offset, is_counted, maybe_headers
from netlab.lab.wire.selection import Kind
from netlab.lab.wire.sight import NO_CONNECTION, CopyCount, Sight, Sights
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Direction

C2S, S2C = Direction.C2S, Direction.S2C
VLAN = bytes.fromhex("81000005")
HOP_BY_HOP = bytes((6, 0, 1, 4, 0, 0, 0, 0))  # then TCP


class Watch:
    def __init__(self) -> None:
        self.sights = Sights()

    def __call__(self, frame: bytes, direction: Direction | None = C2S) -> Sight:
        headers = maybe_headers(frame)
        assert headers is not None
        return self.sights.see(headers, direction)


@pytest.fixture
def see() -> Watch:
    return Watch()


def test_a_conversation_is_told_by_kinds_and_numbers(see: Watch) -> None:
    assert see(tcp("S", 1000)).numbers == {Kind.ANY: 1, Kind.SYN: 1}
    assert see(tcp("S", 1000)).numbers == {Kind.ANY: 2, Kind.SYN: 2}  # resent
    back = {"source": SERVER, "to": CLIENT, "sport": 80, "dport": 40000}
    assert see(tcp("SA", 77, 1001, **back), S2C).numbers == {Kind.ANY: 1, Kind.SYNACK: 1}
    assert see(tcp("A", 1001, 78)).numbers == {Kind.ANY: 3, Kind.ACK: 1}
    first = see(tcp("PA", 1001, 78, b"x" * 10))
    assert first.numbers == {Kind.ANY: 4, Kind.DATA: 1}
    assert first.parts == [(0, 10, 1)]
    again = see(tcp("PA", 1001, 78, b"x" * 10))
    assert again.numbers == {Kind.ANY: 5}  # brings nothing new: no data of its own
    assert again.parts == [(0, 10, 2)]
    last = see(tcp("FPA", 1006, 78, b"x" * 10))
    assert last.numbers == {Kind.ANY: 6, Kind.DATA: 2, Kind.FIN: 1}
    assert last.parts == [(5, 10, 3), (10, 15, 1)]
    assert see(tcp("R", 1016)).numbers == {Kind.ANY: 7, Kind.RST: 1}
    assert see(tcp("RA", 78, 1016, **back), S2C).numbers == {Kind.ANY: 2, Kind.RST: 1}


def test_fast_open_is_a_syn_with_data(see: Watch) -> None:
    sight = see(tcp("S", 1000, payload=b"hello"))
    assert sight.numbers == {Kind.ANY: 1, Kind.SYN: 1, Kind.DATA: 1}
    assert sight.parts == [(0, 5, 1)]
    assert see(tcp("A", 1006, 78, b"more")).parts == [(5, 9, 1)]


def test_offsets_go_on_where_sequence_numbers_wrap(see: Watch) -> None:
    see(tcp("S", 0xFFFF_FFF0))
    parts = [see(tcp("A", 0xFFFF_FFF1 + at, 1, b"x" * 10)).parts for at in range(0, 40, 10)]
    assert parts == [[(at, at + 10, 1)] for at in range(0, 40, 10)]


def test_a_keep_alive_is_an_ack_and_its_byte_no_data(see: Watch) -> None:
    see(tcp("S", 1000))
    assert see(tcp("A", 1000, 78)).numbers[Kind.ACK] == 1
    sight = see(tcp("A", 1000, 78, b"\0"))
    assert Kind.DATA not in sight.numbers
    assert Kind.ACK not in sight.numbers
    assert sight.parts == []


def test_connections_count_over_tcp_and_udp_in_order_of_first_frame(see: Watch) -> None:
    assert see(tcp("S", 5)).connection == 0
    assert see(udp(b"q")).connection == 1
    assert see(udp(b"a", SERVER, CLIENT, sport=53, dport=5000), S2C).connection == 1
    assert see(tcp("S", 5, source=OTHER)).connection == 2
    assert see(tcp("S", 5, version=6)).connection == 3
    assert see(tcp("S", 5)).connection == 0
    assert see(tcp("S", 6)).connection == 4  # the port is used again
    assert see(tcp("A", 7, 1, b"x")).numbers == {Kind.ANY: 2, Kind.DATA: 1}


def test_datagrams_are_numbered_and_later_fragments_are_not(see: Watch) -> None:
    first = ip(udp(b"a" * 1472)[34:], 17, place=0x2000, dont_fragment=False)
    later = ip(b"a" * 500, 17, place=185, dont_fragment=False)
    assert see(first).numbers == {Kind.ANY: 1, Kind.DATAGRAM: 1}
    sight = see(later)
    assert sight.connection == NO_CONNECTION
    assert sight.numbers == {Kind.ANY: 2}
    assert see(udp(b"b")).numbers == {Kind.ANY: 2, Kind.DATAGRAM: 2}


def test_any_counts_over_the_direction_too_and_icmp_only_there(see: Watch) -> None:
    see(tcp("S", 5))
    ping = ip(b"\x08\0\0\0\0\0\0\0", ICMP)
    assert see(ping).number_in_direction == 2
    sight = see(ping)
    assert sight.numbers == {Kind.ANY: 3, Kind.ICMP: 2}
    assert see(ip(b"\x80\0\0\0\0\0\0\0", ICMPV6, version=6)).numbers[Kind.ICMP] == 3
    assert see(ping, S2C).numbers == {Kind.ANY: 1, Kind.ICMP: 1}


@pytest.mark.parametrize("version", [4, 6])
def test_headers_are_found_behind_tags_options_and_extensions(version: int) -> None:
    more = {"options": b"\x94\x04\0\0"} if version == 4 else {"extensions": HOP_BY_HOP}
    frame = tcp("PA", 9, 8, b"hello", version=version, tag=VLAN + VLAN, **more)
    headers = maybe_headers(frame)
    assert headers is not None
    assert headers.ports == (40000, 80)
    assert (headers.seq, headers.ack, headers.flags) == (9, 8, 0x18)
    assert frame[headers.payload_off : headers.stop] == b"hello"
    padded = maybe_headers(frame + bytes(20))  # Ethernet pads what is short
    assert padded == headers


ND = b"\x88" + bytes(23)
MLD = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0)) + b"\x8f" + bytes(7)


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 6 + bytes(6) + b"\x08\x06" + bytes(28),  # ARP
        bytes(12) + b"\x00\x26" + bytes(38),  # 802.3
        ip(ND, ICMPV6, version=6),
        ip(MLD[8:], ICMPV6, version=6, extensions=MLD[:8]),
        ip(bytes(8), 2),  # IGMP
        b"",
        bytes(13),
    ],
)
def test_what_keeps_a_network_going_is_not_counted(frame: bytes) -> None:
    assert maybe_headers(frame) is None
    assert not is_counted(frame)


frames = st.sampled_from(
    [
        tcp("PA", 9, 8, b"hello"),
        tcp("PA", 9, 8, b"hello", version=6),
        tcp("PA", 9, 8, b"hello", version=6, extensions=HOP_BY_HOP, tag=VLAN),
        udp(b"x" * 30, options=b"\x94\x04\0\0"),
        udp(b"x" * 30, version=6),
        ip(b"\x03\x04" + bytes(40), ICMP),
        ip(MLD[8:], ICMPV6, version=6, extensions=MLD[:8]),
    ]
)


def hostile(frame: bytes, cut: int, changes: list[tuple[int, int]]) -> bytes:
    """The frame with some bytes other than they were, and cut off."""
    changed = bytearray(frame)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut % (len(changed) + 1)])


hostile_frames = st.builds(
    hostile,
    frames,
    st.just(0) | st.integers(0, 200),
    st.lists(st.tuples(st.integers(12, 200), st.integers(0, 255)), max_size=6),
)


@given(st.lists(hostile_frames, max_size=20))
def test_no_frame_is_too_broken_to_be_seen(frames: list[bytes]) -> None:
    see = Sights()
    for frame in frames:
        headers = maybe_headers(frame)
        assert is_counted(frame) == (headers is not None)
        if headers is None:
            continue
        assert ip_offset(frame)[0] == headers.ip_off
        assert headers.ip_off <= headers.payload_off <= headers.stop <= len(frame)
        assert all(start < stop for start, stop, _ in see.see(headers, C2S).parts)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=30))
def test_copies_are_counted_byte_for_byte(sends: list[tuple[int, int]]) -> None:
    ours, model = CopyCount(), dict.fromkeys(range(60), 0)
    for start, size in sends:
        parts = ours.add(start, start + size)
        assert parts == sorted(parts)
        assert all(a[1] <= b[0] for a, b in pairwise(parts))
        told = {byte: copy for a, b, copy in parts for byte in range(a, b)}
        for byte in range(start, start + size):
            model[byte] += 1
        assert told == {byte: model[byte] for byte in range(start, start + size)}


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Frames of several conversations, their beginnings missing or repeated, ports used again."""
    frames = []
    for _ in range(draw(st.integers(0, 30))):
        sport, version = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([4, 6]))
        forward = draw(st.booleans())
        ends = (CLIENT, SERVER) if forward else (SERVER, CLIENT)
        ports = (sport, 80) if forward else (80, sport)
        size, iss = draw(st.sampled_from([0, 9])), draw(st.sampled_from([5, 1005]))
        more = {"sport": ports[0], "dport": ports[1], "version": version}
        if draw(st.booleans()):
            flags = draw(st.sampled_from(["S", "SA", "A", "PA", "FA", "R", "RA"]))
            seq = iss if "S" in flags else iss + draw(st.integers(0, 40))
            frames.append(tcp(flags, seq, 7, bytes(size), *ends, **more))
        else:
            frames.append(udp(bytes(size), *ends, **more))
    return frames


@given(conversations())
def test_connections_have_the_numbers_of_the_recording(frames: list[bytes]) -> None:
    see = Sights()
    ours = []
    for frame in frames:
        headers = maybe_headers(frame)
        assert headers is not None
        ours.append(see.see(headers, C2S).connection)
    recorded = RawRecording(
        frames=[Frame(n, n, 0, frame, len(frame), 0) for n, frame in enumerate(frames, 1)],
        interfaces=[Interface("client", 1, 0)],
    )
    packets = decode(recorded)
    flows_from_packets(packets)
    assert ours == [packet.connection for packet in packets]
