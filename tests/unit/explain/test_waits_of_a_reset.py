"""Waits that a reset ended, whose program was not recorded: whether it answered a frame."""

from __future__ import annotations

import pytest

from tests.playbook import Play, number_of
from tests.waits_told import MS, told


def reset_soon(*, answers: bool) -> tuple[int, str]:
    """(the frame of the client just before a reset, what is said of the wait for that).

    The server's calls are not recorded; what it had sent is on its way, or lost.
    """
    play = Play(wired=True)
    play.handshake()
    play.calls = [call for call in play.calls if call.op == "connect"]
    play.data("s>c", 0, 100, way="drop")
    with play.call("client", "recv", None, size=10, errno="ECONNRESET"):
        play.now_ns += 100 * MS
        frame = play.data("c>s", 0, 5)
        play.now_ns += MS
        if answers:
            play.answer_rst("s>c", 0)
        else:
            play.rst("s>c", 100, 0)
    tables, rows = told(play)
    recv = number_of(tables, "recv")
    return frame, "; ".join(row.text for row in rows if row.call == recv)


@pytest.mark.parametrize("answers", [True, False])
def test_a_reset_answers_only_what_it_has_the_number_of(answers: bool) -> None:
    frame, text = reset_soon(answers=answers)
    assert (f"before frame {frame}, which was answered" in text) is answers, text
