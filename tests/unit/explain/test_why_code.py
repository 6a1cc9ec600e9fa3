"""The line of the program stands where its call is named, and nowhere else."""

from __future__ import annotations

from netlab.show.terminal.lines import plain
from netlab.show.terminal.why import sentence_text, why_lines
from netlab.show.views.why import Why, why
from tests.playbook import Play
from tests.waits_told import MS


def told(code: str | None) -> Why:
    """A reader that waits for a program, and a close with unread bytes."""
    play = Play(wired=True)
    play.handshake()
    with play.call("client", "recv", 50, size=4096, code=code):
        play.now_ns += 41 * MS
        with play.call("server", "send", 50, size=50):
            play.data("s>c", 0, 50)
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100, 50)
    with play.call("server", "close", 0, code=code and code.replace("7", "9")):
        play.rst("s>c", 50, 100)
    return why(play.tables(), play.raw, "told")


def test_the_line_of_the_program_is_named() -> None:
    view = told("reader.py:7")
    assert sentence_text(view.sentences[0]).startswith("client recv #4 at reader.py:7 waited 41")
    (reset,) = (one for one in view.findings if one.kind == "reset")
    assert reset.code == ("reader.py:9",)
    text = " ".join(" ".join(map(plain, why_lines(view, 80))).split())
    assert "call #7, at reader.py:9" in text


def test_where_it_is_not_known_nothing_is_said_of_it() -> None:
    view = told(None)
    assert sentence_text(view.sentences[0]).startswith("client recv #4 waited 41")
    assert all(one.code == () for one in view.findings)
    assert "at reader" not in " ".join(map(plain, why_lines(view, 80)))
