"""Unix sockets: call to call."""

from __future__ import annotations

from typing import Any

from playbook import Play

from netlab.correlate.ledger import ledger_mismatches

U: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_STREAM", "local": "unix:", "peer": "unix:"}
A = {**U, "inode": 1}
B = {**U, "inode": 2}


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    return tables


def local_spans(tables: Any) -> list[tuple[Any, ...]]:
    return [(s.call, s.peer_call, s.start, s.stop) for s in tables.spans if s.role == "local"]


def test_stream_bytes_link_sends_and_reads_both_ways() -> None:
    play = Play()
    play.did("client", "socketpair", 0, new_inode=2, **A)
    play.did("client", "send", 100, **A)
    play.did("client", "recv", 60, **B)
    play.did("client", "recv", 40, **B)
    play.did("client", "send", 5, **B)
    tables = closes(play)
    assert local_spans(tables) == [
        (2, 3, 0, 60), (2, 4, 60, 100), (3, 2, 0, 60), (4, 2, 60, 100),
    ]  # fmt: skip
    assert [(c.protocol, c.client_bytes, c.server_bytes) for c in tables.connections] == [
        ("unix", 100, 5)
    ]
    assert [(u.call, u.bytes, u.reason) for u in tables.unmatched] == [(5, 5, "still queued")]


def test_the_side_that_accepted_is_the_server() -> None:
    play = Play()
    path = {"local": "unix:/s"}
    play.did("server", "listen", 0, **{**U, **path, "inode": 3})
    play.did("client", "connect", 0, **A, address="unix:/s", peer_inode=2)
    play.did("server", "accept", 5, **{**U, **path, "inode": 3}, new_inode=2)
    play.did("client", "send", 10, **A)
    play.did("server", "recv", 10, **B)
    tables = closes(play)
    assert [(c.op, c.connection, c.side) for c in tables.calls] == [
        ("listen", None, None), ("connect", 0, "client"), ("accept", 0, "server"),
        ("send", 0, "client"), ("recv", 0, "server"),
    ]  # fmt: skip
    assert local_spans(tables) == [(4, 5, 0, 10), (5, 4, 0, 10)]


def test_messages_keep_their_bounds_and_cut_ends_are_listed() -> None:
    play = Play()
    a, b = ({**x, "kind": "SOCK_DGRAM"} for x in (A, B))
    play.did("client", "socketpair", 0, new_inode=2, **a)
    for length in (10, 20, 30):
        play.did("client", "send", length, **a)
    play.did("client", "recv", 10, size=100, **b)
    play.did("client", "recv", 5, size=5, **b)
    tables = closes(play)
    assert [(s[0], s[1]) for s in local_spans(tables)] == [(2, 5), (3, 6), (5, 2), (6, 3)]
    assert {(u.call, u.bytes, u.reason) for u in tables.unmatched} == {
        (6, 15, "truncated"), (4, 30, "still queued"),
    }  # fmt: skip


def test_an_unknown_other_end_is_a_reason_not_a_guess() -> None:
    play = Play()
    play.did("client", "connect", 0, **A, address="unix:/s")
    play.did("client", "send", 10, **A)
    tables = closes(play)
    assert [u.reason for u in tables.unmatched] == [
        "not on a network: the other end is not recorded"
    ]


def test_what_an_accept_returned_is_the_other_end_and_not_its_listener() -> None:
    play = Play()
    listener = {**U, "inode": 3, "local": "unix:/s", "peer": None}
    play.did("server", "socket", 3, **listener)
    play.did("server", "listen", 0, **listener)
    named = {**A, "local": "unix:/c"}  # strace does not tell the peer of a socket that has a name
    play.did("server", "socket", 4, **named)
    play.did("server", "connect", 0, address="unix:/s", **named)
    play.did("server", "accept", 5, new_inode=2, peer_inode=1, address="unix:/c", **listener)
    sent = play.did("server", "send", 10, **named)
    answered = play.did("server", "send", 7, **B)
    read = play.did("server", "recv", 10, size=100, **B)
    tables = closes(play)
    assert local_spans(tables) == [(sent, read, 0, 10), (read, sent, 0, 10)]
    assert [(u.call, u.bytes, u.reason) for u in tables.unmatched] == [
        (answered, 7, "still queued")
    ]
    assert len(tables.connections) == 1
