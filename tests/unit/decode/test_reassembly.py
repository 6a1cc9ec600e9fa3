"""Fragments: what completes a packet, what ends it, what stays as it was; as Linux judges it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from sample_frames import ETH4, ETH6, h, ip6, tcp, udp

from netlab.correlate.flows import flows_from_packets
from netlab.decode.checksums import checksum
from netlab.decode.packets import decode
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet

PAYLOAD = bytes(range(200)) * 11
WHOLE = udp(PAYLOAD)
SIZE = len(WHOLE)
Cut = tuple[int, int]  # which bytes of the IP payload a fragment holds


def fragment(
    start: int, stop: int, *, whole: bytes = WHOLE, more: bool | None = None, ident: int = 7,
    protocol: int = 17,
) -> bytes:  # fmt: skip
    """An IPv4 fragment with a right header checksum."""
    piece = whole[start:stop]
    is_more = stop < len(whole) if more is None else more
    place = start // 8 | (0x2000 if is_more else 0)
    head = h("4500") + (20 + len(piece)).to_bytes(2, "big") + ident.to_bytes(2, "big")
    head += place.to_bytes(2, "big") + bytes([64, protocol]) + h("0000 c0000201 c6336402")
    return ETH4 + head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + piece


def fragment_6(start: int, stop: int, *, whole: bytes = WHOLE, following: int = 17) -> bytes:
    piece = whole[start:stop]
    place = start | (stop < len(whole))
    head = bytes([following, 0]) + place.to_bytes(2, "big") + h("00000009")
    return ETH6 + ip6(head + piece, 44)


def rows(frames: Sequence[bytes], times_ns: Sequence[int] = ()) -> list[Packet]:
    times = [*times_ns, *range(len(times_ns), len(frames))]
    every = [
        Frame(n, at, 0, data, len(data))
        for n, (data, at) in enumerate(zip(frames, times, strict=True), 1)
    ]
    return decode(RawRecording(frames=every, interfaces=[Interface("if0", 1, 0)]))


def completed(frames: Sequence[bytes], times_ns: Sequence[int] = ()) -> list[int]:
    return [packet.frame for packet in rows(frames, times_ns) if packet._parts]


A, B, C = fragment(0, 800), fragment(800, 1600), fragment(1600, SIZE)


def test_the_last_to_come_has_the_columns_of_the_whole() -> None:
    first, second, last = rows([A, B, C])
    assert (last.protocol, last.sport, last.dport) == ("UDP", 5353, 53)
    assert (last.payload_len_bytes, last.payload_off, last._whole) == (2200, None, PAYLOAD)
    assert (last._parts, last.fragment) == ((1, 2, 3), "1600+608 last")
    assert [p._whole_in for p in (first, second, last)] == [3, 3, 3]
    # The first one has the header, and what it holds of the payload.
    assert (first.sport, first.payload_len_bytes) == (5353, 792)
    assert (second.sport, second.protocol) == (None, "IPv4")


def test_order_does_not_matter_and_the_first_may_be_the_last() -> None:
    last = rows([C, B, A])[2]
    assert (last._parts, last.sport, last._whole) == ((3, 2, 1), 5353, PAYLOAD)
    assert last.fragment == "0+800 more"


def test_copies_are_passed_over() -> None:
    assert completed([A, A, B, B, C]) == [5]
    assert completed([A, B, fragment(0, 1600), C]) == [4]  # a part of the run that is there
    assert completed([A, B, C, C]) == [3]
    assert completed([A, B, C, A, B, C]) == [3, 6]


def test_an_overlap_ends_the_packet() -> None:
    """RFC 5722, and Linux for IPv4, too."""
    assert completed([A, fragment(792, 1600), C]) == []
    assert completed([A, fragment(792, 1600), A, B, C]) == [5]
    # Two runs, and one fragment over both of them: not a copy of either.
    assert completed([A, C, fragment(8, SIZE), B]) == []


def test_what_contradicts_the_end_ends_the_packet() -> None:
    short, long = WHOLE[:1800], WHOLE + b"more"
    assert completed([A, C, fragment(1600, 1800, whole=short), B]) == []
    assert completed([A, B, C, fragment(1600, SIZE + 4, whole=long)]) == [3]
    assert completed([C, fragment(2208, 2216, whole=WHOLE + bytes(8), more=True), A, B]) == []
    assert completed([A, B, fragment(1600, 1600, more=True), C]) == []  # nothing in it


def test_other_packets_are_others() -> None:
    assert completed([A, fragment(800, 1600, ident=8), C]) == []
    assert completed([A, fragment(800, 1600, protocol=1), C]) == []


def test_patience_ends() -> None:
    """Linux waits 30 s for IPv4, RFC 8200 says 60 s for IPv6; both from the first that came."""
    second = 10**9
    assert completed([A, B, C], [0, 1, 30 * second]) == [3]
    assert completed([A, B, C], [0, 1, 30 * second + 1]) == []
    six = [fragment_6(0, 800), fragment_6(800, 1600), fragment_6(1600, SIZE)]
    assert completed(six, [0, 1, 60 * second]) == [3]
    assert completed(six, [0, 1, 60 * second + 1]) == []


def test_a_wrong_header_checksum_or_a_cut_completes_nothing() -> None:
    wrong = bytearray(B)
    wrong[24] ^= 1
    assert completed([A, bytes(wrong), C]) == []
    frames = [Frame(n, n, 0, data, len(data)) for n, data in enumerate([A, B, C], 1)]
    frames[1] = Frame(2, 2, 0, B[:100], len(B))
    packets = decode(RawRecording(frames=frames, interfaces=[Interface("if0", 1, 0)]))
    assert [p._parts for p in packets] == [(), (), ()]


def test_lengths_that_are_no_multiple_of_eight() -> None:
    """IPv4 cuts such a fragment down, IPv6 throws it away (RFC 8200 4.5)."""
    odd = fragment(0, 803)
    assert completed([odd, B, C]) == [3]
    assert rows([odd, B, C])[2]._whole == PAYLOAD
    assert completed([fragment_6(0, 803), fragment_6(800, 1600), fragment_6(1600, SIZE)]) == []


def test_ipv6_and_headers_that_were_cut_into_pieces() -> None:
    whole = h("1100 0104 00000000") + WHOLE  # destination options, then UDP
    pieces = [fragment_6(a, b, whole=whole, following=60) for a, b in ((0, 8), (8, 2216))]
    first, last = rows(pieces)
    assert (first.protocol, last.protocol, last.sport) == ("IPv6", "UDP", 5353)
    assert last._whole == PAYLOAD


def test_a_header_in_pieces_is_read_where_it_is_whole() -> None:
    segment = tcp(b"payload")
    parts = [fragment(0, 8, whole=segment, protocol=6), fragment(8, 27, whole=segment, protocol=6)]
    first, last = rows(parts)
    assert (first.fault_layer, first.fault_limited_by) == ("TCP", "fragment")
    assert (last.protocol, last.seg_seq, last.fault_layer) == ("TCP", 0x11223344, None)
    assert last._whole == b"payload"
    first, last = rows(parts[::-1])
    assert (last.frame, last.protocol, last.fault_layer) == (2, "TCP", None)


def test_a_segment_in_pieces_is_one_segment_of_its_connection() -> None:
    segment = tcp(b"payload" * 100)
    cuts = ((0, 304), (304, 608), (608, 720))
    for order in ((0, 1, 2), (2, 0, 1)):
        frames = [fragment(*cuts[place], whole=segment, protocol=6) for place in order]
        packets = rows(frames)
        (flow,) = flows_from_packets(packets)
        assert [packet.frame for packet in flow.packets] == [3]
        assert sorted(packet.frame for packet, _ in flow.fragments) == [1, 2]
        assert {packet.connection for packet in packets} == {0}


@given(
    st.lists(st.integers(1, 270), max_size=6, unique=True).map(sorted),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_any_cuts_in_any_order_with_copies_give_the_packet_back(
    places: list[int], random: object, six: bool
) -> None:
    edges = [0, *(place * 8 for place in places if place * 8 < SIZE), SIZE]
    cuts = list(pairwise(edges))
    if len(cuts) < 2:
        return
    random.shuffle(cuts)  # type: ignore[attr-defined]
    make = fragment_6 if six else fragment
    frames = [make(*cut) for cut in cuts for _ in range(2)]
    packets = rows(frames)
    whole = [packet for packet in packets if packet._parts]
    assert [packet.frame for packet in whole] == [len(frames) - 1]
    assert whole[0]._whole == PAYLOAD
    assert sorted(whole[0]._parts) == list(range(1, len(frames), 2))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=30))
def test_whatever_comes_nothing_is_put_together_that_has_a_hole(
    pieces: list[tuple[int, int, bool]],
) -> None:
    frames = [
        fragment(start * 8, (start + size) * 8, more=more) for start, size, more in pieces
    ]  # fmt: skip
    for packet in rows(frames):
        if not packet._parts or packet._whole is None:
            continue
        held = [pieces[number - 1] for number in packet._parts]
        edges = [(start, start + size) for start, size, _ in held]
        assert edges[0][0] == 0
        assert all(before[1] == after[0] for before, after in pairwise(edges))
        assert [more for _, _, more in held] == [True] * (len(held) - 1) + [False]
