"""Waits for several that never returned: which socket they were for, and what that waited for."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.model.call import EPOLLET, POLLIN, POLLOUT, Inheritance
from netlab.model.tables import Wait
from tests.playbook import ADDRESS, INODE, PID, Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1460
LISTENER: dict[str, Any] = {"inode": INODE["listener"], "fd": 3, "peer": None}
ONE = "nfds=1, timeout=-1"
OTHER = {"inode": 102, "fd": 6, "local": "127.0.0.1:40001", "peer": ADDRESS["server"]}
OTHER_SERVER = {"inode": 202, "fd": 6, "local": ADDRESS["server"], "peer": "127.0.0.1:40001"}


def opened(window: int = 512) -> Play:
    play = Play(wired=True, window=window)
    play.handshake()
    return play


def second(play: Play) -> None:
    """Another connection of the same two programs."""
    with play.call("client", "connect", 0, address=ADDRESS["server"], **OTHER):
        play.syn(sport=40001), play.synack(sport=40001), play.ack("c>s", 0, sport=40001)
    play.did("server", "accept", 6, address="127.0.0.1:40001", new_inode=202, **LISTENER)


def polls(play: Play, args: str = ONE, side: str = "client", op: str = "poll") -> Any:
    return play.wait(side, op=op, args=args, inside=True)


def killed(
    play: Play, side: str = "client", after_ms: int = 300, *, known_after_ms: int = 10
) -> None:
    """By a signal. Its parent knows of it later; the last sign of life is its last call."""
    ended_ns = play.now_ns + after_ms * MS
    with play.call(side, "exit", None, inode=None, fd=None, inside=True, args="SIGKILL",
                   returned_by_ns=ended_ns + known_after_ms * MS):  # fmt: skip
        pass
    play.now_ns = ended_ns


def leaves_a_fin(play: Play) -> None:
    """What the client's kernel sends as it closes, and the server's answer to that."""
    play.fin("c>s", 0)
    with play.call("server", "close", 0):
        play.fin("s>c", 0, 1)


def ends(play: Play, after_ms: int = 300) -> None:
    play.now_ns += after_ms * MS
    play.did("server", "socket", 99, inode=999, fd=99, pid=77, tid=77, peer=None, local=None)


def reason(play: Play, op: str = "poll", nth: int = 1) -> tuple[list[tuple[str, int]], Wait]:
    """(causes with their milliseconds, the longest) of a wait; none of it may be certain."""
    tables, rows = told(play)
    call = number_of(tables, op, nth)
    found = causes(rows, call, 2)
    assert "observed" not in {row.certainty for row in rows if row.call == call}
    return found, of(rows, call, found[-1][0])


# --- for bytes


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("poll", ONE),
        ("poll", "nfds=1, timeout=5000"),
        ("pselect6", "nfds=6, timeout=NULL"),
        ("select", "readers=1, writers=0, exceptional=1, timeout=5"),
        ("epoll_wait", "timeout=5000, maxevents=1023"),
    ],
)
@pytest.mark.parametrize("fin", [True, False])
def test_killed_in_a_wait_of_one_who_reads(op: str, args: str, fin: bool) -> None:
    """As the recv that blocks, with a time-out as without one; what answers the end is no cause."""
    play = opened()
    with polls(play, args, op=op):
        killed(play)
        if fin:
            leaves_a_fin(play)
    found, wait = reason(play, op)
    assert found == [("peer_app", 300 if fin else 310)]
    assert wait.text.startswith("because the server's program had sent nothing more by then")


def test_killed_in_an_epoll_whose_set_is_known() -> None:
    play = opened()
    made(play)
    play.watch("client", INODE["client"], POLLIN)
    with polls(play, "timeout=-1", op="epoll_wait"):
        killed(play)
        leaves_a_fin(play)
    assert reason(play, "epoll_wait")[0] == [("peer_app", 300)]


def made(play: Play, side: str = "client") -> None:
    play.did(side, "epoll_create1", 4, inode=None, fd=4, family=None, kind=None, peer=None,
             local=None)  # fmt: skip


def test_killed_while_what_was_sent_was_lost() -> None:
    play = opened()
    with polls(play):
        play.now_ns += 100 * MS
        with play.call("server", "send", 50, size=50):
            lost = play.data("s>c", 0, 50, way="drop")
        killed(play, after_ms=200)
    found, wait = reason(play)
    assert [cause for cause, _ in found] == ["peer_app", "rto"]
    assert wait.frames == (lost,)


def test_bytes_that_edges_do_not_tell_of_any_more() -> None:
    play = opened()
    made(play)
    play.watch("client", INODE["client"], POLLIN | EPOLLET)
    play.did("server", "send", 50, size=50)
    play.data("s>c", 0, 50)
    play.did("client", "recv", 10, size=10)
    with polls(play, "timeout=-1", op="epoll_wait"):
        killed(play)
        play.rst("c>s", 0, 50)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("left_unread", 300)]


@pytest.mark.parametrize(
    ("args", "cause"), [("nfds=0, timeout=500", "timer"), ("nfds=1, timeout=0", "unknown")]
)
def test_its_time_is_the_cause_where_it_watches_nothing(args: str, cause: str) -> None:
    play = opened()
    with polls(play, args):
        killed(play)
        leaves_a_fin(play)
    assert reason(play)[0] == [(cause, 300)]


def test_killed_in_a_wait_for_a_datagram() -> None:
    play = Play(wired=True)
    more: dict[str, Any] = {"kind": "SOCK_DGRAM", "peer": None}
    play.did("client", "bind", 0, **more)
    with polls(play):
        killed(play)
    found, wait = reason(play)
    assert found == [("peer_app", 310)]
    assert wait.text == "because no datagram had been sent to it by then"


@pytest.mark.parametrize(
    ("op", "result", "errno"), [("sendmmsg", 1, None), ("send", None, "ECONNREFUSED")]
)
def test_killed_in_a_wait_behind_a_send_that_had_room(
    op: str, result: int | None, errno: str | None
) -> None:
    """It took all it was given, or failed otherwise: what is waited for is an answer."""
    play = Play(wired=True)
    more: dict[str, Any] = {"kind": "SOCK_DGRAM", "peer": ADDRESS["server"]}
    sizes = (30,) if errno is None else ()
    play.did("client", op, result, size=30, errno=errno, message_bytes=sizes, **more)
    with polls(play):
        killed(play)
    assert reason(play)[0] == [("peer_app", 310)]


def test_a_segment_to_the_same_port_is_no_datagram() -> None:
    play = Play(wired=True)
    play.did("client", "bind", 0, kind="SOCK_DGRAM", peer=None)
    with polls(play):
        play.synack()
        killed(play)
    assert reason(play)[0] == [("peer_app", 310)]


@pytest.mark.parametrize(
    ("way", "expected"),
    [("hold", [("peer_app", 100), ("network", 110)]), ("carry", [("unknown", 210)])],
)
def test_killed_while_a_datagram_was_on_its_way(way: str, expected: Any) -> None:
    play = Play(wired=True)
    more: dict[str, Any] = {"kind": "SOCK_DGRAM", "peer": None}
    play.did("client", "bind", 0, **more)
    with polls(play):
        play.now_ns += 100 * MS
        with play.call("server", "sendto", 3, size=3, address=ADDRESS["client"], **more):
            play.datagram(ADDRESS["server"], ADDRESS["client"], 3, way=way)
        killed(play, after_ms=100)
    assert reason(play)[0] == expected


@pytest.mark.parametrize(("args", "cause"), [(ONE, "peer_app"), ("nfds=2, timeout=-1", "network")])
def test_a_thread_that_polls_for_one_polls_its_own(args: str, cause: str) -> None:
    """What is owed to a socket of another thread is nothing to it, unless it polls for more."""
    play = opened()
    second(play)
    play.did("client", "recv", None, size=10, errno="EAGAIN", tid=31)
    with play.wait("client", op="poll", args=args, inside=True, tid=31):
        with play.call("server", "send", 10, size=10, **OTHER_SERVER):
            play.data("s>c", 0, 10, way="hold", sport=40001)
        ends(play)
    assert reason(play)[0][-1][0] == cause


# --- for clients


def test_killed_in_a_wait_of_one_who_only_listens() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", **LISTENER)
    with polls(play, side="server"):
        killed(play, "server")
    assert reason(play)[0] == [("no_client", 310)]


# --- for room


def fills(play: Play) -> None:
    """The client writes more than the server takes, which never reads."""
    with play.call("client", "send", 90_000, size=700_000):
        at = 0
        while at + FULL <= 65_536:
            play.data("c>s", at, at + FULL)
            at += FULL
        play.ack("s>c", at, window=0)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("events", [None, POLLOUT, POLLIN | POLLOUT | EPOLLET])
def test_killed_in_a_wait_for_room(events: int | None, again: bool) -> None:
    play = opened()
    op = "poll"
    if events is not None:
        op = "epoll_wait"
        made(play)
        play.watch("client", INODE["client"], events)
    fills(play)
    if again:
        play.did("client", "send", None, size=610_000, errno="EAGAIN")
    with polls(play, "nfds=1, timeout=-1", op=op):
        killed(play)
    found, wait = reason(play, op)
    assert found == [("peer_window", 310)]
    assert "its program never read" in wait.text


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        ("readers=1, writers=0, exceptional=1, timeout=NULL", "peer_app"),
        ("readers=0, writers=1, exceptional=1, timeout=NULL", "peer_window"),
        ("readers=1, writers=1, exceptional=0, timeout=NULL", "peer_window"),
    ],
)
def test_a_select_says_whether_it_is_for_room(args: str, cause: str) -> None:
    play = opened()
    fills(play)
    with polls(play, args, op="select"):
        killed(play)
    assert reason(play, "select")[0] == [(cause, 310)]


def test_a_select_for_room_where_there_is_some_is_not_explained() -> None:
    play = opened()
    with polls(play, "readers=0, writers=1, exceptional=1, timeout=NULL", op="select"):
        killed(play)
    assert reason(play, "select")[0] == [("unknown", 310)]


def test_once_all_is_acknowledged_it_waits_for_no_room() -> None:
    play = opened()
    with play.call("client", "send", FULL, size=2 * FULL):
        play.data("c>s", 0, FULL)
        play.ack("s>c", FULL)
    with polls(play):
        killed(play)
    assert reason(play)[0] == [("peer_app", 310)]


def test_a_reset_would_have_ended_a_wait_for_room() -> None:
    play = opened()
    fills(play)
    with polls(play):
        play.now_ns += 50 * MS
        play.rst("s>c", 0, 64_240)
        killed(play)
    assert reason(play)[0] == [("unknown", 360)]


# --- for the answer to a connect


def connecting(play: Play, sport: int = 40000, **more: Any) -> None:
    with play.call("client", "connect", -1, address=ADDRESS["server"], errno="EINPROGRESS", **more):
        play.syn(way="drop", sport=sport)


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("events", [None, POLLOUT])
def test_the_end_in_a_wait_for_a_connect(events: int | None, goes_on: bool) -> None:
    """Of the process, or of the recording."""
    play = Play(wired=True)
    op = "poll"
    if events is not None:
        op = "epoll_wait"
        made(play)
        play.watch("client", INODE["client"], events)
    connecting(play)
    with polls(play, op=op):
        if not goes_on:
            killed(play, after_ms=400)
    if goes_on:
        ends(play, after_ms=410)
    found, wait = reason(play, op)
    assert found == [("syn_retry", 410)]
    assert wait.frames == (1,)


def test_a_connect_that_was_answered_is_not_waited_for() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", -1, address=ADDRESS["server"], errno="EINPROGRESS"):
        play.syn()
    with polls(play):
        play.now_ns += 100 * MS
        play.synack(), play.ack("c>s", 0)
        killed(play, after_ms=200)
    assert reason(play)[0] == [("unknown", 310)]


def test_two_connects_that_both_have_no_answer() -> None:
    play = Play(wired=True)
    connecting(play)
    connecting(play, 40001, **OTHER)
    with polls(play, "nfds=2, timeout=-1"):
        killed(play, after_ms=400)
    assert reason(play)[0] == [("syn_retry", 410)]


def inside_connect(play: Play) -> Any:
    """As the probe tells it: it asks for the name of a socket when connect returns."""
    return play.call("client", "connect", None, address=ADDRESS["server"], local=None, peer=None,
                     inside=True)  # fmt: skip


def test_killed_in_a_connect_whose_port_is_not_known() -> None:
    play = Play(wired=True)
    with inside_connect(play):
        frame = play.syn(way="drop")
        killed(play, after_ms=400)
    found, wait = reason(play, "connect")
    assert found == [("syn_retry", 410)]
    assert wait.frames == (frame,)


def test_of_two_connections_to_the_same_address_it_is_not_known_which() -> None:
    play = Play(wired=True)
    with inside_connect(play):
        play.syn(way="drop")
        play.syn(way="drop", sport=40001)
        killed(play, after_ms=400)
    assert reason(play, "connect")[0] == [("unknown", 410)]


def test_a_connection_of_another_socket_is_not_taken_for_it() -> None:
    play = Play(wired=True)
    with inside_connect(play):
        with play.call("client", "connect", -1, address=ADDRESS["server"], errno="EINPROGRESS",
                       tid=11, **OTHER):  # fmt: skip
            play.syn(way="drop", sport=40001)
        killed(play, after_ms=400)
    assert reason(play, "connect")[0] == [("unknown", 410)]


# --- one of several


def test_two_that_have_said_nothing() -> None:
    play = opened()
    second(play)
    with polls(play, "nfds=2, timeout=-1"):
        killed(play)
    found, wait = reason(play)
    assert found == [("peer_app", 310)]
    assert wait.text == "because nothing had come on any of its 2 connections by then"


def test_one_to_which_something_was_owed() -> None:
    play = opened()
    second(play)
    with polls(play, "nfds=2, timeout=-1"):
        with play.call("server", "send", 50, size=50, **OTHER_SERVER):
            play.data("s>c", 0, 50, way="drop", sport=40001)
        killed(play)
    assert reason(play)[0] == [("rto", 310)]


def test_two_that_had_different_reasons() -> None:
    play = opened()
    second(play)
    fills(play)
    with polls(play, "nfds=2, timeout=-1"):
        with play.call("server", "send", 50, size=50, **OTHER_SERVER):
            play.data("s>c", 0, 50, way="drop", sport=40001)
        killed(play)
    assert reason(play)[0] == [("unknown", 310)]


@pytest.mark.parametrize(
    ("left_ms", "text"),
    [
        (300, "because the server's program had sent nothing more by then"),
        (0, "before the server's program called send"),
    ],
)
def test_what_came_long_ago_was_not_waited_for(left_ms: int, text: str) -> None:
    """A poll would have been told of it. Of what came at the end it may have been about to be."""
    play = opened()
    second(play)
    with polls(play):
        play.now_ns += 100 * MS
        with play.call("server", "send", 50, size=50, **OTHER_SERVER):
            play.data("s>c", 0, 50, sport=40001)
        play.now_ns += left_ms * MS
        with play.call("client", "exit", None, inode=None, fd=None, inside=True):
            pass
    found, wait = reason(play)
    assert found == [("peer_app", 100 + left_ms)]
    assert wait.text.startswith(text)


@pytest.mark.parametrize("op", ["poll", "epoll_wait"])
def test_the_peer_was_killed_a_moment_before(op: str) -> None:
    """As where all ends at once: up to then nothing had come."""
    play = opened()
    second(play)
    fills(play)
    if op == "epoll_wait":
        made(play)
        play.watch("client", INODE["client"], POLLIN)
        play.watch("client", 102, POLLIN)
    with polls(play, op=op):
        play.now_ns += 200 * MS
        with play.call("server", "close", 0):
            fin = play.fin("s>c", 0, 64_240)
        with play.call("server", "close", 0, **OTHER_SERVER):
            play.fin("s>c", 0, sport=40001)
        killed(play, after_ms=1, known_after_ms=0)
    tables, rows = told(play)
    found = [row for row in rows if row.call == number_of(tables, op)]
    if op == "poll":  # for room on one, or for bytes on another?
        assert {row.cause for row in found} == {"unknown"}
        return
    assert causes(rows, found[0].call) == [("peer_app", 200), ("unknown", 1)]
    assert found[-2].frames == (fin,)


@pytest.mark.parametrize("op", ["recv", "poll"])
def test_an_end_that_came_a_moment_before(op: str) -> None:
    play = opened()
    inside = polls(play) if op == "poll" else play.call("client", "recv", None, size=9, inside=True)
    with inside:
        play.now_ns += 200 * MS
        with play.call("server", "close", 0):
            play.fin("s>c", 0)
        killed(play, after_ms=1)
        play.fin("c>s", 0, 1)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, op)) == [("peer_app", 200), ("unknown", 1)]


def test_a_socket_that_never_connected_has_nobody_to_hear_from() -> None:
    play = Play(wired=True)
    play.did("client", "socket", 7, inode=107, fd=7, peer=None, local=None)
    play.handshake()
    with polls(play):
        killed(play)
    assert reason(play)[0] == [("peer_app", 310)]


# --- what wakes a loop from within


def pair(play: Play) -> None:
    play.did("client", "socketpair", 0, inode=110, fd=7, new_inode=111, family="AF_UNIX",
             local=None, peer=None)  # fmt: skip
    play.watch("client", 110, POLLIN)


@pytest.mark.parametrize("forks", [False, True])
@pytest.mark.parametrize(
    ("connected", "args", "cause"),
    [
        (True, "timeout=-1", "peer_app"),
        (False, "timeout=500", "timer"),
        (False, "timeout=-1", "other_event"),
    ],
)
def test_a_pair_of_its_own_is_no_peer(connected: bool, args: str, cause: str, forks: bool) -> None:
    """As asyncio has one. A child that inherited it and closed it at once is none either."""
    play = opened()
    made(play)
    pair(play)
    if connected:
        play.watch("client", INODE["client"], POLLIN)
    if forks:
        play.forks.append(Inheritance(30, PID["client"], play.now_ns, (110, 111)))
        for inode in (110, 111):
            play.did("client", "close_range", 0, inode=inode, fd=None, family="AF_UNIX", pid=30,
                     tid=30, local=None, peer=None)  # fmt: skip
    with polls(play, args, op="epoll_wait"):
        killed(play)
    found, wait = reason(play, "epoll_wait")
    assert found == [(cause, 310)]
    if cause == "other_event":
        assert "no socket but those that wake it from within were in its set" in wait.text


def test_a_pair_that_a_child_has_is_one() -> None:
    play = opened()
    made(play)
    pair(play)
    play.forks.append(Inheritance(30, PID["client"], play.now_ns, (110, 111)))
    play.did("client", "send", 3, size=3, inode=111, fd=8, family="AF_UNIX", pid=30, tid=30,
             local=None, peer=None)  # fmt: skip
    play.did("client", "recv", 3, size=3, inode=110, fd=7, family="AF_UNIX", local=None, peer=None)
    with polls(play, "timeout=500", op="epoll_wait"):
        killed(play)
    found, wait = reason(play, "epoll_wait")
    assert found == [("peer_app", 310)]
    assert wait.text == "because nothing had been written at the other end by then"


# --- what came too late


@pytest.mark.parametrize("op", ["poll", "recv"])
@pytest.mark.parametrize("what", ["data", "fin"])
def test_killed_while_it_was_on_its_way(what: str, op: str) -> None:
    """It comes after the end, and nobody is there any more."""
    play = opened()
    inside = polls(play) if op == "poll" else play.call("client", "recv", None, size=9, inside=True)
    with inside:
        play.now_ns += 100 * MS
        if what == "data":
            with play.call("server", "send", 50, size=50):
                frame = play.data("s>c", 0, 50, way="hold")
        else:
            with play.call("server", "close", 0):
                frame = play.fin("s>c", 0, way="hold")
        killed(play, after_ms=200)
        play.fin("c>s", 0)
        play.now_ns += 50 * MS
        play.arrives(frame)
    tables, rows = told(play)
    call = number_of(tables, op)
    assert causes(rows, call, 2) == [("peer_app", 100), ("network", 200)]
    assert of(rows, call, "network").frames == (frame,)
