"""The sentence of a call with many waits: a cause that came again and again is named once."""

from __future__ import annotations

from netlab.explain.waits import explained
from netlab.show.terminal.why import sentence_text
from netlab.show.views.why import sentence
from tests.playbook import Play, number_of
from tests.waits_told import MS


def questions(count: int) -> str:
    """What is said of a read whose answer came after so many questions, each long on its way."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "recv", 10, size=10, tid=11):
        for piece in range(count):
            with play.call("client", "send", 10, size=10):
                frame = play.data("c>s", 10 * piece, 10 * piece + 10, way="hold")
            with play.call("server", "read", 10, size=10):
                play.now_ns += (piece + 1) * MS
                play.arrives(frame)
        play.now_ns += 20 * MS
        with play.call("server", "send", 10, size=10):
            play.data("s>c", 0, 10, 10 * count)
    scene = explained(play.tables(), play.raw)
    return sentence_text(sentence(scene, scene.call(number_of(scene.tables, "recv"))))


def test_few_waits_are_said_one_by_one() -> None:
    said = questions(2)
    assert "2.0 ms on the wire (frame 5) (inside server read #8)" in said
    assert "such waits" not in said


def test_many_of_one_cause_are_said_once_with_all_their_time() -> None:
    said = questions(5)
    assert "20.0 ms before the server's program called send #15" in said
    assert "15.0 ms on the wire (frame 8) (inside server read #14) (the longest of 6" in said
    assert "other reason" not in said
