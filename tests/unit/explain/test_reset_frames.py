"""Who reset a connection, where frames alone can tell: each rule where it speaks and where not."""

from __future__ import annotations

import pytest

from netlab.explain.findings.finding import Finding
from netlab.explain.findings.rules import findings_of
from netlab.explain.scene import Scene
from tests.far_end import RTT_MS, apart, opened
from tests.playbook import Play
from tests.waits_told import MS


def reset(play: Play) -> Finding:
    found = findings_of(Scene(apart(play).tables(), play.raw))
    (one,) = [finding for finding in found if finding.kind == "reset"]
    return one


def test_a_program_that_had_closed_answers_what_comes_later() -> None:
    play = opened()
    fin = play.fin("s>c", 0)
    play.now_ns += RTT_MS * MS
    play.ack("c>s", 1)
    more = play.data("c>s", 0, 12, 1)
    play.answer_rst("s>c", 1)
    one = reset(play)
    assert f"(FIN of frame {fin}) before 12 bytes of the client (frame {more}) came" in one.text
    assert "Stop sending" in one.advice


def test_seen_from_afar_the_answer_is_a_way_later() -> None:
    play = opened()
    asked = play.data("s>c", 0, 30)
    play.now_ns += RTT_MS * MS
    play.answer_rst("c>s", 0)
    assert f"the form of an answer to frame {asked}, for a connection that" in reset(play).text
    play = opened()
    play.data("s>c", 0, 30)
    play.now_ns += 2 * RTT_MS * MS
    play.answer_rst("c>s", 0)
    assert "answers no frame that had come just before" in reset(play).text


def test_a_reset_for_a_syn_ack_is_of_an_end_that_asked_for_nothing() -> None:
    play = Play(wired=True)
    play.syn()
    asked = play.synack()
    play.frame("c>s", "R", 1, 0)
    (one,) = [f for f in findings_of(Scene(play.tables(), play.raw)) if f.kind == "reset"]
    assert f"an answer to the SYN-ACK of frame {asked}, which it did not expect" in one.text
    assert "Look who sent the SYN" in one.advice


@pytest.mark.parametrize("answered", [False, True])
def test_keep_alives_without_an_answer(answered: bool) -> None:
    play = opened()
    play.data("s>c", 0, 100)
    play.now_ns += RTT_MS * MS
    play.ack("c>s", 100)
    for _ in range(2):
        play.now_ns += 1000 * MS
        play.frame("s>c", "A", 100, 1)
    if answered:
        play.now_ns += RTT_MS * MS
        play.ack("c>s", 100)
    play.now_ns += 1000 * MS
    play.rst("s>c", 100)
    text = reset(play).text
    assert ("2 keep-alive probes of it had no answer" in text) is not answered
    assert ("no byte had come" in text) is answered


def test_a_byte_that_is_sent_again_is_no_keep_alive() -> None:
    play = opened()
    play.data("s>c", 0, 1)
    for nth in range(3):
        play.now_ns += (400 << nth) * MS
        play.data("s>c", 0, 1)
    play.rst("s>c", 1)
    text = reset(play).text
    assert "keep-alive" not in text
    assert "what it sent again 3 times had no answer" in text


@pytest.mark.parametrize(("copies", "words"), [(3, "gave up, it seems"), (1, "no byte had come")])
def test_a_kernel_that_gave_up(copies: int, words: str) -> None:
    play = opened()
    play.data("s>c", 0, 100)
    for _ in range(copies):
        play.now_ns += 400 * MS
        play.data("s>c", 0, 100)
    play.rst("s>c", 100)
    assert words in reset(play).text


def test_unread_bytes_or_linger() -> None:
    play = opened()
    play.data("c>s", 0, 900)
    play.rst("s>c", 0, 900)
    text = reset(play).text
    assert "some of the 900 bytes unread that had come, or with SO_LINGER 0" in text
    assert "listener" not in text


def test_bytes_on_their_way_were_not_there_to_be_read() -> None:
    play = opened()
    play.data("s>c", 0, 20)
    play.now_ns += (RTT_MS - 1) * MS
    play.data("s>c", 20, 900)
    play.now_ns += 2 * MS
    play.rst("c>s", 0, 20)
    assert "some of the 20 bytes unread" in reset(play).text


def test_with_nothing_to_read_it_was_linger_or_the_listener() -> None:
    play = opened()
    play.rst("s>c", 0)
    text = reset(play).text
    assert "with SO_LINGER 0, or closed its listener before anybody had accepted it" in text
    play = opened()
    play.data("s>c", 0, 20)
    play.rst("s>c", 20)
    assert "listener" not in reset(play).text
