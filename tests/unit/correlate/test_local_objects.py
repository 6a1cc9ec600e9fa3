"""Pipes, queues and rings: call to call; and what a message between processes is about."""

from __future__ import annotations

from typing import Any

import pytest
from playbook import INODE, Play

from netlab.correlate.ledger import ledger_mismatches
from netlab.model.tables import Tables

NO_NAME: dict[str, Any] = {"kind": None, "local": None, "peer": None}
PIPE = {**NO_NAME, "family": "pipe", "inode": 71}
QUEUE = {**NO_NAME, "family": "mqueue", "inode": 72}
SYSV = {**NO_NAME, "family": "sysv", "inode": 1 << 48 | 5}
RING = {**NO_NAME, "family": "ring", "inode": 2 << 48 | 6}
STREAMS = {"pipe": (PIPE, "pipe", "write", "read"),
           "ring": (RING, "memfd_create", "ring_put", "ring_get")}  # fmt: skip
QUEUES = {"mqueue": (QUEUE, "mq_open", "mq_send", "mq_receive"),
          "sysv": (SYSV, "msgget", "msgsnd", "msgrcv")}  # fmt: skip


def closes(play: Play) -> Tables:
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    return tables


def local_spans(tables: Tables) -> list[tuple[Any, ...]]:
    return [
        (s.call, s.peer_call, s.start, s.stop) for s in tables.spans
        if s.role == "local" and s.call < (s.peer_call or 0)
    ]  # fmt: skip


def unmatched(tables: Tables) -> list[tuple[Any, ...]]:
    return [(u.call, u.bytes, str(u.reason)) for u in tables.unmatched]


@pytest.mark.parametrize("family", STREAMS)
def test_bytes_of_a_stream_overlap(family: str) -> None:
    thing, make, put, take = STREAMS[family]
    play = Play()
    play.did("server", make, 0, **thing)
    play.did("server", put, 100, **thing)
    play.did("client", take, 60, **thing)
    play.did("server", put, 20, **thing)
    play.did("client", take, 60, **thing)
    play.did("client", take, None, errno="EAGAIN", **thing)
    play.did("server", put, 7, **thing)
    tables = closes(play)
    assert local_spans(tables) == [(2, 3, 0, 60), (2, 5, 60, 100), (4, 5, 100, 120)]
    (row,) = tables.connections
    assert (row.protocol, row.client, row.client_bytes, row.server_bytes) == (
        family, f"{family}:[{thing['inode'] & 0xFFFF}]", 127, 0,
    )  # fmt: skip
    assert unmatched(tables) == [(7, 7, "still queued")]
    assert [(c.side, c.connection) for c in tables.calls[1:3]] == [("client", 0), ("server", 0)]


@pytest.mark.parametrize("family", QUEUES)
def test_messages_of_a_queue_keep_their_order(family: str) -> None:
    thing, make, put, take = QUEUES[family]
    play = Play()
    play.did("server", make, 0, **thing)
    for length in (10, 10, 30):
        play.did("server", put, length, **thing)
    play.did("client", take, 10, **thing)
    play.did("client", take, 10, **thing)
    tables = closes(play)
    assert local_spans(tables) == [(2, 5, 0, 10), (3, 6, 10, 20)]
    assert tables.connections[0].protocol == "mq"
    assert unmatched(tables) == [(4, 30, "still queued")]


def test_what_is_left_when_all_ends_are_closed() -> None:
    play = Play()
    play.did("server", "mq_open", 3, **QUEUE)
    play.did("server", "mq_send", 10, **QUEUE)
    play.did("server", "close", 0, **QUEUE)
    assert unmatched(closes(play)) == [(2, 10, "closed before it was read")]


def test_a_queue_that_was_there_before() -> None:
    play = Play()
    play.did("server", "mq_send", 10, **QUEUE)
    play.did("client", "mq_receive", 10, **QUEUE)
    tables = closes(play)
    assert local_spans(tables) == []
    assert {reason for _, _, reason in unmatched(tables)} == {
        "no call witness: watching began late"
    }


def test_calls_that_do_not_fit_are_not_guessed() -> None:
    play = Play()
    play.did("server", "mq_open", 3, **QUEUE)
    play.did("server", "mq_send", 10, **QUEUE)
    play.did("server", "mq_send", 11, **QUEUE)
    play.did("client", "mq_receive", 10, **QUEUE)
    play.did("client", "mq_receive", 12, **QUEUE)
    tables = closes(play)
    assert local_spans(tables) == [(2, 4, 0, 10)]
    assert unmatched(tables) == [
        (3, 11, "the calls do not add up to the stream"),
        (5, 12, "the calls do not add up to the stream"),
    ]


def test_senders_that_overlap_have_no_order() -> None:
    play = Play()
    play.did("server", "mq_open", 3, **QUEUE)
    with play.call("server", "mq_send", 10, **QUEUE):
        play.did("client", "mq_send", 10, **QUEUE, pid=30)
    play.did("client", "mq_receive", 10, **QUEUE)
    play.did("client", "mq_receive", 10, **QUEUE)
    tables = closes(play)
    assert local_spans(tables) == []
    assert {reason for _, _, reason in unmatched(tables)} == {"shared socket, order ambiguous"}


def test_a_sender_killed_inside_its_call_may_have_sent() -> None:
    play = Play()
    play.did("server", "mq_open", 3, **QUEUE)
    play.did("server", "mq_send", 10, **QUEUE)
    play.did("server", "mq_send", None, size=20, inside=True, **QUEUE)
    play.did("client", "mq_receive", 10, **QUEUE)
    play.did("client", "mq_receive", 20, **QUEUE)
    tables = closes(play)
    assert local_spans(tables) == [(2, 4, 0, 10)]
    assert unmatched(tables) == [(5, 20, "call still inside")]


def test_a_bell_has_no_row_and_no_ledger() -> None:
    play = Play()
    bell = {**NO_NAME, "family": "eventfd", "inode": 3 << 48 | 1}
    play.did("server", "eventfd_write", 8, **bell)
    play.did("client", "eventfd_read", 8, **bell)
    tables = closes(play)
    assert tables.connections == []
    assert tables.unmatched == []


def test_a_message_is_about_the_connection_whose_socket_it_names() -> None:
    play = Play()
    play.handshake()
    play.did("server", "mq_open", 3, **QUEUE)
    play.did("server", "mq_send", 10, about_inode=INODE["server"], **QUEUE)
    play.did("server", "mq_send", 10, **QUEUE)
    play.did("client", "mq_receive", 10, **QUEUE)
    play.did("client", "mq_receive", 10, **QUEUE)
    tables = closes(play)
    found = {call.op: [] for call in tables.calls}
    for call in tables.calls:
        found[call.op].append(call.about)
    assert found["mq_send"] == [0, None]
    assert found["mq_receive"] == [0, None]


def test_a_read_of_bytes_about_several_is_about_none() -> None:
    play = Play()
    play.handshake()
    play.did("server", "pipe", 0, **PIPE)
    play.did("server", "write", 10, about_inode=INODE["server"], **PIPE)
    play.did("server", "write", 10, about_inode=INODE["server"], **PIPE)
    play.did("server", "write", 10, **PIPE)
    play.did("client", "read", 20, **PIPE)
    play.did("client", "read", 10, **PIPE)
    play.did("server", "write", 5, about_inode=INODE["server"], **PIPE)
    play.did("server", "write", 5, **PIPE)
    play.did("client", "read", 10, **PIPE)
    tables = closes(play)
    assert [call.about for call in tables.calls if call.op == "read"] == [0, None, None]
