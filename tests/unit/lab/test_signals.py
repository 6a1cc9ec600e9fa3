from __future__ import annotations

import os
import signal

import pytest

from netlab.lab.signals import HeldSignals, Interruptions
from netlab.model.errors import NetlabError
from tests.private_network import in_child


def test_signals_are_counted_and_the_handlers_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruptions() as interruptions:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert interruptions.count == 2
        assert interruptions.first == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is before


def test_the_third_one_does_not_wait() -> None:
    with Interruptions():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_is_raised_says_which_signal_it_was() -> None:
    with Interruptions() as interruptions:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as raised, interruptions.while_starting():
            raise NetlabError("a child died of it, too", "wait for nothing")
    assert raised.value.args == (signal.SIGTERM,)


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruptions() as interruptions:
            signal.raise_signal(signal.SIGHUP)
            assert interruptions.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_held_signals_are_told_with_who_sent_them_and_end_nobody() -> None:
    def work() -> tuple[list[tuple[int, bool]], list[tuple[int, bool]], bool]:
        with HeldSignals() as held:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            first, second = sorted(held.take()), held.take()
            os.kill(os.getpid(), signal.SIGTERM)  # untaken, it is gone with the block
        return first, second, signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    # In a process with one thread, as netlab is: another thread would take what this one blocks.
    assert in_child(work) == ([(signal.SIGINT, False), (signal.SIGTERM, False)], [], False)
