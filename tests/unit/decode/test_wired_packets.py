"""What a wire noted -> fate, arrival, destination and acceptance of each packet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample_recordings import T0_NS, checksum
from wired_recordings import (
    INTERFACES,
    MACS,
    MS,
    WireStory,
    ethernet,
    flip,
    lossy,
    tcp_frame,
    udp_frame,
)

from netlab.decode.arrivals import destinations
from netlab.decode.packets import decode
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet
from netlab.model.wire import Arrival


def one(data: bytes, changed: bytes | None = None, **way: object) -> Packet:
    story = WireStory()
    story.send("client", data, changed=changed, **way)  # type: ignore[arg-type]
    return decode(story.raw())[0]


def test_fates_and_arrivals_are_those_that_the_wire_noted() -> None:
    packets = decode(lossy().raw())
    assert [p.fate for p in packets] == [
        "delivered", "delivered", "delivered", "delivered", "delivered", "dropped", "delivered",
        "delivered", "changed", "delivered", "delivered", "unknown",
    ]  # fmt: skip
    assert [p.arrived_ns is None for p in packets] == [n in (5, 11) for n in range(12)]
    assert packets[0].arrived_ns == packets[0].time_ns + 20 * MS
    assert [p.interface for p in packets[:3]] == ["client", "server", "client"]
    assert packets[7].interface == "wire"


def test_a_copy_knows_what_it_copies() -> None:
    packets = decode(lossy().raw())
    assert [(p.frame, p._copy_of) for p in packets if p._made] == [(8, 7)]
    assert [p.frame for p in packets if p._spoilt] == [9]


def test_what_the_wire_made_and_nobody_had_sent_copies_nothing() -> None:
    story = WireStory()
    story.tcp("client", "S", 0, 0)
    story.send("wire", ethernet("server", 1, b"\x03\x04\0\0" + bytes(32), 2, 7))
    assert [p._copy_of for p in decode(story.raw())] == [None, None]


def test_packets_know_the_host_they_were_for() -> None:
    packets = decode(lossy().raw())
    assert [p._to for p in packets[:3]] == ["server", "client", "server"]
    assert packets[7]._to == "client"


@pytest.mark.parametrize("make", [tcp_frame, None])
def test_a_frame_with_one_byte_wrong_is_not_accepted(make: object) -> None:
    frame = tcp_frame("client", "PA", 1, 1, b"abcde") if make else udp_frame("client", b"abcde")
    for at in range(len(frame)):
        packet = one(frame, flip(frame, at))
        # Nothing guards the sender's hardware address, and nobody asks for it.
        assert packet._spoilt is not (6 <= at < 12), at
        assert packet.fate == "changed"


def test_a_datagram_without_a_checksum_is_accepted_with_any_payload() -> None:
    frame = udp_frame("client", b"abcde")
    bare = frame[:40] + b"\0\0" + frame[42:]
    assert not one(bare, flip(bare, 44))._spoilt
    assert one(bare, flip(bare, 36))._spoilt  # another port


def ipv6(protocol: int, transport: bytes, place: int) -> bytes:
    ends = bytes(range(16)) + bytes(range(16, 32))
    pseudo = ends + len(transport).to_bytes(4, "big") + bytes((0, 0, 0, protocol))
    transport = transport[:place] + checksum(pseudo + transport) + transport[place + 2 :]
    head = b"\x60\0\0\0" + len(transport).to_bytes(2, "big") + bytes((protocol, 64)) + ends
    return MACS["server"] + MACS["client"] + b"\x86\xdd" + head + transport


@pytest.mark.parametrize("protocol", [17, 58])
def test_ipv6_has_no_sum_of_its_own_and_its_transports_guard_the_addresses(protocol: int) -> None:
    udp = b"\x9c\x40\x1f\x40\0\x0d\0\0abcde"
    frame = ipv6(protocol, udp, 6) if protocol == 17 else ipv6(58, b"\x80\0\0\0\0\1\0\1abc", 2)
    assert one(frame, frame[:60] + frame[60:])._spoilt is False
    spoilt = [at for at in range(22, len(frame)) if one(frame, flip(frame, at))._spoilt]
    assert spoilt == list(range(22, len(frame)))
    assert not one(frame, flip(frame, 21))._spoilt  # the hop limit changes at every router


def test_what_is_valid_but_says_something_else_is_not_what_left() -> None:
    frame = tcp_frame("client", "PA", 1, 1, b"abcde")
    assert one(frame, tcp_frame("client", "PA", 2, 1, b"abcde"))._spoilt
    assert one(frame, tcp_frame("client", "A", 1, 1, b"abcde"))._spoilt
    assert not one(frame, tcp_frame("client", "PA", 1, 1, b"edcba"))._spoilt


def test_a_changed_frame_that_cannot_be_read_is_data() -> None:
    frame = tcp_frame("client", "PA", 1, 1, b"abcde")
    for length in range(len(frame)):
        assert one(frame, frame[:length])._spoilt


# --- packets that the wire cut


def without_df(frame: bytes) -> bytes:
    """The frame, which may be cut."""
    head = frame[14:20] + b"\0\0" + frame[22:24]
    return frame[:14] + head + checksum(head + b"\0\0" + frame[26:34]) + frame[26:]


def cut(frame: bytes, *sizes: int) -> list[bytes]:
    """The frame as IPv4 fragments with so many payload bytes each, and the rest."""
    payload, at, pieces = frame[34:], 0, []
    for size in [*sizes, len(payload) - sum(sizes)]:
        more = at + size < len(payload)
        place = at // 8 | (0x2000 if more else 0)
        head = frame[14:16] + (20 + size).to_bytes(2, "big") + frame[18:20]
        head += place.to_bytes(2, "big") + frame[22:24]
        sums = checksum(head + b"\0\0" + frame[26:34])
        pieces.append(frame[:14] + head + sums + frame[26:34] + payload[at : at + size])
        at += size
    return pieces


@pytest.mark.parametrize("lost", [False, True])
def test_a_packet_that_was_cut_is_there_with_its_last_fragment(lost: bool) -> None:
    story = WireStory()
    whole = without_df(udp_frame("client", b"x" * 100))
    first, second, third = cut(whole, 40, 40)
    story.send("client", whole, changed=first, delay_ns=5 * MS, rule="mtu 60")
    story.send("wire", third, delay_ns=9 * MS)
    story.send("wire", second, dropped="loss 1%" if lost else None, delay_ns=20 * MS)
    packet, *made = decode(story.raw())
    assert packet.arrived_ns == packet.time_ns + 5 * MS
    assert packet._spoilt is lost
    assert packet._whole_ns == (None if lost else made[1].arrived_ns)
    assert [p._copy_of for p in made] == [1, 1]


def test_the_fragments_of_a_fragment_are_put_together_in_its_place() -> None:
    story = WireStory()
    frame = without_df(udp_frame("client", b"x" * 1000))
    head, tail = cut(frame, 504)
    first, second = cut(tail, 400)
    for piece in (first, second):  # their offsets count from the whole datagram's beginning
        assert piece[20:22] in (b"\x20\x00", b"\x00\x32")
    base = 504 // 8

    def moved(piece: bytes) -> bytes:
        place = int.from_bytes(piece[20:22], "big") + base
        head = piece[14:20] + place.to_bytes(2, "big") + piece[22:24]
        return piece[:14] + head + checksum(head + b"\0\0" + piece[26:34]) + piece[26:]

    story.send("client", head)
    story.send("client", tail, changed=moved(first))
    story.send("wire", moved(second), delay_ns=30 * MS)
    packets = decode(story.raw())
    assert [p._spoilt for p in packets] == [False, False, False]
    assert packets[1]._whole_ns == packets[2].arrived_ns
    assert packets[0]._whole_ns is None


# --- where frames went


def hosts(*names: str) -> list[Interface]:
    return [Interface(name, 1, 65_535) for name in (*names, "wire")]


def frame(packet: int, interface: int, target: bytes, source: bytes, rest: bytes = b"") -> Frame:
    data = target + source + b"\x86\xdd" + rest
    return Frame(packet, T0_NS + packet, interface, data, len(data), packet=packet)


A, B, C, ALL = (b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x03", b"\x33" * 6)


def test_hosts_are_known_by_the_addresses_they_send_from() -> None:
    raw = RawRecording(
        [frame(1, 0, B, A), frame(2, 1, C, B), frame(3, 2, A, C), frame(4, 0, C, A)],
        hosts("client-1", "server", "client-2"),
    )
    assert destinations(raw) == [(1,), (2,), (0,), (2,)]


def test_a_host_that_never_spoke_is_known_only_where_no_other_is_left() -> None:
    raw = RawRecording([frame(1, 0, B, A)], hosts("client", "server"))
    assert destinations(raw) == [(1,)]
    raw = RawRecording([frame(1, 0, B, A)], hosts("client-1", "server", "client-2"))
    assert destinations(raw) == [()]


def test_a_frame_for_all_goes_to_all_others() -> None:
    raw = RawRecording([frame(1, 1, ALL, B)], hosts("client-1", "server", "client-2"))
    assert destinations(raw) == [(0, 2)]


def test_a_frame_for_all_that_the_wire_copied_goes_to_each_by_itself() -> None:
    raw = RawRecording(
        [frame(1, 1, ALL, B), frame(2, 3, ALL, B), frame(3, 0, ALL, A), frame(4, 3, ALL, A)],
        hosts("client-1", "server", "client-2"),
    )
    assert destinations(raw) == [(0,), (2,), (1,), (2,)]


def test_a_frame_too_short_for_an_address_goes_nowhere() -> None:
    story = WireStory()
    story.send("client", b"")
    story.send("client", b"\x02\0")
    story.send("server", b"\x01")
    raw = story.raw()
    assert destinations(raw)[:2] == [(1,), (1,)]
    assert [p.fault_layer for p in decode(raw)] == ["Ethernet"] * 3


def test_without_a_wire_nothing_is_known() -> None:
    raw = lossy().raw()
    raw.frames = [replace(one, packet=None) for one in raw.frames]
    raw.arrivals = []
    assert {(p.fate, p.arrived_ns, p._wired) for p in decode(raw)} == {("unknown", None, False)}
    assert set(destinations(raw)) == {()}


def test_an_arrival_says_nothing_of_a_frame_without_a_number() -> None:
    raw = RawRecording([replace(lossy().raw().frames[0], packet=None)], list(INTERFACES))
    raw.arrivals = [Arrival(1, "delivered", T0_NS, 0)]
    assert decode(raw)[0].fate == "unknown"
