"""Reads that want more than a byte: what they waited for is the byte that let them return.

The cases of `returns` are those that were measured on a kernel: sends of 100 bytes each, 30 ms
apart, to a read that finds some bytes there.
"""

from __future__ import annotations

import pytest

from netlab.model.call import MSG_PEEK, MSG_WAITALL
from netlab.model.tables import Tables, Wait
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

PIECE = 100


def reads(
    there: int, asked: int, result: int, sends: int, *, mark: int = 1, flags: int = 0, rest: int = 0
) -> Play:
    """The client reads: some bytes are there, and it returns after so many sends of the server.

    Then `rest` further sends are made.
    """
    play = Play(wired=True)
    play.handshake()
    if mark > 1:
        play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, SO_RCVLOWAT, {mark}")
    if there:
        with play.call("server", "send", there, size=there):
            play.data("s>c", 0, there)
    play.now_ns += 5 * MS
    with play.call("client", "recv", result, size=asked, flags=flags):
        for nth in range(sends):
            play.now_ns += 30 * MS
            _send(play, there + nth * PIECE)
    for nth in range(sends, sends + rest):
        play.now_ns += 30 * MS
        _send(play, there + nth * PIECE)
    return play


def _send(play: Play, start: int) -> None:
    with play.call("server", "send", PIECE, size=PIECE):
        play.data("s>c", start, start + PIECE)


def told_of(play: Play) -> tuple[Tables, list[Wait], int]:
    tables, rows = told(play)
    return tables, rows, number_of(tables, "recv", 1, "client")


@pytest.mark.parametrize(
    ("there", "asked", "result", "sends", "mark", "flags"),
    [
        (100, 1000, 400, 3, 300, 0),  # it had taken 100 out
        (0, 1000, 300, 3, 300, 0),
        (0, 100, 100, 3, 300, 0),  # it asks for less than the mark, and sleeps for the mark
        (100, 150, 150, 3, 300, 0),
        (100, 300, 300, 3, 300, 0),
        (100, 500, 500, 4, 1, MSG_WAITALL),
        (0, 500, 500, 6, 300, MSG_WAITALL),  # woken at 300 and 600
        (100, 500, 500, 6, 300, MSG_WAITALL),
        (0, 500, 500, 7, 700, MSG_WAITALL),
        (100, 1000, 300, 2, 300, MSG_PEEK),  # a look takes nothing out
        (0, 1000, 300, 3, 300, MSG_PEEK),
        (100, 500, 500, 4, 1, MSG_PEEK | MSG_WAITALL),
    ],
)
def test_the_last_send_that_it_needed_is_what_it_waited_for(
    there: int, asked: int, result: int, sends: int, mark: int, flags: int
) -> None:
    tables, rows, recv = told_of(reads(there, asked, result, sends, mark=mark, flags=flags))
    assert {cause for cause, _ in causes(rows, recv)} == {"peer_app"}
    last = number_of(tables, "send", sends + bool(there))
    assert of(rows, recv, "peer_app").calls[-1] == last
    assert sum(ms for _, ms in causes(rows, recv)) == 30 * sends


def test_the_option_is_named_from_when_bytes_were_here_and_too_few() -> None:
    _, rows, recv = told_of(reads(100, 1000, 400, 3, mark=300))
    assert all(
        "(SO_RCVLOWAT: 300 bytes beside the 100 that it had taken out)" in row.text
        for row in rows if row.call == recv and row.cause == "peer_app"
    )  # fmt: skip
    _, rows, recv = told_of(reads(0, 1000, 300, 3, mark=300))
    texts = [row.text for row in rows if row.call == recv and row.cause == "peer_app"]
    assert "SO_RCVLOWAT" not in texts[0]  # nothing was here
    assert texts[-1].endswith("(SO_RCVLOWAT: 300 bytes)")


def test_all_that_was_asked_for_is_named_as_that() -> None:
    _, rows, recv = told_of(reads(100, 500, 500, 4, flags=MSG_WAITALL))
    assert of(rows, recv, "peer_app").text.endswith("(MSG_WAITALL: all 500 bytes)")


@pytest.mark.parametrize(
    ("there", "asked", "result", "sends", "mark", "flags"),
    [
        (0, 1000, 100, 1, 1, 0),  # any byte would do
        (100, 1000, 100, 0, 100, 0),  # as much as that is there
        (100, 100, 100, 0, 300, 0),  # as much as it asks for is there
        (100, 100, 100, 0, 1, MSG_WAITALL),
    ],
)
def test_nothing_is_said_of_a_read_that_any_byte_ended(
    there: int, asked: int, result: int, sends: int, mark: int, flags: int
) -> None:
    _, rows, recv = told_of(reads(there, asked, result, sends, mark=mark, flags=flags))
    said = " ".join(row.text for row in rows if row.call == recv)
    assert "SO_RCVLOWAT" not in said
    assert "MSG_WAITALL" not in said


def stuck(end: str, *, flags: int = 0, mark: int = 300) -> Play:
    """A read that has what it asked for, or a part, when only an end of some kind wakes it."""
    play = reads(100, 1000, 300, 0, mark=mark, flags=flags)
    play.calls.pop()
    if end == "timer":
        timer = "0x" + 16 * "0" + "01" + 14 * "0"
        play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, SO_RCVTIMEO, {timer}")
    with play.call("client", "recv", 300, size=1000, flags=flags):
        for nth in range(2):
            play.now_ns += 30 * MS
            _send(play, 100 + nth * PIECE)
        if end == "late":
            play.now_ns += 3 * MS
        else:
            play.now_ns += 90 * MS
        if end == "fin":
            with play.call("server", "close", 0):
                play.fin("s>c", 300)
    return play


@pytest.mark.parametrize("flags", [0, MSG_WAITALL])
def test_one_that_the_end_of_the_stream_woke_waited_for_that(flags: int) -> None:
    tables, rows, recv = told_of(stuck("fin", flags=flags, mark=1 if flags else 300))
    assert sum(ms for cause, ms in causes(rows, recv) if cause == "peer_app") == 150
    last = [row for row in rows if row.call == recv and row.cause == "peer_app"][-1]
    assert last.calls[-1] == number_of(tables, "close")
    assert "SO_RCVLOWAT: 300 bytes beside the 100" in last.text or flags


@pytest.mark.parametrize(("end", "cause"), [("timer", "timer"), ("signal", "peer_app")])
def test_one_that_had_enough_and_was_not_woken_did_not_fail_to_run(end: str, cause: str) -> None:
    _, rows, recv = told_of(stuck(end))
    assert "scheduler" not in {name for name, _ in causes(rows, recv)}
    longest = of(rows, recv, cause)
    assert round((longest.stop_ns - longest.start_ns) / MS) == 90
    assert "SO_RCVLOWAT" in longest.text


def test_one_that_returns_soon_after_its_last_byte_was_woken_by_that() -> None:
    """A window that is nearly shut wakes it (tcp_epollin_ready)."""
    _, rows, recv = told_of(stuck("late"))
    assert causes(rows, recv) == [("peer_app", 60), ("scheduler", 3)]


def test_one_that_never_returned_waited_for_what_the_mark_asks_for() -> None:
    play = reads(100, 1000, 300, 0, mark=300)
    play.calls.pop()
    with play.call("client", "recv", None, size=1000, inside=True):
        play.now_ns += 30 * MS
        _send(play, 100)
        play.now_ns += 60 * MS
        play.did("server", "getsockopt", 0, args="SOL_SOCKET, SO_ERROR")
    _, rows, recv = told_of(play)
    assert {cause for cause, _ in causes(rows, recv)} == {"peer_app"}
    assert "SO_RCVLOWAT: 300 bytes beside the 100" in of(rows, recv, "peer_app").text


def marked(mark: int) -> Play:
    """Its client has 100 bytes, which are too few for its mark, or has read them."""
    play = Play(wired=True)
    play.handshake()
    if mark > 1:
        play.did("client", "setsockopt", 0, args=f"SOL_SOCKET, SO_RCVLOWAT, {mark}")
    _send(play, 0)
    if mark == 1:
        play.did("client", "recv", 100, size=100)
    return play


def waits_for(mark: int) -> Play:
    play = marked(mark)
    with play.wait("client", (INODE["client"], 1), op="poll", args="timeout=-1"):
        for nth in (1, 2) if mark > 1 else (1,):
            play.now_ns += 30 * MS
            _send(play, nth * PIECE)
    return play


def test_a_wait_for_a_readable_socket_names_the_mark() -> None:
    tables, rows = told(waits_for(300))
    poll = number_of(tables, "poll")
    assert of(rows, poll, "peer_app").text.endswith("(SO_RCVLOWAT: 300 bytes)")
    tables, rows = told(waits_for(1))
    assert "SO_RCVLOWAT" not in of(rows, number_of(tables, "poll"), "peer_app").text


@pytest.mark.parametrize(("mark", "named"), [(300, True), (1, False)])
def test_a_wait_that_the_end_ended_names_the_mark_as_well(mark: int, named: bool) -> None:
    play = marked(mark)
    with play.wait("client", (INODE["client"], 1), op="poll", args="timeout=-1"):
        play.now_ns += 30 * MS
        with play.call("server", "shutdown", 0, args="SHUT_WR"):
            play.fin("s>c", 100)
    tables, rows = told(play)
    text = of(rows, number_of(tables, "poll"), "peer_app").text
    assert text.startswith(f"before the server's program called shutdown #{len(play.calls)}")
    assert text.endswith("(SO_RCVLOWAT: 300 bytes)") is named


def test_a_mark_is_not_named_where_nothing_lay_there() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_RCVLOWAT, 300")
    with play.wait("client", (INODE["client"], 1), op="poll", args="timeout=-1"):
        play.now_ns += 30 * MS
        with play.call("server", "shutdown", 0, args="SHUT_WR"):
            play.fin("s>c", 0)
    tables, rows = told(play)
    assert "SO_RCVLOWAT" not in of(rows, number_of(tables, "poll"), "peer_app").text
