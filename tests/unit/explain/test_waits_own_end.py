"""Why a call or a wait took as long as it took that its own side ended, in another thread."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.model.call import EPOLLET, POLLERR, POLLHUP, POLLIN, POLLRDHUP
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told

LISTENER: dict[str, Any] = {"inode": INODE["listener"], "fd": 3, "peer": None}
WAITS: list[dict[str, Any]] = [
    {"op": "poll", "args": "nfds=1, timeout=9000"},
    {"op": "epoll_wait", "args": "timeout=9000, maxevents=64"},
]
BOTH_OVER = POLLIN | POLLHUP


def in_thread(play: Play, side: str, how: str, **more: Any) -> None:
    """Another thread of the same process shuts the socket down 40 ms later."""
    play.now_ns += 40 * MS
    play.did(side, "shutdown", 0, args=how, tid=11, **more)
    play.now_ns += MS // 10


@pytest.mark.parametrize("how", ["SHUT_RD", "SHUT_RDWR"])
def test_an_accept_whose_listener_was_shut_down(how: str) -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, **LISTENER)
    with play.call("server", "accept", None, errno="EINVAL", **LISTENER):
        in_thread(play, "server", how, **LISTENER)
    tables, rows = told(play)
    accept = number_of(tables, "accept")
    assert causes(rows, accept) == [("other_event", 40)]
    assert of(rows, accept, "other_event").calls == (number_of(tables, "shutdown"),)


def test_an_accept_that_nothing_recorded_ended() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, **LISTENER)
    with play.call("server", "accept", None, errno="EINVAL", **LISTENER):
        play.now_ns += 40 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "accept")) == [("unknown", 40)]


@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_on_a_listener_that_was_shut_down(wait: dict[str, Any]) -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, **LISTENER)
    with play.wait("server", (INODE["listener"], POLLHUP), **wait):
        in_thread(play, "server", "SHUT_RDWR", **LISTENER)
    tables, rows = told(play)
    poll = number_of(tables, wait["op"])
    assert causes(rows, poll) == [("other_event", 40)]
    assert of(rows, poll, "other_event").calls == (number_of(tables, "shutdown"),)


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize(
    ("how", "events"),
    [("SHUT_RD", POLLIN), ("SHUT_RD", POLLRDHUP), ("SHUT_RDWR", BOTH_OVER), ("SHUT_RDWR", POLLHUP)],
)
@pytest.mark.parametrize("answered", [True, False])
def test_a_wait_that_a_shutdown_of_its_own_side_ended(
    answered: bool, how: str, events: int, wait: dict[str, Any]
) -> None:
    """The peer's FIN, which that led to, came before the wait returned."""
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (INODE["client"], events), **wait):
        in_thread(play, "client", how)
        if answered:
            play.fin("s>c", 0)
    play.did("client", "recv", 0, size=10)
    tables, rows = told(play)
    poll = number_of(tables, wait["op"])
    assert causes(rows, poll) == [("other_event", 40)]
    row = of(rows, poll, "other_event")
    assert (row.certainty, row.calls) == ("observed", (number_of(tables, "shutdown"),))
    assert not [span for span in tables.spans if span.role == "wakeup"]


@pytest.mark.parametrize("wait", WAITS)
def test_a_hang_up_that_the_shutdown_made_behind_the_fin(wait: dict[str, Any]) -> None:
    play = Play(wired=True)
    play.handshake()
    play.fin("s>c", 0)
    with play.wait("client", (INODE["client"], POLLHUP), **wait):
        in_thread(play, "client", "SHUT_WR")
    tables, rows = told(play)
    assert causes(rows, number_of(tables, wait["op"])) == [("other_event", 40)]


@pytest.mark.parametrize("wait", WAITS)
def test_a_hang_up_that_the_fin_made_behind_the_shutdown(wait: dict[str, Any]) -> None:
    """The shutdown takes 30 ms to return, and its FIN leaves at once."""
    play = Play(wired=True)
    play.handshake()
    with (
        play.wait("client", (INODE["client"], POLLHUP), **wait),
        play.call("client", "shutdown", 0, args="SHUT_WR", tid=11),
    ):
        play.fin("c>s", 0)
        play.now_ns += 20 * MS
        with play.call("server", "close", 0):
            play.fin("s>c", 0, 1)
        play.now_ns += 10 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, wait["op"]))[0] == ("peer_app", 20)


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize(
    ("events", "read", "failure"),
    [(POLLIN, 10, None), (POLLIN, None, "ECONNRESET"), (POLLIN | POLLERR | POLLHUP, None, None)],
)
def test_what_came_is_not_ended_by_a_shutdown(
    events: int, read: int | None, failure: str | None, wait: dict[str, Any]
) -> None:
    """It was readable since bytes or a reset came, of which no frame was captured."""
    play = Play(wired=True)
    play.handshake()
    with play.wait("client", (INODE["client"], events), **wait):
        in_thread(play, "client", "SHUT_RD")
    if read or failure:
        play.did("client", "recv", read, size=10, errno=failure)
    tables, rows = told(play)
    assert [c for c, _ in causes(rows, number_of(tables, wait["op"]))] == ["unknown"]


@pytest.mark.parametrize("op", ["poll", "recv"])
def test_a_fin_that_came_while_a_shutdown_was_inside_leaves_it_open(op: str) -> None:
    play = Play(wired=True)
    play.handshake()
    ready = (INODE["client"], POLLIN | POLLRDHUP)
    call = play.wait("client", ready, op=op) if op == "poll" else play.call("client", op, 0, size=9)
    with call:
        play.now_ns += 40 * MS
        with play.call("client", "shutdown", 0, args="SHUT_RD", tid=11):
            play.fin("s>c", 0)
    tables, rows = told(play)
    assert [c for c, _ in causes(rows, number_of(tables, op))] == ["unknown"]


def test_an_edge_that_a_shutdown_made_is_not_the_fin_that_followed() -> None:
    play = edge()
    with play.wait("client", (INODE["client"], POLLIN)):
        play.data("s>c", 0, 10)
    play.did("client", "recv", 10, size=10)
    with play.wait("client", (INODE["client"], POLLIN | POLLRDHUP)):
        in_thread(play, "client", "SHUT_RD")
        play.fin("s>c", 10)
    play.did("client", "recv", 0, size=10)
    tables, rows = told(play)
    second = number_of(tables, "epoll_wait", 2)
    assert causes(rows, second) == [("other_event", 40)]
    assert not [span for span in tables.spans if (span.call, span.role) == (second, "wakeup")]


def test_a_shutdown_that_an_edge_had_told_of_is_not_told_again() -> None:
    play = edge()
    for _ in range(2):
        with play.wait("client", (INODE["client"], POLLRDHUP)):
            in_thread(play, "client", "SHUT_RD")
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "epoll_wait", 1)) == [("other_event", 40)]
    assert causes(rows, number_of(tables, "epoll_wait", 2)) == [("unknown", 40)]


def edge() -> Play:
    play = Play(wired=True)
    play.handshake()
    play.watch("client", INODE["client"], EPOLLET | POLLIN | POLLRDHUP)
    return play


@pytest.mark.parametrize(("in_time", "cause"), [(True, "peer_app"), (False, "other_event")])
def test_a_read_that_the_fin_or_its_own_side_ended(in_time: bool, cause: str) -> None:
    """Which of the two was first."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "recv", 0, size=10):
        play.now_ns += 40 * MS
        if in_time:
            with play.call("server", "close", 0):
                play.fin("s>c", 0)
        with play.call("client", "shutdown", 0, args="SHUT_RDWR", tid=11):
            play.fin("c>s", 0)
            if not in_time:
                with play.call("server", "close", 0):
                    play.fin("s>c", 0, 1)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "recv")) == [(cause, 40)]
