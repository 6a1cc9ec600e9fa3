"""Which mechanism sent a frame again: correlate's verdict first, and never a timer too short."""

from __future__ import annotations

import pytest

from netlab.model.wire import Arrival
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1448


def without_sack(*, way_ms: int = 10) -> Play:
    """Two losses in one window: duplicate ACKs repair the first, a partial ACK the second."""
    play = Play(wired=True, sack=False)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 3 * FULL, size=3 * FULL, flags=0x100):
        play.did("client", "send", 12 * FULL, size=12 * FULL)
        for nth in range(8):
            lost = nth in {0, 2}
            play.data("c>s", nth * FULL, (nth + 1) * FULL, way="drop" if lost else "carry")
        play.now_ns += way_ms * MS
        for nth in range(8, 10):  # limited transmit, RFC 3042
            play.ack("s>c", 0)
            play.data("c>s", nth * FULL, (nth + 1) * FULL)
        play.ack("s>c", 0)
        play.data("c>s", 0, FULL)
        play.now_ns += way_ms * MS
        play.ack("s>c", 2 * FULL)
        play.data("c>s", 2 * FULL, 3 * FULL)
        play.data("c>s", 10 * FULL, 12 * FULL)
    return play


def test_without_sack_duplicate_and_partial_acks_have_it_sent_again() -> None:
    tables, rows = told(without_sack())
    recv = number_of(tables, "recv")
    assert {cause for cause, _ in causes(rows, recv)} <= {"fast_retransmit", "head_of_line"}
    texts = [row.text or "" for row in rows if row.call == recv]
    assert any("frame 7 was dropped" in text and "ACKs that showed" in text for text in texts)
    assert not any("probe" in text or "time-out" in text for text in texts)


def probed(*, sack: bool = True, ack_before: bool = False, data_before: bool = False) -> Play:
    """The first of two writes is lost, the second waits; then the second is sent."""
    play = Play(wired=True, sack=sack)
    play.handshake()
    with play.call("server", "recv", 129, size=129, flags=0x100):
        with play.call("client", "send", 64, size=64):
            play.data("c>s", 0, 64, way="drop")
        play.did("client", "send", 65, size=65)
        play.now_ns += 210 * MS
        if ack_before:
            play.ack("s>c", 0)
        if data_before:  # which is no duplicate ACK (RFC 5681 2)
            play.data("s>c", 0, 7)
        play.data("c>s", 64, 129)
        options = play.sack_option("c>s", (64, 129)) if sack else None
        for _ in range(3):
            play.ack("s>c", 0, options=options)
        play.data("c>s", 0, 64)
    return play


@pytest.mark.parametrize(
    ("play", "is_probe"),
    [
        (probed(), True), (probed(sack=False), False), (probed(ack_before=True), False),
        (probed(data_before=True), True),
    ],
)  # fmt: skip
def test_new_bytes_are_a_probe_with_sack_and_no_bare_ack_before(play: Play, is_probe: bool) -> None:
    tables, rows = told(play)
    found = {row.cause for row in rows if row.call == number_of(tables, "recv")}
    assert ("tail_loss_probe" in found) is is_probe


@pytest.mark.parametrize(("after_ms", "cause"), [(30, "unknown"), (230, "rto")])
def test_no_timer_is_so_short(after_ms: int, cause: str) -> None:
    play = Play(wired=True, sack=False)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", FULL, size=FULL):
        play.did("client", "send", 2 * FULL, size=2 * FULL)
        lost = play.data("c>s", 0, FULL, way="drop")
        play.data("c>s", FULL, 2 * FULL, way="drop")
        play.now_ns += after_ms * MS
        play.data("c>s", 0, FULL)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    assert causes(rows, recv) == [(cause, after_ms)]
    said = f"before frame {lost} was sent again" if cause == "unknown" else "time-out 1 sent it"
    assert said in (of(rows, recv, cause).text or "")


def test_what_the_recovery_after_a_time_out_sends_no_second_time_out_sent() -> None:
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 3 * FULL, size=3 * FULL, flags=0x100):
        play.did("client", "send", 3 * FULL, size=3 * FULL)
        for nth in range(3):
            play.data("c>s", nth * FULL, (nth + 1) * FULL, way="drop")
        play.now_ns += 230 * MS
        timed_out = play.data("c>s", 0, FULL)
        play.now_ns += 10 * MS
        play.ack("s>c", FULL)
        play.data("c>s", FULL, 2 * FULL)
        again = play.data("c>s", 2 * FULL, 3 * FULL)
    tables, rows = told(play)
    texts = [row.text or "" for row in rows if row.call == number_of(tables, "recv")]
    assert any(
        f"(frame {again}) in the recovery that the time-out of frame {timed_out} began" in text
        for text in texts
    )
    assert not any("time-out 2" in text for text in texts)


@pytest.mark.parametrize(
    ("times", "said"),
    [(1, "time-out 1 sent"), (2, "time-out 2, its time doubled once, sent"),
     (3, "time-out 3, its time doubled twice, sent"),
     (4, "time-out 4, its time doubled 3 times, sent")],
)  # fmt: skip
def test_how_often_a_time_out_doubled(times: int, said: str) -> None:
    play = Play(wired=True, sack=False)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 100, size=100):
        play.did("client", "send", 100, size=100)
        play.data("c>s", 0, 100, way="drop")
        for nth in range(times):
            play.now_ns += (210 << nth) * MS
            play.data("c>s", 0, 100, way="drop" if nth + 1 < times else "carry")
    tables, rows = told(play)
    texts = [row.text or "" for row in rows if row.call == number_of(tables, "recv")]
    assert any(said in text for text in texts), texts


def test_what_was_spoilt_is_told_with_the_rule() -> None:
    play = Play(wired=True, sack=False)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 100, size=100):
        play.did("client", "send", 100, size=100)
        lost = play.data("c>s", 0, 100, way="spoil")
        play.packets[lost - 1]._arrival = Arrival(lost, "changed", None, None, "corrupt 1%")
        play.now_ns += 210 * MS
        play.data("c>s", 0, 100)
    tables, rows = told(play)
    text = of(rows, number_of(tables, "recv"), "rto").text or ""
    assert f"frame {lost} was spoilt on the wire (corrupt 1%), until" in text


@pytest.mark.parametrize("later_ms", [30, 200])
def test_one_reason_is_said_once(later_ms: int) -> None:
    """Later bytes come while the first are missing: the longer part says why they are."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 100, size=100):
        play.did("client", "send", 100, size=100)
        lost = play.data("c>s", 0, 100, way="drop")
        play.now_ns += later_ms * MS
        play.did("client", "send", 100, size=100)
        play.data("c>s", 100, 200)
        play.now_ns += (240 - later_ms) * MS
        again = play.data("c>s", 0, 100, way="hold")
        play.now_ns += 5 * MS
        play.arrives(again)
    tables, rows = told(play)
    texts = [row.text or "" for row in rows if row.call == number_of(tables, "recv")]
    assert sum(f"frame {lost} was dropped" in text for text in texts) == 1
    short = (
        f"until frame {lost} was sent again"
        if later_ms == 200
        else f"in which nothing that was sent after frame {lost} had come yet"
    )
    assert any(short in text for text in texts)
    assert f"until frame {again} came in place of frame {lost}, which was lost" in texts[-2]


@pytest.mark.parametrize("acked", [True, False])
def test_an_ack_that_covers_more_starts_the_timer_anew(acked: bool) -> None:
    """The first ACK comes very late; just behind it what follows is sent again, or without it."""
    play = Play(wired=True, sack=False)
    play.handshake()
    play.ack("s>c", 0)
    with play.call("server", "recv", 2 * FULL, size=2 * FULL, flags=0x100):
        play.did("client", "send", 3 * FULL, size=3 * FULL)
        play.data("c>s", 0, FULL)
        if not acked:
            play.ack("s>c", FULL)
        play.data("c>s", FULL, 2 * FULL, way="drop")
        play.data("c>s", 2 * FULL, 3 * FULL, way="drop")
        play.now_ns += 230 * MS
        if acked:
            play.ack("s>c", FULL)
        play.data("c>s", FULL, 2 * FULL)
    _, rows = told(play)
    assert any("time-out 1" in (row.text or "") for row in rows) is not acked
