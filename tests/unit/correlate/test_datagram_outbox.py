"""UDP: sends that are gathered, sends that are cut, and sockets that share a port."""

from __future__ import annotations

from typing import Any

from playbook import Play, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.call import MSG_MORE

CLIENT, SERVER = "127.0.0.1:5000", "127.0.0.1:53"
C: dict[str, Any] = {"inode": 1, "local": CLIENT, "peer": None, "kind": "SOCK_DGRAM"}
S: dict[str, Any] = {"inode": 2, "local": SERVER, "peer": None, "kind": "SOCK_DGRAM"}


def option(play: Play, args: str, *frames: int, **who: Any) -> list[int]:
    with play.call("client", "setsockopt", 0, args=args, **{**C, **who}):
        return [play.datagram(CLIENT, SERVER, length) for length in frames]


def send(play: Play, length: int, *frames: int, **more: Any) -> list[int]:
    with play.call("client", "sendto", length, address=SERVER, **{**C, **more}):
        return [play.datagram(CLIENT, SERVER, frame) for frame in frames]


def read(play: Play, length: int, **more: Any) -> int:
    return play.did("server", "recv", length, size=5000, **{**S, **more})


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def test_under_a_cork_sends_leave_together_when_it_is_drawn() -> None:
    play = Play()
    option(play, "SOL_UDP, 1, 1")
    send(play, 3)
    send(play, 4)
    (frame,) = option(play, "SOL_UDP, UDP_CORK, 0", 7)
    call = read(play, 7)
    tables = closes(play)
    assert spans_of(tables, 2) == [("carried", frame, 0, 3)]
    assert spans_of(tables, 3) == [("carried", frame, 3, 7)]
    assert spans_of(tables, call) == [("delivered", frame, 0, 7)]
    assert tables.unmatched == []


HELD = "gathered by MSG_MORE or UDP_CORK and not sent"


def test_what_was_gathered_and_never_left_is_called_that() -> None:
    play = Play()
    send(play, 3, flags=MSG_MORE)
    assert [(u.call, u.bytes, u.reason) for u in closes(play).unmatched] == [(1, 3, HELD)]


def test_a_send_that_fails_drops_what_was_gathered() -> None:
    play = Play()
    send(play, 3, flags=MSG_MORE)
    play.did("client", "sendto", None, address=SERVER, errno="EMSGSIZE", **C)
    (frame,) = send(play, 5, 5)
    tables = closes(play)
    assert spans_of(tables, 3) == [("carried", frame, 0, 5)]
    assert [(u.call, u.bytes, u.reason) for u in tables.unmatched if u.call] == [(1, 3, HELD)]


def test_a_run_of_segments_is_one_frame_and_several_reads() -> None:
    play = Play()
    option(play, "SOL_UDP, UDP_SEGMENT, 1000")
    (frame,) = send(play, 2500, 2500)
    calls = [read(play, length) for length in (1000, 1000)]
    tables = closes(play)
    assert spans_of(tables, 2) == [("carried", frame, 0, 2500)]
    assert [spans_of(tables, n) for n in calls] == [
        [("delivered", frame, 0, 1000)], [("delivered", frame, 1000, 2000)],
    ]  # fmt: skip
    assert [(u.start, u.stop, u.reason) for u in tables.unmatched] == [
        (2000, 2500, "still queued or dropped: receive buffer")
    ]


def test_frames_that_were_cut_already_are_not_given_to_a_send() -> None:
    play = Play()
    option(play, "SOL_UDP, 103, 1000")
    send(play, 2500, 1000, 1000, 500)
    tables = closes(play)
    why = "cut into several datagrams by UDP_SEGMENT: which is whose, is not known"
    assert [(u.call, u.bytes, u.reason) for u in tables.unmatched if "read" not in u.what] == [
        (2, 2500, why), (None, 1000, why), (None, 1000, why), (None, 500, why),
    ]  # fmt: skip


def test_a_socket_that_merges_is_not_said_to_have_missed_anything() -> None:
    play = Play()
    option(play, "SOL_UDP, UDP_SEGMENT, 1000")
    option(play, "SOL_UDP, UDP_GRO, 1", **S)
    send(play, 2000, 2000)
    call = read(play, 2000)
    merged = "several datagrams in one call by UDP_GRO: which, is not known"
    rows = closes(play).unmatched
    assert [(u.call, u.bytes) for u in rows] == [(call, 2000), (None, 1000), (None, 1000)]
    assert {u.reason for u in rows} == {merged}


def test_a_frame_belongs_to_the_socket_of_the_port_that_was_sending() -> None:
    play = Play()
    send(play, 10)  # its frame is missing
    (frame,) = send(play, 10, 10, inode=8, pid=11)
    tables = closes(play)
    assert spans_of(tables, 1) == []
    assert spans_of(tables, 2) == [("carried", frame, 0, 10)]


def test_a_frame_that_two_sockets_may_have_sent_earlier_is_given_to_neither() -> None:
    play = Play()
    send(play, 10)
    send(play, 10, inode=8, pid=11)
    play.datagram(CLIENT, SERVER, 10)
    tables = closes(play)
    assert spans_of(tables, 1) == spans_of(tables, 2) == []
    assert {u.reason for u in tables.unmatched if u.what.startswith("carried but not sent")} == {
        "shared socket, order ambiguous"
    }
