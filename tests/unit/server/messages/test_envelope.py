"""Envelopes and pieces: what goes in comes out, whole, byte by byte and with trailing bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.server.messages.envelope import (
    HEAD_BYTES,
    MESSAGE_LIMIT_BYTES,
    Broken,
    ByteInbox,
    Envelope,
    Inbox,
    Kind,
    address_from_name,
    bytes_from_envelope,
    envelope_from_bytes,
    name_from_address,
    pieces,
    target_of,
    with_length,
)

NAMES = st.one_of(
    st.sampled_from(["", "master", "manager"]),
    st.builds("{}-{}".format, st.sampled_from(["worker", "task"]), st.integers(0, 5000)),
)
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


@given(
    st.builds(
        Envelope, st.sampled_from(list(map(int, Kind))), NAMES, NAMES, NUMBERS, NUMBERS, NUMBERS,
        st.binary(max_size=200),
    )
)  # fmt: skip
def test_an_envelope_comes_back_as_it_went(envelope: Envelope) -> None:
    message = bytes_from_envelope(envelope)
    assert len(message) == HEAD_BYTES + len(envelope.payload)
    assert envelope_from_bytes(message) == envelope
    assert target_of(message) == envelope.target


@given(NAMES)
def test_names_and_addresses(name: str) -> None:
    assert name_from_address(address_from_name(name)) == name


@pytest.mark.parametrize("name", ["worker-", "worker-x", "-3", "user-1", "worker--1", "worker-²"])
def test_no_names(name: str) -> None:
    with pytest.raises(ValueError, match="names no process"):
        address_from_name(name)


def test_what_is_no_envelope() -> None:
    with pytest.raises(ValueError, match="no envelope"):
        envelope_from_bytes(b"short")
    message = bytearray(bytes_from_envelope(Envelope(Kind.SEND, "worker-1", "master")))
    message[4:8] = struct.pack("<I", 9 << 24)
    with pytest.raises(ValueError, match="no address"):
        envelope_from_bytes(bytes(message))


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(2, 30))
def test_pieces_are_joined_again(messages: list[bytes], limit_bytes: int) -> None:
    inbox = Inbox()
    found = []
    for message in messages:
        for piece in pieces(message, limit_bytes):
            assert 0 < len(piece) <= limit_bytes
            whole = inbox.join(piece)
            if whole is not None:
                found.append(whole)
    assert found == messages
    assert inbox.waiting_bytes == 0


@given(st.lists(st.binary(max_size=50), max_size=20), st.lists(st.integers(1, 60)))
def test_bytes_are_cut_into_messages_however_they_come(
    messages: list[bytes], steps: list[int]
) -> None:
    stream = b"".join(map(with_length, messages))
    inbox, found, at = ByteInbox(), [], 0
    for step in [*steps, *[1] * len(stream)]:
        if at < len(stream):
            found += inbox.join(stream[at : at + step])
            at += step
    assert found == messages
    assert inbox.waiting_bytes == 0


def test_trailing_bytes_wait() -> None:
    inbox = ByteInbox()
    assert inbox.join(with_length(b"one") + b"\3\0\0") == [b"one"]
    assert inbox.waiting_bytes == 3
    assert inbox.join(b"\0two" + with_length(b"")) == [b"two", b""]


def test_a_message_without_end_is_refused() -> None:
    with pytest.raises(Broken, match="bytes"):
        ByteInbox().join(struct.pack("<I", MESSAGE_LIMIT_BYTES + 1))
    inbox = Inbox()
    piece = b"\1" + bytes(8 << 20)
    for _ in range(8):
        assert inbox.join(piece) is None
    with pytest.raises(Broken, match="without end"):
        inbox.join(piece)
