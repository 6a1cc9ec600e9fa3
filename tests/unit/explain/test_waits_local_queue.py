"""Waits for a Unix listener: connect while its queue is full, and a client that nobody accepts."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

U: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_STREAM", "peer": "unix:"}
LISTENER: dict[str, Any] = {**U, "inode": 900, "local": "unix:/s", "fd": 3}
FIRST, SECOND, THIRD = 1, 2, 3


def client(number: int) -> dict[str, Any]:
    return {**U, "inode": number, "local": "unix:", "pid": 100 + number}


def server(number: int) -> dict[str, Any]:
    return {**U, "inode": 100 + number, "local": "unix:/s"}


def listening(backlog: str = "0", *, recorded: bool = True) -> Play:
    play = Play()
    if recorded:
        play.did("server", "listen", 0, args=backlog, **LISTENER)
    return play


def connects(play: Play, number: int, **more: Any) -> Any:
    ends = {**client(number), "peer": "unix:/s", "peer_inode": 100 + number}
    result = more.pop("result", 0)
    return play.call("client", "connect", result, address="unix:/s", **{**ends, **more})


def accepts(play: Play, number: int, **more: Any) -> Any:
    return play.call("server", "accept", 5, new_inode=100 + number, address="unix:",
                     **{**LISTENER, "peer_inode": number, **more})  # fmt: skip


def talks(play: Play, number: int) -> None:
    """The server answers; its own 20 ms lie before that."""
    play.did("server", "recv", 2, size=10, **server(number))
    play.now_ns += 20 * MS
    play.did("server", "send", 2, size=2, **server(number))


def crowd(backlog: str = "0", *, recorded: bool = True, gap_ms: int = 0) -> Play:
    """One stands in the queue, the second's connect waits 300 ms for it to be taken."""
    play = listening(backlog, recorded=recorded)
    with connects(play, FIRST):
        pass
    play.did("client", "send", 2, size=2, **client(FIRST))
    with play.call("client", "recv", 2, size=10, **client(FIRST)):
        with connects(play, SECOND):
            play.now_ns += 300 * MS
            with accepts(play, FIRST):
                pass
            play.now_ns += gap_ms * MS
        talks(play, FIRST)
    play.did("client", "send", 2, size=2, **client(SECOND))
    with play.call("client", "recv", 2, size=10, **client(SECOND)):
        play.now_ns += 70 * MS
        with accepts(play, SECOND):
            pass
        talks(play, SECOND)
    return play


def test_a_connect_waits_for_the_accept_that_makes_room() -> None:
    tables, rows = told(crowd())
    connect = number_of(tables, "connect", 2)
    assert causes(rows, connect) == [("backlog_full", 300)]
    wait = of(rows, connect, "backlog_full")
    assert wait.certainty == "observed"
    accept = number_of(tables, "accept")
    assert wait.calls == (number_of(tables, "listen"), accept)
    assert wait.text == (
        "because the listener's queue held 1 of 1 connections, until server accept"
        f" #{accept} made room"
    )


def test_a_client_waits_in_the_queue_before_the_servers_program() -> None:
    tables, rows = told(crowd())
    for nth, queued_ms in ((1, 300), (2, 70)):
        recv = number_of(tables, "recv", nth, "client")
        assert causes(rows, recv) == [("accept_queue", queued_ms), ("peer_app", 20)]
        wait = of(rows, recv, "accept_queue")
        assert wait.certainty == "observed"
        assert wait.calls == (number_of(tables, "connect", nth), number_of(tables, "accept", nth))


def test_the_findings_name_the_listener() -> None:
    play = crowd()
    found = findings_of(explained(play.tables(), play.raw))
    assert [one.kind for one in found] == ["backlog_overflow", "slow_accept", "slow_accept"]
    assert found[0].text == (
        "The accept queue overflowed (server listen(0) #1): the client waited 300.0 ms for an"
        " accept."
    )
    assert "man 7 unix" in found[0].source


def test_the_last_of_several_accepts_made_room_for_the_last_of_several_connects() -> None:
    play = listening()
    with connects(play, FIRST):
        pass
    with connects(play, THIRD):
        with connects(play, SECOND):
            play.now_ns += 100 * MS
            with accepts(play, FIRST):
                pass
        play.now_ns += 200 * MS
        with accepts(play, SECOND):
            pass
    tables, rows = told(play)
    third, second = number_of(tables, "connect", 2), number_of(tables, "connect", 3)
    assert causes(rows, second) == [("backlog_full", 100)]
    assert causes(rows, third) == [("backlog_full", 300)]
    assert number_of(tables, "accept", 2) in of(rows, third, "backlog_full").calls
    assert of(rows, third, "backlog_full").certainty == "observed"


def test_what_comes_after_there_was_room_is_its_thread_that_did_not_run() -> None:
    tables, rows = told(crowd(gap_ms=40))
    connect = number_of(tables, "connect", 2)
    assert causes(rows, connect) == [("backlog_full", 300), ("scheduler", 40)]


@pytest.mark.parametrize("backlog", ["1", "-1"])
def test_with_room_in_the_queue_a_slow_connect_waited_for_no_accept(backlog: str) -> None:
    tables, rows = told(crowd(backlog))
    connect = number_of(tables, "connect", 2)
    assert causes(rows, connect) == [("scheduler", 300)]


def test_without_the_listeners_calls_nobody_knows() -> None:
    play = listening(recorded=False)
    with connects(play, FIRST):
        play.now_ns += 300 * MS
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "connect")) == [("unknown", 300)]


def test_clients_that_were_not_recorded_make_it_an_inference() -> None:
    play = listening()
    with connects(play, SECOND):
        play.now_ns += 300 * MS
        with accepts(play, FIRST):
            pass
    tables, rows = told(play)
    connect = number_of(tables, "connect")
    assert causes(rows, connect) == [("backlog_full", 300)]
    assert of(rows, connect, "backlog_full").certainty == "inferred"
    assert "seems to have been full" in of(rows, connect, "backlog_full").text


def test_a_connect_whose_time_was_up_says_what_it_met() -> None:
    play = listening()
    with connects(play, FIRST):
        pass
    with connects(play, SECOND, result=None, errno="EAGAIN"):
        play.now_ns += 300 * MS
    tables, rows = told(play)
    connect = number_of(tables, "connect", 2)
    assert causes(rows, connect) == [("timer", 300)]
    assert of(rows, connect, "timer").text == (
        "until its time was up: the listener's queue held 1 of 1 connections"
    )


def test_a_connect_that_never_returned_and_a_client_that_nobody_accepted() -> None:
    play = listening()
    with connects(play, FIRST):
        pass
    with (
        play.call("client", "recv", None, inside=True, **client(FIRST)),
        connects(play, SECOND, result=None, inside=True),
    ):
        play.now_ns += 300 * MS
        play.did("server", "getpid", 20, **LISTENER)
    tables, rows = told(play)
    connect = number_of(tables, "connect", 2)
    assert causes(rows, connect) == [("backlog_full", 300)]
    assert of(rows, connect, "backlog_full").certainty == "observed"
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("accept_queue", 300)]
    assert of(rows, recv, "accept_queue").certainty == "inferred"


def test_a_server_that_waits_in_accept_leaves_nobody_in_the_queue() -> None:
    play = listening()
    with accepts(play, FIRST):
        play.now_ns += 30 * MS
        with connects(play, FIRST):
            pass
    with play.call("client", "recv", 2, size=10, **client(FIRST)):
        talks(play, FIRST)
    tables, rows = told(play)
    assert causes(rows, number_of(tables, "accept")) == [("no_client", 30)]
    assert causes(rows, number_of(tables, "recv", 1, "client")) == [("peer_app", 20)]
