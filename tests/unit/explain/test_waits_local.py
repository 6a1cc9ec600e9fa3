"""Waits on Unix sockets: until the call at the other end was made."""

from __future__ import annotations

from typing import Any

from netlab.model.call import POLLHUP, POLLIN
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

U: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_STREAM", "local": "unix:", "peer": "unix:"}
A: dict[str, Any] = {**U, "inode": 1}
B: dict[str, Any] = {**U, "inode": 2}


def pair() -> Play:
    play = Play()
    play.did("client", "socketpair", 0, new_inode=2, **A)
    return play


def test_a_read_waits_for_the_write_at_the_other_end() -> None:
    play = pair()
    with play.call("server", "recv", 3, size=100, **B):
        play.now_ns += 30 * MS
        play.did("client", "send", 3, size=3, **A)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert of(rows, recv, "peer_app").calls == (number_of(tables, "send"),)


def test_a_read_of_what_is_there_waits_for_nothing() -> None:
    play = pair()
    play.did("client", "send", 3, size=3, **A)
    play.now_ns += 30 * MS
    play.did("server", "recv", 3, size=100, **B)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert [row.cause for row in rows if row.call == recv] == ["copy"]


def test_the_end_of_the_stream_is_the_close_at_the_other_end() -> None:
    play = pair()
    with play.call("server", "recv", 0, size=100, **B):
        play.now_ns += 30 * MS
        play.did("client", "close", 0, **A)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert of(rows, recv, "peer_app").calls == (number_of(tables, "close"),)


def test_a_poll_that_reports_a_hang_up_waited_for_that_close() -> None:
    play = pair()
    play.did("server", "recv", None, size=100, errno="EAGAIN", **B)
    with play.wait("server", (2, POLLIN | POLLHUP)):
        play.now_ns += 30 * MS
        play.did("client", "close", 0, **A)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("peer_app", 30)]


def test_a_close_that_nobody_made_is_unknown() -> None:
    play = pair()
    play.did("server", "recv", None, size=100, errno="EAGAIN", **B)
    with play.wait("server", (2, POLLIN | POLLHUP)):
        play.now_ns += 30 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 30)]
