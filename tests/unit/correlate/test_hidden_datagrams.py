"""UDP sockets whose own port nothing shows: found by what they sent, or left open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from playbook import Play

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.model.tables import Tables

DNS = "127.0.0.1:53"
UDP: dict[str, Any] = {"kind": "SOCK_DGRAM", "local": None, "peer": None}


def asks(play: Play, inode: int, port: int, length: int, *, reads: int | None = None) -> None:
    """A socket sends one datagram, and may read an answer."""
    play.did("client", "socket", inode, inode=inode, **UDP)
    with play.call("client", "sendto", length, inode=inode, address=DNS, **UDP):
        play.datagram(f"127.0.0.1:{port}", DNS, length)
    if reads is not None:
        play.datagram(DNS, f"127.0.0.1:{port}", reads)
        play.did("client", "recvfrom", reads, inode=inode, address=DNS, size=512, **UDP)


def tables_of(play: Play) -> Tables:
    play.calls = [
        replace(call, witness="strace", returned_by_ns=call.returned_ns) for call in play.calls
    ]
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def places(tables: Tables, op: str) -> list[tuple[Any, ...]]:
    return [(c.connection, c.start, c.stop) for c in tables.calls if c.op == op]


def test_a_question_and_its_answer() -> None:
    play = Play()
    asks(play, 301, 5001, 40, reads=90)
    tables = tables_of(play)
    assert places(tables, "sendto") == [(0, 0, 40)]
    assert places(tables, "recvfrom") == [(0, 0, 90)]


def test_two_at_a_time_are_told_apart_by_their_lengths() -> None:
    play = Play()
    for inode in (301, 302):
        play.did("client", "socket", 5, inode=inode, **UDP)
    for inode, length in ((301, 40), (302, 41)):
        play.did("client", "sendto", length, inode=inode, address=DNS, **UDP)
    play.datagram("127.0.0.1:5002", DNS, 41)  # a queue held both
    play.datagram("127.0.0.1:5001", DNS, 40)
    assert places(tables_of(play), "sendto") == [(1, 0, 40), (0, 0, 41)]


def test_two_that_were_alike_are_given_none() -> None:
    play = Play()
    for inode in (301, 302):
        play.did("client", "socket", 5, inode=inode, **UDP)
        play.did("client", "sendto", 40, inode=inode, address=DNS, **UDP)
    play.datagram("127.0.0.1:5002", DNS, 40)
    play.datagram("127.0.0.1:5001", DNS, 40)
    tables = tables_of(play)
    assert places(tables, "sendto") == [(None, None, None)] * 2
    assert [row.reason for row in tables.unmatched if row.call is not None] == [Reason.HIDDEN] * 2


def test_one_after_the_other_is_clear() -> None:
    """The second socket was not there yet when the first datagram left."""
    play = Play()
    asks(play, 301, 5001, 40)
    asks(play, 302, 5002, 40)
    assert places(tables_of(play), "sendto") == [(0, 0, 40), (1, 0, 40)]


def test_somebody_else_s_datagram_is_not_taken() -> None:
    play = Play()
    play.datagram("127.0.0.1:5009", DNS, 40)
    asks(play, 301, 5001, 40)
    play.datagram("127.0.0.1:5001", DNS, 40)  # of 5001 two left, and one was sent
    tables = tables_of(play)
    assert places(tables, "sendto") == [(None, None, None)]
