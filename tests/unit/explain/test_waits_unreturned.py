"""Calls that never returned: what they still waited for when their process, or all, ended."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.model.call import POLLIN, POLLOUT
from netlab.model.recording import Loss
from netlab.show.terminal.why import sentence_text
from netlab.show.views.why_sentences import why_call
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1460
LISTENER = {"inode": INODE["listener"], "fd": 3, "peer": None}


def opened() -> Play:
    play = Play(wired=True)
    play.handshake()
    return play


def waiting(play: Play) -> Any:
    """A recv of the client's that never returns."""
    return play.call("client", "recv", None, size=100, inside=True)


def ends(play: Play, after_ms: int = 300) -> Play:
    """The recording goes on so long: the last that is seen of it is a call of somebody else."""
    play.now_ns += after_ms * MS
    play.did("server", "socket", 99, inode=999, fd=99, pid=77, tid=77, peer=None, local=None)
    return play


def said(play: Play, op: str, side: str) -> str:
    tables = play.tables()
    call = tables.calls[number_of(tables, op, 1, side) - 1]
    return sentence_text(why_call(tables, play.raw, call))


def test_two_that_wait_for_each_other() -> None:
    play = opened()
    with play.call("client", "recv", None, size=100, inside=True):
        play.now_ns += 20 * MS
        with play.call("server", "recv", None, size=100, inside=True):
            pass
    tables, rows = told(ends(play))
    client, server = (number_of(tables, "recv", 1, side) for side in ("client", "server"))
    assert causes(rows, client) == [("peer_app", 320)]
    assert causes(rows, server) == [("peer_app", 300)]
    wait = of(rows, client, "peer_app")
    assert wait.certainty == "observed"
    assert wait.text == (
        "because the server's program had sent nothing more by then: it was inside"
        f" server recv #{server} itself"
    )
    assert said(play, "recv", "client").startswith(
        f"client recv #{client} had not returned when the recording ended, after 320"
    )


def test_the_end_of_its_process_is_the_end_of_the_wait() -> None:
    play = opened()
    with play.call("client", "recv", None, size=100, inside=True):
        play.now_ns += 50 * MS
        with play.call("client", "exit", None, inode=None, fd=None, inside=True):
            pass
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "recv")) == [("peer_app", 50)]
    assert not [row for row in rows if row.call == number_of(tables, "exit")]
    assert "had not returned when its process ended, after 50" in said(play, "recv", "client")


def test_what_the_peer_did_after_the_end_explains_nothing() -> None:
    """The server's recv sees the end that a killed client leaves, and closes after that."""
    play = opened()
    with waiting(play):
        with play.call("server", "recv", 0, size=100):
            play.now_ns += 50 * MS
            with play.call("client", "exit", None, inode=None, fd=None, inside=True):
                play.fin("c>s", 0)
        with play.call("server", "close", 0):
            play.fin("s>c", 0, 1)
    tables, rows = told(ends(play))
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("peer_app", 50)]
    assert "it was inside server recv" in of(rows, recv, "peer_app").text


def test_a_peer_whose_calls_are_not_known_is_only_inferred() -> None:
    play = opened()
    with play.call("client", "recv", None, size=100, inside=True):
        pass
    play.calls = [call for call in play.calls if call.actor == "client"]
    play.now_ns += 300 * MS
    play.did("client", "socket", 99, inode=999, fd=99, pid=77, tid=77, peer=None, local=None)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_app", 300)]
    assert of(rows, recv, "peer_app").certainty == "inferred"


def test_what_was_lost_and_not_sent_again() -> None:
    play = opened()
    with waiting(play), play.call("server", "send", 50, size=50):
        lost = play.data("s>c", 0, 50, way="drop")
    tables, rows = told(ends(play))
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("rto", 300)]
    assert of(rows, recv, "rto").frames == (lost,)
    assert of(rows, recv, "rto").certainty == "inferred"


def test_what_was_still_on_the_wire() -> None:
    play = opened()
    with waiting(play), play.call("server", "send", 50, size=50):
        play.data("s>c", 0, 50, way="hold")
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "recv")) == [("network", 300)]


def test_what_had_come_is_no_reason_to_wait() -> None:
    play = opened()
    with waiting(play), play.call("server", "send", 50, size=50):
        play.data("s>c", 0, 50)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 300)]


def test_what_a_cork_holds_for_ever() -> None:
    play = opened()
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_CORK, 1")
    with play.call("client", "recv", None, size=100, inside=True):
        play.did("server", "send", 50, size=50)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "recv")) == [("cork", 300)]


def test_an_end_that_was_sent_is_not_silence() -> None:
    play = opened()
    with waiting(play), play.call("server", "close", 0):
        play.fin("s>c", 0)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "recv")) == [("unknown", 300)]


def test_a_send_that_nobody_reads() -> None:
    play = Play(wired=True, window=512)  # 65,536 bytes
    play.handshake()
    with play.call("client", "send", None, size=700_000, inside=True):
        at = 0
        while at + FULL <= 65_536:
            play.data("c>s", at, at + FULL)
            at += FULL
        play.ack("s>c", at, window=0)
    tables, rows = told(ends(play))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("peer_window", 300)]
    assert "its program never read" in of(rows, send, "peer_window").text


def test_an_accept_to_which_nobody_came() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", **LISTENER)
    with play.call("server", "accept", None, inside=True, **LISTENER):
        pass
    tables, rows = told(ends(play))
    accept = number_of(tables, "accept")
    assert causes(rows, accept) == [("no_client", 300)]
    assert of(rows, accept, "no_client").certainty == "observed"


def test_an_accept_to_which_somebody_came_is_not_said_to_be_alone() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", **LISTENER)
    with play.call("server", "accept", None, inside=True, **LISTENER):
        play.syn(), play.synack(), play.ack("c>s", 0)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "accept")) == [("unknown", 300)]


def test_a_connect_whose_syns_are_lost() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, address=ADDRESS["server"], inside=True):
        play.syn(way="drop")
        play.now_ns += 1000 * MS
        play.syn(way="drop")
    tables, rows = told(ends(play))
    connect = number_of(tables, "connect")
    assert {cause for cause, _ in causes(rows, connect)} == {"syn_retry"}
    assert sum(ms for _, ms in causes(rows, connect)) == 1300


@pytest.mark.parametrize(
    ("args", "comes", "expected"),
    [
        ("timeout=-1", False, "peer_app"),
        ("timeout=-1", True, "unknown"),
        ("timeout=60000", False, "peer_app"),
        ("timeout=60000", True, "unknown"),
    ],
)
def test_a_wait_for_several(args: str, comes: bool, expected: str) -> None:
    play = opened()
    with play.wait("client", args=args, inside=True):
        if comes:
            play.did("server", "send", 50, size=50)
            play.data("s>c", 0, 50)
    tables, rows = told(ends(play))
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [(expected, 300)]
    assert of(rows, wait, expected).certainty != "observed"


def test_a_wait_of_one_who_only_listens() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", **LISTENER)
    with play.wait("server", args="timeout=-1", inside=True):
        pass
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("no_client", 300)]


def test_a_wait_of_one_who_holds_nothing_is_unknown() -> None:
    play = Play(wired=True)
    with play.wait("server", args="timeout=-1", inside=True):
        pass
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 300)]


def made(play: Play) -> None:
    """The epoll that `wait` waits on, whose whole set is known from here on."""
    play.did("server", "epoll_create1", 4, inode=None, fd=4, family=None, kind=None, peer=None,
             local=None)  # fmt: skip


def among_others() -> Play:
    """A conversation that goes on while another thread of the server waits on a set of its own."""
    play = opened()
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    made(play)
    return play


def talks(play: Play) -> None:
    play.did("client", "send", 50, size=50)
    play.data("c>s", 0, 50)


def test_a_set_without_sockets_waits_for_something_else() -> None:
    """As the idle worker threads of memcached: each waits for its event counter."""
    play = among_others()
    with play.wait("server", inside=True):
        talks(play)
    tables, rows = told(ends(play))
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("other_event", 300)]
    told_so = of(rows, wait, "other_event")
    assert told_so.certainty == "inferred"
    assert "no socket of the recording was in its set" in told_so.text


def test_a_set_of_which_a_change_is_not_known_is_not_known() -> None:
    """An epoll_ctl of which only a number is known."""
    play = among_others()
    play.did("server", "epoll_ctl", 0, inode=None, fd=4, family=None, kind=None, peer=None,
             local=None, args="EPOLL_CTL_ADD, 5, ?")  # fmt: skip
    with play.wait("server", inside=True):
        talks(play)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 300)]


def test_a_set_that_a_socket_has_left_has_none() -> None:
    play = among_others()
    play.watch("server", INODE["server"], POLLIN)
    play.watch("server", INODE["server"], 0, "EPOLL_CTL_DEL")
    with play.wait("server", inside=True):
        talks(play)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("other_event", 300)]


def test_a_closed_socket_is_in_no_set_any_more() -> None:
    play = among_others()
    play.watch("server", INODE["server"], POLLIN)
    with play.call("server", "close", 0):
        play.fin("s>c", 0)
    with play.wait("server", inside=True):
        pass
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("other_event", 300)]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize(("comes", "expected"), [(False, "peer_app"), (True, "unknown")])
def test_a_set_with_a_connection(when: str, comes: bool, expected: str) -> None:
    play = among_others()
    if when == "before":
        play.watch("server", INODE["server"], POLLIN)
    with play.wait("server", inside=True):
        if when == "meanwhile":  # by another thread
            play.watch("server", INODE["server"], POLLIN)
        if comes:
            talks(play)
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [(expected, 300)]


def test_what_comes_to_a_connection_in_no_set_wakes_nobody() -> None:
    """One set has the listener only: what clients say on their connections is not for it."""
    play = Play(wired=True)
    play.did("server", "listen", 0, args="16", **LISTENER)
    play.handshake()
    made(play)
    play.watch("server", INODE["listener"], POLLIN)
    with play.wait("server", inside=True):
        talks(play)
    tables, rows = told(ends(play))
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("no_client", 300)]
    assert of(rows, wait, "no_client").certainty == "inferred"


def test_where_calls_were_lost_a_set_is_not_known() -> None:
    play = among_others()
    with play.wait("server", inside=True):
        talks(play)
    play.raw.losses.append(Loss("kernel", "events", 7, "trace buffer full"))
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 300)]


def test_events_that_the_kernel_witness_does_not_see_are_taken_for_incoming_ones() -> None:
    play = among_others()
    play.watch("server", INODE["server"], 0)
    with play.wait("server", inside=True):
        pass
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("peer_app", 300)]


def test_a_set_that_waits_for_room_is_not_said_to_wait_for_bytes() -> None:
    play = among_others()
    play.watch("server", INODE["server"], POLLOUT)
    with play.wait("server", inside=True):
        pass
    tables, rows = told(ends(play))
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 300)]


@pytest.mark.parametrize(
    "args", ["nfds=0, timeout=-1", "readers=0, writers=0, exceptional=0, timeout=NULL"]
)
def test_a_wait_for_nothing_is_one_for_a_signal(args: str) -> None:
    play = opened()
    with play.wait("server", op="poll", args=args, inside=True):
        play.now_ns += 50 * MS
    with play.call("server", "exit", None, inode=None, fd=None, inside=True, args="SIGTERM"):
        pass
    tables, rows = told(ends(play))
    wait = number_of(tables, "poll")
    assert causes(rows, wait) == [("signal", 50)]
    assert of(rows, wait, "signal").certainty == "observed"
    assert of(rows, wait, "signal").calls == (number_of(tables, "exit"),)


def test_a_wait_for_nothing_that_no_signal_ended_is_inferred() -> None:
    play = opened()
    with play.wait("server", op="poll", args="nfds=0, timeout=-1", inside=True):
        pass
    tables, rows = told(ends(play))
    wait = number_of(tables, "poll")
    assert of(rows, wait, "signal").certainty == "inferred"


@pytest.mark.parametrize("way", ["hold", "carry", "drop"])
def test_a_process_ended_while_the_datagram_that_it_waited_for_was_on_its_way(way: str) -> None:
    """Of one that had come, or was lost, and a recv that did not take it, nothing is said."""
    play = Play(wired=True)
    client, server = ADDRESS["client"], ADDRESS["server"]
    with play.call("server", "recvfrom", None, size=100, inside=True, kind="SOCK_DGRAM",
                   local=server, peer=None):  # fmt: skip
        play.now_ns += 100 * MS
        with play.call("client", "sendto", 3, size=3, address=server, kind="SOCK_DGRAM"):
            frame = play.datagram(client, server, 3, way=way)
        play.now_ns += 40 * MS
        with play.call("server", "exit", None, inode=None, fd=None, inside=True, args="SIGTERM"):
            pass
    if way == "hold":
        play.now_ns += 60 * MS
        play.arrives(frame)
    tables, rows = told(ends(play))
    recv = number_of(tables, "recvfrom")
    if way != "hold":
        assert causes(rows, recv) == [("unknown", 140)]
        return
    assert causes(rows, recv) == [("peer_app", 100), ("network", 40)]
    wait = of(rows, recv, "network")
    assert (wait.text, wait.frames) == (f"on the wire (frame {frame})", (frame,))
    assert {row.certainty for row in rows if row.call == recv} == {"inferred"}


@pytest.mark.parametrize(
    ("written", "read", "cause", "certainty"),
    [
        (0, 0, "peer_app", "observed"),
        (3, 3, "peer_app", "inferred"),
        (3, 2, "unknown", "unknown"),
        (3, 0, "unknown", "unknown"),
    ],
)
def test_what_another_thread_read_had_been_written(
    written: int, read: int, cause: str, certainty: str
) -> None:
    """That one of two readers of a pair waits on is no sign that nothing was written."""
    pair: dict[str, Any] = {"family": "AF_UNIX", "local": "unix:", "peer": "unix:", "fd": 5}
    near, far = {**pair, "inode": 1}, {**pair, "inode": 2}
    play = Play()
    play.did("client", "socketpair", 0, new_inode=2, **near)
    with play.call("server", "recv", None, size=100, tid=21, inside=True, **far):
        play.now_ns += 30 * MS
        if written:
            play.did("client", "send", written, size=written, **near)
        if read:
            play.did("server", "recv", read, size=read, tid=22, **far)
    play.now_ns += 100 * MS
    play.did("client", "getsockopt", 0, **near)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert [name for name, _ in causes(rows, recv)] == [cause]
    wait = of(rows, recv, cause)
    assert wait.certainty == certainty
    assert ("nothing had been written" in wait.text) == (written == 0)
