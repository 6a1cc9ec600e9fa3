"""WebSocket by hand: masks, fragments with control frames between them, and what is no frame."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import C, S, Turn, checked, cut, everywhere, gap, items, said, texts

from netlab.decode.applications.websocket import WebSocket
from netlab.model.tables import Side

KEY = bytes.fromhex("37fa213d")


def frame(first: int, payload: bytes, key: bytes = b"") -> bytes:
    size = len(payload)
    wide = b"" if size < 126 else size.to_bytes(2 if size < 1 << 16 else 8, "big")
    short = {0: size, 2: 126, 8: 127}[len(wide)]
    if key:
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return bytes([first, short | 0x80 * bool(key)]) + wide + key + payload


def test_the_examples_of_the_rfc() -> None:
    # RFC 6455 5.7: a single-frame message of the server, one of the client, a ping and its pong.
    assert frame(0x81, b"Hello", KEY) == bytes.fromhex("818537fa213d7f9f4d5158")
    spoken = everywhere(
        WebSocket,
        S(bytes.fromhex("810548656c6c6f") + bytes.fromhex("890548656c6c6f")),
        C(bytes.fromhex("818537fa213d7f9f4d5158") + bytes.fromhex("8a8537fa213d7f9f4d5158")),
    )
    assert texts(spoken[Side.SERVER]) == ["text, 5 bytes: Hello", "ping, 5 bytes: Hello"]
    assert texts(spoken[Side.CLIENT]) == ["text, 5 bytes: Hello", "pong, 5 bytes: Hello"]
    assert not any(message.fault for side in spoken.values() for message in side)
    stream = bytes.fromhex("818537fa213d7f9f4d5158")
    checked(spoken[Side.CLIENT][0], stream, masking_key=KEY, payload=stream[6:], opcode=b"\x81")


def test_a_message_in_fragments_with_a_ping_between_them() -> None:
    stream = frame(0x01, b"Hel") + frame(0x89, b"") + frame(0x00, b"l") + frame(0x80, b"o")
    ping, message = everywhere(WebSocket, S(stream))[Side.SERVER]
    assert (ping.text, message.text) == (
        "ping, 0 bytes", "text, 5 bytes in 3 fragments: Hello",
    )  # fmt: skip
    assert (message.start, message.stop) == (0, len(stream))
    assert (ping.start, ping.stop) == (5, 7)


def test_a_close_says_why() -> None:
    stream = (
        frame(0x88, b"\x03\xe9bye", KEY) + frame(0x88, b"", KEY) + frame(0x88, b"\x0f\xa0", KEY)
    )
    closes = everywhere(WebSocket, C(stream))[Side.CLIENT]
    assert texts(closes) == ["close 1001 going away: bye", "close", "close 4000"]
    assert items(closes[0])["reason"] == "bye"


def test_long_messages_have_long_lengths_and_are_counted() -> None:
    stream = frame(0x82, bytes(300)) + frame(0x82, bytes(70_000)) + frame(0x81, b"x" * 300)
    spoken = said(WebSocket, *cut([S(stream)], *range(1, len(stream), 997)))
    assert spoken == said(WebSocket, S(stream))
    assert texts(spoken[Side.SERVER]) == [
        "binary, 300 bytes", "binary, 70,000 bytes", f"text, 300 bytes: {'x' * 256}…",
    ]  # fmt: skip


def test_what_permessage_deflate_compressed_is_named() -> None:
    stream = frame(0xC1, bytes.fromhex("f248cdc9c90700"), KEY)
    (message,) = everywhere(partial(WebSocket, "permessage-deflate"), C(stream))[Side.CLIENT]
    assert (message.text, items(message)["compressed"]) == (
        "text, 7 bytes, compressed", "permessage-deflate",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (frame(0x83, b""), "no frame has opcode 3"),
        (frame(0x91, b"a"), "reserved bits are set"),
        (frame(0x89, bytes(126)), "a control frame that is long or in fragments"),
        (frame(0x09, b""), "a control frame that is long or in fragments"),
        (frame(0x80, b"a"), "a continuation of nothing"),
        (frame(0x81, b"hello")[:-2], "2 bytes of a frame are missing"),
        (frame(0x01, b"hello"), "no last fragment"),
        (frame(0x01, b"a") + frame(0x81, b"b"), "no last fragment"),
        (frame(0x81, b"a", KEY), "a server's frame is masked"),
        (frame(0x82, bytes(200))[:3], "3 bytes of a frame's head"),
    ],
)
def test_what_is_no_frame_or_is_not_whole(stream: bytes, fault: str) -> None:
    assert everywhere(WebSocket, S(stream))[Side.SERVER][0].fault == fault


def test_a_gap_inside_a_payload_is_counted() -> None:
    stream = frame(0x82, bytes(100)) + frame(0x81, b"next")
    spoken = said(WebSocket, S(stream[:50]), gap(Side.SERVER, 20), S(stream[70:]))[Side.SERVER]
    assert texts(spoken) == ["binary, 100 bytes", "text, 4 bytes: next"]
    assert spoken[0].fault == "20 bytes were not captured"


PIECES = st.sampled_from([
    frame(0x81, b"Hello", KEY), frame(0x81, b"Hello"), frame(0x01, b"a"), frame(0x80, b"b"),
    frame(0x89, b"p"), frame(0x88, b"\x03\xe8"), frame(0x82, bytes(300)), b"\x81", b"\x81\xfe",
])  # fmt: skip
STREAM = st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=6).map(b"".join)
TURN = st.builds(Turn, st.sampled_from(Side), STREAM.filter(bool))


@settings(max_examples=50)
@given(st.lists(TURN, max_size=4), st.sets(st.integers(1, 300), max_size=8))
def test_messages_of_frames_are_the_same_however_cut(turns: list[Turn], places: set[int]) -> None:
    assert said(WebSocket, *cut(turns, *places)) == said(WebSocket, *turns)


@settings(max_examples=50)
@given(st.lists(st.one_of(TURN, st.builds(gap, st.sampled_from(Side), st.integers(1, 99)))))
def test_gaps_in_payloads_raise_nothing(turns: list[Turn]) -> None:
    said(WebSocket, *turns)
