"""What connections measure of themselves: round trips, flight, windows, rates, and what limits."""

from __future__ import annotations

from typing import Any

import pytest
from playbook import Play

from netlab.model.tables import Connection, TcpOptions

MS = 1_000_000


def begun(**more: Any) -> Play:
    play = Play(**more)
    play.syn()
    play.now_ns += 10 * MS
    play.synack(), play.ack("c>s", 0)
    return play


def row(play: Play) -> Connection:
    return play.tables().connections[0]


def stamped(ts_val: int, ts_ecr: int) -> TcpOptions:
    return TcpOptions(ts_val=ts_val, ts_ecr=ts_ecr)


def test_round_trips_leave_out_what_was_sent_twice() -> None:
    play = begun()
    for start, wait_ms in ((0, 20), (1000, 40)):
        play.data("c>s", start, start + 1000)
        play.now_ns += wait_ms * MS
        play.ack("s>c", start + 1000)
    play.data("c>s", 2000, 3000)
    play.now_ns += 300 * MS
    play.data("c>s", 2000, 3000)
    play.now_ns += 2 * MS
    play.ack("s>c", 3000)
    found = row(play)
    step = 1_000
    trips = [10 * MS + step, 20 * MS + step, 40 * MS + step]  # the SYN's is one
    assert found.client_rtt_min_ns == trips[0]
    assert found.client_rtt_mean_ns == sum(trips) // 3
    smoothed, variation = trips[0], trips[0] // 2  # RFC 6298 2.2, 2.3
    for trip in trips[1:]:
        variation = (3 * variation + abs(smoothed - trip)) // 4
        smoothed = (7 * smoothed + trip) // 8
    assert (found.client_rtt_smoothed_ns, found.client_rtt_variation_ns) == (smoothed, variation)
    assert found.server_rtt_min_ns == step  # of its SYN-ACK


def test_round_trips_by_timestamps_count_what_was_sent_twice_too() -> None:
    play = begun()
    play.data("c>s", 0, 1000, options=stamped(100, 1))
    play.now_ns += 300 * MS
    play.data("c>s", 0, 1000, options=stamped(400, 1))
    play.now_ns += 7 * MS
    play.ack("s>c", 1000, options=stamped(5, 400))
    assert row(play).client_ts_rtt_min_ns == 7 * MS + 1_000
    assert row(play).client_ts_rtt_mean_ns == 7 * MS + 1_000


def test_flight_windows_and_rates() -> None:
    play = begun(wscale=0)
    play.data("c>s", 0, 1000)
    play.data("c>s", 1000, 2500)
    play.now_ns += 98 * MS
    play.ack("s>c", 2500, window=3000)
    play.data("c>s", 2500, 3500)
    play.data("c>s", 2500, 3500)
    play.now_ns += 100 * MS - 7_000 + 3_000
    play.ack("s>c", 3500, window=700)
    found = row(play)
    assert found.client_flight_max_bytes == 2500
    assert (found.server_window_min_bytes, found.server_window_max_bytes) == (700, 3000)
    assert found.server_window_edge == 5500
    whole_ns = play.packets[-1].time_ns - play.packets[3].time_ns
    assert found.client_throughput_bytes_per_s == 4500 * 10**9 // whole_ns
    assert found.client_goodput_bytes_per_s == 3500 * 10**9 // whole_ns
    assert found.idle_max_ns == max(
        b.time_ns - a.time_ns for a, b in zip(play.packets, play.packets[1:], strict=False)
    )


def asked_and_answered(play: Play, pause_ms: int, window: int | None = None) -> None:
    """Ten pieces, each acknowledged after 10 ms, with a pause behind."""
    for start in range(0, 10_000, 1000):
        play.data("c>s", start, start + 1000)
        play.now_ns += 10 * MS
        play.ack("s>c", start + 1000, window=window)
        play.now_ns += pause_ms * MS


@pytest.mark.parametrize(
    ("pause_ms", "window", "limited"),
    [(50, None, "application"), (0, 1500, "peer_window"), (0, None, "unknown")],
)
def test_what_a_sender_waited_for(pause_ms: int, window: int | None, limited: str) -> None:
    play = begun(wscale=0, window=1500 if window else 65_000)
    asked_and_answered(play, pause_ms, window)
    found = row(play)
    assert found.client_limited_by == limited
    assert found.client_limited_reason
    assert found.server_limited_by is None


def test_loss_limits() -> None:
    play = begun(sack=False)
    play.data("c>s", 0, 1000)
    play.now_ns += 10 * MS
    play.ack("s>c", 1000)
    play.data("c>s", 1000, 2000)
    for wait_ms in (300, 600, 1200):
        play.now_ns += wait_ms * MS
        play.data("c>s", 1000, 2000)
    assert row(play).client_limited_by == "loss"


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (("syn", "synack", "ack"), "full"),
        (("syn", "synack"), "half"),
        (("syn",), "unanswered"),
        (("syn", "rst"), "refused"),
        (("synack",), "synack only"),
        (("ack",), None),
    ],
)
def test_how_it_began(frames: tuple[str, ...], kind: str | None) -> None:
    play = Play()
    for name in frames:
        if name == "ack":
            play.ack("c>s", 0)
        elif name == "rst":
            play.frame("s>c", "RA", 0, 1)
        else:
            getattr(play, name)()
    assert row(play).handshake_kind == kind


def test_fast_open_and_both_at_once() -> None:
    play = Play()
    play.frame("c>s", "S", 0, length=100)
    play.frame("s>c", "SA", 0, 101)
    assert row(play).handshake_kind == "fast_open"
    play = Play()
    play.syn()
    play.frame("s>c", "S", 0)
    assert row(play).handshake_kind == "simultaneous"


def test_counts_by_verdict() -> None:
    play = begun()
    play.data("c>s", 0, 1000)
    play.data("c>s", 1000, 2000)
    play.data("c>s", 1000, 2000)
    found = row(play)
    assert (found.new_data_frames, found.unsure_frames, found.rto_frames) == (2, 1, 0)
