"""What the rate of a wire has to do with a wait: the stand of a frame, and windows full of it."""

from __future__ import annotations

import pytest

from netlab.explain.wire_queue import stand_of
from netlab.model.tables import Packet
from netlab.model.wire import Arrival
from tests.playbook import Play, number_of
from tests.waits_told import MS, causes, of, told

FULL = 1460
FRAME_MS = (FULL + 66) * 8 / 1000  # at 1 Mbit/s
RULE = "rate 1mbit; delay 50ms"


def noted(play: Play, frame: int, arrived_ns: int, rule: str) -> Packet:
    """A frame arrives, and the wire has noted why then."""
    packet = play.packets[frame - 1]
    packet.fate, packet.arrived_ns = "delivered", arrived_ns
    packet._arrival = Arrival(frame, "delivered", arrived_ns, 0, rule)
    return packet


def stood(rule: str, flight_ms: float, *, late_ns: int = 0) -> tuple[float, float]:
    """(in the queue, sent at the rate) in ms, of a full frame that was so long on its way."""
    play = Play(wired=True)
    play.handshake()
    frame = play.data("c>s", 0, FULL, way="hold")
    packet = play.packets[frame - 1]
    noted(play, frame, packet.time_ns + round(flight_ms * MS), rule)
    assert packet._arrival is not None
    packet._arrival.late_ns = late_ns
    stand = stand_of(packet)
    return round(stand.queued_ns / MS, 3), round(stand.sent_ns / MS, 3)


@pytest.mark.parametrize(
    ("rule", "queued_ms"),
    [
        ("rate 1mbit", 100 - FRAME_MS),
        ("rate c>s conn 1 1mbit", 100 - FRAME_MS),
        ("rate 1mbit; delay 50ms", 50 - FRAME_MS),
        ("rate 1mbit; rate 2mbit; delay 50ms", 50 - 1.5 * FRAME_MS),
        ("rate 1mbit; delay 20ms; delay c>s data 3 by 30ms", 50 - FRAME_MS),
        ("rate 1mbit; delay 40ms jitter 10ms seed 1", 50 - FRAME_MS),
    ],
)
def test_a_stand_is_what_neither_delays_nor_its_own_length_explain(
    rule: str, queued_ms: float
) -> None:
    assert stood(rule, 100) == (round(queued_ms, 3), round(100 - queued_ms - _delay(rule), 3))


def _delay(rule: str) -> float:
    return 50.0 if "delay" in rule else 0.0


def test_the_lateness_of_the_wire_is_no_stand() -> None:
    assert stood("rate 1mbit", 100, late_ns=60 * MS) == (round(40 - FRAME_MS, 3), FRAME_MS)


@pytest.mark.parametrize("rule", ["delay 20ms", "", "rate 1mbit; reorder c>s data 1 after 2"])
def test_where_no_rate_was_met_or_a_reorder_was_nothing_stood(rule: str) -> None:
    assert stood(rule, 100) == (0, 0)


def burst(rule: str, *, count: int = 4) -> Play:
    """Segments that leave together and are read one by one: `FRAME_MS` after each other."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "send", count * FULL, size=count * FULL):
        frames = [play.data("c>s", at * FULL, (at + 1) * FULL, way="hold") for at in range(count)]
    first_ns = play.packets[frames[0] - 1].time_ns
    for at, frame in enumerate(frames):
        arrived_ns = first_ns + round((at + 1) * FRAME_MS * MS) + 50 * MS
        noted(play, frame, arrived_ns, rule)
        with play.call("server", "recv", FULL, size=FULL):
            play.now_ns = arrived_ns
    return play


def test_who_waits_for_a_frame_that_stood_before_waits_for_the_queue() -> None:
    """The second to fourth are on the last of their way when they are asked for; but for the queue
    they would be here."""
    tables, rows = told(burst(RULE))
    for nth in (2, 3, 4):
        recv = number_of(tables, "recv", nth)
        assert causes(rows, recv) == [("wire_queue", round(FRAME_MS))]
        told_of = of(rows, recv, "wire_queue")
        assert told_of.certainty == "observed"
        assert "stood in the queue of the wire (rate 1mbit)" in told_of.text


def test_the_first_of_a_burst_stood_behind_nobody() -> None:
    tables, rows = told(burst(RULE))
    recv = number_of(tables, "recv", 1)
    assert causes(rows, recv) == [("wire_queue", round(FRAME_MS)), ("network", 50)]
    assert "sent frame 4 at its rate" in of(rows, recv, "wire_queue").text


def test_without_a_rate_who_waits_for_such_a_frame_waits_for_the_network() -> None:
    tables, rows = told(burst("delay 50ms"))
    assert causes(rows, number_of(tables, "recv", 2)) == [("network", round(FRAME_MS))]


def full_window(rule: str, stand_ms: int, *, last: str = "noted") -> Play:
    """A send that sleeps for 60 ms with ten segments out, until the ACK of the first five."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    size = 40 * FULL
    with play.call("client", "send", size, size=size):
        for at in range(10):
            way = "carry" if at < 9 else "drop" if last == "dropped" else "hold"
            frame = play.data("c>s", at * FULL, (at + 1) * FULL, way=way)
        left_ns = play.now_ns
        if last == "noted":
            noted(play, frame, left_ns + stand_ms * MS + round(FRAME_MS * MS) + 50 * MS, rule)
        ack = play.ack("s>c", 5 * FULL, way="hold")
        play.now_ns = left_ns + 60 * MS
        play.arrives(ack)
        for at in range(10, 40):
            play.data("c>s", at * FULL, (at + 1) * FULL)
    return play


def test_a_window_full_of_what_stands_before_the_wire_holds_nothing_up() -> None:
    tables, rows = told(full_window(RULE, 40))
    send = number_of(tables, "send")
    assert causes(rows, send) == [("wire_queue", 40), ("cwnd", 20)]
    kept = of(rows, send, "wire_queue")
    assert kept.certainty == "inferred"  # that it was the window, as for any
    assert "the congestion window of the client was full of what stood" in kept.text
    assert kept.frames


def test_a_window_whose_frames_all_are_beyond_the_rate_is_the_window() -> None:
    tables, rows = told(full_window(RULE, 0))
    assert causes(rows, number_of(tables, "send")) == [("cwnd", 60)]


def test_a_frame_that_the_queue_dropped_does_not_stand_in_it() -> None:
    tables, rows = told(full_window(RULE, 40, last="dropped"))
    assert causes(rows, number_of(tables, "send")) == [("cwnd", 60)]


def full_buffer(rule: str) -> Play:
    """A send that sleeps for 100 ms with all sent, and writes on after the ACK of all."""
    play = Play(wired=True)
    play.handshake()
    play.ack("s>c", 0)
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_SNDBUF, [40000]")
    size = 30 * FULL
    with play.call("client", "send", size, size=size):
        for at in range(20):
            frame = play.data("c>s", at * FULL, (at + 1) * FULL, way="carry" if at < 19 else "hold")
        left_ns = play.now_ns
        noted(play, frame, left_ns + 90 * MS + round(FRAME_MS * MS), rule)
        ack = play.ack("s>c", 15 * FULL, way="hold")
        play.now_ns = left_ns + 100 * MS
        play.arrives(ack)
        play.now_ns += 10 * MS
        play.ack("s>c", 20 * FULL)
        for at in range(20, 30):
            play.data("c>s", at * FULL, (at + 1) * FULL)
    return play


def test_no_larger_buffer_makes_a_queue_go_faster() -> None:
    tables, rows = told(full_buffer(RULE))
    assert causes(rows, number_of(tables, "send")) == [("wire_queue", 40), ("send_buffer", 70)]
    tables, rows = told(full_buffer("delay 50ms"))
    assert causes(rows, number_of(tables, "send")) == [("send_buffer", 110)]
