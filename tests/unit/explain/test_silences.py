"""What frames alone say of the times in which a connection stood still: each rule, its limits."""

from __future__ import annotations

from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import why_lines
from netlab.show.views.why import why
from tests.playbook import Play
from tests.waits_told import MS

FULL = 1460


def parts(play: Play) -> list[Part]:
    tables = play.tables()
    return silences_of(Scene(tables, play.raw), 0)


def causes(play: Play) -> list[tuple[str, int]]:
    found = parts(play)
    assert {part.certainty for part in found} <= {"inferred"}
    return [(part.cause, round(part.length_ns / MS)) for part in found]


def opened(*, round_trip_ms: int = 0, window: int = 512) -> Play:
    """A capture at the client's end, without a call."""
    play = Play(window=window)
    play.syn()
    play.now_ns += round_trip_ms * MS
    play.synack(), play.ack("c>s", 0)
    play.ack("s>c", 0)  # the first window that is scaled
    return play


def test_where_calls_are_known_they_tell_it() -> None:
    play = Play()
    play.handshake()
    play.now_ns += 50 * MS
    play.data("c>s", 0, 10)
    assert parts(play) == []


def test_a_syn_and_a_synack_sent_again() -> None:
    play = Play()
    first = play.syn()
    play.now_ns += 1000 * MS
    play.syn(), play.synack()
    play.now_ns += 1000 * MS
    play.synack(), play.ack("c>s", 0)
    assert causes(play) == [("syn_retry", 1000), ("syn_retry", 1000)]
    assert parts(play)[0].frames == (first, first + 1)
    assert "the SYN-ACK of frame 3 had no answer" in parts(play)[1].text


def test_the_answer_to_a_syn_is_the_way_there_and_back() -> None:
    assert causes(opened(round_trip_ms=20)) == [("network", 20)]


def test_a_segment_sent_again() -> None:
    play = opened()
    first = play.data("c>s", 0, 100)
    play.now_ns += 210 * MS
    again = play.data("c>s", 0, 100)
    assert causes(play) == [("tail_loss_probe", 210)]
    assert parts(play)[0].frames == (first, again)


def test_a_question_and_its_answer() -> None:
    play = opened(round_trip_ms=20)
    asked = play.data("c>s", 0, 100)
    play.now_ns += 20 * MS
    play.data("s>c", 0, 50, 100)
    play.data("c>s", 100, 200, 50)
    play.now_ns += 90 * MS
    play.data("s>c", 50, 100, 200)
    assert causes(play)[1:] == [("network", 20), ("peer_app", 90)]
    assert f"before the server answered frame {asked}, hardly longer" in parts(play)[1].text


def test_a_small_write_behind_a_small_write_and_an_ack_that_is_late() -> None:
    play = opened()
    play.data("c>s", 0, 64)
    play.now_ns += 41 * MS
    play.ack("s>c", 64)
    play.data("c>s", 64, 129)
    assert causes(play) == [("delayed_ack", 41)]
    assert "65 bytes of the client left only then" in parts(play)[0].text


def test_an_ack_that_was_in_time_is_nagles_alone() -> None:
    play = opened(round_trip_ms=41)
    play.data("c>s", 0, 64)
    play.now_ns += 41 * MS
    play.ack("s>c", 64)
    play.data("c>s", 64, 129)
    assert causes(play)[1:] == [("nagle", 41)]


def test_a_late_ack_that_lets_nobody_send_ends_no_silence() -> None:
    play = opened()
    play.data("c>s", 0, 64)
    play.now_ns += 41 * MS
    play.ack("s>c", 64)
    play.now_ns += 60 * MS
    play.data("c>s", 64, 129)
    assert causes(play) == [("peer_app", 101)]
    assert "before the client sent on" in parts(play)[0].text


def test_full_segments_that_an_ack_lets_go_waited_for_room() -> None:
    play = opened(round_trip_ms=30)
    play.data("c>s", 0, FULL)
    play.now_ns += 30 * MS
    play.ack("s>c", FULL)
    play.data("c>s", FULL, 2 * FULL)
    assert causes(play)[1:] == [("cwnd", 30)]


def test_full_segments_after_a_short_one_had_not_been_written() -> None:
    play = opened(round_trip_ms=30)
    play.data("c>s", 0, FULL)
    play.data("c>s", FULL, FULL + 700)
    play.now_ns += 30 * MS
    play.ack("s>c", FULL + 700)
    play.data("c>s", FULL + 700, 2 * FULL + 700)
    assert "cwnd" not in [cause for cause, _ in causes(play)]


def test_a_closed_window_its_probe_and_what_opens_it() -> None:
    play = opened()
    play.data("c>s", 0, 100)
    play.ack("s>c", 100, window=0)
    play.now_ns += 400 * MS
    play.frame("c>s", "A", 100, 1)  # one before the next byte, empty
    play.ack("s>c", 100, window=0)
    play.now_ns += 300 * MS
    play.ack("s>c", 100, window=512)
    assert causes(play) == [("peer_window", 400), ("peer_window", 300)]
    assert "until frame 8 asked" not in parts(play)[0].text
    assert "asked whether it was" in parts(play)[0].text
    assert "opened it" in parts(play)[1].text


def test_the_same_probe_with_an_open_window_is_a_keep_alive() -> None:
    play = opened()
    play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    play.now_ns += 400 * MS
    play.frame("c>s", "A", 100, 1)
    assert causes(play) == [("peer_app", 400)]
    assert "keep-alive" in parts(play)[0].text


def test_a_window_with_room_for_less_than_a_segment() -> None:
    play = opened()
    play.data("c>s", 0, FULL)
    play.ack("s>c", FULL, window=4)  # 512 bytes
    play.now_ns += 211 * MS
    play.data("c>s", FULL, FULL + 512)
    assert causes(play) == [("window_probe", 211)]


def test_an_end_after_a_silence_is_its_programs() -> None:
    play = opened()
    play.data("c>s", 0, 100), play.ack("s>c", 100)
    play.now_ns += 70 * MS
    play.fin("s>c", 0, 100)
    assert causes(play) == [("peer_app", 70)]
    assert "before the server ended its stream" in parts(play)[0].text


def test_what_is_shorter_than_ten_milliseconds_is_none() -> None:
    play = opened()
    play.data("c>s", 0, 100)
    play.now_ns += 9 * MS
    play.data("c>s", 0, 100)
    assert parts(play) == []


def test_they_stand_in_a_list_with_what_to_change_the_one_that_matters_first() -> None:
    play = opened()
    play.data("c>s", 0, 64)
    play.now_ns += 41 * MS
    play.ack("s>c", 64)
    play.data("c>s", 64, 129), play.ack("s>c", 129)
    play.now_ns += 3000 * MS
    play.fin("c>s", 129)
    view = why(play.tables(), play.raw, "a.pcap")
    assert [one.cause for one in view.silences] == ["delayed_ack", "peer_app"]
    text = "\n".join(plain(line) for line in why_lines(view, 60))
    assert "silent for 3.041 s, 2 times" in text
    assert "Set TCP_NODELAY" in text
    assert max(map(len, text.splitlines())) <= 60


def test_their_heading_says_how_they_are_known() -> None:
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL)
    play.now_ns += 30 * MS
    play.data("c>s", FULL, FULL + 100)
    text = "\n".join(plain(line) for line in why_lines(why(play.tables(), play.raw, "a"), 60))
    assert "The longest silences  (all inferred)" in text
    play = opened()
    play.data("c>s", 0, FULL), play.ack("s>c", FULL)
    play.now_ns += 30 * MS
    play.data("c>s", FULL, 2 * FULL)
    text = "\n".join(plain(line) for line in why_lines(why(play.tables(), play.raw, "a"), 60))
    assert "The longest silences  (all inferred, or not known)" in text
    assert "between full segments of the client" in " ".join(text.split())


def test_an_answer_that_took_long_matters_more_than_a_longer_time_of_nothing_to_say() -> None:
    play = opened()
    play.data("c>s", 0, 100)
    play.now_ns += 90 * MS
    play.data("s>c", 0, 50, 100)
    play.ack("c>s", 50, 100)
    play.now_ns += 900 * MS
    play.data("s>c", 50, 100, 100)
    view = why(play.tables(), play.raw, "a")
    assert [(one.cause, one.ns // MS) for one in view.silences] == [
        ("peer_app", 90), ("peer_app", 900),
    ]  # fmt: skip
