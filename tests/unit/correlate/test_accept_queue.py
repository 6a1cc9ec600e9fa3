"""Which of several connections of the same ends an accept returned, and which frame woke it."""

from __future__ import annotations

from typing import Any

import pytest
from playbook import ADDRESS, INODE, Play, frames_of, number_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.call import POLLIN
from netlab.model.kernel_event import KernelEvent
from netlab.model.tables import Tables

LISTENER: dict[str, Any] = {"inode": INODE["listener"], "fd": 3, "peer": None}


def listening(*, deferred: bool = False, backlog: int = 0) -> Play:
    play = Play()
    if deferred:
        play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_DEFER_ACCEPT, 5", **LISTENER)
    play.did("server", "listen", 0, args=str(backlog), **LISTENER)
    return play


def connects(play: Play, inode: int) -> int:
    """A new connection from the same port; the frame that ended the handshake."""
    if any(packet.tcp_flags == "SYN" for packet in play.packets):
        play.iss, play.irs = play.iss + 70_000, play.irs + 70_000
    with play.call("client", "connect", 0, address="127.0.0.1:80", inode=inode):
        play.syn()
        play.synack()
        return play.ack("c>s", 0)


def resets(play: Play, inode: int) -> None:
    with play.call("client", "close", 0, inode=inode):
        play.rst("c>s", 0)


def accepts(play: Play, inode: int = INODE["server"]) -> None:
    play.did("server", "accept", 5, address="127.0.0.1:40000", new_inode=inode, **LISTENER)


def sound(play: Play) -> Tables:
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def accepted(tables: Tables) -> list[int | None]:
    return [call.connection for call in tables.calls if call.op == "accept"]


def test_a_deferred_connection_that_was_reset_before_data_is_not_the_accepted_one() -> None:
    play = listening(deferred=True)
    connects(play, 100)
    resets(play, 100)
    connects(play, 101)
    with play.call("client", "send", 5, inode=101):
        data = play.data("c>s", 0, 5)
    with play.wait("server", (INODE["listener"], POLLIN)):
        pass
    accepts(play)
    play.did("server", "recv", 5)
    tables = sound(play)
    assert accepted(tables) == [1]
    call = tables.calls[number_of(tables, "recv") - 1]
    assert (call.connection, call.start, call.stop) == (1, 0, 5)
    assert frames_of(tables, number_of(tables, "epoll_wait"), "wakeup") == [data]


def test_the_option_counts_as_it_was_when_the_ack_came() -> None:
    play = listening(deferred=True)
    play.did("server", "setsockopt", 0, args="SOL_TCP, TCP_DEFER_ACCEPT, 0", **LISTENER)
    done = connects(play, 100)
    with play.wait("server", (INODE["listener"], POLLIN)):
        pass
    accepts(play)
    tables = sound(play)
    assert accepted(tables) == [0]
    assert frames_of(tables, number_of(tables, "epoll_wait"), "wakeup") == [done]


def test_when_a_full_queue_may_have_ignored_the_ack_no_connection_is_given() -> None:
    play = listening()
    connects(play, 100)
    resets(play, 100)  # and the server's end never said a word
    connects(play, 101)
    with play.call("client", "send", 5, inode=101):
        play.data("c>s", 0, 5)
    accepts(play)
    play.did("server", "recv", 5)
    tables = sound(play)
    assert accepted(tables) == [None]
    assert len(tables.connections) == 2
    twins = "order ambiguous: several connections of the same ends fit"
    assert {(u.reason, u.call is None) for u in tables.unmatched} == {(twins, True), (twins, False)}


@pytest.mark.parametrize("witness", ["accepts", "time", "answer"])
def test_what_tells_the_connections_apart(witness: str) -> None:
    play = listening()
    connects(play, 100)
    if witness == "answer":
        with play.call("client", "send", 5, inode=100):
            play.data("c>s", 0, 5)
        play.ack("s>c", 5)
        with play.call("client", "close", 0, inode=100):
            play.rst("c>s", 5)
    else:
        resets(play, 100)
    if witness == "time":
        accepts(play)
    connects(play, 101)
    if witness != "time":
        accepts(play)
    if witness == "accepts":
        accepts(play, 202)
    expected: list[int | None] = [0, 1] if witness == "accepts" else [0]
    assert accepted(sound(play)) == expected


def two_acks(made_by: int | None = None) -> tuple[Play, list[int]]:
    """A wait of the listener's that one of two ACKs of the handshake ended, and those.

    `made_by`: which of them the kernel says made the connection.
    """
    play = listening()
    acks = []
    with (
        play.wait("server", (INODE["listener"], POLLIN)),
        play.call("client", "connect", 0, address="127.0.0.1:80"),
    ):
        play.syn()
        for number in range(2):
            play.synack()
            acks.append(play.ack("c>s", 0))
            if number == made_by:
                made = KernelEvent(
                    play.tick(), "localhost", "inet_sock_set_state", ADDRESS["server"],
                    ADDRESS["client"], state="SYN-RECEIVED", old_state="LISTEN",
                )  # fmt: skip
                play.raw.kernel_events.append(made)
    accepts(play)
    return play, acks


def test_a_listener_that_may_have_ignored_the_first_ack_was_woken_by_no_known_frame() -> None:
    tables = sound(two_acks()[0])
    assert accepted(tables) == [0]
    assert frames_of(tables, number_of(tables, "epoll_wait"), "wakeup") == []


@pytest.mark.parametrize("made_by", [0, 1])
def test_the_kernels_word_says_which_ack_woke_it(made_by: int) -> None:
    play, acks = two_acks(made_by)
    tables = sound(play)
    assert accepted(tables) == [0]
    assert frames_of(tables, number_of(tables, "epoll_wait"), "wakeup") == [acks[made_by]]


def test_a_reset_for_a_connection_that_is_gone_does_not_say_that_it_never_was() -> None:
    """The number of the reset is that of the handshake's ACK, too: the client had read nothing."""
    play = listening()
    connects(play, INODE["client"])
    accepts(play)
    with play.call("client", "send", 100, size=100):
        play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    with play.call("server", "close", 0):
        play.frame("s>c", "RA", 1, 101)
    with play.call("client", "close", 0):
        play.fin("c>s", 100)
    play.frame("s>c", "R", 1, 0)
    tables = sound(play)
    assert len(tables.connections) == 1
    assert tables.calls[number_of(tables, "accept") - 1].connection == 0
