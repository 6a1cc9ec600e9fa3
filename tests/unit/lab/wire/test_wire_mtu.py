"""Packets that are too big: what the wire answers, seen by scapy, and how it cuts them."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPerror6, IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import checksum
from wire_frames import CLIENT, SERVER, Played, ip, play, tcp, udp

from netlab.decode.checksums import GOOD, PseudoHeader, verdict
from netlab.lab.wire.headers import maybe_headers

VLAN = bytes.fromhex("81000005")
OPTIONS = b"\x94\x04\0\0" + b"\x44\x04\x05\0"  # router alert is copied, timestamp is not


def only(played: Played, frame: bytes, source: int = CLIENT) -> Played:
    played.leave(frame, source)
    return played.until_end()


@pytest.mark.parametrize("tag", [b"", VLAN])
def test_ipv4_with_df_is_answered_by_fragmentation_needed(tag: bytes) -> None:
    frame = tcp("PA", 9, 8, bytes(1361), tag=tag)
    played = only(play("mtu 1400"), frame)
    assert played.lost == {1: "mtu 1400"}
    (made,) = played.made
    assert (made.packet_of, made.destination, made.rule) == (1, CLIENT, "mtu 1400")
    assert made.due_ns == played.left_ns[1]
    seen = Ether(made.frame)
    assert (seen.dst, seen.src) == ("02:00:00:00:00:01", "02:00:00:00:ff:fe")
    assert (Dot1Q in seen) == bool(tag)
    answer = seen[IP]
    assert (answer.src, answer.dst, answer.ttl) == ("10.7.0.254", "10.7.0.1", 64)
    assert len(answer) == answer.len == 576
    assert checksum(bytes(answer)[:20]) == 0
    icmp = answer[ICMP]
    assert (icmp.type, icmp.code, icmp.nexthopmtu) == (3, 4, 1400)
    assert checksum(bytes(icmp)) == 0
    assert (icmp[IPerror].src, icmp[IPerror].dst, icmp[IPerror].len) == (
        "10.7.0.1", "10.7.0.2", 1401
    )  # fmt: skip
    assert (icmp[TCPerror].sport, icmp[TCPerror].dport, icmp[TCPerror].seq) == (40000, 80, 9)
    assert bytes(answer)[28:] == frame[14 + len(tag) :][:548]


def test_ipv6_is_answered_by_packet_too_big() -> None:
    frame = tcp("PA", 9, 8, bytes(1400), SERVER, CLIENT, version=6)
    played = only(play("mtu 1400"), frame, SERVER)
    (made,) = played.made
    assert made.destination == SERVER
    answer = Ether(made.frame)[IPv6]
    assert (answer.src, answer.dst, answer.hlim) == ("fd07::fffe", "fd07::2", 64)
    assert len(answer) == 1280
    assert (answer[ICMPv6PacketTooBig].code, answer[ICMPv6PacketTooBig].mtu) == (0, 1400)
    assert answer[IPerror6].dst == "fd07::1"
    assert bytes(answer)[48:] == frame[14:][: 1280 - 48]
    headers = maybe_headers(made.frame)
    assert headers is not None
    pseudo = PseudoHeader(headers.src, headers.dst, 58)
    assert verdict(made.frame[54:], 2, pseudo, False, len(made.frame) - 54) == GOOD


def test_what_fits_passes_and_ipv6_of_1280_bytes_always_does() -> None:
    played = play("mtu 900")
    fits = [
        played.leave(tcp("PA", 1, 1, bytes(860))),
        played.leave(tcp("PA", 1, 1, bytes(1220), version=6)),
        played.leave(tcp("PA", 1, 1, bytes(860)) + bytes(60)),  # padding is not the packet
    ]
    big = [
        played.leave(tcp("PA", 1, 1, bytes(861))),
        played.leave(tcp("PA", 1, 1, bytes(1221), version=6)),
    ]
    played.until_end()
    assert sorted(played.sent) == fits
    assert list(played.lost) == big
    assert Ether(played.made[0].frame)[ICMP].nexthopmtu == 900
    assert Ether(played.made[1].frame)[ICMPv6PacketTooBig].mtu == 1280


def test_a_black_hole_says_nothing() -> None:
    played = only(play("mtu 1400 without icmp"), tcp("PA", 1, 1, bytes(1400)))
    assert played.made == []
    assert played.lost == {1: "mtu 1400 without icmp"}


def test_the_mtu_shrinks_in_the_middle_and_in_one_direction() -> None:
    played = play("mtu c>s 600 after data 2; mtu 1300")
    sizes = [1000, 1000, 1000, 500]
    there = [played.leave(tcp("A", 1 + 1000 * at, 1, bytes(size))) for at, size in enumerate(sizes)]
    back = played.leave(tcp("A", 1, 1, bytes(1000), SERVER, CLIENT), SERVER)
    played.until_end()
    assert played.lost == {there[2]: "mtu c>s 600 after data 2"}
    assert back in played.sent


def test_nobody_is_told_of_errors_groups_and_later_fragments() -> None:
    error = b"\x03\x01" + bytes(1000)
    group = tcp("A", 1, 1, bytes(1000))
    group = b"\x01\0\x5e\0\0\1" + group[6:]
    for frame in (
        ip(error, 1),
        ip(b"\x01\0" + bytes(1400), 58, version=6),
        ip(bytes(1000), 17, place=10),
        group,
        ip(bytes(1000), 6)[:26] + b"\xe0\0\0\x05" + ip(bytes(1000), 6)[30:],
    ):
        played = only(play("mtu 700"), frame)
        assert (played.made, played.lost) == ([], {1: "mtu 700"})


@pytest.mark.parametrize("options", [b"", OPTIONS])
@pytest.mark.parametrize("size", [873, 1400, 1465])
def test_ipv4_without_df_is_cut_to_fragments(size: int, options: bytes) -> None:
    frame = udp(bytes(at % 251 for at in range(size)), dont_fragment=False, options=options)
    played = only(play("mtu 500; delay 3ms"), frame)
    first = played.sent[1]
    assert first.changed
    assert first.rule == "mtu 500; delay 3ms"
    pieces = [first.frame, *(made.frame for made in played.made)]
    assert {made.due_ns for made in played.made} == {first.due_ns}
    payload = b""
    for number, piece in enumerate(pieces):
        packet = Ether(piece)[IP]
        assert len(packet) == packet.len <= 500
        assert checksum(bytes(packet)[: packet.ihl * 4]) == 0
        assert (packet.id, packet.proto, packet.dst) == (0x1234, 17, "10.7.0.2")
        assert packet.frag * 8 == len(payload)
        assert ("MF" in packet.flags) == (number < len(pieces) - 1)
        kept = options if number == 0 else options[:4]
        assert bytes(packet)[20 : packet.ihl * 4] == kept
        payload += bytes(packet)[packet.ihl * 4 :]
    assert payload == frame[34 + len(options) :]
    assert len(pieces) == {873: 2, 1400: 3, 1465: 4}[size]


def test_a_fragment_is_cut_again_where_it_stands() -> None:
    frame = ip(bytes(1000), 17, dont_fragment=False, place=0x2000 | 100)
    played = only(play("mtu 576"), frame)
    pieces = [Ether(frame)[IP] for frame in (played.sent[1].frame, played.made[0].frame)]
    assert [(piece.frag, str(piece.flags)) for piece in pieces] == [(100, "MF"), (169, "MF")]


def test_the_smallest_mtu_counts_and_a_copy_is_whole() -> None:
    played = only(
        play("mtu 1300; mtu 500; duplicate datagram 1; corrupt datagram 1"),
        udp(bytes(900), dont_fragment=False),
    )
    assert len(played.made) == 3
    assert [made.frame for made in played.made[1:]] == [
        played.sent[1].frame, played.made[0].frame
    ]  # fmt: skip
    assert played.made[0].frame[-1] == 1
    assert {str(rule): count for rule, count in played.wire.report()}["mtu 500"] == 1
