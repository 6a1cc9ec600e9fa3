"""Unix sockets that keep messages: whose message a read took, and when that is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playbook import Play

from netlab.correlate.ledger import ledger_mismatches
from netlab.model.call import POLLIN
from netlab.model.recording import Loss

D: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_DGRAM", "peer": None}
R: dict[str, Any] = {**D, "inode": 2, "local": "unix:/r"}  # the reader
C: dict[str, Any] = {**D, "inode": 1, "local": "unix:/c"}
UNSEEN = "order ambiguous: somebody who is not recorded wrote here, too"
PEER_UNSURE = "not on a network: which socket is the other end is not known"
CONTRADICTION = "the calls do not add up to the stream"


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    return tables


def bound(play: Play, **who: Any) -> None:
    play.did("server", "socket", 5, **{**who, "local": None})
    play.did("server", "bind", 0, address=who["local"], **who)


def send(play: Play, length: int, to: str | None = "unix:/r", **who: Any) -> int:
    return play.did("client", "sendto", length, address=to, **{**C, **who})


def read(play: Play, length: int, sender: str | None = None, **who: Any) -> int:
    op = "recvfrom" if sender else "recv"
    return play.did("server", op, length, size=100, address=sender, **{**R, **who})


def links(tables: Any) -> dict[int, int]:
    """The read of each send."""
    sends = {call.call for call in tables.calls if call.op.startswith("send")}
    return {s.call: s.peer_call for s in tables.spans if s.role == "local" and s.call in sends}


def reasons(tables: Any) -> dict[int, str]:
    return {u.call: u.reason for u in tables.unmatched}


def test_a_path_belongs_to_the_socket_that_was_bound_to_it_last() -> None:
    play = Play()
    bound(play, **R)
    one = send(play, 5)
    first = read(play, 5)
    play.did("server", "close", 0, **R)
    again = {**R, "inode": 3}
    bound(play, **again)
    two = send(play, 5)
    second = read(play, 5, **again)
    tables = closes(play)
    assert links(tables) == {one: first, two: second}
    assert [c.connection for c in tables.calls if c.op == "recv"] == [0, 1]


def test_a_path_taken_over_from_an_open_socket_is_the_new_ones() -> None:
    play = Play()
    again = {**R, "inode": 3}
    bound(play, **R)
    bound(play, **again)
    call = send(play, 5)
    reader = read(play, 5, **again)
    assert links(closes(play)) == {call: reader}


def test_a_relative_path_of_two_sockets_names_neither() -> None:
    play = Play()
    ours = {**R, "local": "unix:r"}
    bound(play, **ours)
    bound(play, **{**ours, "inode": 3})
    call = send(play, 5, "unix:r")
    tables = closes(play)
    assert links(tables) == {}
    assert reasons(tables) == {call: PEER_UNSURE}


def test_a_socket_that_connects_elsewhere_sends_there_from_then_on() -> None:
    play = Play()
    other = {**R, "inode": 3, "local": "unix:/o"}
    bound(play, **R)
    bound(play, **other)
    calls = []
    for path in ("unix:/r", "unix:/o"):
        play.did("client", "connect", 0, address=path, **{**C, "peer": path})
        calls.append(send(play, 4, None, peer=path))
    reads = [read(play, 4), read(play, 4, **other)]
    tables = closes(play)
    assert links(tables) == dict(zip(calls, reads, strict=True))
    assert tables.unmatched == []


def test_a_peer_stays_the_peer_when_its_path_is_bound_anew() -> None:
    play = Play()
    bound(play, **R)
    play.did("client", "connect", 0, address="unix:/r", **{**C, "peer": "unix:/r"})
    again = {**R, "inode": 3}
    bound(play, **again)
    call = send(play, 4, None, peer="unix:/r")
    reader = read(play, 4)
    assert links(closes(play)) == {call: reader}


def test_a_reader_that_connects_anew_has_lost_what_was_in_its_queue() -> None:
    play = Play()
    bound(play, **R)
    for path in ("unix:/c", "unix:/o"):
        bound(play, **{**C, "local": path, "inode": 8 if path == "unix:/o" else 1})
        play.did("server", "connect", 0, address=path, **{**R, "peer": path})
        send(play, 4, local=path, inode=8 if path == "unix:/o" else 1)
    call = read(play, 4)
    tables = closes(play)
    assert links(tables) == {}
    assert reasons(tables)[call] == (
        "order ambiguous: the reader connected anew, which empties its queue"
    )


def test_more_reads_than_messages_leave_all_of_them_open() -> None:
    play = Play()
    bound(play, **R)
    send(play, 5)
    read(play, 5)
    read(play, 5)
    tables = closes(play)
    assert links(tables) == {}
    assert set(reasons(tables).values()) == {UNSEEN}
    assert len(tables.unmatched) == 3


def test_a_named_sender_is_known_whoever_else_writes() -> None:
    play = Play()
    bound(play, **R)
    mine = send(play, 5)
    stranger = read(play, 5, "unix:/stranger")
    reader = read(play, 5, "unix:/c")
    tables = closes(play)
    assert links(tables) == {mine: reader}
    assert reasons(tables) == {stranger: "not on a network: the other end is not recorded"}


@pytest.mark.parametrize("length", [4, 6])
def test_a_read_that_does_not_fit_its_message_leaves_all_open(length: int) -> None:
    play = Play()
    bound(play, **R)
    send(play, 5)
    send(play, length)
    read(play, length)  # the first was read unseen
    tables = closes(play)
    assert links(tables) == {}
    assert set(reasons(tables).values()) == {CONTRADICTION}


def test_an_empty_queue_proves_that_something_was_read_unseen() -> None:
    play = Play()
    bound(play, **R)
    send(play, 5)
    play.did("server", "recv", None, errno="EAGAIN", **R)
    send(play, 5)
    read(play, 5)
    tables = closes(play)
    assert links(tables) == {}
    assert set(reasons(tables).values()) == {CONTRADICTION}


def test_sends_at_the_same_time_are_told_apart_by_their_lengths_alone() -> None:
    play = Play()
    bound(play, **R)
    with play.call("client", "sendto", 5, address="unix:/r", **C):
        send(play, 6, inode=7, pid=11)
    calls = [read(play, 6), read(play, 5)]
    assert links(closes(play)) == {3: calls[1], 4: calls[0]}


def test_equal_sends_at_the_same_time_are_not_told_apart() -> None:
    play = Play()
    bound(play, **R)
    before = send(play, 5)
    with play.call("client", "sendto", 5, address="unix:/r", **C):
        send(play, 5, inode=7, pid=11)
    after = send(play, 5)
    calls = [read(play, 5) for _ in range(4)]
    tables = closes(play)
    assert links(tables) == {before: calls[0], after: calls[3]}
    assert {reasons(tables)[n] for n in calls[1:3]} == {"shared socket, order ambiguous"}


def test_what_a_filter_may_have_dropped_leaves_the_queue_open() -> None:
    play = Play()
    bound(play, **R)
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, 26, 0x01", **R)
    send(play, 5)
    call = read(play, 5)
    assert reasons(closes(play))[call] == (
        "order ambiguous: a filter of the reader may have dropped any"
    )


def test_messages_from_before_the_recording_may_come_first() -> None:
    play = Play()
    send(play, 5)
    call = read(play, 5)
    assert reasons(closes(play))[call] == "no call witness: watching began late"


def test_a_reader_whose_recording_stopped_may_have_read_more() -> None:
    play = Play()
    bound(play, **R)
    early = send(play, 5)
    first = read(play, 5)
    play.raw.losses = [Loss("probe", "calls", None, "full", "server", play.tick())]
    play.now_ns += 100_000_000
    send(play, 5)
    call = read(play, 5, pid=21)
    tables = closes(play)
    assert links(tables) == {early: first}
    assert reasons(tables)[call] == "recording stopped at its limit"


def test_a_read_that_was_cut_off_may_have_taken_the_next() -> None:
    play = Play()
    bound(play, **R)
    early = send(play, 5)
    first = read(play, 5)
    with play.call("server", "recv", None, inside=True, pid=21, **R):
        call = send(play, 5)
    late = read(play, 5)
    tables = closes(play)
    assert links(tables) == {early: first}
    assert reasons(tables) == {call: "call still inside", late: "call still inside"}


def test_empty_messages_of_a_seqpacket_pair_are_messages() -> None:
    play = Play()
    a, b = ({**C, "kind": "SOCK_SEQPACKET", "local": "unix:", "inode": n} for n in (1, 2))
    play.did("client", "socketpair", 0, new_inode=2, **a)
    calls = [send(play, length, None, **a) for length in (2, 0, 3)]
    play.did("client", "close", 0, **a)
    reads = [read(play, length, **b) for length in (2, 0, 3, 0)]
    tables = closes(play)
    assert links(tables) == dict(zip(calls, reads[:3], strict=True))
    assert tables.unmatched == []


def test_the_client_of_a_pair_is_the_first_that_sent() -> None:
    play = Play()
    a, b = ({**C, "local": "unix:", "inode": n} for n in (1, 2))
    play.did("client", "socketpair", 0, new_inode=2, **a)
    send(play, 5, None, **a)
    read(play, 5, **b)
    send(play, 4, None, **b)
    read(play, 4, **a)
    tables = closes(play)
    assert [c.side for c in tables.calls] == ["client", "client", "server", "server", "client"]


def test_a_wait_is_not_said_to_be_woken_by_a_message_after_one_that_is_not_known() -> None:
    play = Play()
    bound(play, **R)
    send(play, 5)
    with play.call("client", "sendto", 5, address="unix:/r", **C):
        send(play, 5, inode=7, pid=11)
    send(play, 5)
    read(play, 5)
    with play.wait("server", (2, POLLIN), op="poll"):
        pass
    for _ in range(3):
        read(play, 5)
    tables = closes(play)
    assert len(links(tables)) == 2
    assert [s for s in tables.spans if s.role == "wakeup"] == []


def test_a_system_call_without_a_sender_may_not_have_asked_for_one() -> None:
    play = Play()
    bound(play, **R)
    call = send(play, 5)
    reader = play.did("server", "recvfrom", 5, size=100, **R)
    play.calls = [replace(record, witness="strace") for record in play.calls]
    tables = closes(play)
    assert links(tables) == {call: reader}
    assert tables.unmatched == []


def test_a_send_that_shows_no_address_may_have_gone_to_any_inbox() -> None:
    play = Play()
    bound(play, **R)
    known = send(play, 5, "unix:/r")
    call = send(play, 5, None)
    play.calls[-1] = replace(play.calls[-1], witness="kernel")
    reader = read(play, 5)
    tables = closes(play)
    assert links(tables) == {}
    assert reasons(tables) == dict.fromkeys((known, call, reader), PEER_UNSURE)


def test_an_end_of_a_pair_that_connects_elsewhere_was_a_pair_until_then() -> None:
    play = Play()
    one, two = {**D, "inode": 8, "local": "unix:"}, {**D, "inode": 9, "local": "unix:"}
    bound(play, **R)
    play.did("client", "socketpair", 0, new_inode=9, **one)
    early = send(play, 5, None, **one)
    play.did("client", "connect", 0, address="unix:/r", **{**one, "peer": "unix:/r"})
    late = send(play, 5, None, **{**one, "peer": "unix:/r"})
    first, second = read(play, 5, **two), read(play, 5)
    assert links(closes(play)) == {early: first, late: second}


def test_a_send_during_a_connect_went_to_the_old_peer_or_the_new() -> None:
    play = Play()
    bound(play, **R)
    bound(play, **{**R, "inode": 3, "local": "unix:/o"})
    play.did("client", "connect", 0, address="unix:/r", **{**C, "peer": "unix:/r"})
    with play.call("client", "connect", 0, address="unix:/o", **{**C, "peer": "unix:/o"}):
        call = send(play, 5, None, tid=11)
    reader = read(play, 5, inode=3, local="unix:/o")
    tables = closes(play)
    assert links(tables) == {}
    assert reasons(tables) == dict.fromkeys((call, reader), PEER_UNSURE)


def test_the_read_that_met_the_end_may_have_been_entered_before_the_last() -> None:
    play = Play()
    one, two = ({**D, "kind": "SOCK_SEQPACKET", "inode": n, "local": "unix:"} for n in (8, 9))
    play.did("client", "socketpair", 0, new_inode=9, **one)
    call = send(play, 5, None, **one)
    play.did("client", "close", 0, **one)
    with play.call("server", "recv", 0, size=100, tid=21, **two):
        reader = read(play, 5, **two)
    tables = closes(play)
    assert links(tables) == {call: reader}
    assert tables.unmatched == []


def test_several_messages_of_one_call_keep_their_order_and_their_readers() -> None:
    play = Play()
    bound(play, **R)
    bound(play, **{**R, "inode": 3, "local": "unix:/o"})
    to = ("unix:/r", "unix:/o", "unix:/r", "unix:/r")
    sent = play.did("client", "sendmmsg", 4, message_bytes=(5, 7, 11, 5), message_addresses=to, **C)
    first = read(play, 5)
    several = play.did("server", "recvmmsg", 2, message_bytes=(11, 5), **R)
    other = read(play, 7, inode=3, local="unix:/o")
    tables = closes(play)
    found = [(s.peer_call, s.start, s.stop) for s in tables.spans if s.call == sent]
    assert sorted(found) == [(first, 0, 5), (several, 5, 16), (several, 16, 21), (other, 0, 7)]
    assert tables.unmatched == []
