"""Waits on Unix sockets: until the call at the other end was made."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.wording import name_of
from netlab.model.call import POLLHUP, POLLIN, POLLOUT
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


@pytest.mark.parametrize("how", ["pair", "attached", "connected"])
def test_the_ends_of_a_pair_are_called_by_who_holds_them(how: str) -> None:
    """A recording that began after socketpair() shows no connect and no accept, and no name: which
    end is whose other one is not known there."""
    play, parent, child = Play(), dict(A, actor="prefork"), dict(B, actor="worker-1", pid=30)
    if how == "pair":
        play.did("client", "socketpair", 0, new_inode=2, **parent)
    elif how == "attached":
        play.did("client", "attach", 0, **parent)
        play.did("server", "attach", 0, **child)
    else:
        play.did("server", "socket", 9, new_inode=9, family="AF_UNIX", kind="SOCK_STREAM",
                 inode=None, actor="worker-1", pid=30)  # fmt: skip
        play.did("server", "bind", 0, **{**child, "inode": 9, "local": "unix:/s", "peer": None},
                 address="unix:/s")  # fmt: skip
        play.did("server", "listen", 0, **{**child, "inode": 9, "local": "unix:/s", "peer": None})
        child["local"] = parent["peer"] = "unix:/s"
        play.did("client", "socket", 7, new_inode=1, family="AF_UNIX", kind="SOCK_STREAM",
                 inode=None, actor="prefork")  # fmt: skip
        play.did("client", "connect", 0, **{**parent, "peer": None}, address="unix:/s",
                 peer_inode=2)  # fmt: skip
        play.did("server", "accept", 8, **{**child, "inode": 9, "peer": None}, new_inode=2,
                 peer_inode=1)  # fmt: skip
    with play.call("server", "recv", 3, size=100, **child):
        play.now_ns += 30 * MS
        play.did("client", "send", 3, size=3, **parent)
    tables, rows = told(play)
    recv, send = number_of(tables, "recv"), number_of(tables, "send")
    text = "" if how == "attached" else of(rows, recv, "peer_app").text
    names = [name_of(tables.calls[number - 1]) for number in (recv, send)]
    if how == "connected":
        assert text == f"before the client's program called send #{send}"
        assert names == [f"server recv #{recv}", f"client send #{send}"]
    else:
        assert text in ("", f"before prefork called send #{send}")
        assert names == [f"worker-1 recv #{recv}", f"prefork send #{send}"]
    assert None not in {call.side for call in tables.calls if call.call in (recv, send)}


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


def test_a_peer_that_was_killed_ended_the_stream_when_it_was_seen_to_be_gone() -> None:
    play = pair()
    killed: dict[str, Any] = {"inode": None, "fd": None, "inside": True, "args": "SIGKILL"}
    with play.call("server", "recv", 0, size=100, **B):
        play.did("client", "exit", None, returned_by_ns=play.now_ns + 30 * MS, **killed)
        play.now_ns += 30 * MS
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    wait = of(rows, recv, "peer_app")
    assert wait.certainty == "inferred"
    assert wait.text == "before the process of client was killed (SIGKILL, exit #3)"


def polled(play: Play, *, sends: int) -> None:
    """A poll that reports one end, and inside it so many bytes of the other."""
    with play.wait("server", (2, POLLIN), op="poll", args="nfds=1, timeout=100"):
        play.now_ns += 30 * MS
        for _ in range(sends):
            play.did("client", "send", 1, size=1, tid=99, **A)


@pytest.mark.parametrize("end", ["close", "nothing"])
def test_a_poll_waited_for_what_was_never_read(end: str) -> None:
    """As curl's own resolver wakes it: a byte through a socketpair, which is closed unread."""
    play = pair()
    play.did("client", "send", 2, size=2, tid=99, **A)
    play.did("server", "recv", 2, size=2, **B)
    polled(play, sends=2)
    if end == "close":
        play.did("server", "close", 0, **B)
    tables, rows = told(play)
    poll = number_of(tables, "poll")
    assert causes(rows, poll) == [("peer_app", 30)]
    wait = of(rows, poll, "peer_app")
    assert (wait.certainty, wait.calls) == ("observed", (number_of(tables, "send", 2),))


@pytest.mark.parametrize("when", ["read meanwhile", "sent later"])
def test_what_was_never_read_may_not_be_what_ended_a_poll(when: str) -> None:
    play = pair()
    if when == "sent later":  # nobody knows what woke it
        polled(play, sends=0)
        play.did("client", "send", 1, size=1, tid=99, **A)
    else:  # by another thread, that was inside before
        with play.call("server", "recv", 1, size=1, tid=98, **B):
            polled(play, sends=2)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [("unknown", 30)]


@pytest.mark.parametrize("close_first", [True, False])
def test_a_read_waits_for_the_other_end_to_shut_its_writing_side(close_first: bool) -> None:
    play = pair()
    with play.call("server", "recv", 0, size=100, **B):
        play.now_ns += 30 * MS
        play.did("client", "shutdown", 0, args="SHUT_WR", **A)
        if close_first:
            play.did("client", "close", 0, **A)
    if not close_first:
        play.did("client", "close", 0, **A)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert of(rows, recv, "peer_app").calls == (number_of(tables, "shutdown"),)


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


def test_a_write_into_a_full_buffer_waits_for_reads_of_what_came_before() -> None:
    play = pair()
    play.did("client", "send", 60_000, size=60_000, **A)
    with play.call("client", "send", 100, size=100, **A):
        play.now_ns += 30 * MS
        play.did("server", "recv", 60_000, size=60_000, **B)
    tables, rows = told(play)
    send = number_of(tables, "send", 2)
    assert causes(rows, send) == [("send_buffer", 30)]
    told_of = of(rows, send, "send_buffer")
    assert told_of.calls == (number_of(tables, "recv"),)
    assert told_of.certainty == "inferred"
    assert "its reader first read with server recv" in told_of.text


def test_what_a_reader_did_not_do_is_told_apart_from_what_was_not_enough() -> None:
    play = pair()
    for _ in range(3):
        play.did("client", "send", 60_000, size=60_000, **A)
    play.did("server", "recv", 60_000, size=60_000, **B)
    with play.call("client", "send", 100, size=100, **A):
        for _ in range(2):
            play.now_ns += 30 * MS
            play.did("server", "recv", 60_000, size=60_000, **B)
    tables, rows = told(play)
    send = number_of(tables, "send", 4)
    texts = [row.text for row in rows if row.call == send and row.cause == "send_buffer"]
    assert texts == [
        "because its send buffer was full: its reader did not read between server recv #5 and"
        " server recv #7",
        "because its send buffer was full, until server recv #8 had made enough room",
    ]


def test_a_read_of_another_senders_message_makes_room_in_the_queue_they_share() -> None:
    play = Play()
    one: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_DGRAM", "peer": None, "local": None}
    reader: dict[str, Any] = {**one, "inode": 3, "local": "unix:/run/q"}
    some, other = ({**one, "inode": inode, "address": "unix:/run/q"} for inode in (4, 5))
    play.did("server", "socket", 9, new_inode=3, family="AF_UNIX", kind="SOCK_DGRAM", inode=None)
    play.did("server", "bind", 0, **reader, address="unix:/run/q")
    for _ in range(2):
        play.did("client", "sendto", 100, size=100, **some)
    with play.call("client", "sendto", 50, size=50, pid=11, tid=11, **other):
        play.now_ns += 30 * MS
        play.did("server", "recv", 100, size=200, **reader)
    play.did("server", "recv", 100, size=200, **reader)
    play.did("server", "recv", 50, size=200, **reader)
    tables, rows = told(play)
    send = number_of(tables, "sendto", 3)
    assert causes(rows, send) == [("send_buffer", 30)]
    told_of = of(rows, send, "send_buffer")
    assert told_of.calls == (number_of(tables, "recv"),)
    assert "no room behind what had not been read" in told_of.text


def test_a_write_into_an_empty_buffer_did_not_wait_for_its_reader() -> None:
    play = pair()
    play.did("client", "send", 100, size=100, **A)
    play.did("server", "recv", 100, size=200, **B)
    with play.call("client", "send", 100, size=100, **A):
        play.now_ns += 30 * MS
        play.did("server", "recv", 100, size=200, **B)
    tables, rows = told(play)
    assert "send_buffer" not in dict(causes(rows, number_of(tables, "send", 2)))


def test_a_write_that_nobody_saw_read_is_unknown() -> None:
    play = Play()
    alone: dict[str, Any] = {**U, "inode": 7, "peer": "unix:/run/other"}
    with play.call("client", "send", 100, size=100, **alone):
        play.now_ns += 30 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "send")) == [("unknown", 30)]


def test_a_wait_for_room_ends_with_the_read_that_made_it() -> None:
    play = pair()
    play.did("client", "send", 60_000, size=60_000, **A)
    play.did("client", "send", None, size=100, errno="EAGAIN", **A)
    with play.wait("client", (1, POLLOUT)):
        play.now_ns += 30 * MS
        play.did("server", "recv", 60_000, size=60_000, **B)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("send_buffer", 30)]


def test_a_write_that_never_returned_waited_for_a_reader_that_read_no_more() -> None:
    play = pair()
    play.did("client", "send", 60_000, size=60_000, **A)
    play.did("server", "recv", 100, size=100, **B)
    with play.call("client", "send", None, size=60_000, inside=True, **A):
        play.now_ns += 30 * MS
        play.did("server", "getsockopt", 0, **B)
    tables, rows = told(play)
    stuck = of(rows, number_of(tables, "send", 2), "send_buffer")
    assert "read no more after server recv #3" in stuck.text
