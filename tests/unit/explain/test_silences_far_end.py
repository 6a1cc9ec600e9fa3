"""The same of a capture at the receiver's end: what its sender knew, it knew half a way later."""

from __future__ import annotations

import pytest

from netlab.explain.scene import Scene
from netlab.explain.silence.vantage import vantage_of
from netlab.model.tables import Side, TcpOptions
from tests.far_end import RTT_MS, apart, causes, opened, parts, stamp
from tests.playbook import Play
from tests.waits_told import MS

FULL = 1460


def away(play: Play) -> dict[str, int | None]:
    path = Scene(apart(play).tables(), play.raw).path(0)
    assert path is not None
    told = vantage_of(path.track).away_ns
    return {side: None if ns is None else round(ns / MS) for side, ns in told.items()}


def test_the_end_that_answers_late_is_far() -> None:
    assert away(opened()) == {Side.CLIENT: RTT_MS, Side.SERVER: 0}


def test_without_a_handshake_a_late_ack_or_two_tell_nothing() -> None:
    play = Play()
    for place in range(4):
        play.data("c>s", place * 100, place * 100 + 100)
        play.now_ns += 44 * MS
        play.ack("s>c", place * 100 + 100)
    assert away(play) == {Side.CLIENT: None, Side.SERVER: None}


def test_of_a_syn_sent_twice_only_the_echo_tells_which_was_answered() -> None:
    play = Play()
    play.frame("c>s", "S", 0, options=stamp(100, 0))
    play.now_ns += 1000 * MS
    play.frame("c>s", "S", 0, options=stamp(1100, 0))
    play.now_ns += 30 * MS
    play.frame("s>c", "SA", 0, 1, options=stamp(7, 1100))
    assert away(play)[Side.SERVER] == 30
    play = Play()
    play.syn()
    play.now_ns += 1000 * MS
    play.syn()
    play.now_ns += 30 * MS
    play.synack()
    assert away(play)[Side.SERVER] is None


def test_nagle_against_a_delayed_ack() -> None:
    play = opened()
    small = play.data("c>s", 0, 64)
    play.now_ns += 44 * MS
    late = play.ack("s>c", 64)
    play.now_ns += RTT_MS * MS
    held = play.data("c>s", 64, 129)
    assert causes(play)[1:] == [("delayed_ack", 44 + RTT_MS)]
    assert parts(play)[1].frames == (small, late, held)
    assert "65 bytes of the client left only then" in parts(play)[1].text


def test_an_ack_at_once_is_nagles_alone() -> None:
    play = opened()
    play.data("c>s", 0, 64), play.ack("s>c", 64)
    play.now_ns += RTT_MS * MS
    play.data("c>s", 64, 129)
    assert causes(play)[1:] == [("nagle", RTT_MS)]


def test_what_is_later_than_the_way_of_the_ack_its_program_wrote_then() -> None:
    play = opened()
    play.data("c>s", 0, 64)
    play.now_ns += 44 * MS
    play.ack("s>c", 64)
    play.now_ns += (RTT_MS + 30) * MS
    play.data("c>s", 64, 129)
    assert causes(play)[1:] == [("peer_app", 44 + RTT_MS + 30)]


def test_an_older_echo_says_that_the_ack_had_not_come() -> None:
    play = opened()
    play.data("c>s", 0, 64, options=stamp(100, 10))
    play.now_ns += 44 * MS
    play.frame("s>c", "A", 1, 65, options=stamp(54, 100))
    play.now_ns += RTT_MS * MS
    play.data("c>s", 64, 129, options=stamp(184, 10))
    assert [cause for cause, _ in causes(play)[1:]] == ["peer_app"]
    play.packets[-1]._options = stamp(184, 54)
    assert [cause for cause, _ in causes(play)[1:]] == ["delayed_ack"]


def test_an_answer_to_bytes_is_not_held() -> None:
    play = opened()
    play.data("c>s", 0, 64)
    play.ack("s>c", 64), play.data("s>c", 0, 20, 64)
    play.now_ns += RTT_MS * MS
    play.data("c>s", 64, 129, 20)
    assert causes(play)[1:] == [("network", RTT_MS)]


def test_a_full_segment_behind_a_full_one_waits_for_the_way_or_for_room() -> None:
    play = opened()
    play.data("c>s", 0, FULL), play.data("c>s", FULL, 2 * FULL), play.ack("s>c", 2 * FULL)
    play.now_ns += RTT_MS * MS
    play.data("c>s", 2 * FULL, 3 * FULL), play.ack("s>c", 3 * FULL)
    assert causes(play)[1:] == [("cwnd", RTT_MS)]
    play.now_ns += RTT_MS * MS  # what was out before had room: its program wrote, or it is paced
    play.data("c>s", 3 * FULL, 4 * FULL)
    assert causes(play)[2:] == [("network", RTT_MS)]
    play = opened(window=12)  # 1,536 bytes
    play.data("c>s", 0, FULL), play.ack("s>c", FULL)
    play.now_ns += RTT_MS * MS
    play.data("c>s", FULL, 2 * FULL)
    assert causes(play)[1:] == [("peer_window", RTT_MS)]
    assert "had room for 76 bytes more" in parts(play)[1].text


def test_a_window_that_opens_has_been_closed_and_the_way_back_is_a_way() -> None:
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL, window=0)
    play.now_ns += 300 * MS
    opening = play.ack("s>c", FULL, window=512)
    play.now_ns += RTT_MS * MS
    play.data("c>s", FULL, 2 * FULL)
    assert causes(play)[1:] == [("peer_window", 300), ("network", RTT_MS)]
    assert f"until frame {opening} opened it" in parts(play)[1].text
    assert f"before the client had heard of frame {opening}" in parts(play)[2].text


def test_most_of_a_silence_may_be_the_way() -> None:
    play = opened()
    play.data("s>c", 0, 20)
    play.now_ns += (RTT_MS + 20) * MS
    play.data("c>s", 0, 64, 20)
    assert causes(play)[1:] == [("network", RTT_MS + 20)]
    assert "40.0 ms of it the way there and back" in parts(play)[1].text
    play = opened()
    play.data("s>c", 0, 20)
    play.now_ns += 3 * RTT_MS * MS
    play.data("c>s", 0, 64, 20)
    assert causes(play)[1:] == [("peer_app", 3 * RTT_MS)]
    assert "(its program, and the way there and back)" in parts(play)[1].text


def test_a_reset_for_a_syn_refuses() -> None:
    play = Play()
    asked = play.syn()
    play.now_ns += RTT_MS * MS
    play.frame("s>c", "RA", 0, 1)
    assert causes(play) == [("refused", RTT_MS)]
    assert f"until the server refused the SYN of frame {asked}" in parts(play)[0].text
    play = opened()
    play.frame("s>c", "RA", 1, 1)
    assert causes(play) == [("peer_app", 2 * RTT_MS)]


def test_keep_alives_without_an_answer() -> None:
    play = opened()
    play.data("s>c", 0, 100), play.ack("c>s", 100)
    for answered in (True, False):
        play.now_ns += 500 * MS
        probe = play.frame("s>c", "A", 100, 1)
        if answered:
            play.now_ns += RTT_MS * MS
            play.ack("c>s", 100)
    play.now_ns += 500 * MS
    play.frame("s>c", "RA", 101, 1)
    told = causes(play)[1:]
    assert [cause for cause, _ in told] == ["peer_app", "peer_app", "keepalive"]
    assert f"the keep-alive of frame {probe} had no answer, until the server gave up" in (
        parts(play)[-1].text
    )


def unheard(wait_ms: int, *, filled: bool = True) -> Play:
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL, window=0 if filled else 300)
    play.now_ns += 130 * MS
    play.ack("s>c", FULL, window=512)
    play.now_ns += wait_ms * MS
    play.frame("c>s", "A", FULL, 1)
    return play


def test_a_probe_of_a_window_that_was_open_had_not_heard_of_it() -> None:
    play = unheard(330)
    opening = play.packets[-2].frame
    assert causes(play)[-1] == ("window_probe", 330)
    assert f"had not heard that its window was open (frame {opening})" in parts(play)[-1].text


def test_it_may_be_a_keep_alive_after_a_second_or_where_no_window_was_closed() -> None:
    assert causes(unheard(1100))[-1][0] == "peer_app"
    assert causes(unheard(330, filled=False))[-1][0] == "peer_app"


@pytest.mark.parametrize(("held_up_ms", "cause"), [(0, "delayed_ack"), (44, "nagle")])
def test_an_ack_that_its_clock_says_was_held_up_on_its_way_was_not_delayed(
    held_up_ms: int, cause: str
) -> None:
    """The client's capture: its server stamped the ACK `held_up_ms` before it should have come."""
    play = Play()
    play.syn()
    play.now_ns += RTT_MS * MS
    play.frame("s>c", "SA", 0, 1, options=TcpOptions(mss=1460, ts_val=5000, ts_ecr=1))
    play.ack("c>s", 0)
    play.data("c>s", 0, 64)
    play.now_ns += RTT_MS * MS
    play.frame("s>c", "A", 1, 65, options=stamp(5040, 1))
    play.data("c>s", 64, 129)
    play.now_ns += (RTT_MS + 44) * MS
    play.frame("s>c", "A", 1, 130, options=stamp(5124 - held_up_ms, 1))
    play.data("c>s", 129, 150)
    play.now_ns += RTT_MS * MS
    play.frame("s>c", "A", 1, 151, options=stamp(5164, 1))
    assert causes(play)[-1] == (cause, RTT_MS + 44)
