"""A peer that waited for, or was busy with, somebody else: named, unless we had not asked yet."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import POLLIN
from netlab.model.tables import Wait
from tests.playbook import Play
from tests.waits_told import MS, told

U: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_STREAM", "local": "unix:", "peer": "unix:"}
NEAR: dict[str, Any] = {**U, "inode": 1}  # the server's end of its own way to a third party
FAR: dict[str, Any] = {**U, "inode": 2, "pid": 30, "tid": 30}


def behind_a_proxy(*, asked_first: bool) -> list[Wait]:
    """What the client's recv waited for, while the server asked a third party for 30 ms."""
    play = Play(wired=True)
    play.did("server", "socketpair", 0, new_inode=2, **NEAR)
    play.handshake()
    with play.call("client", "send", 10, size=10):
        asked = play.data("c>s", 0, 10, way="hold")
    with play.call("client", "recv", 10, size=10):
        if asked_first:
            play.arrives(asked)
            play.did("server", "recv", 10, size=10)
        play.did("server", "send", 5, size=5, **NEAR)
        with play.call("server", "recv", 5, size=5, **NEAR):
            play.did("client", "recv", 5, size=5, **FAR)
            play.now_ns += 30 * MS
            play.did("client", "send", 5, size=5, **FAR)
        if not asked_first:
            play.arrives(asked)
            play.did("server", "recv", 10, size=10)
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10, 10)
    tables, rows = told(play)
    recv = next(c.call for c in tables.calls if c.op == "recv" and c.pid == 10)
    return [row for row in rows if row.call == recv and row.stop_ns - row.start_ns > MS]


def test_a_server_that_waited_for_a_third_party_was_not_slow_itself() -> None:
    (wait,) = behind_a_proxy(asked_first=True)
    assert wait.cause == "peer_app"
    assert "send #" in wait.text
    assert "on connection 1 (inside " in wait.text


def test_while_the_request_was_on_its_way_it_did_not_matter_whom_the_server_waited_for() -> None:
    (wait,) = behind_a_proxy(asked_first=False)
    assert "on connection 1" not in wait.text


def test_who_was_asked_nothing_may_wait_for_a_third_party_too() -> None:
    play = Play(wired=True)
    play.did("server", "socketpair", 0, new_inode=2, **NEAR)
    play.handshake()
    with play.call("client", "recv", 10, size=10):
        with play.call("server", "recv", 5, size=5, **NEAR):
            play.now_ns += 30 * MS
            play.did("client", "send", 5, size=5, **FAR)
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10)
    tables, rows = told(play)
    recv = next(c.call for c in tables.calls if c.op == "recv" and c.pid == 10)
    longest = max((r for r in rows if r.call == recv), key=lambda r: r.stop_ns - r.start_ns)
    assert "on connection 1 (inside " in longest.text


@pytest.mark.parametrize(("busy_ms", "named"), [(30, True), (0, False)])
def test_a_server_that_was_busy_with_another_is_told_so(busy_ms: int, named: bool) -> None:
    play = Play(wired=True)
    play.did("server", "socketpair", 0, new_inode=2, **NEAR)
    play.handshake()
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    with play.call("client", "recv", 10, size=10):
        play.now_ns += MS * (not busy_ms) * 30
        play.did("server", "send", 5, size=5, **NEAR)
        play.now_ns += busy_ms * MS
        play.did("server", "send", 5, size=5, **NEAR)
        play.did("server", "recv", 10, size=10)
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10, 10)
    tables, rows = told(play)
    recv = next(c.call for c in tables.calls if c.op == "recv" and c.pid == 10)
    longest = max((r for r in rows if r.call == recv), key=lambda r: r.stop_ns - r.start_ns)
    assert longest.cause == "peer_app"
    assert ("(between send #7 and send #8 on connection 1)" in longest.text) is named


def test_what_the_server_waited_for_is_no_finding_of_who_waited_for_the_server() -> None:
    play = Play(wired=True)
    play.did("server", "socketpair", 0, new_inode=2, **NEAR)
    play.handshake()
    with play.call("client", "send", 64, size=64):
        play.data("c>s", 0, 64)
    play.did("server", "recv", 64, size=4096)
    with play.call("client", "recv", 5, size=5, **FAR):
        with play.call("server", "recv", 65, size=4096):
            play.did("client", "send", 65, size=65)
            play.now_ns += 40 * MS
            play.ack("s>c", 64)
            play.data("c>s", 64, 129)
        play.did("server", "send", 5, size=5, **NEAR)
    scene = explained(play.tables(), play.raw)
    far = next(c.call for c in scene.tables.calls if c.op == "recv" and c.pid == 30)
    assert any(part.cause == "delayed_ack" for part in scene.explained[far])
    found = [one for one in findings_of(scene) if one.kind == "nagle_delayed_ack"]
    assert [scene.tables.connections[one.connection or 0].protocol for one in found] == ["tcp"]


# --- a loop that serves several


def behind_a_loop(*, asks_both: bool = False) -> list[Wait]:
    """A loop reads a question, asks the second of two others, and is woken by the first, that had
    been asked before, 30 ms later; 20 ms after that by the second."""
    play = Play(wired=True)
    first, second = {**U, "inode": 1}, {**U, "inode": 3}
    far = ({**U, "inode": 2, "pid": 30, "tid": 30}, {**U, "inode": 4, "pid": 31, "tid": 31})
    play.did("server", "socketpair", 0, new_inode=2, **first)
    play.did("server", "socketpair", 0, new_inode=4, **second)
    play.handshake()
    play.did("server", "send", 5, size=5, **first)
    play.did("client", "recv", 5, size=5, **far[0])
    with play.call("client", "send", 10, size=10):
        play.data("c>s", 0, 10)
    with play.call("client", "recv", 10, size=10):
        play.did("server", "recv", 10, size=10)
        if asks_both:
            play.did("server", "send", 5, size=5, **first)
        play.did("server", "send", 5, size=5, **second)
        play.did("client", "recv", 5, size=5, **far[1])
        with play.wait("server", (1, POLLIN)):
            play.now_ns += 30 * MS
            play.did("client", "send", 5, size=5, **far[0])
        play.did("server", "recv", 5, size=5, **first)
        with play.wait("server", (3, POLLIN)):
            play.now_ns += 20 * MS
            play.did("client", "send", 5, size=5, **far[1])
        play.did("server", "recv", 5, size=5, **second)
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10, 10)
    tables, rows = told(play)
    recv = next(c.call for c in tables.calls if c.op == "recv" and c.pid == 10 and c.start == 0)
    return [row for row in rows if row.call == recv and row.stop_ns - row.start_ns > MS]


def test_a_loop_that_another_woke_waited_for_whom_it_had_asked() -> None:
    waits = behind_a_loop()
    assert [row.cause for row in waits] == ["peer_app", "peer_app"]
    assert all("on connection 2" in row.text for row in waits), [row.text for row in waits]
    assert [str(row.certainty) for row in waits] == ["inferred", "observed"]


def test_one_that_had_asked_both_waited_for_either() -> None:
    first, second = behind_a_loop(asks_both=True)
    assert "on connection 1" in first.text
    assert "on connection 2" in second.text
