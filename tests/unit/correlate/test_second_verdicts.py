"""netlab's own verdicts on hand-made conversations: where tshark guesses, where nobody knows."""

from __future__ import annotations

from typing import Any

import pytest
from playbook import Play

from netlab.correlate.in_vain import sent_by
from netlab.model.tables import Again, Segment, TcpOptions, Verdict

MS = 1_000_000


def begun(**more: Any) -> Play:
    """A capture of a connection, without calls."""
    play = Play(**more)
    play.syn()
    play.now_ns += 5 * MS
    play.synack(), play.ack("c>s", 0)
    return play


def stamped(ts_val: int, ts_ecr: int = 1) -> TcpOptions:
    return TcpOptions(ts_val=ts_val, ts_ecr=ts_ecr)


def last(play: Play) -> Segment:
    return play.tables().segments[-1]


def of(play: Play, frame: int) -> Segment:
    return next(s for s in play.tables().segments if s.frame == frame)


def trip(play: Play, size: int = 1000) -> int:
    """Some data and its ACK, a millisecond later; the offset behind it."""
    play.data("c>s", 0, size)
    play.now_ns += MS
    play.ack("s>c", size)
    return size


def test_new_data_and_plain_acks() -> None:
    play = begun()
    trip(play)
    segments = play.tables().segments
    assert [s.verdict for s in segments] == [None, None, None, Verdict.NEW_DATA, None]
    assert [s.verdict_reason is None for s in segments] == [True, True, True, False, True]


def test_tshark_calls_it_out_of_order_though_sack_showed_the_gap() -> None:
    """The second hole of a recovery: no ACK asks for it by its number, and it leaves soon."""
    play = begun()
    at = trip(play)
    for start in range(at, at + 10_000, 1000):
        play.data("c>s", start, start + 1000)
    play.now_ns += MS // 2
    for stop in (3000, 5000, 6000, 7000):
        play.ack("s>c", at, options=play.sack_option("c>s", (2000, 3000), (4000, stop)))
    first = play.data("c>s", 1000, 2000)
    second = play.data("c>s", 3000, 4000)
    segment = of(play, second)
    assert segment.out_of_order
    assert segment.verdict == Verdict.FAST_RETRANSMIT
    assert segment.verdict_reason == "SACK 4000..7000 showed the gap 3000..4000"
    assert segment.verdict_frames == (second - 2,)
    assert of(play, first).verdict == Verdict.FAST_RETRANSMIT


def test_the_time_of_a_timer_runs_from_the_last_ack_that_acknowledged_anything() -> None:
    """tshark measures from when the oldest unacknowledged segment was sent (RFC 6298 5.3)."""
    play = begun()
    for start in range(0, 4000, 1000):
        play.data("c>s", start, start + 1000)
    play.now_ns += 150 * MS
    ack = play.ack("s>c", 2000)
    play.now_ns += 210 * MS
    play.data("c>s", 2000, 3000)
    segment = last(play)
    assert segment.rto_ns is not None
    assert segment.rto_ns > 360 * MS
    assert segment.verdict == Verdict.RTO
    assert segment.verdict_reason == f"time-out: 210.0 ms after frame {ack}, and no ACK of it since"
    assert segment.verdict_frames == (ack,)


def test_a_byte_of_data_that_is_sent_again_is_no_keep_alive() -> None:
    play = begun(sack=False)
    at = trip(play)
    play.data("c>s", at, at + 1)
    play.now_ns += 220 * MS
    play.data("c>s", at, at + 1)
    segment = last(play)
    assert segment.keep_alive
    assert segment.verdict == Verdict.RTO


@pytest.mark.parametrize("length", [0, 1])
def test_a_keep_alive(length: int) -> None:
    play = begun()
    at = trip(play)
    play.now_ns += 1_005 * MS
    play.frame("c>s", "A", at, 1, length)
    assert last(play).verdict == Verdict.KEEP_ALIVE


def test_a_byte_again_whose_ack_may_have_been_lost_is_left_open_without_timestamps() -> None:
    for stamp, verdict in ((None, None), (stamped(9, 7), Verdict.KEEP_ALIVE)):
        play = begun()
        play.data("c>s", 0, 1, options=stamped(2) if stamp else None)
        play.now_ns += MS
        play.ack("s>c", 1, options=stamped(7, 2) if stamp else None)
        play.now_ns += 1_005 * MS
        play.data("c>s", 0, 1, options=stamp)
        assert last(play).verdict == verdict
        assert last(play).verdict_reason


def test_a_closed_window_is_probed_at_the_last_number_or_with_the_next_byte() -> None:
    for seq, length in ((1000, 0), (1001, 1)):
        play = begun()
        play.data("c>s", 0, 1000)
        closed = play.ack("s>c", 1000, window=0)
        play.now_ns += 220 * MS
        play.frame("c>s", "A", seq, 1, length)
        assert last(play).verdict == Verdict.ZERO_WINDOW_PROBE
        assert last(play).verdict_frames == (closed,)


@pytest.mark.parametrize(("echo", "verdict"), [
    (7, Verdict.ZERO_WINDOW_PROBE),  # of the ACK that closed it
    (8, Verdict.KEEP_ALIVE),  # of the one that opened it
    (None, None),
])  # fmt: skip
def test_what_probed_a_window_is_a_probe_though_news_that_it_is_open_were_on_their_way(
    echo: int | None, verdict: Verdict | None
) -> None:
    """A capture at the receiver's end sees the window open before its sender hears of it."""

    def stamps(val: int) -> TcpOptions | None:
        return stamped(val, 2) if echo else None

    play = begun()
    play.data("c>s", 0, 1000, options=stamps(2))
    play.now_ns += MS
    play.ack("s>c", 1000, window=0, options=stamps(7))
    play.now_ns += 1_640 * MS
    opened = play.ack("s>c", 1000, window=400, options=stamps(8))
    play.now_ns += MS
    play.frame("c>s", "A", 1000, 1, options=stamped(3, echo) if echo else None)
    assert last(play).verdict == verdict
    assert verdict is Verdict.KEEP_ALIVE or last(play).verdict_frames == (opened,)
    assert last(play).keep_alive  # says tshark


def test_a_keep_alive_that_crossed_the_news_of_a_closed_window_is_one() -> None:
    for echo, verdict in ((7, Verdict.KEEP_ALIVE), (8, Verdict.ZERO_WINDOW_PROBE)):
        play = begun()
        play.data("c>s", 0, 1000, options=stamped(2))
        play.now_ns += MS
        play.ack("s>c", 1000, options=stamped(7, 2))
        play.now_ns += 1_640 * MS
        play.ack("s>c", 1000, window=0, options=stamped(8, 2))
        play.now_ns += MS
        play.frame("c>s", "A", 1000, 1, options=stamped(3, echo))
        assert last(play).verdict == verdict


def test_the_byte_of_a_probe_is_new_data_when_the_window_opens() -> None:
    play = begun()
    play.data("c>s", 0, 1000)
    play.ack("s>c", 1000, window=0)
    play.now_ns += 220 * MS
    play.data("c>s", 1000, 1001)
    play.ack("s>c", 1000, window=400)
    play.data("c>s", 1000, 2000)
    assert last(play).verdict == Verdict.NEW_DATA


def test_three_duplicate_acks() -> None:
    play = begun(sack=False)
    at = trip(play)
    for start in range(at, at + 5000, 1000):
        play.data("c>s", start, start + 1000)
    acks = [play.ack("s>c", at) for _ in range(3)]
    play.data("c>s", at, at + 1000)
    segment = last(play)
    assert segment.verdict == Verdict.FAST_RETRANSMIT
    assert segment.verdict_reason == "3 duplicate ACKs asked for it"
    assert segment.verdict_frames == (acks[0], acks[-1])


def test_two_duplicate_acks_are_not_enough() -> None:
    play = begun(sack=False)
    at = trip(play)
    for start in range(at, at + 5000, 1000):
        play.data("c>s", start, start + 1000)
    play.ack("s>c", at), play.ack("s>c", at)
    play.data("c>s", at, at + 1000)
    segment = last(play)
    assert segment.fast_retransmission  # tshark's two
    assert segment.verdict is None
    assert segment.verdict_reason == (
        "sent again, why is not known: ACKs came, and told of no loss"
    )


def test_the_last_of_several_is_a_tail_loss_probe() -> None:
    play = begun()
    at = trip(play)
    play.data("c>s", at, at + 1000)
    play.data("c>s", at + 1000, at + 2000)
    play.now_ns += 9 * MS
    play.data("c>s", at + 1000, at + 2000)
    assert last(play).verdict == Verdict.TAIL_LOSS_PROBE


def test_a_lone_segment_is_left_open_until_the_timer_shows_its_length() -> None:
    play = begun()
    at = trip(play)
    play.data("c>s", at, at + 1000)
    play.now_ns += 215 * MS
    first = play.data("c>s", at, at + 1000)
    assert of(play, first).verdict is None
    assert "timer or as a tail loss probe" in (of(play, first).verdict_reason or "")
    play.now_ns += 215 * MS
    second = play.data("c>s", at, at + 1000)
    play.now_ns += 430 * MS
    third = play.data("c>s", at, at + 1000)
    assert [of(play, frame).verdict for frame in (first, second, third)] == [
        Verdict.TAIL_LOSS_PROBE, Verdict.RTO, Verdict.RTO,
    ]  # fmt: skip
    assert of(play, first).verdict_frames[-1] == second


def test_without_sack_there_are_no_probes() -> None:
    play = begun(sack=False)
    at = trip(play)
    play.data("c>s", at, at + 1000)
    play.now_ns += 215 * MS
    play.data("c>s", at, at + 1000)
    assert last(play).verdict == Verdict.RTO


def lone_resend(ts: bool = False) -> tuple[Play, int]:
    play = begun(sack=False)
    at = trip(play)
    play.data("c>s", at, at + 1000, options=stamped(100) if ts else None)
    play.now_ns += 215 * MS
    return play, play.data("c>s", at, at + 1000, options=stamped(315) if ts else None)


def test_an_ack_that_echoes_the_first_copy_says_that_the_second_was_in_vain() -> None:
    play, again = lone_resend(ts=True)
    play.now_ns += MS
    ack = play.ack("s>c", 2000, options=stamped(7, 100))
    segment = of(play, again)
    assert segment.verdict == Verdict.SPURIOUS
    assert segment.verdict_frames[0] == ack
    assert "echoes a timestamp from before" in (segment.verdict_reason or "")
    assert "by the timer: time-out:" in (segment.verdict_reason or "")
    assert sent_by(segment) is Verdict.RTO


def test_an_ack_that_echoes_the_second_copy_does_not() -> None:
    play, again = lone_resend(ts=True)
    play.now_ns += MS
    play.ack("s>c", 2000, options=stamped(7, 315))
    assert of(play, again).verdict == Verdict.RTO


def test_an_older_echo_counts_only_where_the_ack_begins_at_the_copy() -> None:
    """A delayed ACK echoes the first segment that it is for, which may lie before the copy."""
    play = begun(sack=False)
    at = trip(play)
    play.data("c>s", at, at + 1000, options=stamped(100))
    play.data("c>s", at + 1000, at + 2000, options=stamped(101))
    play.now_ns += 215 * MS
    again = play.data("c>s", at + 1000, at + 2000, options=stamped(315))
    play.ack("s>c", at + 2000, options=stamped(7, 100))
    assert of(play, again).verdict != Verdict.SPURIOUS


def test_a_dsack_names_what_came_a_second_time() -> None:
    play = begun()
    at = trip(play)
    for start in range(at, at + 3000, 1000):
        play.data("c>s", start, start + 1000)
    play.now_ns += 300 * MS
    again = play.data("c>s", at, at + 1000)
    assert of(play, again).verdict == Verdict.RTO
    told = play.ack("s>c", 4000, options=play.sack_option("c>s", (at, at + 1000)))
    segment = of(play, again)
    assert segment.verdict == Verdict.SPURIOUS
    assert segment.verdict_frames[0] == told
    assert (segment.verdict_reason or "").startswith(f"D-SACK 1000..2000 of frame {told}")


def test_what_was_acknowledged_before_it_came_by_was_sent_in_vain() -> None:
    play, _ = lone_resend()
    ack = play.ack("s>c", 2000)
    again = play.data("c>s", 1000, 2000)
    segment = of(play, again)
    assert segment.spurious_retransmission
    assert segment.verdict == Verdict.SPURIOUS
    assert segment.verdict_frames[0] == ack


@pytest.mark.parametrize(
    ("stamps", "ids", "verdict"),
    [
        ((10, 30, 20), None, Verdict.REORDERED),
        (None, (5, 7, 6), Verdict.REORDERED),
        (None, None, None),
        ((10, 10, 10), (0, 0, 0), None),
    ],
)
def test_what_fills_a_gap_is_late_only_if_its_sender_marked_it_so(
    stamps: tuple[int, ...] | None, ids: tuple[int, ...] | None, verdict: Verdict | None
) -> None:
    play = begun()
    frames = []
    for number, (start, stop) in enumerate(((0, 1000), (2000, 3000), (1000, 2000))):
        options = stamped(stamps[number]) if stamps else None
        frames.append(play.data("c>s", start, stop, options=options))
        play.packets[-1].ip_id = ids[number] if ids else 0
    segment = of(play, frames[-1])
    assert segment.out_of_order
    assert segment.verdict == verdict
    assert segment.verdict_frames == (frames[1],)


def test_what_fills_a_gap_with_a_newer_timestamp_was_sent_again() -> None:
    play = begun()
    at = trip(play)
    play.data("c>s", at + 1000, at + 2000, options=stamped(20))
    play.now_ns += MS
    play.ack("s>c", at, options=play.sack_option("c>s", (at + 1000, at + 2000)))
    play.data("c>s", at, at + 1000, options=stamped(21))
    segment = last(play)
    assert segment.out_of_order
    assert segment.verdict == Verdict.FAST_RETRANSMIT


def twice(play: Play, ttl: int = 64, after_ns: int = 0) -> int:
    """The newest packet once more, with the same identification."""
    number = play.packets[-1].ip_id
    play.now_ns += after_ns
    play.data("c>s", 1000, 2000)
    play.packets[-1].ip_id, play.packets[-1].ttl = number, ttl
    return play.packets[-1].frame


def test_one_packet_twice_is_left_open_until_something_tells_who_did_it() -> None:
    play = begun()
    trip(play)
    first = play.data("c>s", 1000, 2000)
    again = twice(play)
    segment = of(play, again)
    assert segment.verdict is None
    assert segment.verdict_frames == (first,)
    assert "captured twice, or doubled by the network" in (segment.verdict_reason or "")
    play.ack("s>c", 2000, options=play.sack_option("c>s", (1000, 2000)))
    assert of(play, again).verdict == Verdict.DUPLICATED_BY_NETWORK


def test_one_packet_at_two_places_was_captured_twice() -> None:
    play = begun()
    trip(play)
    play.data("c>s", 1000, 2000)
    assert of(play, twice(play, ttl=63)).verdict == Verdict.DUPLICATED_BY_CAPTURE


def test_a_capture_that_has_every_packet_twice() -> None:
    play = Play()
    for step in ("syn", "synack", *("data", "ack") * 3):
        number = len(play.packets)
        stop = 1000 * (number // 4)
        for _ in range(2):
            if step == "data":
                play.data("c>s", stop - 1000, stop)
            elif step == "ack":
                play.ack("s>c", stop - 1000)
            else:
                getattr(play, step)()
            play.packets[-1].ip_id = number + 1
    found = [s.verdict for s in play.tables().segments]
    assert found[1::2] == [Verdict.DUPLICATED_BY_CAPTURE] * 8
    assert Verdict.DUPLICATED_BY_CAPTURE not in found[::2]


def test_what_is_sent_again_is_packed_anew() -> None:
    """Its identification is another: so it is no copy of the packet, however soon it comes."""
    play = begun()
    trip(play)
    play.data("c>s", 1000, 2000)
    segment = of(play, play.data("c>s", 1000, 2000))
    assert segment.verdict is None
    assert (segment.verdict_reason or "").startswith("sent again, why is not known")


def test_syn_again() -> None:
    play = Play()
    play.syn()
    play.now_ns += 1_010 * MS
    again = play.syn()
    play.synack()
    assert of(play, again).verdict == Verdict.RTO


def test_a_synack_that_answers_a_syn_again_may_be_no_timer_s() -> None:
    play = Play()
    play.syn(), play.synack()
    play.now_ns += 1_010 * MS
    play.syn()
    again = play.synack()
    assert of(play, again).verdict is None


def test_a_recovery_after_a_time_out_is_the_time_outs() -> None:
    play = begun()
    at = trip(play)
    for start in range(at, at + 4000, 1000):
        play.data("c>s", start, start + 1000)
    play.now_ns += 300 * MS
    timer = play.data("c>s", at, at + 1000)
    play.now_ns += MS
    ack = play.ack("s>c", at + 1000)
    again = play.data("c>s", at + 1000, at + 2000)
    assert of(play, timer).verdict == Verdict.RTO
    assert of(play, again).verdict == Verdict.RTO
    assert of(play, again).verdict_frames == (timer, ack)
    assert of(play, timer)._again is None
    assert of(play, again)._again == Again(timeout_frame=timer)


def test_what_a_recovery_sent_in_vain_keeps_what_sent_it() -> None:
    play = begun()
    at = trip(play)
    for start in range(at, at + 4000, 1000):
        play.data("c>s", start, start + 1000)
    play.now_ns += 300 * MS
    timer = play.data("c>s", at, at + 1000)
    play.now_ns += MS
    play.ack("s>c", at + 1000)
    again = play.data("c>s", at + 1000, at + 2000)
    play.now_ns += MS
    told = play.sack_option("c>s", (at + 1000, at + 2000))
    frame = play.ack("s>c", at + 4000, options=told)
    segment = of(play, again)
    why = f"D-SACK {at + 1000}..{at + 2000} of frame {frame} says that it came a second time"
    assert segment.verdict == Verdict.SPURIOUS
    assert segment._again == Again(Verdict.RTO, timer, why)
    assert segment.verdict_reason == (
        f"{why}; sent again by the timer: in the recovery that the time-out of frame {timer} began"
    )
    assert sent_by(segment) is Verdict.RTO


def test_silence_proves_nothing_in_a_capture_that_lacks_frames() -> None:
    for lacks in (False, True):
        play = begun(sack=False)
        at = trip(play)
        play.data("c>s", at, at + 1000)
        play.now_ns += 220 * MS
        again = play.data("c>s", at, at + 1000)
        play.ack("s>c", at + 1000)
        play.data("c>s", at + 2000, at + 3000)
        play.ack("s>c", at + 3000 if lacks else at + 1000)
        segment = of(play, again)
        assert segment.verdict == (None if lacks else Verdict.RTO)
        assert ("capture lacks some" in (segment.verdict_reason or "")) is lacks
