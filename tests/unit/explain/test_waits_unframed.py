"""Waits of TCP connections without a frame: the calls of the other end tell what they can."""

from __future__ import annotations

from netlab.model.call import POLLIN
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told


def talk() -> Play:
    play = Play()
    play.handshake(capture=False)
    return play


def test_a_read_waits_for_the_write_at_the_other_end() -> None:
    play = talk()
    with play.call("client", "recv", 5, size=100):
        play.now_ns += 30 * MS
        play.did("server", "send", 5, size=5)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert of(rows, recv, "peer_app").calls == (number_of(tables, "send"),)


def test_what_came_after_the_write_nobody_saw() -> None:
    play = talk()
    with play.call("client", "recv", 5, size=100):
        play.now_ns += 30 * MS
        play.did("server", "send", 5, size=5)
        play.now_ns += 20 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [("peer_app", 30), ("unknown", 20)]


def test_the_end_of_the_stream_is_the_close_at_the_other_end() -> None:
    play = talk()
    with play.call("client", "recv", 0, size=100):
        play.now_ns += 30 * MS
        play.did("server", "close", 0)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 30)]
    assert of(rows, recv, "peer_app").calls == (number_of(tables, "close"),)


def test_an_accept_had_no_client_before_its_connect() -> None:
    play = Play()
    play.did("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None)
    with play.accept():
        play.now_ns += 30 * MS
        play.did("client", "connect", 0, address=ADDRESS["server"])
        play.now_ns += 20 * MS
    tables, rows = told(play)
    accept = number_of(tables, "accept")
    assert causes(rows, accept) == [("no_client", 30), ("unknown", 20)]
    assert of(rows, accept, "no_client").calls == (number_of(tables, "connect"),)


def test_a_poll_waits_for_what_the_read_behind_it_returned() -> None:
    play = talk()
    with play.wait("client", (INODE["client"], POLLIN)):
        play.now_ns += 30 * MS
        play.did("server", "send", 5, size=5)
    play.did("client", "recv", 5, size=100)
    tables, rows = told(play)
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("peer_app", 30)]
    assert of(rows, wait, "peer_app").calls == (number_of(tables, "send"),)


def test_of_two_descriptors_none_says_which_ended_the_poll() -> None:
    play = talk()
    ready = (INODE["client"], POLLIN), (77, POLLIN)
    with play.wait("client", *ready):
        play.now_ns += 30 * MS
        play.did("server", "send", 5, size=5)
    play.did("client", "recv", 5, size=100)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 30)]
