"""Silences before a window with room for less than a segment: a probe timer, or the reader."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.waits import explained
from tests.far_end import RTT_MS, apart, causes, opened, parts
from tests.playbook import Play
from tests.waits_told import MS

FULL = 1460


def small(*, wait_ms: int) -> Play:
    """A window of 1,024 bytes behind a full segment; as many leave later."""
    play = opened()
    play.data("c>s", 0, FULL)
    play.ack("s>c", FULL, window=8)
    play.now_ns += wait_ms * MS
    play.data("c>s", FULL, FULL + 1024)
    play.ack("s>c", FULL + 1024)
    return play


def test_what_fits_into_a_small_window_leaves_with_the_probe_timer() -> None:
    play = small(wait_ms=RTT_MS + 210)
    assert causes(play)[-1] == ("window_probe", RTT_MS + 210)
    assert "had room for 1,024 bytes of a segment of 1,460, until the probe" in parts(play)[-1].text


def test_a_round_trip_later_no_timer_sent_it() -> None:
    assert causes(small(wait_ms=RTT_MS))[-1][0] == "network"


def opens(*, window: int, sends: bool = True) -> Play:
    play = opened()
    play.data("c>s", 0, FULL)
    play.ack("s>c", FULL, window=8)
    play.now_ns += 290 * MS
    play.ack("s>c", FULL, window=window)
    if sends:
        play.data("c>s", FULL, 2 * FULL)
    else:
        play.now_ns += 90 * MS
        play.data("c>s", FULL, 2 * FULL)
    return play


def test_an_ack_opens_a_window_that_was_too_small() -> None:
    play = opens(window=512)
    assert causes(play)[-1] == ("peer_window", 290)
    assert parts(play)[-1].text == (
        "because the window of the server had room for 1,024 bytes of a segment of 1,460, until"
        " frame 7 opened it: its program did not read"
    )


@pytest.mark.parametrize("play", [opens(window=9), opens(window=512, sends=False)])
def test_not_one_that_leaves_it_too_small_or_that_nobody_waited_for(play: Play) -> None:
    found = parts(play)
    assert not any("opened it" in part.text for part in found)


def test_an_ack_is_nothing_that_a_program_sent() -> None:
    found = parts(opens(window=9))
    assert not any(part.cause == "peer_app" and "sent on (frame 7)" in part.text for part in found)
    assert any("sent an ACK (frame 7)" in part.text for part in found)


def stalls(play: Play) -> list[Finding]:
    found = findings_of(explained(apart(play).tables(), play.raw))
    return [one for one in found if one.kind == "zero_window"]


def test_a_reader_that_leaves_too_little_room_is_a_finding() -> None:
    (one,) = stalls(opens(window=512))
    assert one.text == (
        "The sender stood still for 290.0 ms because the window of the server had room for 1,024"
        " bytes of a segment of 1,460, until frame 7 opened it: its program did not read."
    )


def in_flight(rest: int, *, window: int = 128) -> Play:
    """At the client's end: it fills all of a window but `rest` bytes, and the ACK of that comes."""
    play = Play(window=window)
    play.syn()
    play.now_ns += RTT_MS * MS
    play.synack(), play.ack("c>s", 0)
    play.ack("s>c", 0)  # the first window that is scaled
    full = window * 128 - rest
    for start in range(0, full, FULL):
        play.data("c>s", start, min(start + FULL, full))
    play.now_ns += RTT_MS * MS
    play.ack("s>c", 2 * FULL)
    play.data("c>s", full, full + FULL)
    return play


@pytest.mark.parametrize("rest", [0, 324])
def test_of_a_window_that_is_full_of_what_is_in_flight_no_reader_is_to_blame(rest: int) -> None:
    play = in_flight(rest)
    assert causes(play)[-1] == ("peer_window", RTT_MS)
    text = parts(play)[-1].text
    assert f"had room for {rest} bytes more, until frame 6 was acknowledged" in text
    assert stalls(play) == []
