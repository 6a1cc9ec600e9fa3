"""What tshark 4.4 says otherwise than 4.0, by its User's Guide ("TCP Analysis"), a rule a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from playbook import Play

from netlab.commands.main import run
from netlab.correlate.join import correlate
from netlab.correlate.releases import Release
from netlab.correlate.verdicts import VERDICTS
from netlab.model.tables import Segment


def judged(play: Play, release: str) -> list[Segment]:
    return correlate(play.raw, play.packets, release=Release(release)).segments


def words(play: Play, release: str) -> list[str | None]:
    """Of each segment; None: nothing is said."""
    return [
        None if s.retransmission is None else " ".join(n for n in VERDICTS if getattr(s, n))
        for s in judged(play, release)
    ]


def test_an_ack_with_sack_data_and_another_window_is_a_duplicate_and_no_window_update() -> None:
    """4.4: "The window size is non-zero and hasn't changed, or there is valid SACK data"; and of a
    window update: "there is no valid SACK data"."""
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)  # does not arrive
    play.data("c>s", 100, 200)
    play.ack("s>c", 0, options=play.sack_option("c>s", (100, 200)), window=500)
    assert words(play, "4.0")[-1] == "window_update"
    assert words(play, "4.4")[-1] == "duplicate_ack"
    last = judged(play, "4.4")[-1]
    assert (last.duplicate_ack_num, last.duplicate_ack_frame) == (1, 2)


def test_two_of_them_make_a_fast_retransmission() -> None:
    play = Play()
    play.handshake(calls=False)
    for start in range(0, 300, 100):
        play.data("c>s", start, start + 100)
    for window, stop in ((500, 200), (490, 300)):
        play.ack("s>c", 0, options=play.sack_option("c>s", (100, stop)), window=window)
    play.data("c>s", 0, 100)
    assert words(play, "4.0")[-1] == "retransmission"
    assert words(play, "4.4")[-1] == "retransmission fast_retransmission"


def test_what_the_guide_leaves_open_is_not_said_and_neither_is_what_follows() -> None:
    for blocks, window in (((0, 50),), 500), (((100, 200),), 0):  # a D-SACK; a closed window
        play = Play()
        play.handshake(calls=False)
        play.data("c>s", 0, 100)
        play.ack("s>c", 100)
        play.ack("s>c", 100, options=play.sack_option("c>s", *blocks), window=window)
        play.data("c>s", 100, 200)
        assert None not in words(play, "4.0")
        assert words(play, "4.4")[-2:] == [None, None]
        assert words(play, "4.4")[:-2] == words(play, "4.0")[:-2]


def test_the_answer_to_a_zero_window_probe_may_open_the_window() -> None:
    """4.4: the ACK is "the next expected sequence number when answering to a ZeroWindowProbe"."""
    play = Play(wscale=None)
    play.handshake(calls=False)
    play.data("c>s", 0, 512)
    play.ack("s>c", 512, window=0)
    play.data("c>s", 512, 513)
    play.ack("s>c", 513, window=400)
    play.data("c>s", 513, 600)
    assert words(play, "4.0")[-2] == "ack_lost_segment"
    assert words(play, "4.4")[-2:] == ["window_update", None]


def test_an_ack_of_what_was_not_seen_has_a_rule_that_nobody_wrote_down() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.ack("s>c", 300)
    assert words(play, "4.0")[-1] == "ack_lost_segment"
    assert words(play, "4.4")[-2:] == ["", None]


def test_all_else_is_the_same() -> None:
    play = Play()
    play.handshake(calls=False)
    for start in range(0, 5000, 1000):
        play.data("c>s", start, start + 1000)
    for _ in range(4):
        play.ack("s>c", 0)
    play.data("c>s", 0, 1000)
    play.ack("s>c", 5000)
    play.ack("s>c", 5000, window=100)
    assert words(play, "4.0") == words(play, "4.4")


SEGMENTS = (
    "select count(ack_lost_segment) as judged, sum(ack_lost_segment::int) as such from segments"
)


def test_the_commands_take_it(captures_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(captures_dir / "files" / "gap-data-missing.pcapng")

    def said(release: str, *command: str) -> str:
        assert run([command[0], path, *command[1:], "--tshark-compat", release]) == 0
        return capfd.readouterr().out

    asked = ("query", SEGMENTS, "--format", "csv")
    assert said("4.0", *asked).splitlines()[-1] == "18,2"
    assert said("4.4", *asked).splitlines()[-1] == "8,0"
    export = ("export", "-t", "segments", "--columns", "ack_lost_segment")
    assert said("4.0", *export).count("null") == 0
    assert said("4.4", *export).count("null") == 10
    shown = ("inspect", "--packets", "--where", "ack_lost_segment", "--json")
    assert [said(release, *shown).count('"time_ns"') for release in ("4.0", "4.4")] == [2, 0]


def test_another_release_is_not_known(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["query", "a.pcap", "select 1", "--tshark-compat", "3.6"]) == 2
    assert "4.0" in capfd.readouterr().err
