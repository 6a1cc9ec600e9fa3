"""A copy of a socket in a child that does not use it: it holds the FIN back."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import Inheritance
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS

CHILD = 21


def forked(*, held_ms: int = 500, serves: bool = False, ends: str = "exit") -> Play:
    """The server closes, and a child lives on that has inherited the socket."""
    play = Play(wired=True)
    play.handshake()
    play.did("server", "recv", None, size=10, errno="EAGAIN")
    play.forks = [Inheritance(CHILD, 20, play.tick(), (INODE["server"],))]
    if ends == "shutdown":
        with play.call("server", "shutdown", 0, args="SHUT_WR"):
            play.fin("s>c", 0)
    play.did("server", "close", 0)
    if serves:
        play.did("server", "recv", None, size=10, errno="EAGAIN", pid=CHILD)
    play.now_ns += held_ms * MS
    if ends == "exit":
        with play.call("server", "exit", None, pid=CHILD, inode=None, fd=None, local=None,
                       peer=None, args="status 0", inside=True,
                       returned_by_ns=play.now_ns + MS):  # fmt: skip
            play.fin("s>c", 0)
    elif ends == "close":
        with play.call("server", "close", 0, pid=CHILD):
            play.fin("s>c", 0)
    else:
        play.did("server", "close", 0, pid=CHILD)
    return play


def found(play: Play) -> Finding | None:
    every = findings_of(explained(play.tables(), play.raw))
    return next((one for one in every if one.kind == "inherited_copy"), None)


@pytest.mark.parametrize(
    ("ends", "how"), [("exit", "the end of that process"), ("close", "its close")]
)
def test_a_copy_that_nobody_used_held_the_fin_back(ends: str, how: str) -> None:
    play = forked(ends=ends)
    one = found(play)
    assert one is not None
    tables = play.tables()
    close = number_of(tables, "close", 1)
    assert one.text.startswith("server (pid 21) held a copy of the server's socket")
    assert f" after server close #{close}, until" in one.text
    assert f"until {how} ({ends} #" in one.text
    assert one.calls[0] == close
    assert len(one.frames) == 1


@pytest.mark.parametrize(
    "play",
    [
        lambda: forked(serves=True),  # as a server that forks for each client does
        lambda: forked(held_ms=20),
        lambda: forked(ends="shutdown"),  # the FIN had left before
    ],
)
def test_it_is_silent(play: object) -> None:
    assert callable(play)
    assert found(play()) is None


def test_a_parent_that_keeps_what_its_child_serves_has_inherited_nothing() -> None:
    play = Play(wired=True)
    play.handshake()
    play.forks = [Inheritance(CHILD, 20, play.tick(), (INODE["server"],))]
    play.did("server", "recv", None, size=10, errno="EAGAIN", pid=CHILD)
    play.did("server", "close", 0, pid=CHILD)
    play.now_ns += 500 * MS
    with play.call("server", "close", 0):
        play.fin("s>c", 0)
    one = found(play)
    assert one is not None
    said = "server (pid 20) kept its copy of the server's socket, which it had left to a child"
    assert one.text.startswith(said)
    assert "inherited" not in one.text
    assert one.advice.startswith("Close in the parent")
