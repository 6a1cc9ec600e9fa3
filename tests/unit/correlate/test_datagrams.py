"""UDP: sends, datagrams and reads."""

from __future__ import annotations

from typing import Any

import pytest
from playbook import Play, frames_of, number_of, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason
from netlab.model.call import MSG_MORE, POLLIN
from netlab.model.tables import Packet

CLIENT, SERVER, OTHER = "127.0.0.1:5000", "127.0.0.1:53", "127.0.0.1:54"
C: dict[str, Any] = {"inode": 1, "local": CLIENT, "peer": None, "kind": "SOCK_DGRAM"}
S: dict[str, Any] = {"inode": 2, "local": "0.0.0.0:53", "peer": None, "kind": "SOCK_DGRAM"}


def send(play: Play, length: int, *, captured: bool = True, **more: Any) -> int:
    with play.call("client", "sendto", length, address=SERVER, **{**C, **more}):
        return play.datagram(CLIENT, SERVER, length) if captured else 0


def recv(play: Play, result: int, size: int = 2048, **more: Any) -> None:
    play.did("server", "recvfrom", result, size=size, address=CLIENT, **{**S, **more})


def closes(play: Play):
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def test_datagrams_go_one_to_one_also_to_a_wildcard_socket() -> None:
    play = Play()
    frames = [send(play, 10), send(play, 0), send(play, 30)]
    for length in (10, 0, 30):
        recv(play, length)
    tables = closes(play)
    assert spans_of(tables, 1) == [("carried", frames[0], 0, 10)]
    assert spans_of(tables, 2) == [("carried", frames[1], 10, 10)]
    assert spans_of(tables, 5) == [("delivered", frames[1], 10, 10)]
    assert spans_of(tables, 6) == [("delivered", frames[2], 10, 40)]
    assert [(c.side, c.direction) for c in tables.calls] == [("client", "c>s")] * 3 + [
        ("server", "c>s")
    ] * 3
    assert tables.unmatched == []


def test_a_truncated_read_takes_the_whole_datagram_and_the_rest_is_listed() -> None:
    play = Play()
    frame = send(play, 100)
    recv(play, 30, size=30)
    tables = closes(play)
    assert spans_of(tables, 2) == [("delivered", frame, 0, 100)]
    assert [(u.start, u.stop, u.reason, u.call) for u in tables.unmatched] == [
        (30, 100, "truncated", 2)
    ]


def test_lost_datagrams_leave_holes_with_their_reasons() -> None:
    play = Play()
    for length in (10, 20, 30, 40):
        send(play, length)
    recv(play, 10)
    recv(play, 30)
    tables = closes(play)
    assert [(c.start, c.stop) for c in tables.calls if c.op == "recvfrom"] == [(0, 10), (30, 60)]
    assert [(u.start, u.stop, u.reason) for u in tables.unmatched] == [
        (10, 30, "dropped before it was read"),
        (60, 100, "still queued or dropped: receive buffer"),
    ]


def test_a_send_whose_frame_is_missing_does_not_take_the_next_ones() -> None:
    play = Play()
    send(play, 10, captured=False)
    frame = send(play, 10)
    tables = closes(play)
    assert spans_of(tables, 1) == []
    assert spans_of(tables, 2) == [("carried", frame, 0, 10)]
    assert (1, "sent but not captured") in [(u.call, u.what) for u in tables.unmatched]


def test_what_a_queue_of_the_senders_link_held_left_in_order() -> None:
    """Alike datagrams leave inside later sends, as behind a token bucket: none is another's."""
    play = Play()
    play.did("client", "sendto", 10, address=SERVER, **C)
    frames = []
    for _ in range(2):
        with play.call("client", "sendto", 10, address=SERVER, **C):
            frames.append(play.datagram(CLIENT, SERVER, 10))
    frames.append(play.datagram(CLIENT, SERVER, 10))
    tables = closes(play)
    assert [spans_of(tables, number) for number in (1, 2, 3)] == [
        [("carried", frame, 10 * place, 10 * place + 10)] for place, frame in enumerate(frames)
    ]


def test_a_read_that_may_have_taken_a_datagram_nobody_captured_is_not_matched() -> None:
    play = Play()
    send(play, 10, captured=False)
    send(play, 10)
    recv(play, 10)
    tables = closes(play)
    assert spans_of(tables, 3) == []
    assert [(u.call, u.what, u.reason) for u in tables.unmatched if u.call == 3] == [
        (3, "read but not captured", Reason.ALIKE)
    ]


def test_a_read_of_a_length_that_only_one_datagram_has_is_matched() -> None:
    play = Play()
    send(play, 11, captured=False)
    frame = send(play, 10)
    recv(play, 10)
    tables = closes(play)
    assert spans_of(tables, 3) == [("delivered", frame, 0, 10)]


def test_corked_sends_share_a_datagram() -> None:
    play = Play()
    send(play, 10, captured=False, flags=MSG_MORE)
    with play.call("client", "sendto", 20, address=SERVER, **C):
        frame = play.datagram(CLIENT, SERVER, 30)
    recv(play, 30)
    tables = closes(play)
    assert spans_of(tables, 1) == [("carried", frame, 0, 10)]
    assert spans_of(tables, 2) == [("carried", frame, 10, 30)]


def test_two_threads_that_send_the_same_at_once_are_not_told_apart() -> None:
    play = Play()
    with (
        play.call("client", "sendto", 10, address=SERVER, tid=1, **C),
        play.call("client", "sendto", 10, address=SERVER, tid=2, **C),
    ):
        play.datagram(CLIENT, SERVER, 10)
        play.datagram(CLIENT, SERVER, 10)
    recv(play, 10)
    recv(play, 10)
    tables = closes(play)
    assert spans_of(tables, 1) == spans_of(tables, 2) == []
    assert {u.reason for u in tables.unmatched if u.what == "carried but not sent by a known call"}


def test_a_connected_socket_hears_only_its_peer() -> None:
    play = Play()
    own = {**S, "local": SERVER, "peer": CLIENT, "address": None}
    play.did("server", "connect", 0, **{**own, "address": CLIENT})
    play.datagram("127.0.0.1:6000", SERVER, 10)
    frame = send(play, 10)
    play.did("server", "recv", 10, size=100, **own)
    tables = closes(play)
    assert spans_of(tables, number_of(tables, "recv")) == [("delivered", frame, 0, 10)]


@pytest.mark.parametrize(("again", "home"), [(False, 0), (True, None)])
def test_all_calls_of_a_socket_with_one_peer_belong_to_the_conversation(
    again: bool, home: int | None
) -> None:
    play = Play()
    own = {**C, "local": CLIENT, "peer": SERVER}
    play.did("client", "socket", 5, **own)
    play.did("client", "connect", 0, **{**own, "address": SERVER})
    with play.call("client", "send", 10, size=10, **own):
        play.datagram(CLIENT, SERVER, 10)
    if again:  # the rest is about somebody else
        play.did("client", "connect", 0, **{**own, "peer": OTHER, "address": OTHER})
    play.did("client", "close", 0, **own)
    calls = closes(play).calls
    assert {call.connection for call in calls if call.op != "send"} == {home}
    assert {call.side for call in calls if call.op != "send"} == {"client" if home == 0 else None}


def test_every_fragment_is_carried_and_the_last_released_the_others() -> None:
    play = Play()
    with play.call("client", "sendto", 2000, address=SERVER, **C):
        first = play.datagram(CLIENT, SERVER, 1472, fragment="0+1480 more", ip_id=9,
                              _fragment_more=True)  # fmt: skip
        last = play.datagram(
            CLIENT, SERVER, 0, fragment="1480+528 last", ip_id=9, sport=None, dport=None,
            payload_len_bytes=None, _fragment_off=1480,
        )  # fmt: skip
    recv(play, 2000)
    tables = closes(play)
    assert spans_of(tables, 1) == [("carried", first, 0, 1472), ("carried", last, 1472, 2000)]
    assert spans_of(tables, 2) == [
        ("delivered", first, 0, 1472), ("delivered", last, 1472, 2000),
        ("released", last, 0, 1472),
    ]  # fmt: skip


def test_a_refusal_reaches_the_send_that_caused_it_and_the_call_it_failed() -> None:
    play = Play()
    own = {**C, "peer": SERVER}
    play.did("client", "connect", 0, **{**own, "address": SERVER})
    with play.call("client", "send", 10, **own):
        frame = play.datagram(CLIENT, SERVER, 10, ip_id=77)
    quoted = Packet(0, 0, None, "unknown", "lo", "", 36, 36, src="127.0.0.1", dst="127.0.0.1",
                    sport=5000, dport=53, protocol="UDP", ip_id=77)  # fmt: skip
    error = play.datagram("127.0.0.1:0", "127.0.0.1:0", 0, protocol="ICMP", sport=None,
                          _quoted=quoted, _port_unreachable=True)  # fmt: skip
    play.did("client", "recv", None, errno="ECONNREFUSED", **own)
    tables = closes(play)
    assert spans_of(tables, 2) == [("carried", frame, 0, 10), ("icmp", error, None, None)]
    assert frames_of(tables, 3, "icmp") == [error]
    assert {u.reason for u in tables.unmatched} == {"refused: nobody listens at this port"}


def test_a_wait_was_ended_by_the_datagram_read_next() -> None:
    play = Play()
    with play.wait("server", (2, POLLIN), op="poll"):
        frame = send(play, 10)
    recv(play, 10)
    tables = closes(play)
    assert frames_of(tables, number_of(tables, "poll"), "wakeup") == [frame]
