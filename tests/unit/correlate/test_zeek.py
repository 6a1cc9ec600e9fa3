"""Zeek's words on conversations made by hand; `test_verdict_agreement` has its own baselines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playbook import Play

from netlab.model.tables import Connection


def told(tell: Callable[[Play], object]) -> Connection:
    play = Play()
    tell(play)
    return play.tables().connections[0]


def _open(play: Play) -> None:
    play.handshake(calls=False)


def _closed(play: Play) -> None:
    _open(play)
    play.data("c>s", 0, 100), play.ack("s>c", 100)
    play.data("s>c", 0, 50, ack=100)
    play.fin("c>s", 100, ack=50), play.fin("s>c", 50, ack=101)


@pytest.mark.parametrize(
    ("tell", "state", "history"),
    [
        (lambda p: p.syn(), "S0", "S"),
        (_open, "S1", "ShA"),
        (_closed, "SF", "ShADadFf"),
        (lambda p: (p.syn(), p.frame("s>c", "RA", 0, 1)), "REJ", "Sr"),
        (lambda p: (p.syn(), p.frame("c>s", "R", 1)), "RSTOS0", "SR"),
        (lambda p: (_open(p), p.rst("c>s", 0)), "RSTO", "ShAR"),
        (lambda p: (_open(p), p.rst("s>c", 0)), "RSTR", "ShAr"),
        (lambda p: (_open(p), p.fin("c>s", 0)), "S2", "ShAF"),
        (lambda p: (_open(p), p.fin("s>c", 0)), "S3", "ShAf"),
        (lambda p: (p.syn(), p.fin("c>s", 0)), "SH", "SF"),
        (lambda p: (p.synack(), p.fin("s>c", 0)), "SHR", "^hf"),
        (lambda p: (p.synack(), p.rst("s>c", 0)), "RSTRH", "^hr"),
        (lambda p: (p.data("c>s", 0, 9), p.ack("s>c", 9)), "OTH", "Da"),
    ],
)
def test_state_and_history(tell: Callable[[Play], object], state: str, history: str) -> None:
    found = told(tell)
    assert (found.conn_state, found.history) == (state, history)


def test_what_was_acknowledged_and_not_captured_is_a_gap() -> None:
    def tell(play: Play) -> None:
        _open(play)
        play.data("c>s", 0, 100), play.data("c>s", 300, 400)
        play.ack("s>c", 450)

    found = told(tell)
    assert found.history == "ShADaG"
    assert (found.client_missed_bytes, found.client_stream_bytes) == (250, 450)
    assert (found.client_bytes, found.server_missed_bytes) == (200, 0)


def test_repeated_letters_are_written_at_powers_of_ten() -> None:
    def tell(play: Play) -> None:
        _open(play)
        for _ in range(11):
            play.data("c>s", 0, 100)

    assert told(tell).history == "ShADTT"  # the first and the tenth that came again
