"""EPOLLET: a wait for what is new, while bytes lie unread that it had told of."""

from __future__ import annotations

import pytest

from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from netlab.model.call import EPOLLET, POLLIN
from netlab.model.tables import Tables
from tests.playbook import INODE, Play, number_of
from tests.waits_told import MS, causes, of, told


def waits(
    taken: int, *, events: int = POLLIN | EPOLLET, end: str = "bytes", reader: int | None = None
) -> Play:
    """20 bytes came and were told of, `taken` of them were read; the wait is the second."""
    play = Play(wired=True)
    play.handshake()
    play.watch("server", INODE["server"], events)
    with play.call("client", "send", 20, size=20):
        play.data("c>s", 0, 20)
    play.ack("s>c", 20)
    with play.wait("server", (INODE["server"], POLLIN)):
        pass
    more = {"tid": reader} if reader is not None else {}
    play.did("server", "recv", taken, size=taken, **more)
    if end == "timer":
        with play.wait("server", args="timeout=30, maxevents=64"):
            play.now_ns += 30 * MS
        return play
    if end == "never":
        with play.call("server", "epoll_wait", None, inode=None, fd=4, local=None, peer=None,
                       family=None, kind=None, inside=True):  # fmt: skip
            play.now_ns += 30 * MS
        play.did("client", "getsockopt", 0, args="SOL_SOCKET, SO_ERROR")
        return play
    with play.wait("server", (INODE["server"], POLLIN)):
        play.now_ns += 30 * MS
        if end == "elsewhere":  # another thread reads while this one waits
            play.did("server", "recv", 20 - taken, size=100, tid=99)
        if end == "fin":
            with play.call("client", "shutdown", 0, args="SHUT_WR"):
                play.fin("c>s", 20)
        else:
            with play.call("client", "send", 5, size=5):
                play.data("c>s", 20, 25)
    return play


def kinds(play: Play) -> dict[str, str]:
    return {one.kind: one.text for one in findings_of(explained(play.tables(), play.raw))}


def second(tables: Tables) -> int:
    return number_of(tables, "epoll_wait", 2)


@pytest.mark.parametrize("end", ["bytes", "fin"])
def test_what_was_left_unread_is_not_told_of_again(end: str) -> None:
    play = waits(10, end=end)
    tables, rows = told(play)
    assert causes(rows, second(tables)) == [("left_unread", 30)]
    wait = of(rows, second(tables), "left_unread")
    assert wait.certainty == "observed"
    assert wait.text == (
        "because 10 bytes lay unread at the server, and EPOLLET tells only of what is new, as frame"
        f" {wait.frames[0]} was"
    )
    found = kinds(play)["left_unread"]
    assert found.startswith(f"server epoll_wait #{second(tables)} waited for 30.")
    assert "because 10 bytes lay unread" in found


@pytest.mark.parametrize("end", ["timer", "never"])
def test_one_that_nothing_new_ended(end: str) -> None:
    play = waits(15, end=end)
    tables, rows = told(play)
    wait = of(rows, second(tables), "left_unread")
    assert wait.text == (
        "because 5 bytes lay unread at the server on connection 0, and EPOLLET tells only of what"
        " is new"
    )
    assert "left_unread" in kinds(play)


@pytest.mark.parametrize(
    ("taken", "changed"),
    [
        (20, {}),  # all was read
        (10, {"events": POLLIN}),  # level-triggered: what woke it is another matter
        (10, {"reader": 99}),  # another thread reads, and may have been about to
        (10, {"end": "elsewhere"}),
        (20, {"end": "fin"}),
        (20, {"end": "timer"}),
        (20, {"end": "never"}),
    ],
)
def test_of_any_other_nothing_is_said(taken: int, changed: dict[str, object]) -> None:
    play = waits(taken, **changed)  # type: ignore[arg-type]
    _, rows = told(play)
    assert "left_unread" not in {row.cause for row in rows}
    assert "left_unread" not in kinds(play)
