"""HTTP/1 by hand: how bodies end, what answers what, and what goes on where it goes wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import C, S, Turn, checked, cut, everywhere, gap, item, items, said, texts

from netlab.decode.applications.http1 import Http1
from netlab.model.tables import Side

GET = b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nX-Odd:  two  words \r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    b"7;name=value\r\nMozilla\r\n11\r\nDeveloper Network\r\n0\r\nExpires: never\r\n\r\n"
)


def test_a_request_and_its_answer_with_every_field_in_its_place() -> None:
    spoken = everywhere(Http1, C(GET), S(OK))
    (request,), (answer,) = spoken[Side.CLIENT], spoken[Side.SERVER]
    assert (request.protocol, request.text, request.fault) == ("HTTP/1.1", "GET /a?b=c", "")
    assert (request.start, request.stop) == (0, len(GET))
    checked(request, GET, method=b"GET", target=b"/a?b=c", version=b"HTTP/1.1",
            host=b"Host: example.org")  # fmt: skip
    assert items(request)["x-odd"] == "two  words"
    assert answer.text == "200 OK, text/plain"
    assert answer.stop == len(OK)
    checked(answer, OK, status=b"200", reason=b"OK", body=b"hello")


def test_chunks_end_themselves_and_trailers_follow() -> None:
    (answer,) = everywhere(Http1, C(GET), S(CHUNKED))[Side.SERVER]
    assert answer.fault == ""
    assert answer.stop == len(CHUNKED)
    assert items(answer)["body"] == "24 bytes in 2 chunks"
    chunks = [one for one in answer.items if one.name == "chunk"]
    assert [CHUNKED[one.start : one.stop] for one in chunks] == [
        b"7;name=value\r\nMozilla",
        b"11\r\nDeveloper Network",
    ]
    checked(answer, CHUNKED, expires=b"Expires: never")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_answers_have_no_body_whatever_their_length_says(status: bytes) -> None:
    first = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    spoken = everywhere(Http1, C(GET + GET), S(first + OK))
    assert texts(spoken[Side.SERVER]) == [status.decode(), "200 OK, text/plain"]


def test_head_is_answered_without_a_body_and_others_of_the_pipeline_with_one() -> None:
    head = b"HEAD / HTTP/1.1\r\n\r\n"
    length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    spoken = everywhere(Http1, C(GET + head + GET), S(OK + length + OK))
    assert texts(spoken[Side.CLIENT]) == ["GET /a?b=c", "HEAD /", "GET /a?b=c"]
    assert [m.stop - m.start for m in spoken[Side.SERVER]] == [len(OK), len(length), len(OK)]


def test_an_interim_answer_is_a_message_of_its_own() -> None:
    post = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    spoken = everywhere(Http1, C(post), S(b"HTTP/1.1 100 Continue\r\n\r\n"), S(OK))
    assert texts(spoken[Side.SERVER]) == ["100 Continue", "200 OK, text/plain"]
    assert items(spoken[Side.CLIENT][0])["body"] == "3 bytes"


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    stream = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
    (answer,) = everywhere(Http1, C(GET), S(stream))[Side.SERVER]
    assert (answer.protocol, answer.fault) == ("HTTP/1.0", "")
    checked(answer, stream, body=b"until the end")


def test_a_body_that_is_cut_off_says_how_much_of_it_there_is() -> None:
    (answer,) = everywhere(Http1, C(GET), S(OK[:-2]))[Side.SERVER]
    assert answer.fault == "3 of 5 bytes of the body"


def test_transfer_encoding_beats_content_length() -> None:
    both = CHUNKED.replace(b"\r\n\r\n7;", b"\r\nContent-Length: 3\r\n\r\n7;")
    (answer,) = said(Http1, C(GET), S(both))[Side.SERVER]
    assert items(answer)["body"] == "24 bytes in 2 chunks"


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", "Content-Length is no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", "Content-Length is no number"),
        (CHUNKED.replace(b"11\r\n", b"xy\r\n"), "a chunk's size is no number"),
        (CHUNKED.replace(b"Mozilla\r\n", b"Mozilla!"), "no line ends a chunk"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a field line without a clean name: 'no colon'"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "a field line without a clean name: 'A : b'"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n", "the head has no end"),
    ],
)
def test_what_cannot_be_read_is_said(stream: bytes, fault: str) -> None:
    assert everywhere(Http1, C(GET), S(stream))[Side.SERVER][0].fault == fault


def test_a_folded_line_goes_on_and_a_bare_line_feed_ends_a_line() -> None:
    stream = b"GET / HTTP/1.1\nHost: a\n  .b\n\n"
    (request,) = everywhere(Http1, C(stream))[Side.CLIENT]
    assert items(request)["host"] == "a .b"
    checked(request, stream, host=b"Host: a\n  .b")


def test_a_space_in_the_target_is_a_fault_and_the_target_is_all_of_it() -> None:
    (request,) = everywhere(Http1, C(b"GET /Hello you HTTP/1.0\r\n\r\n"))[Side.CLIENT]
    assert (request.text, request.fault) == ("GET /Hello you", "white space in the target")


def test_reading_goes_on_behind_bytes_that_are_no_http() -> None:
    spoken = everywhere(Http1, C(b"\x16\x03\x01 garbage\r\nmore\r\n" + GET + b"rest"))
    assert texts(spoken[Side.CLIENT]) == [
        "bytes that are no HTTP", "GET /a?b=c", "part of a first line",
    ]  # fmt: skip
    assert spoken[Side.CLIENT][0].stop == 19


def test_a_capture_that_begins_inside_a_body_reads_the_next_message() -> None:
    answers = said(Http1, S(b"rest of a body" + OK), starts=1000)[Side.SERVER]
    assert texts(answers) == ["bytes inside a message", "200 OK, text/plain"]
    assert answers[0].fault == "the capture begins inside a message"
    assert (answers[1].start, answers[1].stop) == (1014, 1014 + len(OK))


def test_a_gap_inside_a_body_is_counted_and_one_in_a_head_is_not_bridged() -> None:
    inside = said(Http1, C(GET), S(OK[:-4]), gap(Side.SERVER, 2), S(OK[-2:] + OK))
    assert texts(inside[Side.SERVER]) == ["200 OK, text/plain"] * 2
    assert inside[Side.SERVER][0].fault == "2 bytes of the body were not captured"
    assert inside[Side.SERVER][0].stop == len(OK)
    broken = said(Http1, C(GET), S(OK[:30]), gap(Side.SERVER, 30), S(OK[60:] + OK))
    assert texts(broken[Side.SERVER]) == ["200 OK", "bytes inside a message", "200 OK, text/plain"]
    assert broken[Side.SERVER][0].fault == "30 bytes were not captured"


UPGRADE = b"GET /chat HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"


def test_after_101_both_sides_speak_websocket() -> None:
    turns = C(UPGRADE), S(SWITCH + b"\x81\x02hi"), C(b"\x88\x80\0\0\0\0")
    spoken = everywhere(Http1, *turns)
    assert texts(spoken[Side.CLIENT]) == ["GET /chat", "close"]
    assert texts(spoken[Side.SERVER]) == ["101 Switching Protocols", "text, 2 bytes: hi"]
    assert spoken[Side.SERVER][1].start == len(SWITCH)


def test_an_upgrade_that_is_refused_leaves_http() -> None:
    spoken = everywhere(Http1, C(UPGRADE + GET), S(OK + OK))
    assert texts(spoken[Side.CLIENT]) == ["GET /chat", "GET /a?b=c"]
    assert len(spoken[Side.SERVER]) == 2
    alone = everywhere(Http1, C(UPGRADE + GET))
    assert texts(alone[Side.CLIENT]) == ["GET /chat", "GET /a?b=c"]


def test_a_tunnel_is_what_its_first_bytes_are() -> None:
    connect = b"CONNECT a.org:443 HTTP/1.1\r\n\r\n"
    open_ = b"HTTP/1.1 200 Connection established\r\n\r\n"
    spoken = everywhere(Http1, C(connect), S(open_), C(GET), S(OK))
    assert texts(spoken[Side.CLIENT]) == ["CONNECT a.org:443", "GET /a?b=c"]
    assert spoken[Side.CLIENT][1].start == len(connect)
    opaque = everywhere(Http1, C(connect), S(open_), C(b"\0\1\2"), S(b"\3\4"))
    assert texts(opaque[Side.CLIENT])[1:] == ["3 bytes of an unknown protocol"]
    assert texts(opaque[Side.SERVER])[1:] == ["2 bytes of an unknown protocol"]


def test_a_body_is_counted_never_kept() -> None:
    talk = Http1()
    size = 1 << 26
    talk.feed(Side.SERVER, f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode(), 0)
    block, at = bytes(1 << 20), 46
    found = []
    for _ in range(1 << 6):
        found += talk.feed(Side.SERVER, block, at)
        at += len(block)
    assert len(talk._halves[Side.SERVER].unread) == 0
    assert item(found[0], "body").text == "67,108,864 bytes"


WORDS = st.sampled_from([GET, OK, CHUNKED, UPGRADE, SWITCH, GET[:23], b"\r\n", b"HTTP/1.1 ", b"0"])
STREAM = st.lists(st.one_of(WORDS, st.binary(max_size=9)), max_size=6).map(b"".join)
TURN = st.builds(Turn, st.sampled_from(Side), STREAM.filter(bool))


@settings(max_examples=50)
@given(st.lists(TURN, max_size=5), st.sets(st.integers(1, 200), max_size=8))
def test_messages_are_the_same_however_the_bytes_are_cut(
    turns: list[Turn], places: set[int]
) -> None:
    assert said(Http1, *cut(turns, *places)) == said(Http1, *turns)


@settings(max_examples=50)
@given(st.lists(st.one_of(TURN, st.builds(gap, st.sampled_from(Side), st.integers(1, 99)))))
def test_gaps_anywhere_raise_nothing_and_places_stay_inside(turns: list[Turn]) -> None:
    said(Http1, *turns)


def test_a_chunk_that_is_cut_off_ends_where_the_bytes_do() -> None:
    stream = CHUNKED[: CHUNKED.index(b"Network")]
    (answer,) = everywhere(Http1, C(GET), S(stream))[Side.SERVER]
    assert answer.fault == "no end: 17 bytes in 2 chunks"
    assert [one.stop for one in answer.items if one.name == "chunk"][-1] == len(stream)
