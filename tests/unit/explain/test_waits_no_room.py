"""What came and was thrown away, for its receiver's window had shrunk; and what was only late."""

from __future__ import annotations

from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1448
SMALLER = "SOL_SOCKET, SO_RCVBUF, 8192"


def shrunk(*, window: int = 0, option: str = SMALLER, way: str = "carry") -> Play:
    """Three segments come and none is taken; a timer sends the first again, ACKs the rest."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    play.did("server", "setsockopt", 0, args=option)
    with play.call("server", "recv", FULL, size=FULL):
        play.did("client", "send", 3 * FULL, size=3 * FULL)
        for nth in range(3):
            play.data("c>s", nth * FULL, (nth + 1) * FULL, way=way)
        for _ in range(3):
            play.ack("s>c", 0, window=window)
        play.now_ns += 220 * MS
        play.ack("s>c", 0)
        play.data("c>s", 0, FULL)
        play.ack("s>c", FULL)
    play.data("c>s", FULL, 2 * FULL)
    play.data("c>s", 2 * FULL, 3 * FULL)
    play.ack("s>c", 3 * FULL)
    return play


def test_a_receiver_without_room_threw_it_away_and_nothing_was_behind_it() -> None:
    tables, rows = told(shrunk())
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [("peer_window", 220)]
    one = of(rows, recv, "peer_window")
    option = number_of(tables, "setsockopt")
    said = f"the server had no room for frame 5 (server setsockopt #{option} had set its SO_RCVBUF)"
    assert said in (one.text or "")
    assert one.certainty == "observed"
    assert {5, 8} <= set(one.frames or ())


def test_without_such_a_call_none_is_named() -> None:
    tables, rows = told(shrunk(option="SOL_SOCKET, SO_KEEPALIVE, 1"))
    text = of(rows, number_of(tables, "recv"), "peer_window").text or ""
    assert "no room for frame 5" in text
    assert "setsockopt" not in text


def test_with_a_window_that_held_it_nobody_says_so() -> None:
    _, rows = told(shrunk(window=512))
    assert not any("no room" in (row.text or "") for row in rows)


def test_nor_of_what_was_lost() -> None:
    _, rows = told(shrunk(way="drop"))
    assert not any("no room" in (row.text or "") for row in rows)


def test_no_finding_calls_it_late() -> None:
    play = shrunk()
    found = findings_of(explained(play.tables(), play.raw))
    assert not any("came late" in one.text for one in found)
