"""Waits on an epoll for room, inside which another thread made the call that they told of."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.model.call import EPOLLET, POLLIN, POLLOUT
from netlab.model.tables import Tables
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

OTHER: dict[str, Any] = {"tid": 99}  # another thread of the server
BOTH = POLLIN | POLLOUT
HERE = INODE["server"]


def served(*, events: int = BOTH | EPOLLET, told_before: bool = True) -> Play:
    """A connection of the server's, that its epoll watches and has told of as writable."""
    play = Play(wired=True)
    play.did("server", "epoll_create1", 4, inode=None, fd=4, family=None, kind=None, peer=None,
             local=None)  # fmt: skip
    play.handshake()
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    if events:
        play.watch("server", HERE, events)
    if told_before:
        with play.wait("server", (HERE, POLLOUT)):
            pass
    return play


def fills(play: Play, at: int = 0, *, size: int = 2000, wrote: int = 1000) -> None:
    """The other thread writes, and of what it gives only a part finds room."""
    with play.call("server", "send", wrote, size=size, **OTHER):
        play.data("s>c", at, at + wrote)
    if wrote < size:
        play.did("server", "send", -1, size=size, errno="EAGAIN", **OTHER)


def second(tables: Tables) -> int:
    return number_of(tables, "epoll_wait", 2)


def test_nothing_was_to_be_told_until_another_thread_filled_the_socket() -> None:
    play = served()
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        fills(play)
        play.now_ns += 20 * MS
        play.ack("c>s", 1000)
    tables, rows = told(play)
    first, *rest = causes(rows, second(tables))
    assert first == ("other_event", 30)
    assert sum(ms for _, ms in rest) == 20
    assert not {"scheduler", "unknown"} & {cause for cause, _ in rest}
    send = number_of(tables, "send")
    wait = of(rows, second(tables), "other_event")
    assert (wait.certainty, wait.calls) == ("inferred", (send,))
    assert wait.text == (
        f"until server send #{send} of its own program found too little room: before, nothing that"
        " EPOLLET tells of had changed"
    )


def test_a_send_that_was_short_and_told_of_since_is_over() -> None:
    play = served()
    fills(play)
    play.ack("c>s", 1000)
    with play.wait("server", (HERE, POLLOUT)):
        pass
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        fills(play, 1000)
        play.now_ns += 20 * MS
        play.ack("c>s", 2000)
    tables, rows = told(play)
    wait = number_of(tables, "epoll_wait", 3)
    assert causes(rows, wait)[0] == ("other_event", 30)
    assert of(rows, wait, "other_event").calls == (number_of(tables, "send", 3),)


def test_a_send_that_was_short_before_has_it_wait_for_room_from_its_entry() -> None:
    play = served()
    fills(play)
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        play.ack("c>s", 500)
        fills(play, 1000, size=700, wrote=500)
        play.now_ns += 20 * MS
        play.ack("c>s", 1500)
    tables, rows = told(play)
    assert "other_event" not in dict(causes(rows, second(tables)))


@pytest.mark.parametrize("what", ["all found room", "no ack", "nothing"])
def test_what_else_ended_one_that_had_told_of_room_is_unknown(what: str) -> None:
    play = served()
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        if what != "nothing":
            fills(play, size=1000 if what == "all found room" else 2000)
        play.now_ns += 20 * MS
    play.ack("c>s", 1000)
    tables, rows = told(play)
    assert {cause for cause, _ in causes(rows, second(tables))} == {"unknown"}


@pytest.mark.parametrize("watched", [0, POLLIN | EPOLLET, BOTH | EPOLLET])
def test_what_epoll_ctl_asked_for_is_told_of_at_once(watched: int) -> None:
    """As Go's programs do: a thread adds what it accepted to the set on which another waits."""
    play = served(events=watched, told_before=bool(watched))
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        play.watch("server", HERE, BOTH | EPOLLET, "EPOLL_CTL_MOD" if watched else "EPOLL_CTL_ADD")
    tables, rows = told(play)
    wait = number_of(tables, "epoll_wait", 2 if watched else 1)
    control = number_of(tables, "epoll_ctl", 2 if watched else 1)
    assert causes(rows, wait) == [("other_event", 30)]
    assert of(rows, wait, "other_event").calls == (control,)
    assert of(rows, wait, "other_event").text == (
        f"until server epoll_ctl #{control} of its own program asked for room on the socket"
    )


def test_room_that_was_asked_for_behind_a_short_send_is_waited_for_from_there() -> None:
    play = served(events=POLLIN, told_before=False)
    fills(play)
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        play.watch("server", HERE, BOTH, "EPOLL_CTL_MOD")
        play.now_ns += 20 * MS
        play.ack("c>s", 500)
        play.ack("c>s", 1000)
    tables, rows = told(play)
    found = causes(rows, number_of(tables, "epoll_wait"))
    assert found[0] == ("other_event", 30)
    assert sum(ms for _, ms in found[1:]) == 20
    assert "unknown" not in dict(found)


def test_a_connect_under_way_is_waited_for_from_its_epoll_ctl() -> None:
    play = Play(wired=True)
    play.did("client", "epoll_create1", 4, inode=None, fd=4, family=None, kind=None, peer=None,
             local=None)  # fmt: skip
    play.did("server", "listen", 0, inode=INODE["listener"], fd=3, peer=None)
    with play.wait("client", (INODE["client"], POLLOUT)):
        play.now_ns += 30 * MS
        with play.call("client", "connect", -1, address=ADDRESS["server"], errno="EINPROGRESS",
                       tid=99):  # fmt: skip
            syn = play.syn(way="hold")
        play.watch("client", INODE["client"], BOTH | EPOLLET)
        play.now_ns += 20 * MS
        play.arrives(syn)
        play.synack()
    play.ack("c>s", 0)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("other_event", 30), ("network", 20)]


def test_what_is_told_of_as_long_as_there_is_room_is_not_asked_for_again() -> None:
    play = served(events=BOTH, told_before=False)
    fills(play)
    with play.wait("server", (HERE, POLLOUT)):
        play.now_ns += 30 * MS
        play.watch("server", HERE, BOTH, "EPOLL_CTL_MOD")
        play.now_ns += 20 * MS
        play.ack("c>s", 500)
        play.ack("c>s", 1000)
    tables, rows = told(play)
    assert "other_event" not in dict(causes(rows, number_of(tables, "epoll_wait")))
