"""Findings of captures without calls: each where frames show it, and where they do not."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.scene import Scene
from tests.far_end import RTT_MS, apart, opened
from tests.playbook import Play
from tests.waits_told import MS

FULL = 1460


def found(play: Play) -> dict[str, Finding]:
    """The findings of its frames, by kind."""
    return {one.kind: one for one in findings_of(Scene(play.tables(), play.raw))}


def small_behind_small(late_ms: int) -> Play:
    play = opened()
    for start in (0, 200):
        play.data("c>s", start, start + 64)
        play.now_ns += late_ms * MS
        play.ack("s>c", start + 64)
        play.now_ns += RTT_MS * MS
        play.data("c>s", start + 64, start + 200), play.data("s>c", start // 10, start // 10 + 20)
        play.ack("s>c", start + 200, start // 10 + 20)
        play.now_ns += RTT_MS * MS
        play.ack("c>s", start // 10 + 20, start + 200)
        play.now_ns += RTT_MS * MS
    return apart(play)


def test_nagle_against_delayed_ack() -> None:
    one = found(small_behind_small(44))["nagle_delayed_ack"]
    assert one.text == (
        "Nagle against delayed ACK, by the times of the frames: 2 times a small segment waited for"
        " an ACK that the receiver sat on, 168.0 ms in all."
    )
    assert one.calls == ()
    assert len(one.frames) == 6


def test_an_ack_at_once_is_none_of_it() -> None:
    assert "nagle_delayed_ack" not in found(small_behind_small(0))


def stalled(window: int, wait_ms: int) -> Play:
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL, window=window)
    play.now_ns += wait_ms * MS
    play.ack("s>c", FULL, window=512)
    play.now_ns += RTT_MS * MS
    play.data("c>s", FULL, 2 * FULL)
    return apart(play)


def test_a_closed_window_and_the_reader() -> None:
    one = found(stalled(0, 300))["zero_window"]
    assert one.text.startswith("The sender stood still for 300.0 ms because the window of the")
    assert "its program did not read" in one.text
    assert "zero_window" not in found(stalled(0, 5))
    assert "zero_window" not in found(stalled(400, 300))


def test_a_window_that_is_only_full_is_no_stall_of_the_reader() -> None:
    play = opened(window=12)  # 1,536 bytes
    for start in range(4):
        play.data("c>s", start * FULL, (start + 1) * FULL), play.ack("s>c", (start + 1) * FULL)
        play.now_ns += RTT_MS * MS
    kinds = set(found(apart(play)))
    assert "window_limited" in kinds
    assert "zero_window" not in kinds


def sent_again(*, told: bool, ends: str = "loopback", acked: bool = False) -> Play:
    """The client sends a segment twice; `told`: the ACK says that it came twice."""
    play = Play(window=512) if ends == "loopback" else opened()
    if ends == "loopback":
        play.syn(), play.synack(), play.ack("c>s", 0)
    play.ack("s>c", 0)
    for start in range(4):
        play.data("c>s", start * 100, start * 100 + 100), play.ack("s>c", start * 100 + 100)
        if ends != "loopback":
            play.now_ns += RTT_MS * MS
    play.data("c>s", 400, 500)
    if acked:
        play.ack("s>c", 500)
    play.now_ns += 230 * MS
    play.data("c>s", 400, 500)
    blocks = ((400, 500),) if told else ()
    play.ack("s>c", 500, options=play.sack_option("c>s", *blocks))
    numbers = {"c>s": 100, "s>c": 900}
    for packet in play.packets:
        way = "s>c" if packet.sport == 80 else "c>s"
        numbers[way] += 1
        packet.ip_id = numbers[way]
    return play if ends == "loopback" else apart(play)


@pytest.mark.parametrize("ends", ["loopback", "server"])
def test_what_was_sent_again_in_vain_was_not_lost(ends: str) -> None:
    one = found(sent_again(told=True, ends=ends))["loss_recovery"]
    assert one.text.startswith("Nothing was lost, but what came late, or was thought to be lost")
    assert "in vain: D-SACK 400..500 of frame" in one.text


@pytest.mark.parametrize("ends", ["loopback", "server"])
def test_without_a_word_of_it_it_may_have_been(ends: str) -> None:
    one = found(sent_again(told=False, ends=ends))["loss_recovery"]
    assert one.text.startswith("Losses cost")
    assert "in vain" not in one.text


def test_an_ack_in_time_that_its_sender_did_not_hear_was_lost() -> None:
    one = found(sent_again(told=True, ends="server", acked=True))["loss_recovery"]
    assert one.text.startswith("No byte was lost, only ACKs were, or came late")


def renumbered(play: Play, first: int) -> Play:
    """One packet of the client is left out before this frame, by their numbers."""
    for packet in play.packets[first - 1 :]:
        if packet.sport != 80:
            packet.ip_id = (packet.ip_id or 0) + 1
    return play


def test_a_packet_that_its_sender_counted_and_nobody_saw_was_lost() -> None:
    """It was sent after all bytes, so it had none."""
    play = sent_again(told=True, ends="server")
    text = found(renumbered(play, len(play.packets) - 1))["loss_recovery"].text
    assert text.startswith("No byte was lost, only ACKs were")


def test_one_before_bytes_may_have_had_them() -> None:
    play = sent_again(told=True, ends="server")
    text = found(renumbered(play, len(play.packets) - 2))["loss_recovery"].text
    assert text.startswith("Losses cost")


def in_pieces(sizes: tuple[int, ...], times: int, apart_ms: int = 0) -> Play:
    play = Play(window=512)
    play.syn(), play.synack(), play.ack("c>s", 0)
    at = 0
    for _ in range(times):
        for size in sizes:
            play.data("c>s", at, at + size)
            at += size
            play.now_ns += apart_ms * MS
        play.ack("s>c", at)
        play.now_ns += 5 * MS
    return play


def test_small_segments_right_behind_one_another_are_small_writes() -> None:
    one = found(in_pieces((10, 20), 23))["small_writes"]
    assert "The client sent 46 segments of 10 bytes in the median, 23 of them small" in one.text
    assert one.frames[0] == 5


@pytest.mark.parametrize(
    ("sizes", "times", "apart_ms"),
    [((10, 20), 19, 0), ((10, 20), 23, 3), ((FULL, 20), 23, 0), ((10, 300), 23, 0)],
)
def test_few_or_far_apart_or_the_rest_of_a_large_one_are_none(
    sizes: tuple[int, ...], times: int, apart_ms: int
) -> None:
    assert "small_writes" not in found(in_pieces(sizes, times, apart_ms))
