"""Which frame made a descriptor ready."""

from __future__ import annotations

import pytest
from playbook import ADDRESS, INODE, Play, frames_of, number_of

from netlab.correlate import call_join
from netlab.correlate.call_layout import UrgentMark
from netlab.model.call import (
    EPOLLET,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDHUP,
    WAITING,
)
from netlab.model.recording import Loss
from netlab.model.tables import Direction, Tables


def wakers(tables: Tables, op: str = "epoll_wait") -> list[list[int | None]]:
    """The frames of each wait, in order."""
    return [frames_of(tables, c.call, "wakeup") for c in tables.calls if c.op == op]


def sends(play: Play, start: int, stop: int) -> int:
    with play.call("client", "send", stop - start):
        return play.data("c>s", start, stop)


def server_waits(play: Play, events: int = POLLIN, **more: str) -> None:
    with play.wait("server", (INODE["server"], events), **more):
        pass


def client_waits(play: Play) -> None:
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        pass


def test_readable_is_the_frame_with_the_first_unread_byte() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN)), play.call("client", "send", 200):
        first = play.data("c>s", 0, 100)
        play.data("c>s", 100, 200)
    play.did("server", "recv", 50)
    with play.wait("server", (INODE["server"], POLLIN)):
        pass
    tables = play.tables()
    for nth in (1, 2):
        call = number_of(tables, "epoll_wait", nth)
        assert frames_of(tables, call, "wakeup") == [first]
        assert (tables.calls[call - 1].connection, tables.calls[call - 1].side) == (0, "server")


def test_something_exceptional_of_which_no_frame_is_known_has_no_waker() -> None:
    play = Play()
    play.handshake()
    server_waits(play, POLLPRI)
    assert wakers(play.tables()) == [[]]


def test_what_a_wait_reported_is_in_its_arguments() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN), args="timeout=-1, maxevents=64"):
        play.data("c>s", 0, 100)
    with play.wait("server", (INODE["server"], POLLIN | POLLHUP), op="poll"):
        pass
    with play.wait("server"):
        pass
    args = [call.args for call in play.tables().calls if call.op in WAITING]
    assert args == ["timeout=-1, maxevents=64, ready=[9:IN]", "ready=[9:IN|HUP]", ""]


def test_readable_behind_a_gap_is_the_frame_that_filled_it() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 200):
        play.data("c>s", 100, 200)
    with play.wait("server", (INODE["server"], POLLIN)):
        fill = play.data("c>s", 0, 100)
    play.did("server", "recv", 100)
    with play.wait("server", (INODE["server"], POLLIN)):
        pass
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "epoll_wait", 1), "wakeup") == [fill]
    assert frames_of(tables, number_of(tables, "epoll_wait", 2), "wakeup") == [fill]


def test_readable_at_the_end_of_the_stream_is_the_fin() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN | POLLRDHUP), op="poll"):
        fin = play.fin("c>s", 0)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [fin]


def test_an_error_is_the_reset() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN | POLLERR | POLLHUP), op="poll"):
        reset = play.rst("c>s", 0)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [reset]


def test_a_listener_is_readable_by_the_end_of_the_handshake_accepted_next() -> None:
    play = Play()
    with (
        play.wait("server", (INODE["listener"], POLLIN)),
        play.call("client", "connect", 0, address="127.0.0.1:80"),
    ):
        play.syn()
        play.synack()
        done = play.ack("c>s", 0)
    with play.accept():
        pass
    tables = play.tables()
    call = number_of(tables, "epoll_wait")
    assert frames_of(tables, call, "wakeup") == [done]
    assert tables.calls[call - 1].connection is None


def test_writable_after_a_connect_in_progress_is_the_synack() -> None:
    play = Play()
    with play.call("client", "connect", None, errno="EINPROGRESS", address="127.0.0.1:80"):
        play.syn()
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        answer = play.synack()
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [answer]


def test_writable_again_is_the_ack_that_freed_space() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=300):
        play.data("c>s", 0, 100)
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        freed = play.ack("s>c", 100)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [freed]


def test_writable_all_along_was_made_so_by_no_frame() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.wait("client", (INODE["client"], POLLOUT), op="poll"):
        play.ack("s>c", 100)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == []


def test_a_wait_for_two_connections_belongs_to_none() -> None:
    play = Play()
    play.handshake()
    with play.wait("server", (INODE["server"], POLLIN), (999, POLLIN)):
        play.fin("c>s", 0)
    tables = play.tables()
    assert tables.calls[number_of(tables, "epoll_wait") - 1].connection is None


def test_an_edge_is_a_frame_that_came_after_the_last_report() -> None:
    play = Play()
    play.handshake()
    play.watch("server", INODE["server"], POLLIN | EPOLLET)
    first = sends(play, 0, 10)
    server_waits(play)
    play.did("server", "recv", 4)
    with play.wait("server", (INODE["server"], POLLIN)):
        second = sends(play, 10, 14)
    play.did("server", "recv", 10)
    with play.wait("server", (INODE["server"], POLLIN)):
        fin = play.fin("c>s", 14)
    server_waits(play)  # of nothing that is known
    assert wakers(play.tables()) == [[first], [second], [fin], []]


def test_without_edges_what_is_left_unread_keeps_its_frame() -> None:
    play = Play()
    play.handshake()
    play.watch("server", INODE["server"], POLLIN)
    first = sends(play, 0, 10)
    server_waits(play)
    play.did("server", "recv", 4)
    sends(play, 10, 14)
    server_waits(play)
    assert wakers(play.tables()) == [[first], [first]]


def test_registering_anew_asks_once_for_what_is_there() -> None:
    for ctl in ("EPOLL_CTL_MOD", "EPOLL_CTL_ADD"):
        play = Play()
        play.handshake()
        play.watch("server", INODE["server"], POLLIN | EPOLLET)
        first = sends(play, 0, 10)
        server_waits(play)
        if ctl == "EPOLL_CTL_ADD":
            play.watch("server", INODE["server"], 0, "EPOLL_CTL_DEL")
        play.watch("server", INODE["server"], POLLIN | EPOLLET, ctl)
        server_waits(play)
        assert wakers(play.tables()) == [[first], [first]]


def test_a_frame_that_came_while_a_report_was_made_is_no_certain_edge() -> None:
    play = Play()
    play.handshake()
    play.watch("server", INODE["server"], POLLIN | EPOLLET)
    with play.wait("server", (INODE["server"], POLLIN)):
        first = sends(play, 0, 10)
        sends(play, 10, 20)  # before or after the first was reported?
    with play.wait("server", (INODE["server"], POLLIN)):
        sends(play, 20, 30)
    assert wakers(play.tables()) == [[first], []]


def test_registering_is_no_wait() -> None:
    play = Play()
    play.handshake()
    sends(play, 0, 10)
    play.watch("server", INODE["server"], POLLIN)
    tables = play.tables()
    assert wakers(tables, "epoll_ctl") == [[]]
    call = tables.calls[number_of(tables, "epoll_ctl") - 1]
    assert (call.connection, call.side) == (0, "server")  # it concerns that end all the same


@pytest.mark.parametrize("value", ["8", "0x08000000"])
def test_with_a_low_water_mark_it_is_the_frame_that_reached_it(value: str) -> None:
    play = Play()
    play.handshake()
    play.did("server", "setsockopt", 0, args=f"SOL_SOCKET, SO_RCVLOWAT, {value}")
    sends(play, 0, 4)
    with play.wait("server", (INODE["server"], POLLIN)):
        reached = sends(play, 4, 12)
    play.did("server", "recv", 12)
    with play.wait("server", (INODE["server"], POLLIN)):
        sends(play, 12, 16)
        fin = play.fin("c>s", 16)
    assert wakers(play.tables()) == [[reached], [fin]]


def test_a_low_water_mark_that_was_lowered_since_names_no_frame() -> None:
    play = Play()
    play.handshake()
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_RCVLOWAT, 8")
    sends(play, 0, 4)
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_RCVLOWAT, 1")
    server_waits(play)
    assert wakers(play.tables()) == [[]]


def test_a_read_of_another_thread_under_way_leaves_it_open() -> None:
    play = Play()
    play.handshake()
    with (
        play.call("server", "recv", 10, tid=21),
        play.wait("server", (INODE["server"], POLLIN)),
    ):
        sends(play, 0, 10)
        sends(play, 10, 20)
    assert wakers(play.tables()) == [[]]


def test_a_read_of_another_thread_under_way_has_what_alone_came() -> None:
    play = Play()
    play.handshake()
    with (
        play.call("server", "recv", 10, tid=21),
        play.wait("server", (INODE["server"], POLLIN)),
    ):
        alone = sends(play, 0, 10)
    sends(play, 10, 20)
    assert wakers(play.tables()) == [[alone]]


@pytest.mark.parametrize("then", ["fin", "rst"])
def test_beside_a_read_of_another_thread_the_end_leaves_it_open(then: str) -> None:
    play = Play()
    play.handshake()
    with (
        play.call("server", "recv", 10, tid=21),
        play.wait("server", (INODE["server"], POLLIN)),
    ):
        sends(play, 0, 10)
        play.fin("c>s", 10) if then == "fin" else play.rst("c>s", 10)
    assert wakers(play.tables()) == [[]]


def test_what_came_before_a_wait_beside_a_read_under_way_may_have_been_taken() -> None:
    play = Play()
    play.handshake()
    with play.call("server", "recv", 10, tid=21):
        sends(play, 0, 10)
        with play.wait("server", (INODE["server"], POLLIN)):
            pass
    assert wakers(play.tables()) == [[]]


def test_two_reads_of_other_threads_under_way_leave_it_open() -> None:
    play = Play()
    play.handshake()
    with (
        play.call("server", "recv", 10, tid=21),
        play.call("server", "recv", 10, tid=22),
        play.wait("server", (INODE["server"], POLLIN)),
    ):
        sends(play, 0, 10)
        sends(play, 10, 20)
    assert wakers(play.tables()) == [[]]


def test_writable_again_keeps_its_frame_until_the_next_send() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=300):
        play.data("c>s", 0, 100)
    freed = play.ack("s>c", 50)
    client_waits(play)
    play.ack("s>c", 100)
    client_waits(play)
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 100, 110)
    client_waits(play)
    assert wakers(play.tables(), "poll") == [[freed], [freed], []]


def test_writable_after_several_acks_names_none_of_them() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=300):
        play.data("c>s", 0, 100)
    play.ack("s>c", 50)
    play.ack("s>c", 100)
    for _ in range(3):
        client_waits(play)
    assert wakers(play.tables(), "poll") == [[], [], []]


def test_writable_after_a_larger_buffer_names_no_frame() -> None:
    play = Play()
    play.handshake()
    with play.call("client", "send", 100, size=300):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_SNDBUF, 100000")
    client_waits(play)
    assert wakers(play.tables(), "poll") == [[]]


def test_where_frames_were_lost_no_ack_is_the_only_one() -> None:
    play = Play()
    play.raw.losses = [Loss("packets", "frames", 1, "ring full")]
    play.handshake()
    with play.call("client", "send", 100, size=300):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    client_waits(play)
    assert wakers(play.tables(), "poll") == [[]]


@pytest.mark.parametrize("superseded", [False, True])
def test_exceptional_is_the_frame_with_the_urgent_byte(
    monkeypatch: pytest.MonkeyPatch, superseded: bool
) -> None:
    play = Play()
    play.handshake()
    marks = []
    with play.wait("server", (INODE["server"], POLLPRI), op="select"):
        for at in range(2 if superseded else 1):
            with play.call("client", "send", 1, flags=1, args="MSG_OOB"):
                urgent = play.data("c>s", at, at + 1)
            marks.append(UrgentMark(at, play.now_ns - 1_000, play.now_ns - 1_000))
    monkeypatch.setattr(call_join, "urgent_marks", lambda *_: {(0, Direction.C2S): tuple(marks)})
    assert wakers(play.tables(), "select") == [[] if superseded else [urgent]]


def test_a_hang_up_is_the_fin_only_if_the_own_end_had_been_shut_before() -> None:
    for own_first in (True, False):
        play = Play()
        play.handshake()
        if own_first:
            play.did("server", "shutdown", 0, args="SHUT_WR")
        fin = play.fin("c>s", 0)
        if not own_first:
            play.did("server", "shutdown", 0, args="SHUT_WR")
        server_waits(play, POLLHUP, op="poll")
        assert wakers(play.tables(), "poll") == [[fin] if own_first else []]


# --- reported, and never taken

UDP = {"kind": "SOCK_DGRAM"}
FROM, TO = ADDRESS["server"], ADDRESS["client"]


def receiver() -> Play:
    """A client with a bound socket of datagrams."""
    play = Play()
    play.did("client", "socket", 5, **UDP, local=None, peer=None)
    play.did("client", "bind", 0, **UDP, peer=None)
    return play


def test_datagrams_that_nobody_read_and_the_first_is_the_frame() -> None:
    play = receiver()
    with play.wait("client", (INODE["client"], POLLIN), op="poll"):
        first = play.datagram(FROM, TO, 10)
        play.datagram(FROM, TO, 10)
    play.datagram(FROM, TO, 10)
    assert wakers(play.tables(), "poll") == [[first]]


def test_a_datagram_that_was_read_before_is_not_the_one_that_nobody_read() -> None:
    play = receiver()
    play.datagram(FROM, TO, 10)
    play.did("client", "recv", 10, size=100, **UDP, peer=None)
    with play.wait("client", (INODE["client"], POLLIN), op="poll"):
        unread = play.datagram(FROM, TO, 20)
    assert wakers(play.tables(), "poll") == [[unread]]


def test_a_datagram_without_a_frame_may_be_the_one_that_nobody_read() -> None:
    play = receiver()
    play.did("server", "sendto", 10, size=10, **UDP, peer=None, address=TO)
    with play.wait("client", (INODE["client"], POLLIN), op="poll"):
        play.datagram(FROM, TO, 20)
    assert wakers(play.tables(), "poll") == [[]]


def test_a_read_that_may_have_taken_it_leaves_it_open_which_nobody_read() -> None:
    """Two threads read at once: which of them has which datagram is not known."""
    play = receiver()
    with (
        play.call("client", "recv", 10, size=100, **UDP, peer=None),
        play.call("client", "recv", 10, size=100, **UDP, peer=None, tid=11),
    ):
        play.datagram(FROM, TO, 10)
        play.datagram(FROM, TO, 10)
    with play.wait("client", (INODE["client"], POLLIN), op="poll"):
        play.datagram(FROM, TO, 10)
    assert wakers(play.tables(), "poll") == [[]]


def listening() -> Play:
    play = Play()
    play.did("server", "listen", 0, args="8", inode=INODE["listener"], fd=3, peer=None)
    return play


def test_of_connections_that_nobody_accepted_the_first_made_the_listener_readable() -> None:
    play = listening()
    with play.wait("server", (INODE["listener"], POLLIN), op="poll"):
        play.syn(), play.synack()
        made = play.ack("c>s", 0)
        for flags, way, *more in (("S", "c>s", 0), ("SA", "s>c", 0, 1), ("A", "c>s", 1, 1)):
            play.frame(way, flags, *more, sport=40001)
    assert wakers(play.tables(), "poll") == [[made]]


def test_a_connection_that_was_accepted_did_not_leave_the_listener_readable() -> None:
    play = listening()
    play.syn(), play.synack(), play.ack("c>s", 0)
    with play.accept():
        pass
    with play.wait("server", (INODE["listener"], POLLIN), op="poll"):
        pass
    assert wakers(play.tables(), "poll") == [[]]


def test_a_connection_that_spoke_had_been_accepted_unseen() -> None:
    play = listening()
    with play.wait("server", (INODE["listener"], POLLIN), op="poll"):
        play.syn(), play.synack(), play.ack("c>s", 0)
        play.data("s>c", 0, 10)
    assert wakers(play.tables(), "poll") == [[]]
