"""Whose connection a wait stands under that tells of none itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netlab.show.views.why import why
from tests.playbook import Play
from tests.waits_told import MS

NONE: dict[str, Any] = {"inode": None, "fd": None, "local": None, "peer": None}
OTHER: dict[str, Any] = {"inode": 77, "fd": 9, "local": "127.0.0.1:9", "kind": "SOCK_DGRAM"}


def asked(play: Play, who: str = "client") -> None:
    with play.call(who, "send", 5, size=5):
        play.data("c>s" if who == "client" else "s>c", 0, 5)


def answered(play: Play) -> None:
    asked(play)
    with play.call("server", "send", 5, size=5):
        play.data("s>c", 0, 5, 5)
    play.did("client", "recv", 5, size=10)


def asked_two(play: Play) -> None:
    asked(play)
    play.did("client", "sendto", 5, size=5, **OTHER)


def another_read(play: Play) -> None:
    """Another thread of the client read the answer."""
    asked(play)
    with play.call("server", "send", 5, size=5):
        play.data("s>c", 0, 5, 5)
    play.did("client", "recv", 5, size=10, tid=11)


def another_reads(play: Play) -> None:
    """Another thread of the client was inside a read as this one asked."""
    with play.call("client", "recv", 5, size=10, tid=11):
        asked(play)
        with play.call("server", "send", 5, size=5):
            play.data("s>c", 0, 5, 5)


@pytest.mark.parametrize(
    ("before", "nfds", "behind", "is_its_own"),
    [
        (asked, 1, {}, True),
        (asked, 2, {}, True),  # the other is the program's own
        (asked, 0, {}, False),
        (asked, 1, OTHER, False),
        (asked_two, 2, {}, False),
        (answered, 2, {}, False),
        (another_read, 2, {}, False),
        (another_reads, 2, {}, False),
    ],
)
def test_a_poll_in_vain_is_its_connections(
    before: Callable[[Play], None], nfds: int, behind: dict[str, Any], is_its_own: bool
) -> None:
    """That of the one socket, or of the one that owes an answer; else those are an event loop's."""
    play = Play(wired=True)
    play.handshake()
    before(play)
    with play.call("client", "poll", 0, args=f"nfds={nfds}, timeout=250", **NONE):
        play.now_ns += 250 * MS
    play.did("client", "recv", None, size=10, errno="EAGAIN", **behind)
    tables = play.tables()
    view = why(tables, play.raw, "x")
    waits = {
        bar.side: item.ns for one in view.connections if one.connection == 0
        for bar in one.bars for item in bar.slices if item.cause == "timer"
    }  # fmt: skip
    assert list(waits) == (["client"] if is_its_own else [])
    rest = [item.cause for bar in view.others for item in bar.slices]
    assert ("timer" in rest) is not is_its_own
    alone = why(tables, play.raw, "x", tables.connections[0])
    assert alone.calls - sum(call.connection == 0 for call in tables.calls) == is_its_own


def test_what_a_server_wrote_is_an_answer_and_none_is_owed_to_it() -> None:
    play = Play(wired=True)
    play.handshake()
    asked(play, "server")
    with play.call("server", "poll", 0, args="nfds=2, timeout=250", **NONE):
        play.now_ns += 250 * MS
    view = why(play.tables(), play.raw, "x")
    assert "timer" in [item.cause for bar in view.others for item in bar.slices]


@pytest.mark.parametrize(
    ("op", "args", "is_its_own"),
    [
        ("pselect6", "nfds=6, timeout=250", True),  # its descriptor is 5
        ("pselect6", "nfds=5, timeout=250", False),
        ("select", "readers=2, writers=0, exceptional=0", True),
        ("epoll_wait", "maxevents=8, timeout=250", True),
    ],
)
def test_whatever_a_thread_waits_with(op: str, args: str, is_its_own: bool) -> None:
    play = Play(wired=True)
    play.handshake()
    asked(play)
    with play.call("client", op, 0, args=args, **NONE):
        play.now_ns += 250 * MS
    view = why(play.tables(), play.raw, "x")
    rest = [item.cause for bar in view.others for item in bar.slices]
    assert ("timer" in rest) is not is_its_own


@pytest.mark.parametrize(("writes", "owed"), [(1, True), (2, False), (3, False)])
def test_who_writes_on_after_a_wait_in_vain_had_waited_for_no_answer(
    writes: int, owed: bool
) -> None:
    """Of two writes with a pause behind each the last may be a request, of three it is none."""
    play = Play(wired=True)
    play.handshake()
    for number in range(writes):
        with play.call("client", "send", 5, size=5):
            play.data("c>s", 5 * number, 5 * number + 5)
        with play.call("client", "poll", 0, args="nfds=2, timeout=250", **NONE):
            play.now_ns += 250 * MS
    view = why(play.tables(), play.raw, "x")
    mine = [item for one in view.connections for bar in one.bars for item in bar.slices]
    waits = sum(item.ns for item in mine if item.cause == "timer") // (250 * MS)
    assert waits == (1 if writes < 3 else 0)
    others = [item for bar in view.others for item in bar.slices]
    assert ("timer" not in [item.cause for item in others]) is owed
