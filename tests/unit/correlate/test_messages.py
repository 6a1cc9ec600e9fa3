"""The table of messages: frames, order, gaps and times of what was said over TCP and UDP."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import Play
from sample_recordings import T0_NS
from spoken_capture import STEP_NS, Talk

from netlab.correlate.messages import DecodeAs, messages, protocol_of, said_of
from netlab.correlate.reassembly import Reassembly
from netlab.decode.applications.registry import by_name
from netlab.explain.analysis import analyse
from netlab.model.tables import Message, Side, Tables

C, S = Side.CLIENT, Side.SERVER
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 997\r\n\r\n" + b"x" * 997


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(talk: Talk, *decode_as: DecodeAs) -> list[Message]:
    return analyse(talk.raw(), decode_as).messages


def told(found: list[Message]) -> list[tuple[str, str, tuple[int, ...], str | None]]:
    return [(m.direction, m.text, m.frames, m.fault) for m in found]


def test_a_message_in_five_segments_is_one_message_with_five_frames() -> None:
    talk = Talk()
    talk.opens()
    asked = talk.says(C, REQUEST)
    answered = talk.says(S, *cut(ANSWER, 211))
    request, answer = read(talk)
    assert (request.message, request.text, request.frames) == (
        1, "GET /index.html", tuple(asked),
    )  # fmt: skip
    assert (answer.message, answer.text, answer.frames) == (2, "200 OK", tuple(answered))
    assert len(answered) == 5
    assert (answer.start, answer.stop, answer.fault) == (0, len(ANSWER), None)
    assert answer.first_ns == T0_NS + answered[0] * STEP_NS
    assert answer.last_ns == T0_NS + answered[-1] * STEP_NS
    assert answer._whole == answered[-1]


def test_two_messages_in_one_segment_share_its_frame() -> None:
    talk = Talk()
    talk.opens()
    (both,) = talk.says(C, REQUEST * 2)
    assert [m.frames for m in read(talk)] == [(both,), (both,)]


def test_bytes_out_of_order_and_sent_twice_are_read_once_and_in_order() -> None:
    talk = Talk()
    talk.opens()
    (asked,) = talk.says(C, REQUEST)
    last = talk.segment(S, 500, ANSWER[500:])
    first = talk.segment(S, 0, ANSWER[:300])
    talk.segment(S, 0, ANSWER[:300])
    middle = talk.segment(S, 300, ANSWER[300:500])
    _, answer = read(talk)
    assert told([answer]) == [("s>c", "200 OK", (last, first, middle), None)]
    assert answer._whole == middle
    assert asked < answer.frames[0]


def test_a_gap_in_a_body_is_told_and_the_next_message_is_read() -> None:
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST * 2)
    talk.segment(S, 0, ANSWER[:500])
    talk.segment(S, 600, ANSWER[600:] + ANSWER)
    answers = [m for m in read(talk) if m.direction == "s>c"]
    assert [m.fault for m in answers] == ["100 bytes of the body were not captured", None]
    assert answers[1].start == len(ANSWER)


def test_content_says_what_it_is_at_any_port_and_a_port_only_where_something_can_be_read() -> None:
    talk = Talk(4999)
    talk.opens()
    talk.says(C, REQUEST)
    assert [m.protocol for m in read(talk)] == ["HTTP/1.1"]
    other = Talk(80)
    other.opens()
    other.says(C, b"\0\1\2\3 no protocol that anyone knows\n")
    assert read(other) == []


def test_when_nobody_knows_who_is_the_client_the_content_does() -> None:
    """The capture begins inside the connection, with the server."""
    talk = Talk()
    talk.says(S, ANSWER)
    talk.says(C, REQUEST)
    talk.says(S, ANSWER)
    tables = analyse(talk.raw())
    assert sorted(m.text for m in tables.messages) == ["200 OK", "200 OK", "GET /index.html"]
    assert all(m.fault is None for m in tables.messages)


def test_what_somebody_says_beats_content_and_port_and_the_last_word_holds() -> None:
    talk = Talk(80)
    talk.opens()
    talk.says(C, REQUEST)
    tls = DecodeAs("tcp", 80, by_name("tls"))
    (message,) = read(talk, tls)
    assert (message.protocol, message.text) == ("TLS", "bytes inside a record")
    assert [m.protocol for m in read(talk, tls, DecodeAs("tcp", 80, by_name("http")))] == [
        "HTTP/1.1"
    ]
    assert [m.protocol for m in read(talk, DecodeAs("udp", 80, by_name("dns")))] == ["HTTP/1.1"]
    tables = analyse(talk.raw())
    raw = talk.raw()
    connection = tables.connections[0]
    known = protocol_of(tables, raw, connection, [tls])
    assert known is not None
    assert (known.application.name, known.how) == ("tls", "--decode-as")
    assert getattr(protocol_of(tables, raw, connection), "how", "") == "content and port"


QUERY = bytes.fromhex("abcd01000001000000000000") + b"\x07example\x03org\0\0\x01\0\x01"


def test_each_datagram_has_its_range_behind_the_ones_before_it() -> None:
    talk = Talk(53)
    frames = [talk.datagram(C, QUERY), talk.datagram(C, QUERY), talk.datagram(S, QUERY)]
    found = read(talk)
    assert [(m.start, m.stop, m.frames) for m in found] == [
        (0, len(QUERY), (frames[0],)), (len(QUERY), 2 * len(QUERY), (frames[1],)),
        (0, len(QUERY), (frames[2],)),
    ]  # fmt: skip
    assert {m.protocol for m in found} == {"DNS"}
    assert all(said_of(m).start == 0 for m in found)


def test_calls_of_both_ends_that_moved_any_of_its_bytes() -> None:
    play = Play()
    play.handshake()
    sizes = 20, len(REQUEST) - 20
    with play.call("client", "send", sizes[0]):
        play.data("c>s", 0, 20)
    with play.call("client", "send", sizes[1]):
        play.data("c>s", 20, len(REQUEST))
    with play.call("server", "recv", len(REQUEST), size=4096):
        pass
    tables = play.tables()
    moved = {c.call for c in tables.calls if c.start is not None}
    assert len(moved) == 3
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST)
    there = analyse(talk.raw())
    (message,) = messages(Tables(there.packets, there.segments, there.connections, tables.calls),
                          talk.raw())  # fmt: skip
    assert set(message.calls) == moved


def test_one_connection_alone_gives_the_same_messages_without_numbers() -> None:
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST)
    talk.says(S, ANSWER)
    tables = analyse(talk.raw())
    assert tables._read_messages is not None
    alone = tables._read_messages(0)
    assert [m.message for m in alone] == [0, 0]
    assert told(alone) == told(tables.messages)
    assert tables._read_messages(7) == []
    assert tables.messages_of(0) == tables.messages


@settings(max_examples=50)
@given(st.randoms(use_true_random=False), st.integers(31, 400))
def test_any_cut_and_any_order_of_segments_says_the_same(dice: random.Random, size: int) -> None:
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST)
    pieces = [(at, ANSWER[at : at + size]) for at in range(0, len(ANSWER), size)]
    dice.shuffle(pieces)
    for at, piece in pieces:
        talk.segment(S, at, piece)
    _, answer = read(talk)
    assert (answer.text, answer.fault, answer.stop) == ("200 OK", None, len(ANSWER))
    assert len(answer.frames) == len(pieces)
    assert answer._whole == len(talk.frames)


@pytest.mark.parametrize("limit", [40, 60])
def test_bytes_beyond_a_snap_length_are_missing(limit: int) -> None:
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST)
    talk.says(S, ANSWER)
    whole = talk.frames[-1]
    head = len(whole.data) - len(ANSWER)
    cut_off = type(whole)(whole.number, whole.time_ns, 0, whole.data[: head + limit],
                          whole.origlen_bytes)  # fmt: skip
    talk.frames[-1] = cut_off
    tables = analyse(talk.raw())
    chunks = list(Reassembly(tables, talk.raw()).chunks(tables.connections[0], S))
    assert sum(chunk.size for chunk in chunks if chunk.frame is not None) == limit
    answer = tables.messages[1]
    assert answer.fault == f"{limit - 40} of 997 bytes of the body"


def test_in_a_large_capture_one_connection_is_read_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk = Talk()
    talk.opens()
    talk.says(C, REQUEST)
    tables = analyse(talk.raw())
    monkeypatch.setattr("netlab.model.tables._NUMBERED_MOST", 2)
    assert [m.message for m in tables.messages_of(0)] == [0]
    assert tables._messages is None  # all of them were not read
    assert [m.message for m in tables.messages] == [1]
    assert tables.messages_of(0) == tables.messages


def test_a_datagram_in_fragments_is_one_message_with_their_frames() -> None:
    query = QUERY[:12] + b"\x3f" + b"a" * 63 + QUERY[12:]
    talk = Talk(53)
    frames = talk.fragments(C, query, 48)
    after = talk.datagram(C, QUERY)
    assert len(frames) == 3
    first, second = read(talk)
    assert (first.frames, first.fault, first._whole) == (tuple(frames), None, frames[-1])
    assert (first.start, first.stop) == (0, len(query))
    assert (second.frames, second.start) == ((after,), len(query))
    assert first.text == f"A {'a' * 63}.example.org?"


@pytest.mark.parametrize(("lost", "frames"), [(1, (1, 3)), (2, (1, 2))])
def test_a_datagram_without_one_of_its_fragments_is_read_as_far_as_it_goes(
    lost: int, frames: tuple[int, ...]
) -> None:
    query = QUERY[:12] + b"\x3f" + b"a" * 63 + QUERY[12:]
    talk = Talk(53)
    talk.fragments(C, query, 48)
    del talk.frames[lost]
    (message,) = read(talk)
    assert (message.start, message.stop, message.frames) == (0, len(query), frames)
    assert message.fault


def test_a_gap_in_a_datagram_is_the_fault_where_nothing_else_is_one() -> None:
    talk = Talk(53)
    talk.fragments(C, QUERY + bytes(300), 104)
    del talk.frames[1]
    (message,) = read(talk)
    assert message.text.startswith("A example.org?")
    assert message.fault == "104 bytes of the datagram were not captured"
