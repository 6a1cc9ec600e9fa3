"""HTTP/2 by hand: frames, header blocks that share a table, and what is lost with a gap."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import C, S, Turn, checked, cut, everywhere, gap, items, said, texts

from netlab.decode.applications.hpack_block import HpackReader
from netlab.decode.applications.http1 import Http1
from netlab.decode.applications.http2 import APPLICATION, PREFACE, Http2
from netlab.model.tables import Side


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


# RFC 7541 C.3 and C.4: three requests in one connection, without and with Huffman's code.
REQUESTS = [
    bytes.fromhex("828684410f7777772e6578616d706c652e636f6d"),
    bytes.fromhex("828684be58086e6f2d6361636865"),
    bytes.fromhex("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
]
HUFFMAN = [
    bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"),
    bytes.fromhex("828684be5886a8eb10649cbf"),
    bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
]
FIELDS = [
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"),
     ("cache-control", "no-cache")],
    [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"),
     (":authority", "www.example.com"), ("custom-key", "custom-value")],
]  # fmt: skip


@pytest.mark.parametrize("blocks", [REQUESTS, HUFFMAN])
def test_the_examples_of_the_rfc(blocks: list[bytes]) -> None:
    reader = HpackReader()
    for block, expected in zip(blocks, FIELDS, strict=True):
        fields, fault = reader.read(block)
        assert fault == ""
        assert [(one.name, one.value) for one in fields] == expected
        assert [one.start for one in fields] == [0, *(one.stop for one in fields[:-1])]
        assert fields[-1].stop == len(block)


def test_a_field_says_how_it_was_sent_and_what_it_cost() -> None:
    fields, _ = HpackReader().read(REQUESTS[0] + b"\x00\x01a\x01b" + b"\x10\x01s\x01t" + b"\x3e")
    assert [one.how for one in fields[2:]] == [
        "indexed", "literal, kept in the table", "literal", "literal, never to be kept",
        "table size update",
    ]  # fmt: skip
    assert fields[0].stop - fields[0].start == 1


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (b"\x80", "index 0 names nothing"),
        (b"\xff\x80\x01", "index 255 is not in the table"),
        (b"\x41\x0fwww", "a text of 15 bytes, 3 are left"),
        (b"\x41", "a text goes on behind the block's end"),
        (b"\xff", "a number goes on behind the block's end"),
        (b"\xff\xff\xff\xff\xff\xff", "a number has no end"),
        (b"\x41\x84\xff\xff\xff\xff", "bits that are no Huffman code"),
    ],
)
def test_a_block_that_cannot_be_read(block: bytes, fault: str) -> None:
    fields, why = HpackReader().read(b"\x82" + block)
    assert ([one.value for one in fields], why) == (["GET"], fault)


NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=9)
HEADERS = st.lists(st.tuples(st.sampled_from([":path", "accept", "x-a", "x-b"]) | NAMES, NAMES))


@settings(max_examples=40)
@given(st.lists(st.tuples(HEADERS, st.sampled_from([None, 0, 64, 4096])), max_size=6))
def test_what_another_encodes_is_read(
    blocks: list[tuple[list[tuple[str, str]], int | None]],
) -> None:
    encoder, reader = Encoder(), HpackReader()
    for headers, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        fields, fault = reader.read(encoder.encode(headers))
        assert fault == ""
        found = [(one.name, one.value) for one in fields if one.how != "table size update"]
        assert found == headers


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_block_harms(blocks: list[bytes]) -> None:
    reader = HpackReader()
    for block in blocks:
        fields, _ = reader.read(block)
        assert all(0 <= one.start < one.stop <= len(block) for one in fields)


SETTINGS = frame(4, 0, 0, b"\0\3\0\0\0\x64" + b"\0\4\0\xa0\0\0" + b"\x12\x34\0\0\0\1")
OPENING = PREFACE + SETTINGS + frame(8, 0, 0, b"\x3f\xff\0\1") + frame(1, 5, 1, HUFFMAN[0])


def test_a_request_and_its_answer() -> None:
    answer = frame(4, 1, 0) + frame(1, 4, 1, b"\x88\x5c\x015") + frame(0, 1, 1, b"hello")
    spoken = everywhere(Http2, C(OPENING), S(answer))
    assert texts(spoken[Side.CLIENT]) == [
        "connection preface",
        "SETTINGS: MAX_CONCURRENT_STREAMS=100, INITIAL_WINDOW_SIZE=10485760, setting 0x1234=1",
        "WINDOW_UPDATE: 1,073,676,289 more bytes",
        "HEADERS 1: GET /, end",
    ]
    assert texts(spoken[Side.SERVER]) == ["SETTINGS: ack", "HEADERS 1: 200", "DATA 1: 5 bytes, end"]
    assert all(not message.fault for side in spoken.values() for message in side)
    headers = spoken[Side.CLIENT][3]
    assert items(headers)["flags"] == "END_STREAM END_HEADERS"
    assert items(headers)[":authority"] == "www.example.com"
    checked(headers, OPENING, length=b"\0\0\x11", type=b"\1", **{":authority": HUFFMAN[0][3:]})
    checked(spoken[Side.SERVER][2], answer, data=b"hello")


def test_a_header_block_goes_on_in_continuations_and_is_one_message() -> None:
    block = HUFFMAN[0]
    stream = PREFACE + frame(1, 0x21, 1, b"\x80\0\0\3\xc7" + block[:6]) + frame(9, 0, 1, block[6:9])
    stream += frame(9, 4, 1, block[9:]) + frame(6, 0, 0, b"8 bytes!")
    _, headers, ping = everywhere(Http2, C(stream))[Side.CLIENT]
    assert (headers.text, ping.text) == ("HEADERS 1: GET /, end", "PING")
    assert headers.stop == ping.start == len(stream) - 17
    assert items(headers)["priority"] == "on stream 3, alone, weight 200"
    one = next(one for one in headers.items if one.name == ":authority")
    assert one.text == "www.example.com"
    assert one.stop == headers.stop


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (frame(3, 0, 5, b"\0\0\0\x08"), "RST_STREAM 5: CANCEL"),
        (frame(6, 1, 0, b"8 bytes!"), "PING: ack"),
        (frame(7, 0, 0, b"\0\0\0\7\0\0\0\x0bcalm"), "GOAWAY: ENHANCE_YOUR_CALM: calm"),
        (frame(2, 0, 3, b"\0\0\0\1\x0f"), "PRIORITY 3"),
        (frame(0, 9, 1, b"\2abc\0\0"), "DATA 1: 3 bytes, end"),
        (frame(0, 0, 1), "DATA 1: 0 bytes"),
        (frame(5, 4, 1, b"\0\0\0\2" + HUFFMAN[0]), "PUSH_PROMISE 1: GET /"),
        (frame(1, 0x0C, 1, b"\1\x88\0"), "HEADERS 1: 200"),
        (frame(16, 0, 0, b"\0\0\0\1u=0"), "PRIORITY_UPDATE: 7 bytes"),
    ],
)
def test_frames_in_one_line(bytes_: bytes, text: str) -> None:
    (message,) = everywhere(Http2, S(bytes_))[Side.SERVER]
    assert (message.text, message.fault) == (text, "")


@pytest.mark.parametrize(
    ("bytes_", "fault"),
    [
        (frame(7, 0, 0, b"\0\0"), "last stream needs 4 bytes, there are 2"),
        (frame(0, 8, 1, b"\x09abc"), "9 bytes of padding do not fit"),
        (frame(1, 0x0C, 1, b"\x09\x88"), "padding needs 9 bytes, there are 1"),
        (frame(1, 0, 1, b"\x88") + frame(6, 0, 0, b"8 bytes!"), "no end of the header block"),
        (frame(0, 0, 1, b"hello")[:-2], "3 of 5 bytes"),
        (frame(6, 0, 0, b"8 bytes!")[:5], "5 of 9 bytes of a frame's head"),
    ],
)
def test_frames_that_cannot_be_read(bytes_: bytes, fault: str) -> None:
    assert everywhere(Http2, S(bytes_))[Side.SERVER][0].fault == fault


def test_a_gap_in_data_is_counted_and_one_elsewhere_ends_what_the_table_says() -> None:
    data = frame(0, 1, 1, bytes(100))
    inside = said(Http2, S(data[:50]), gap(Side.SERVER, 10), S(data[60:] + SETTINGS))
    assert inside[Side.SERVER][0].fault == "10 bytes were not captured"
    assert inside[Side.SERVER][1].start == len(data)
    first, second = (frame(1, 5, n, block) for n, block in ((1, HUFFMAN[0]), (3, HUFFMAN[1])))
    lost = said(Http2, C(PREFACE + SETTINGS), gap(Side.CLIENT, len(first)), C(second + SETTINGS))
    headers = lost[Side.CLIENT][2]
    assert headers.text == "HEADERS 3: GET /, end"
    assert items(headers)["(header)"].startswith("(not known")


def test_http1_hands_over_after_an_upgrade_and_to_the_preface() -> None:
    ask = b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    yes = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    spoken = everywhere(Http1, C(ask), S(yes + SETTINGS + frame(1, 5, 1, b"\x88")), C(OPENING))
    assert texts(spoken[Side.CLIENT])[:2] == ["GET /", "connection preface"]
    assert texts(spoken[Side.SERVER])[2] == "HEADERS 1: 200, end"
    assert texts(said(Http1, C(OPENING))[Side.CLIENT]) == texts(
        said(Http2, C(OPENING))[Side.CLIENT]
    )


def test_content_that_can_only_be_http2_is_known() -> None:
    assert APPLICATION.likely(OPENING, b"")
    assert APPLICATION.likely(b"", SETTINGS)
    assert not APPLICATION.likely(b"PRI", b"")
    assert not APPLICATION.likely(b"GET / HTTP/1.1\r\n", b"")
    assert not APPLICATION.likely(b"", b"HTTP/1.1 200 OK\r\n")


PIECES = st.sampled_from([
    PREFACE, SETTINGS, OPENING, frame(0, 1, 1, bytes(40)), frame(1, 5, 1, HUFFMAN[0]),
    frame(1, 1, 1, HUFFMAN[0][:9]), frame(9, 4, 1, HUFFMAN[0][9:]), frame(0, 9, 1, b"\2ab\0\0"),
    frame(6, 0, 0, b"8 bytes!"), b"GET / HTTP/1.1\r\n\r\n", b"\0\0", frame(1, 4, 1, b"\xbf"),
])  # fmt: skip
STREAM = st.lists(st.one_of(PIECES, st.binary(max_size=9)), max_size=6).map(b"".join)
TURN = st.builds(Turn, st.sampled_from(Side), STREAM.filter(bool))


@settings(max_examples=50)
@given(st.lists(TURN, max_size=4), st.sets(st.integers(1, 300), max_size=8))
def test_frames_are_the_same_however_the_bytes_are_cut(turns: list[Turn], places: set[int]) -> None:
    assert said(Http2, *cut(turns, *places)) == said(Http2, *turns)


@settings(max_examples=50)
@given(st.lists(st.one_of(TURN, st.builds(gap, st.sampled_from(Side), st.integers(1, 99)))))
def test_gaps_in_frames_raise_nothing(turns: list[Turn]) -> None:
    said(Http2, *turns)
