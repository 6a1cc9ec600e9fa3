"""Unix stream sockets: what one end's calls say of the other's."""

from __future__ import annotations

from typing import Any

from playbook import Play

from netlab.correlate.ledger import ledger_mismatches
from netlab.model.call import MSG_OOB
from netlab.model.recording import Loss

U: dict[str, Any] = {"family": "AF_UNIX", "kind": "SOCK_STREAM", "local": "unix:", "peer": "unix:"}
A: dict[str, Any] = {**U, "inode": 1}
B: dict[str, Any] = {**U, "inode": 2}
L: dict[str, Any] = {**U, "inode": 3, "local": "unix:/l", "peer": None}
CONTRADICTION = "the calls do not add up to the stream"
PEER_UNSURE = "not on a network: which socket is the other end is not known"


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    return tables


def pair() -> Play:
    play = Play()
    play.did("client", "socketpair", 0, new_inode=2, **A)
    return play


def send(play: Play, length: int, **more: Any) -> int:
    return play.did("client", "send", length, **{**A, **more})


def read(play: Play, length: int, **more: Any) -> int:
    return play.did("server", "recv", length, size=100, **{**B, **more})


def links(tables: Any) -> list[tuple[Any, ...]]:
    """(send, read, start, stop)."""
    return [
        (s.call, s.peer_call, s.start, s.stop) for s in tables.spans
        if s.role == "local" and tables.calls[s.call - 1].op == "send"
    ]  # fmt: skip


def reasons(tables: Any) -> dict[int, str]:
    return {u.call: u.reason for u in tables.unmatched}


def test_an_urgent_byte_is_skipped_by_ordinary_reads() -> None:
    play = pair()
    one, urgent, two = send(play, 3), send(play, 1, flags=MSG_OOB), send(play, 3)
    first, second = read(play, 3), read(play, 3)
    play.did("client", "close", 0, **A)
    read(play, 0)
    tables = closes(play)
    assert links(tables) == [(one, first, 0, 3), (two, second, 4, 7)]
    assert reasons(tables) == {urgent: "urgent byte not read"}


def test_an_urgent_byte_is_the_last_of_its_send_and_may_be_taken_first() -> None:
    play = pair()
    one, two = send(play, 4, flags=MSG_OOB), send(play, 3)
    urgent = read(play, 1, flags=MSG_OOB)
    first, second = read(play, 3), read(play, 3)
    tables = closes(play)
    assert links(tables) == [(one, first, 0, 3), (one, urgent, 3, 4), (two, second, 4, 7)]
    assert tables.unmatched == []


def test_an_urgent_byte_in_line_is_a_byte_like_any_other() -> None:
    play = pair()
    play.did("server", "setsockopt", 0, args="SOL_SOCKET, SO_OOBINLINE, 1", **B)
    one, two = send(play, 3, flags=MSG_OOB), send(play, 3)
    first, second = read(play, 2), read(play, 4)
    assert links(closes(play)) == [
        (one, first, 0, 2), (one, second, 2, 3), (two, second, 3, 6),
    ]  # fmt: skip


def test_an_urgent_byte_of_unknown_place_leaves_what_comes_after_it_open() -> None:
    play = pair()
    before = send(play, 3)
    first = read(play, 3)
    with play.call("client", "send", 1, flags=MSG_OOB, **A):
        send(play, 3, pid=11)
    late = read(play, 3)
    tables = closes(play)
    assert links(tables) == [(before, first, 0, 3)]
    assert reasons(tables)[late] == "an urgent byte came during the call, order ambiguous"


def test_a_reader_at_the_end_that_did_not_read_all_has_calls_that_nobody_saw() -> None:
    play = pair()
    sends = [send(play, 6), send(play, 3)]
    call = read(play, 6)
    play.did("client", "close", 0, **A)
    read(play, 0)
    tables = closes(play)
    assert links(tables) == []
    assert reasons(tables) == dict.fromkeys([*sends, call], CONTRADICTION)


def test_more_bytes_read_than_sent_have_no_place_on_either_side() -> None:
    play = pair()
    sends = [send(play, 6)]
    reads = [read(play, 3), read(play, 6)]
    tables = closes(play)
    assert links(tables) == []
    assert reasons(tables) == dict.fromkeys([*sends, *reads], CONTRADICTION)


def test_what_was_read_before_it_was_sent_came_from_somebody_else() -> None:
    play = pair()
    early = read(play, 3)
    call = send(play, 6)
    tables = closes(play)
    assert links(tables) == []
    assert reasons(tables) == {early: CONTRADICTION, call: CONTRADICTION}


def test_after_a_holder_stopped_recording_nothing_is_placed() -> None:
    play = pair()
    one = send(play, 3)
    first = read(play, 3)
    play.raw.losses = [Loss("probe", "calls", None, "full", "server", play.tick())]
    play.now_ns += 100_000_000
    send(play, 6)
    late = read(play, 6, pid=21)
    tables = closes(play)
    assert links(tables) == [(one, first, 0, 3)]
    assert reasons(tables)[late] == "recording stopped at its limit"


def early_client(note: str, *, clients: int = 1) -> tuple[Any, list[int]]:
    """Clients that had closed before the first of them was accepted."""
    play = Play()
    play.did("server", "socket", 3, **{**L, "local": None})
    play.did("server", "bind", 0, address="unix:/l", **L)
    play.did("server", "listen", 0, **L)
    sends = []
    for inode in range(10, 10 + clients):
        who = {**A, "inode": inode}
        play.did("client", "socket", 5, **who)
        play.did("client", "connect", 0, address="unix:/l", **{**who, "peer": "unix:/l"})
        sends.append(send(play, 5, **who))
        play.did("client", "close", 0, **who)
    play.did("server", "accept", 6, args=note, address="unix:", new_inode=2, **L)
    read(play, 5)
    read(play, 0)
    return closes(play), sends


def test_a_client_that_was_gone_before_accept_is_known_by_its_process() -> None:
    tables, (call,) = early_client("peer pid 10")
    assert links(tables) == [(call, call + 3, 0, 5)]
    assert len(tables.connections) == 1
    row = tables.connections[0]
    assert (row.client, row.server) == ("unix:", "unix:/l")


def test_clients_of_one_process_are_accepted_in_order() -> None:
    tables, calls = early_client("peer pid 10", clients=2)
    assert links(tables) == [(calls[0], calls[1] + 3, 0, 5)]
    assert reasons(tables) == {calls[1]: "still queued"}


def test_without_its_process_the_other_end_is_not_known_rather_than_not_recorded() -> None:
    for note in ("", "peer pid unknown"):
        tables, (call,) = early_client(note)
        assert links(tables) == []
        assert reasons(tables) == {call: PEER_UNSURE, call + 3: PEER_UNSURE}


def test_a_client_of_another_process_is_not_recorded() -> None:
    tables, (call,) = early_client("peer pid 77")
    assert links(tables) == []
    assert (tables.connections[1].client, tables.connections[1].server) == ("unix:", "unix:/l")
    assert reasons(tables) == {
        call: "still queued", call + 3: "not on a network: the other end is not recorded",
    }  # fmt: skip
