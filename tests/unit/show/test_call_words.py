"""How a call is named where there is little room: the longest text that fits."""

from __future__ import annotations

from netlab.show.views.words import entry_texts, outcomes
from tests.playbook import Play


def test_an_option_whose_value_has_commas_is_shown_whole() -> None:
    play = Play()
    play.did("client", "setsockopt", 0, args="SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}")
    play.did("client", "setsockopt", 0, args="SOL_TCP, TCP_NODELAY, 1")
    linger, nodelay = play.tables().calls
    assert "SO_LINGER={onoff=1, linger=2}" in entry_texts(linger)
    assert "TCP_NODELAY=1" in entry_texts(nodelay)


def test_a_thread_that_was_stopped_returns_nothing_but_goes_on() -> None:
    play = Play()
    play.did("client", "stop", None, args="SIGSTOP", fd=None, inode=None)
    play.did("client", "shutdown", 0, args="SHUT_WR")
    with play.call("client", "stop", None, args="SIGSTOP", fd=None, inode=None, inside=True):
        pass
    stop, shutdown, still = play.tables().calls
    assert outcomes(stop, ()) == ("went on",)
    assert outcomes(shutdown, ()) == ("= 0",)
    assert outcomes(still, ()) == ("= ?",)
