"""tshark's verdicts on TCP segments, on a few conversations; captures: `test_verdict_agreement`."""

from __future__ import annotations

from playbook import Play

from netlab.correlate.verdicts import VERDICTS
from netlab.model.tables import TcpOptions


def verdicts(play: Play) -> list[str]:
    """Of each segment, in words."""
    return [
        " ".join(name for name in VERDICTS if getattr(segment, name))
        for segment in play.tables().segments
    ]


def test_three_duplicate_acks_make_a_fast_retransmission() -> None:
    play = Play()
    play.handshake(calls=False)
    for start in range(0, 5000, 1000):
        play.data("c>s", start, start + 1000)  # the first is lost behind this capture
    for _ in range(4):
        play.ack("s>c", 0)
    play.data("c>s", 0, 1000)
    play.ack("s>c", 5000)
    assert verdicts(play)[8:] == ["duplicate_ack"] * 4 + ["retransmission fast_retransmission", ""]
    segments = play.tables().segments
    assert [segment.duplicate_ack_num for segment in segments[8:12]] == [1, 2, 3, 4]
    assert (segments[-1].acks_frame, segments[-1].ack_rtt_ns) == (8, 6_000)
    assert [s.bytes_in_flight for s in segments if s.payload_len_bytes] == [
        1000, 2000, 3000, 4000, 5000, 5000,
    ]  # fmt: skip
    connection = play.tables().connections[0]
    assert (connection.duplicate_ack_count, connection.fast_retransmission_count) == (4, 1)
    assert (connection.retransmission_count, connection.out_of_order_count) == (1, 0)


def test_a_closed_window_is_probed_and_opens() -> None:
    play = Play(wscale=None)
    play.handshake(calls=False)
    play.data("c>s", 0, 512)
    play.ack("s>c", 512, window=0)
    play.data("c>s", 512, 513)
    play.ack("s>c", 512, window=0)
    play.ack("s>c", 512, window=400)
    assert verdicts(play)[3:] == [
        "window_full", "zero_window", "zero_window_probe",
        "zero_window zero_window_probe_ack", "window_update",
    ]  # fmt: skip


def test_keep_alive_and_its_answer() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 1)
    play.ack("s>c", 1)
    play.frame("c>s", "A", 1, 1)
    play.ack("s>c", 1)
    play.data("c>s", 1, 2)
    play.ack("s>c", 1)
    assert verdicts(play)[3:] == ["", "", "keep_alive", "keep_alive_ack", "", "duplicate_ack"]


def test_a_gap_and_an_ack_of_what_was_not_seen() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.data("c>s", 200, 300)
    play.ack("s>c", 300)
    play.data("c>s", 100, 200)
    assert verdicts(play)[4:] == [
        "lost_segment", "ack_lost_segment", "retransmission spurious_retransmission",
    ]  # fmt: skip


def test_nothing_is_said_from_a_segment_on_that_tshark_may_read_otherwise() -> None:
    for odd in ("fragment", "options", "damaged"):
        play = Play()
        play.handshake(calls=False)
        play.data("c>s", 0, 100)
        if odd == "fragment":
            play.packets[-1]._fragment_more = True
        elif odd == "options":
            play.packets[-1]._options = TcpOptions(odd=True)
        else:
            play.packets[-1].fault_layer = "TCP options"
            play.packets[-1].fault_limited_by = "option length"
        play.ack("s>c", 100)
        tables = play.tables()
        assert [s.retransmission for s in tables.segments] == [False] * 3 + [None] * 2
        assert tables.segments[-1].acks_frame is None
        assert tables.connections[0].retransmission_count is None


def test_options_that_the_snap_length_cut_cost_no_verdict() -> None:
    """tshark shows nothing of such a segment, but goes by it."""
    play = Play(window=64)
    play.frame("c>s", "S", 0, options=TcpOptions(mss=1460, wscale=2))
    play.frame("s>c", "SA", 0, 1, options=TcpOptions(mss=1460))  # a scale may have been behind it
    play.packets[-1].fault_layer, play.packets[-1].fault_limited_by = "TCP options", "snaplen"
    play.ack("c>s", 0)
    play.data("c>s", 0, 64)
    play.data("c>s", 32, 64)
    play.ack("s>c", 64)
    assert verdicts(play)[1:] == ["", "", "", "retransmission", ""]  # no window_full: not known
    assert play.tables().segments[-1].acks_frame == 4


def test_data_in_a_syn_is_taken_or_not() -> None:
    cookie = TcpOptions(has_cookie=True)
    taken, left = Play(), Play()
    for play, ack in ((taken, 101), (left, 1)):
        play.frame("c>s", "S", 0, length=100, options=cookie)
        play.frame("s>c", "SA", 0, ack)
    assert verdicts(taken) == ["tfo_syn", "tfo_ack"]
    assert verdicts(left) == ["tfo_syn", "tfo_ignored"]
    connection = left.tables().connections[0]
    assert (connection.tfo_syn_count, connection.tfo_ignored_count) == (1, 1)
    wish = Play()
    wish.frame("c>s", "S", 0, options=TcpOptions())
    wish.frame("s>c", "SA", 0, 1, options=cookie)
    assert verdicts(wish) == ["", ""]


def test_what_the_numbers_beside_a_verdict_count_from() -> None:
    play = Play()
    play.handshake(calls=False)
    play.frame("c>s", "A", 1, 1, 100)
    play.data("c>s", 100, 150)  # PSH
    play.frame("c>s", "A", 151, 1, 30)
    for _ in range(2):
        play.ack("s>c", 0)
    play.now_ns += 300_000_000
    play.frame("c>s", "A", 1, 1, 180)
    segments = play.tables().segments
    assert [s.push_bytes for s in segments[3:6]] == [100, 150, 30]
    assert [s.duplicate_ack_frame for s in segments[6:8]] == [2, 2]
    assert (segments[-1].rto_frame, segments[-1].rto_ns) == (4, 300_005_000)
    assert play.tables().connections[0].initial_rtt_ns == 2_000
