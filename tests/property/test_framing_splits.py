"""However a stream is cut into pieces, a framing finds the same messages, and loses no byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.server.sockets.framing import (
    LENGTH_TYPES,
    FixedSize,
    Framing,
    FramingError,
    LengthFunction,
    LengthPrefix,
    Terminator,
)

MAX = 300


def pieces_of(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({cut % (len(stream) + 1) for cut in cuts} | {len(stream)})
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def outcome(framing: Framing, pieces: Sequence[bytes]) -> tuple[list[bytes], bytes | str]:
    """The messages, and what is pending or what was wrong.

    Of the fault only the first half counts: the other shows the bytes that are here, up to 16.
    """
    messages: list[bytes] = []
    for piece in pieces:
        try:
            messages += framing.feed(piece)
        except FramingError as error:
            return messages + error.messages, str(error).partition(";")[0]
    return messages, framing.pending


def netstring_length(view: memoryview) -> int:
    head = bytes(view[:5])
    digits, colon, _ = head.partition(b":")
    if not colon:
        return 0 if len(head) < 5 and head.isdigit() else -1
    return len(digits) + 1 + int(digits) if digits.isdigit() else -1


@st.composite
def framings(draw: st.DrawFn) -> Callable[[], Framing]:
    match draw(st.sampled_from(["terminator", "length", "fixed", "function"])):
        case "terminator":
            ending = draw(st.sampled_from([b"\n", b"\r\n", b"aba", b"\0\0\0"]))
            return lambda: Terminator(ending, MAX)
        case "length":
            letter = draw(st.sampled_from(sorted(LENGTH_TYPES)))
            offset = draw(st.integers(0, 5))
            body_offset = draw(st.integers(0, 16))
            return lambda: LengthPrefix(letter, offset, body_offset, MAX)
        case "fixed":
            size = draw(st.integers(1, MAX))
            return lambda: FixedSize(size)
        case _:
            return lambda: LengthFunction(netstring_length, MAX)


# Bytes that make terminators, small lengths and netstrings likely.
streams = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\r\n", b"\n", b"\r", b"aba", b"ab", b"\0", b"\0\0\0", b"\3", b"3:abc", b"0:", b"12:"]
        ),
        st.binary(max_size=20),
        st.integers(0, MAX).map(lambda size: b"x" * size),
    ),
    max_size=30,
).map(b"".join)


@given(framings(), streams, st.lists(st.integers(0, 1 << 16), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_split_of_any_stream_gives_the_same(
    make: Callable[[], Framing], stream: bytes, cuts: list[int]
) -> None:
    whole = outcome(make(), [stream])
    assert outcome(make(), pieces_of(stream, cuts)) == whole
    assert outcome(make(), [stream[at : at + 1] for at in range(len(stream))]) == whole


@given(framings(), streams, st.lists(st.integers(0, 1 << 16), max_size=12))
@settings(deadline=None)
def test_messages_and_what_is_pending_are_the_stream(
    make: Callable[[], Framing], stream: bytes, cuts: list[int]
) -> None:
    messages, rest = outcome(make(), pieces_of(stream, cuts))
    assert all(0 < len(message) <= MAX for message in messages)
    if isinstance(rest, bytes):
        assert b"".join(messages) + rest == stream
    else:
        assert stream.startswith(b"".join(messages))


@given(
    st.lists(st.binary(max_size=MAX - 20), max_size=20),
    st.sampled_from(sorted(set(LENGTH_TYPES) - {"c", "C"})),
    st.binary(max_size=6),
    st.binary(max_size=6),
    st.lists(st.integers(0, 1 << 16), max_size=12),
)
@settings(deadline=None)
def test_what_is_built_with_a_length_is_found_again(
    bodies: list[bytes], letter: str, before: bytes, after: bytes, cuts: list[int]
) -> None:
    field = LENGTH_TYPES[letter]
    built = [before + field.pack(len(body)) + after + body for body in bodies]
    framing = LengthPrefix(letter, len(before), len(before) + field.size + len(after), MAX)
    assert outcome(framing, pieces_of(b"".join(built), cuts)) == (built, b"")


@given(streams, st.integers(0, 1 << 16))
@settings(deadline=None)
def test_a_stream_can_change_hands_at_any_byte(stream: bytes, cut: int) -> None:
    first, second = Terminator(b"\r\n", 1 << 20), Terminator(b"\r\n", 1 << 20)
    cut %= len(stream) + 1
    before = first.feed(stream[:cut])
    second.restore(first.pending)
    after = second.feed(stream[cut:])
    assert before + after == Terminator(b"\r\n", 1 << 20).feed(stream)


def test_the_machine_order_is_one_of_the_two() -> None:
    assert LENGTH_TYPES["S"].pack(1) in (struct.pack(">H", 1), struct.pack("<H", 1))
