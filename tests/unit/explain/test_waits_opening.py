"""Why connect, accept, select and close took as long as they took."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.correlate.sockets import MSG_FASTOPEN
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import POLLIN, POLLOUT, POLLPRI
from tests.playbook import ADDRESS, INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

LISTENER = {"inode": INODE["listener"], "fd": 3, "peer": None}


def opened(*, backlog: str = "16") -> Play:
    play = Play(wired=True)
    play.did("server", "listen", 0, args=backlog, **LISTENER)
    return play


def test_a_lost_syn() -> None:
    play = opened()
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        lost = play.syn(way="drop")
        play.now_ns += 1000 * MS
        again = play.syn()
        play.synack()
        play.ack("c>s", 0)
    with play.accept():
        pass
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("syn_retry", 1000)]
    assert of(rows, connect, "syn_retry").frames == (lost, again)
    assert of(rows, connect, "syn_retry").certainty == "observed"


def test_a_lost_synack() -> None:
    play = opened()
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.synack(way="drop")
        play.now_ns += 1000 * MS
        play.synack()
        play.ack("c>s", 0)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "connect")) == [("syn_retry", 1000)]


@pytest.mark.parametrize("wired", [True, False])
def test_each_syn_without_an_answer_is_cited_up_to_the_next(wired: bool) -> None:
    play = opened() if wired else Play()
    with play.call("client", "connect", None, errno="ETIMEDOUT", address=ADDRESS["server"]):
        syns = []
        for _ in range(3):
            syns.append(play.syn(way="drop"))
            play.now_ns += 1000 * MS
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    mine = [row for row in rows if row.call == connect and row.cause == "syn_retry"]
    assert [row.frames for row in mine] == [(syns[0], syns[1]), (syns[1], syns[2]), (syns[2],)]
    assert f"SYN of frame {syns[1]} " in mine[1].text


def test_a_syn_that_came_and_had_no_answer_met_a_full_queue() -> None:
    play = opened(backlog="0")
    with play.call("client", "connect", 0, address=ADDRESS["server"], inode=300,
                   local="127.0.0.1:39999"):  # fmt: skip
        play.frame("c>s", "S", 0, sport=39999, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=39999, options=play._offer())
        play.frame("c>s", "A", 1, 1, sport=39999)
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 1000 * MS
        play.syn()
        play.synack()
        play.ack("c>s", 0)
    tables, rows = told(play)
    connect = number_of(tables, "connect", 2)
    assert causes(rows, connect) == [("backlog_full", 1000)]
    wait = of(rows, connect, "backlog_full")
    assert wait.calls == (number_of(tables, "listen"),)
    assert "its queue held 1 of 1 connections" in wait.text
    assert wait.certainty == "observed"


def test_a_queue_with_room_is_only_inferred_to_have_been_full() -> None:
    play = opened(backlog="16")
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.now_ns += 1000 * MS
        play.syn()
        play.synack()
        play.ack("c>s", 0)
    tables, rows = told(play)
    assert of(rows, number_of(tables, "connect"), "backlog_full").certainty == "inferred"


def refused(first: str | None, *, errno: str) -> Play:
    """Two SYNs that come; what becomes of the answer to the first; the second is refused."""
    play = Play(wired=True)
    with play.call("client", "connect", None, errno=errno, address=ADDRESS["server"]):
        for way in (first, "carry" if errno == "ECONNREFUSED" else first):
            play.syn()
            if way is not None:
                play.frame("s>c", "RA", 0, 1, way=way)
            if errno != "ECONNREFUSED" or way is first:
                play.now_ns += 1000 * MS
    return play


@pytest.mark.parametrize("errno", ["ECONNREFUSED", "ETIMEDOUT"])
def test_a_listener_whose_answer_was_lost_did_not_ignore_the_syn(errno: str) -> None:
    tables, rows = told(refused("drop", errno=errno))
    connect = number_of(tables, "connect")
    whole = 1000 if errno == "ECONNREFUSED" else 2000
    assert sum(ms for cause, ms in causes(rows, connect)) == whole
    assert {cause for cause, _ in causes(rows, connect)} == {"syn_retry"}
    wait = of(rows, connect, "syn_retry")
    assert wait.frames[:2] in ((1, 2), (3, 4))
    assert wait.certainty == "observed"
    assert f"frame {wait.frames[1]}" in wait.text
    assert "was dropped by the wire" in wait.text


def test_one_that_said_nothing_did() -> None:
    tables, rows = told(refused(None, errno="ECONNREFUSED"))
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("backlog_full", 1000)]
    assert of(rows, connect, "backlog_full").certainty == "inferred"


def test_a_synack_that_never_came_is_no_full_queue_either() -> None:
    play = opened()
    with play.call("client", "connect", None, errno="ETIMEDOUT", address=ADDRESS["server"]):
        for _ in range(2):
            play.syn()
            play.synack(way="drop")
            play.now_ns += 1000 * MS
    tables, rows = told(play)
    assert {cause for cause, _ in causes(rows, number_of(tables, "connect"))} == {"syn_retry"}


def test_a_refusal() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", None, errno="ECONNREFUSED", address=ADDRESS["server"]):
        play.syn()
        refusal = play.frame("s>c", "RA", 0, 1, way="hold")
        play.now_ns += 40 * MS
        play.arrives(refusal)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "connect")) == [("refused", 40)]


def test_a_refusal_whose_syn_was_sent_again_before_it_came() -> None:
    """A round trip as long as the timer: the second SYN leaves just before the RST comes."""
    play = opened()
    with play.call("client", "connect", None, errno="ECONNREFUSED", address=ADDRESS["server"]):
        first = play.syn()
        refusal = play.frame("s>c", "RA", 0, 1, way="hold")
        play.now_ns += 1000 * MS
        play.syn(way="hold")
        play.arrives(refusal)
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("refused", 1000)]
    assert of(rows, connect, "refused").frames == (first, refusal)


@pytest.mark.parametrize("answer", ["SA", "RA"])
def test_a_connect_that_gave_up_before_its_answer_came(answer: str) -> None:
    play = opened(backlog="0")
    with play.call("client", "connect", None, errno="ETIMEDOUT", address=ADDRESS["server"]):
        syn = play.syn()
        late = play.frame("s>c", answer, 0, 1, way="hold")
        play.now_ns += 1000 * MS
        play.syn(way="hold")
        play.now_ns += 1000 * MS
    play.arrives(late)
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    assert {cause for cause, _ in causes(rows, connect)} == {"network"}
    if answer == "RA":
        wait = of(rows, connect, "network")
        assert (wait.frames, wait.certainty) == ((syn, late), "observed")
        assert "the answer to the SYN of frame" in wait.text


def test_a_syn_that_had_not_come_yet_when_the_next_left_was_not_ignored() -> None:
    play = opened(backlog="0")
    with play.call("client", "connect", None, errno="ETIMEDOUT", address=ADDRESS["server"]):
        slow = play.syn(way="hold")
        play.now_ns += 1000 * MS
        play.syn(way="drop")
        play.arrives(slow)
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    wait = of(rows, connect, "network")
    assert (wait.frames, wait.certainty) == ((slow,), "observed")
    assert "backlog_full" not in dict(causes(rows, connect))


def test_accept_waits_for_a_client_and_then_for_its_handshake() -> None:
    play = opened()
    with play.accept():
        play.now_ns += 70 * MS
        with play.call("client", "connect", 0, address=ADDRESS["server"]):
            play.syn()
            synack = play.synack(way="hold")
            play.now_ns += 20 * MS
            play.arrives(synack)
            play.ack("c>s", 0)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "accept")) == [("no_client", 70), ("network", 20)]


def deferring(*, on: bool) -> Play:
    """A client that speaks 300 ms after its handshake."""
    play = Play(wired=True)
    if on:
        play.did("server", "setsockopt", 0, args="IPPROTO_TCP, TCP_DEFER_ACCEPT, 5", **LISTENER)
    play.did("server", "listen", 0, args="16", **LISTENER)
    with play.accept():
        with play.call("client", "connect", 0, address=ADDRESS["server"]):
            play.syn()
            play.synack()
            play.ack("c>s", 0)
        play.now_ns += 300 * MS
        with play.call("client", "send", 5):
            play.data("c>s", 0, 5)
    return play


def test_a_deferring_listener_waits_for_the_clients_program() -> None:
    tables, rows = told(deferring(on=True))
    accept = number_of(tables, "accept")
    assert causes(rows, accept) == [("peer_app", 300)]
    wait = of(rows, accept, "peer_app")
    assert "TCP_DEFER_ACCEPT" in wait.text
    assert wait.calls == (number_of(tables, "send"),)


def test_one_that_does_not_defer_has_its_client_at_the_ack() -> None:
    tables, rows = told(deferring(on=False))
    assert "peer_app" not in dict(causes(rows, number_of(tables, "accept")))


def test_an_accept_waits_for_what_stands_in_for_a_lost_ack() -> None:
    play = opened()
    with play.accept():
        with play.call("client", "connect", 0, address=ADDRESS["server"]):
            play.syn()
            play.synack()
            lost = play.ack("c>s", 0, way="drop")
        play.now_ns += 1000 * MS
        again = play.synack()
        play.ack("c>s", 0)
    tables, rows = told(play)
    number = number_of(tables, "accept")
    assert causes(rows, number) == [("syn_retry", 1000)]
    wait = of(rows, number, "syn_retry")
    assert wait.certainty == "observed"
    assert {lost, again} <= set(wait.frames)


def test_the_next_data_stands_in_for_a_lost_ack_too() -> None:
    play = opened()
    with play.accept():
        with play.call("client", "connect", 0, address=ADDRESS["server"]):
            play.syn()
            play.synack()
            lost = play.ack("c>s", 0, way="drop")
        play.now_ns += 1600 * MS
        with play.call("client", "send", 5):
            data = play.data("c>s", 0, 5)
    tables, rows = told(play)
    number = number_of(tables, "accept")
    assert causes(rows, number) == [("syn_retry", 1600)]
    assert of(rows, number, "syn_retry").frames == (lost, data)


def test_an_ack_that_left_late_was_not_the_kernel_at_work() -> None:
    play = opened()
    with play.accept(), play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn()
        play.synack()
        play.now_ns += 70 * MS
        play.ack("c>s", 0)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "accept")) == [("unknown", 70)]


def test_a_client_waits_in_the_accept_queue() -> None:
    play = opened()
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 50 * MS
        with play.accept():
            pass
        play.did("server", "recv", 10, size=10)
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5, 10)
    tables, rows = told(play)
    recv = number_of(tables, "recv", 1, "client")
    assert causes(rows, recv) == [("accept_queue", 50)]
    assert of(rows, recv, "accept_queue").calls == (number_of(tables, "accept"),)


def test_a_poll_waits_for_what_ended_it() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (INODE["client"], POLLIN)):
        play.now_ns += 30 * MS
        with play.call("server", "send", 50, size=50):
            frame = play.data("s>c", 0, 50, way="hold")
        play.now_ns += 20 * MS
        play.arrives(frame)
    play.did("client", "recv", 50, size=4096)
    tables, rows = told(play)
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("peer_app", 30), ("network", 20)]


def test_a_poll_on_a_listener_waits_for_a_client() -> None:
    play = opened()
    with play.wait("server", (INODE["listener"], POLLIN)):
        play.now_ns += 30 * MS
        with play.call("client", "connect", 0, address=ADDRESS["server"]):
            play.syn(), play.synack(), play.ack("c>s", 0)
    with play.accept():
        pass
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("no_client", 30)]


def test_a_poll_whose_time_is_up() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", args="timeout=50, maxevents=64"):
        play.now_ns += 50 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("timer", 50)]


def test_the_time_of_select_is_in_seconds() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", op="select", args="timeout=0.15"):
        play.now_ns += 150 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "select")) == [("timer", 150)]


def test_a_select_of_no_seconds_does_not_wait() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", op="select", args="timeout=0.0"):
        play.now_ns += 2 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "select")) == [("scheduler", 2)]


def test_a_poll_that_was_not_to_wait_has_no_timer() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", args="timeout=0, maxevents=64"):
        pass
    tables, rows = told(play)
    number = number_of(tables, "epoll_wait")
    assert [row.cause for row in rows if row.call == number] == ["copy"]


@pytest.mark.parametrize(("timeout", "expected"), [(0, "scheduler"), (50, "peer_app")])
def test_a_poll_that_only_looks_does_not_wait_for_what_it_reports(
    timeout: int, expected: str
) -> None:
    play = Play(wired=True)
    play.handshake()
    found = INODE["client"], POLLIN
    with play.wait("client", found, op="poll", args=f"nfds=1, timeout={timeout}"):
        play.now_ns += 5 * MS
        with play.call("server", "send", 3, size=3):
            play.data("s>c", 0, 3)
    play.did("client", "recv", 3, size=100)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "poll")) == [(expected, 5)]


def test_a_poll_ended_by_something_else_is_unknown() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (INODE["client"], POLLPRI), args="timeout=-1, maxevents=64"):
        play.now_ns += 50 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 50)]


def test_a_poll_ended_by_a_descriptor_that_is_no_socket() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (None, POLLIN), args="timeout=-1, maxevents=64"):  # type: ignore[arg-type]
        play.now_ns += 50 * MS
    tables, rows = told(play)
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [("other_event", 50)]
    assert "descriptor 9 was ready" in of(rows, wait, "other_event").text


@pytest.mark.parametrize(("watched", "expected"), [(False, "other_event"), (True, "unknown")])
def test_what_a_wait_reported_is_not_known_but_its_set_is(watched: bool, expected: str) -> None:
    """strace tells the data that was registered, and not always what that was."""
    play = Play(wired=True)
    play.handshake()
    epoll: dict[str, Any] = {"inode": None, "fd": 4, "family": None, "kind": None, "peer": None,
                             "local": None}  # fmt: skip
    play.did("client", "epoll_create1", 4, **epoll)
    if watched:
        play.watch("client", INODE["client"], POLLIN)
    with play.call("client", "epoll_wait", 1, args="timeout=-1, maxevents=64", **epoll):
        play.now_ns += 50 * MS
    play.watch("client", INODE["client"], POLLIN)
    tables, rows = told(play)
    wait = number_of(tables, "epoll_wait")
    assert causes(rows, wait) == [(expected, 50)]
    if not watched:
        assert of(rows, wait, expected).certainty == "inferred"
        assert "no socket of the recording was in its set" in of(rows, wait, expected).text


def test_a_socket_among_them_makes_it_unknown_again() -> None:
    play = Play(wired=True)
    play.handshake()
    found = (None, POLLIN), (INODE["client"], POLLPRI)
    with play.wait("client", *found, args="timeout=-1, maxevents=64"):  # type: ignore[arg-type]
        play.now_ns += 50 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("unknown", 50)]


def test_a_socket_that_was_writable_all_along_keeps_nobody_waiting() -> None:
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (INODE["client"], POLLOUT), args="timeout=-1, maxevents=64"):
        play.now_ns += 50 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait")) == [("scheduler", 50)]


def closing(option: str) -> Play:
    play = Play(wired=True)
    play.handshake()
    if option:
        play.did("client", "setsockopt", 0, args=option)
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    with play.call("client", "close", 0):
        play.fin("c>s", 100)
        ack = play.ack("s>c", 101, way="hold")
        play.now_ns += 60 * MS
        play.arrives(ack)
    return play


def test_close_with_linger_waits_for_the_ack() -> None:
    tables, rows = told(closing("SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}"))
    close = number_of(tables, "close")
    assert causes(rows, close) == [("linger", 60)]
    assert of(rows, close, "linger").calls == (number_of(tables, "setsockopt"),)


def test_close_with_linger_whose_time_was_up_before_all_was_acknowledged() -> None:
    play = Play(wired=True)
    play.handshake()
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_LINGER, {onoff=1, linger=1}")
    with play.call("client", "send", 200, size=200):
        play.data("c>s", 0, 100)
    with play.call("client", "close", 0):
        play.now_ns += 60 * MS
        play.ack("s>c", 50)
        play.now_ns += 40 * MS
    tables, rows = told(play)
    close = number_of(tables, "close")
    assert causes(rows, close) == [("linger", 100)]
    wait = of(rows, close, "linger")
    assert wait.certainty == "inferred"
    assert "had not acknowledged all" in wait.text


@pytest.mark.parametrize("option", ["", "SOL_SOCKET, SO_LINGER, {onoff=0, linger=5}"])
def test_close_without_linger_waits_for_nobody(option: str) -> None:
    tables, rows = told(closing(option))
    assert causes(rows, number_of(tables, "close")) == [("scheduler", 60)]


def test_a_server_that_accepts_at_once_leaves_nobody_in_its_queue() -> None:
    play = opened()
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    with play.accept():
        pass
    with play.call("client", "recv", 5, size=10):
        play.now_ns += 50 * MS
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [("peer_app", 50)]


def test_an_accept_whose_client_stands_there_waits_for_nobody() -> None:
    play = opened()
    with play.call("client", "connect", 0, address=ADDRESS["server"]):
        play.syn(), play.synack(), play.ack("c>s", 0)
    play.now_ns += 50 * MS
    with play.accept():
        pass
    tables, rows = told(play)
    accept = number_of(tables, "accept")
    assert [row.cause for row in rows if row.call == accept] == ["copy"]


def given_up(way: str, *, backlog: str = "16", clients: int = 0) -> tuple[str, tuple[int, ...]]:
    """What is said of a connect whose program's own timer ended it."""
    play = opened(backlog=backlog)
    for sport in range(39000, 39000 + clients):
        play.frame("c>s", "S", 0, sport=sport, options=play._offer())
        play.frame("s>c", "SA", 0, 1, sport=sport, options=play._offer())
        play.frame("c>s", "A", 1, 1, sport=sport)
    with play.call("client", "connect", None, errno="EAGAIN", address=ADDRESS["server"]):
        play.syn(way=way)
        play.now_ns += 500 * MS
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("timer", 500)]
    wait = of(rows, connect, "timer")
    return wait.text, wait.calls


def test_a_connect_that_was_given_up_says_what_became_of_its_syn() -> None:
    assert "was dropped by the wire" in given_up("drop")[0]
    assert "came and had no answer" in given_up("carry")[0]
    text, calls = given_up("carry", backlog="1", clients=2)
    assert "the listener ignored the SYN of frame 7, for its queue held 2 of 2 connections" in text
    assert calls == (1,)


def meeting(*, lost: bool) -> Play:
    """Two that connect to each other, 30 ms apart on the wire; both SYNs pass each other."""
    play = Play(wired=True)
    ours = play.call("client", "connect", 0, address=ADDRESS["server"])
    theirs = play.call("server", "connect", 0, address=ADDRESS["client"], peer=ADDRESS["client"])
    with ours, theirs:
        one = play.syn(way="hold")
        if lost:
            play.frame("s>c", "S", 0, way="drop")
            play.now_ns += 1000 * MS
        two = play.frame("s>c", "S", 0, way="hold")
        play.now_ns += 30 * MS
        play.arrives(one)
        mine = play.frame("s>c", "SA", 0, 1, way="hold")
        play.arrives(two)
        yours = play.frame("c>s", "SA", 0, 1, way="hold")
        play.now_ns += 30 * MS
        play.arrives(mine)
        play.arrives(yours)
    return play


def test_two_that_connect_to_each_other_wait_for_the_wire() -> None:
    play = meeting(lost=False)
    tables, rows = told(play)
    for side in ("client", "server"):
        connect = number_of(tables, "connect", side=side)
        assert causes(rows, connect) == [("network", 30), ("network", 30)]


@pytest.mark.parametrize("lost", [False, True])
def test_only_what_was_lost_is_found(lost: bool) -> None:
    play = meeting(lost=lost)
    found = {one.kind for one in findings_of(explained(play.tables(), play.raw))}
    assert ("handshake_lost" in found) is lost


def test_a_send_that_opens_its_connection_waits_as_a_connect_does() -> None:
    play = opened()
    with play.call(
        "client", "sendto", 5, size=5, flags=MSG_FASTOPEN, address=ADDRESS["server"], peer=None
    ):
        syn = play.frame("c>s", "S", 0, length=5, options=play._offer(), way="hold")
        play.now_ns += 50 * MS
        play.arrives(syn)
        answer = play.frame("s>c", "SA", 0, 6, options=play._offer(), way="hold")
        play.now_ns += 50 * MS
        play.arrives(answer)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "sendto")) == [("network", 50), ("network", 50)]
