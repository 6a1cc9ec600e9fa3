"""What a capture at the receiver's end says of what was lost before it came there."""

from __future__ import annotations

import pytest

from netlab.correlate.segments import Track
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.explain.silence.vantage import vantage_of
from netlab.model.tables import Side, Verdict
from tests.far_end import RTT_MS, apart, causes, opened, parts, stamp
from tests.playbook import Play
from tests.waits_told import MS

FULL = 1460
LATER_MS = 230


def counted(play: Play, *left_out: tuple[int, int]) -> Play:
    """Let each end count its packets; `left_out`: so many are missing before a frame."""
    numbers = {40000: 500, 80: 7000}
    for packet in play.packets:
        numbers[packet.sport or 0] += 1 + dict(left_out).get(packet.frame, 0)
        packet.ip_id = numbers[packet.sport or 0]
    return play


def silent(length_ms: int = RTT_MS + LATER_MS) -> tuple[Play, int]:
    """A client that asks, is answered, and asks again late: the play, and that frame."""
    play = opened()
    play.data("c>s", 0, 100), play.data("s>c", 0, 50, 100)
    play.now_ns += length_ms * MS
    return play, play.data("c>s", 100, 200, 50)


def test_with_every_packet_here_it_was_silent() -> None:
    play, _ = silent()
    assert causes(counted(play))[-1] == ("peer_app", RTT_MS + LATER_MS)


def test_a_packet_that_did_not_come_was_lost_and_sent_again_by_a_probe() -> None:
    play, frame = silent()
    assert causes(counted(play, (frame, 1)))[-1] == ("tail_loss_probe", RTT_MS + LATER_MS)
    assert "1 frame of the client did not come here" in parts(play)[-1].text


def test_or_by_the_timer() -> None:
    play, frame = silent(RTT_MS + 800)
    assert causes(counted(play, (frame, 2)))[-1] == ("rto", RTT_MS + 800)


def test_what_is_longer_than_its_timers_they_do_not_explain() -> None:
    play, frame = silent(RTT_MS + 5000)
    assert causes(counted(play, (frame, 1)))[-1] == ("unknown", RTT_MS + 5000)
    assert parts(play)[-1].certainty == "unknown"


def test_where_nobody_counts_either_may_be() -> None:
    play, _ = silent()
    for packet in play.packets:
        packet.ip_id = None
    assert causes(play)[-1] == ("unknown", RTT_MS + LATER_MS)
    assert "its program was silent, or what it sent was lost" in parts(play)[-1].text


def test_random_numbers_are_no_count() -> None:
    play, _ = silent()
    for packet, number in zip(play.packets, (7, 900, 31, 5, 77, 65000, 3, 8000), strict=False):
        packet.ip_id = number
    assert causes(play)[-1][0] == "unknown"


def test_no_time_out_is_as_short() -> None:
    play, _ = silent(RTT_MS + 100)
    for packet in play.packets:
        packet.ip_id = None
    assert causes(play)[-1] == ("peer_app", RTT_MS + 100)


def test_what_the_end_here_sends_cannot_be_lost_before() -> None:
    play = opened()
    play.data("c>s", 0, 100), play.ack("s>c", 100)
    play.now_ns += 300 * MS
    play.data("s>c", 0, 50, 100)
    for packet in play.packets:
        packet.ip_id = None
    assert causes(play)[-1] == ("peer_app", 300)
    assert "(its program, to accept the connection or to answer)" in parts(play)[-1].text
    play.now_ns += RTT_MS * MS
    play.data("c>s", 100, 200, 50)
    play.now_ns += 300 * MS
    play.data("s>c", 50, 100, 200)
    assert causes(play)[-1] == ("peer_app", 300)
    assert "(its program)" in parts(play)[-1].text


@pytest.mark.parametrize(("left_out", "cause"), [(2, "tail_loss_probe"), (1, "unknown")])
def test_bytes_above_missing_ones_came_by_a_probe_if_they_were_lost_as_well(
    left_out: int, cause: str
) -> None:
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL)
    play.now_ns += 128 * MS
    frame = play.data("c>s", 2 * FULL, 2 * FULL + 100)
    assert causes(counted(play, (frame, left_out)))[-1] == (cause, 128)
    assert "1,460 bytes before frame" in parts(play)[-1].text


@pytest.mark.parametrize(
    ("verdict", "cause"),
    [
        (Verdict.FAST_RETRANSMIT, "fast_retransmit"), (Verdict.RTO, "rto"),
        (Verdict.REORDERED, "network"), (None, "unknown"),
    ],
)  # fmt: skip
def test_bytes_below_what_had_come_were_lost_or_late(verdict: str | None, cause: str) -> None:
    play = opened()
    above = play.data("c>s", FULL, 2 * FULL)
    play.ack("s>c", 0)
    play.now_ns += RTT_MS * MS
    play.data("c>s", 0, FULL)
    tables = apart(play).tables()
    tables.segments[-1].verdict = verdict
    part = silences_of(Scene(tables, play.raw), 0)[-1]
    assert part.cause == cause
    assert f"frame {above} came before them" in part.text


def test_a_fin_sent_again() -> None:
    play = opened()
    first = play.fin("s>c", 0)
    for wait_ms in (205, 410):
        play.now_ns += wait_ms * MS
        play.fin("s>c", 0)
    told = causes(play)[1:]
    assert told == [("tail_loss_probe", 205), ("rto", 410)]
    assert f"the FIN of frame {first} was not acknowledged" in parts(play)[1].text


def test_the_ack_of_what_was_sent_again_may_be_delayed() -> None:
    play = opened()
    for start in range(2):
        play.data("s>c", start * FULL, (start + 1) * FULL)
    play.now_ns += 300 * MS
    again = play.data("s>c", 0, FULL)
    play.now_ns += (RTT_MS + 44) * MS
    play.ack("c>s", FULL)
    play.data("s>c", FULL, 2 * FULL)
    assert causes(play)[-1] == ("delayed_ack", RTT_MS + 44)
    assert f"the client delayed its ACK of frame {again}" in parts(play)[-1].text


@pytest.mark.parametrize(("left_out", "cause"), [(0, "tail_loss_probe"), (1, "rto")])
def test_what_a_far_end_sent_again_is_the_first_only_if_none_is_missing(
    left_out: int, cause: str
) -> None:
    play = opened()
    play.data("c>s", 0, 100)
    play.now_ns += 260 * MS
    again = play.data("c>s", 0, 100)
    assert causes(counted(play, (again, left_out)))[-1] == (cause, 260)


def test_or_if_it_is_no_later_than_a_probe_is() -> None:
    play = opened()
    play.data("c>s", 0, 100)
    play.now_ns += 900 * MS
    play.data("c>s", 0, 100)
    assert causes(counted(play))[-1] == ("rto", 900)
    assert "after others that did not come here" in parts(play)[-1].text


@pytest.mark.parametrize(("wait_ms", "cause"), [(600, "unknown"), (150, "peer_app")])
def test_a_far_end_that_resets_late_may_have_given_up(wait_ms: int, cause: str) -> None:
    play = opened()
    play.data("s>c", 0, 100)
    play.now_ns += RTT_MS * MS
    play.ack("c>s", 100)
    play.data("c>s", 0, 10, 100)
    play.now_ns += wait_ms * MS
    play.rst("c>s", 10, 100)
    assert causes(play)[-1] == (cause, wait_ms)


def test_an_answer_to_a_syn_that_did_not_come_in_time() -> None:
    play = Play()
    play.frame("c>s", "S", 0, options=stamp(100, 0))
    answer = play.frame("s>c", "SA", 0, 1, options=stamp(7, 100))
    play.now_ns += 1000 * MS
    play.frame("c>s", "S", 0, options=stamp(1100, 0))
    assert causes(play) == [("syn_retry", 1000)]
    assert f"(frame {answer}) did not come in time" in parts(play)[0].text


def test_a_full_segment_late_behind_a_full_one_its_program_or_pacing_sent() -> None:
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL)
    play.now_ns += (RTT_MS + 20) * MS
    play.data("c>s", FULL, 2 * FULL)
    assert causes(play)[-1] == ("unknown", RTT_MS + 20)
    play.packets[-1].payload_len_bytes = 100
    assert causes(play)[-1] == ("peer_app", RTT_MS + 20)


def test_an_answer_that_follows_a_missing_frame_tells_no_way() -> None:
    play = opened()
    for start in (0, 100, 200):
        play.data("c>s", start, start + 100)
    assert vantage_of(track(counted(play))).away_ns[Side.CLIENT] is not None
    late = counted(play, (3, 1))
    assert vantage_of(track(late)).away_ns[Side.CLIENT] is None


def track(play: Play) -> Track:
    """Its only connection."""
    path = Scene(apart(play).tables(), play.raw).path(0)
    assert path is not None
    return path.track


def test_no_time_out_sends_again_so_soon() -> None:
    play = opened()
    play.data("c>s", 0, FULL), play.data("c>s", FULL, FULL + 100)
    play.now_ns += 18 * MS
    play.data("c>s", 0, FULL)
    assert causes(counted(play))[-1] == ("unknown", 18)
    play.packets[-1].time_ns += 300 * MS
    assert causes(play)[-1] == ("rto", 318)
