"""The words that go into a recording: a line for each call, comments for frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netlab.explain.gloss import (
    Surroundings,
    call_message,
    call_messages,
    duration_text,
    frame_comments,
    frame_threads,
)
from netlab.model.tables import Call, Packet, Role, Span, Tables

SEND = Call(
    call=12, witness="probe", host="lab", actor="client", pid=70, tid=71, fd=5, connection=0,
    side="client", op="send", args="", entered_ns=1_000_000, returned_ns=1_021_000,
    returned_by_ns=None, requested_bytes=100, result=100, errno=None, direction="c>s", start=0,
    stop=100, inq_before_bytes=None, outq_before_bytes=None, inq_after_bytes=None,
    outq_after_bytes=None, code=None,
)  # fmt: skip


def packet(frame: int, time_ns: int) -> Packet:
    return Packet(frame, time_ns, None, "unknown", "lo", "Ethernet", 166, 166)


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 us"), (21_400, "21 us"), (40_100_000, "40.1 ms"), (1_002_000_000, "1.002 s")],
)
def test_durations(ns: int, text: str) -> None:
    assert duration_text(ns) == text


def test_a_call_reads_like_strace_with_its_range() -> None:
    assert (
        call_message(SEND, Surroundings()) == "client send #12 (5, 100) = 100, bytes 0..100, 21 us"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"op": "recv", "errno": "EAGAIN", "result": None, "start": None, "stop": None},
            "client recv #12 (5, 100) = -1 EAGAIN, 21 us",
        ),
        (
            {"returned_ns": None, "result": None, "start": None, "stop": None},
            "client send #12 (5, 100) = ?, still inside when the recording ended",
        ),
        (
            {"op": "sendall", "errno": "EPIPE", "result": 40, "stop": 40},
            "client sendall #12 (5, 100) = -1 EPIPE after 40, bytes 0..40, 21 us",
        ),
        (
            {"op": "shutdown", "args": "SHUT_WR", "requested_bytes": None, "result": 0,
             "start": None, "stop": None},
            "client shutdown #12 (5, SHUT_WR) = 0, 21 us",
        ),
        (
            {"op": "exit", "fd": None, "requested_bytes": None, "result": None,
             "returned_ns": None, "start": None, "stop": None},
            "client exit #12 () = ?",
        ),
        (  # nobody saw it begin
            {"op": "exit", "fd": None, "requested_bytes": None, "result": None, "start": None,
             "stop": None, "returned_ns": None, "returned_by_ns": 22_000_000, "args": "SIGKILL"},
            "client exit #12 (SIGKILL) = ?, at some time in the next 21.0 ms",
        ),
        (  # no descriptor went in
            {"op": "socket", "args": "AF_INET, SOCK_STREAM, 0", "requested_bytes": None,
             "result": 5, "start": None, "stop": None},
            "client socket #12 (AF_INET, SOCK_STREAM, 0) = 5, 21 us",
        ),
        (
            {"op": "socketpair", "args": "AF_UNIX, SOCK_STREAM, 0", "requested_bytes": None,
             "result": 0, "start": None, "stop": None},
            "client socketpair #12 (AF_UNIX, SOCK_STREAM, 0, [5, ...]) = 0, 21 us",
        ),
    ],
)  # fmt: skip
def test_other_outcomes(change: dict[str, object], text: str) -> None:
    assert call_message(replace(SEND, **change), Surroundings()) == text  # type: ignore[arg-type]


NOTHING = {"op": "recv", "result": 0, "start": None, "stop": None}


@pytest.mark.parametrize(
    ("streams", "change", "text"),
    [
        ({0}, {}, "client recv #12 (5, 100) = 0, end of stream, 21 us"),
        (set(), {}, "client recv #12 (5, 100) = 0, 21 us"),  # an empty datagram
        ({0}, {"requested_bytes": 0}, "client recv #12 (5, 0) = 0, 21 us"),
        ({0}, {"errno": "EAGAIN", "result": None}, "client recv #12 (5, 100) = -1 EAGAIN, 21 us"),
        ({0}, {"op": "shutdown"}, "client shutdown #12 (5, 100) = 0, 21 us"),
    ],
)
def test_a_recv_of_nothing_is_the_end_of_a_stream(
    streams: set[int], change: dict[str, object], text: str
) -> None:
    call = replace(SEND, **{**NOTHING, **change})  # type: ignore[arg-type]
    assert call_message(call, Surroundings(streams=frozenset(streams))) == text


def test_a_call_of_a_process_that_died_was_inside_until_then() -> None:
    wait = replace(SEND, call=1, op="epoll_wait", returned_ns=None, start=None, stop=None)
    other = replace(wait, call=2, pid=99, tid=99)
    end = replace(wait, call=3, op="exit", args="SIGKILL")
    lines = call_messages(Tables(calls=[wait, other, end]))
    assert lines[0].endswith("still inside when the process ended")
    assert lines[1].endswith("still inside when the recording ended")
    assert lines[2].endswith("= ?")


def test_comments_say_which_bytes_of_which_call() -> None:
    tables = Tables(
        packets=[packet(4, 1_005_000), packet(5, 1_006_000)],
        calls=[replace(SEND, call=1)],
        spans=[
            Span(1, 4, None, "c>s", 0, 100, Role.CARRIED),
            Span(1, 5, None, "c>s", 0, 100, Role.ACKED),
            Span(1, None, 7, None, None, None, Role.LOCAL),
        ],
    )
    assert frame_comments(tables) == {
        4: ["carries client send #1, bytes 0..100"],
        5: ["acknowledges client send #1, bytes 0..100"],
    }
    assert call_messages(tables) == {0: "client send #1 (5, 100) = 100, bytes 0..100, 21 us"}


def test_the_words_say_who_sent_the_frame() -> None:
    connect = replace(SEND, call=1, op="connect")
    accept = replace(SEND, call=2, op="accept", actor="server", side="server")
    recv = replace(SEND, call=3, op="recv", actor="server", side="server")
    close = replace(SEND, call=4, op="close")
    tables = Tables(
        calls=[connect, accept, recv, close],
        spans=[
            Span(1, 4, None, "c>s", None, None, Role.SYN),
            Span(2, 4, None, "c>s", None, None, Role.SYN),
            Span(3, 9, None, "c>s", None, None, Role.FIN),
            Span(4, 9, None, "c>s", None, None, Role.FIN),
        ],
    )
    assert frame_comments(tables) == {
        4: ["SYN of client connect #1", "SYN accepted by server accept #2"],
        9: ["FIN seen by server recv #3", "FIN of client close #4"],
    }


def test_a_call_that_waited_for_the_frame_did_not_send_it() -> None:
    accept = replace(SEND, call=1, op="accept", side="server", pid=80, tid=81)
    connect = replace(SEND, call=2, op="connect")
    tables = Tables(
        packets=[packet(4, 1_005_000)],
        calls=[accept, connect],
        spans=[
            Span(1, 4, None, "c>s", None, None, Role.SYN),
            Span(2, 4, None, "c>s", None, None, Role.SYN),
        ],
    )
    assert frame_threads(tables) == {4: (70, 71)}


def test_a_frame_of_very_many_calls_names_some() -> None:
    spans = [Span(1, 4, None, "c>s", n, n + 1, Role.CARRIED) for n in range(97)]
    comments = frame_comments(Tables(calls=[replace(SEND, call=1)], spans=spans))[4]
    assert len(comments) == 24
    assert comments[-1] == "and 74 more links to calls"


def test_only_a_frame_that_left_inside_the_call_has_a_thread() -> None:
    tables = Tables(
        packets=[packet(4, 1_005_000), packet(6, 1_500_000)],
        calls=[replace(SEND, call=1)],
        spans=[
            Span(1, 4, None, "c>s", 0, 50, Role.CARRIED),
            Span(1, 6, None, "c>s", 50, 100, Role.CARRIED),
        ],
    )
    assert frame_threads(tables) == {4: (70, 71)}
