"""TCP with a wire between: what left, what arrived and when, and which call has what of it."""

from __future__ import annotations

import pytest
from playbook import Play, by_role, frames_of, number_of, spans_of

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason, What
from netlab.model.tables import Role, Tables


def wired() -> Play:
    play = Play(wired=True)
    play.handshake()
    return play


def checked(play: Play) -> Tables:
    """The tables, whose bytes add up and whose causes come first."""
    tables = play.tables()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return tables


def reads(play: Play, stop: int, start: int = 0) -> int:
    return play.did("server", "recv", stop - start, size=4096)


def sends(play: Play, stop: int, start: int = 0, **more: str) -> tuple[int, int]:
    """(call, frame) of a send whose bytes leave in one frame."""
    with play.call("client", "send", stop - start, size=stop - start):
        frame = play.data("c>s", start, stop, **more)
    return len(play.calls), frame


# --- data


def test_bytes_are_carried_where_they_left_and_delivered_where_they_arrived() -> None:
    play = wired()
    send, first = sends(play, 100, way="hold")
    play.arrives(first)
    recv = reads(play, 100)
    ack = play.ack("s>c", 100, way="hold")
    play.arrives(ack)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", first, 0, 100), ("acked", ack, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", first, 0, 100)]
    assert not tables.unmatched


def test_a_dropped_frame_is_carried_and_its_copy_is_delivered() -> None:
    play = wired()
    send, lost = sends(play, 100, way="drop")
    again = play.data("c>s", 0, 100)
    recv = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", lost, 0, 100), ("resent", again, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", again, 0, 100)]


def test_a_copy_that_overtook_the_first_is_the_one_that_was_accepted() -> None:
    play = wired()
    send, late = sends(play, 100, way="hold")
    again = play.data("c>s", 0, 100)
    recv = reads(play, 100)
    play.arrives(late)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", late, 0, 100), ("resent", again, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", again, 0, 100), ("duplicate", late, 0, 100)]


def test_what_arrives_behind_a_hole_is_released_by_what_fills_it() -> None:
    play = wired()
    _, lost = sends(play, 100, way="drop")
    _, second = sends(play, 200, 100)
    filler = play.data("c>s", 0, 100)
    recv = reads(play, 200)
    tables = checked(play)
    assert spans_of(tables, recv) == [
        ("delivered", filler, 0, 100),
        ("delivered", second, 100, 200),
        ("released", filler, 100, 200),
    ]
    assert lost not in frames_of(tables, recv, Role.DELIVERED)


def test_segments_that_passed_each_other_are_released_by_the_one_that_was_late() -> None:
    play = wired()
    _, late = sends(play, 100, way="hold")
    _, early = sends(play, 200, 100)
    play.arrives(late)
    recv = reads(play, 200)
    tables = checked(play)
    assert spans_of(tables, recv) == [
        ("delivered", late, 0, 100),
        ("delivered", early, 100, 200),
        ("released", late, 100, 200),
    ]


def test_a_spoilt_frame_is_not_delivered() -> None:
    play = wired()
    send, spoilt = sends(play, 100, way="spoil")
    again = play.data("c>s", 0, 100)
    recv = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, recv) == [("delivered", again, 0, 100)]
    assert frames_of(tables, send, Role.CARRIED) == [spoilt]
    assert not by_role(tables, Role.DUPLICATE)


def test_a_copy_that_the_wire_made_is_nobody_s_resend() -> None:
    play = wired()
    send, first = sends(play, 100)
    copy = play.copy(first)
    recv = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", first, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", first, 0, 100), ("duplicate", copy, 0, 100)]
    assert (tables.connections[0].client_packets, tables.connections[0].server_packets) == (3, 1)


def test_a_copy_of_what_never_arrived_is_delivered() -> None:
    play = wired()
    send, lost = sends(play, 100, way="drop")
    copy = play.copy(lost)
    recv = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", lost, 0, 100)]
    assert spans_of(tables, recv) == [("delivered", copy, 0, 100)]


@pytest.mark.parametrize(
    ("way", "reason"),
    [("drop", Reason.LOST), ("spoil", Reason.NOT_ACCEPTED), ("hold", Reason.ON_ITS_WAY)],
)
def test_bytes_that_never_came_have_the_reason_that_the_wire_gives(
    way: str, reason: Reason
) -> None:
    play = wired()
    sends(play, 100)
    sends(play, 200, 100, way=way)
    reads(play, 100)
    tables = checked(play)
    assert [(row.start, row.stop, row.what, row.reason) for row in tables.unmatched] == [
        (100, 200, What.CARRIED_NOT_READ, reason)
    ]


def test_a_frame_of_unknown_fate_arrived_if_its_bytes_were_read() -> None:
    play = wired()
    _, first = sends(play, 100, way="hold")  # the wire was killed: nothing says that it arrived
    recv = reads(play, 100)
    tables = checked(play)
    assert spans_of(tables, recv) == [("delivered", first, 0, 100)]


# --- acknowledgements


def test_an_ack_that_was_lost_acknowledges_nothing() -> None:
    play = wired()
    send, _ = sends(play, 100)
    play.ack("s>c", 100, way="drop")
    sends(play, 200, 100)
    later = play.ack("s>c", 200)
    tables = checked(play)
    assert spans_of(tables, send, Role.ACKED) == [(later, 0, 100)]


def test_acks_count_in_the_order_in_which_they_arrive() -> None:
    play = wired()
    first, _ = sends(play, 100)
    slow = play.ack("s>c", 100, way="hold")
    second, _ = sends(play, 200, 100)
    fast = play.ack("s>c", 200)
    play.arrives(slow)
    tables = checked(play)
    assert spans_of(tables, first, Role.ACKED) == [(fast, 0, 100)]
    assert spans_of(tables, second, Role.ACKED) == [(fast, 100, 200)]


def test_one_byte_sent_again_because_its_ack_was_lost_is_no_keep_alive() -> None:
    play = wired()
    send, first = sends(play, 1)
    play.ack("s>c", 1, way="drop")
    again = play.data("c>s", 0, 1)
    recv = reads(play, 1)
    tables = checked(play)
    assert spans_of(tables, send) == [("carried", first, 0, 1), ("resent", again, 0, 1)]
    assert spans_of(tables, recv) == [("delivered", first, 0, 1), ("duplicate", again, 0, 1)]


def test_a_copy_of_one_byte_made_after_its_ack_came_is_no_keep_alive_either() -> None:
    play = wired()
    _, first = sends(play, 1)
    play.ack("s>c", 1)
    copy = play.copy(first)
    recv = reads(play, 1)
    assert spans_of(checked(play), recv) == [
        ("delivered", first, 0, 1), ("duplicate", copy, 0, 1),
    ]  # fmt: skip


# --- the handshake


def test_each_end_has_the_handshake_s_frames_that_it_sent_and_those_that_came() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, inode=201, fd=3, peer=None)
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        lost_syn = play.syn(way="drop")
        syn = play.syn()
        lost_synack = play.synack(way="drop")
        synack = play.synack()
        lost_ack = play.ack("c>s", 0, way="drop")
        third = play.synack()
        ack = play.ack("c>s", 0)
    with play.accept():
        pass
    tables = checked(play)
    connect, accept = number_of(tables, "connect"), number_of(tables, "accept")
    assert spans_of(tables, connect) == [
        ("syn", lost_syn, None, None), ("syn", syn, None, None),
        ("synack", synack, None, None), ("synack", third, None, None),
        ("handshake_ack", lost_ack, None, None), ("handshake_ack", ack, None, None),
    ]  # fmt: skip
    assert spans_of(tables, accept) == [
        ("syn", syn, None, None),
        ("synack", lost_synack, None, None), ("synack", synack, None, None),
        ("synack", third, None, None),
        ("handshake_ack", ack, None, None),
    ]  # fmt: skip


def test_data_that_overtook_the_last_ack_completes_the_handshake() -> None:
    play = Play(wired=True)
    play.did("server", "listen", 0, inode=201, fd=3, peer=None)
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn()
        play.synack()
        late = play.ack("c>s", 0, way="hold")
    _, data = sends(play, 100)
    with play.accept():
        pass
    play.arrives(late)
    tables = checked(play)
    accept = number_of(tables, "accept")
    assert frames_of(tables, accept, Role.HANDSHAKE_ACK) == [late, data]
    assert frames_of(tables, number_of(tables, "connect"), Role.HANDSHAKE_ACK) == [late]


def test_an_ack_answers_only_a_synack_that_had_come() -> None:
    play = Play(wired=True)
    with play.call("client", "connect", 0, address="127.0.0.1:80"):
        play.syn()
        play.synack()
        ack = play.ack("c>s", 0)
    again = play.synack(way="hold")  # on its way while the client goes on
    sends(play, 100)
    play.arrives(again)
    answer = play.ack("c>s", 0, at=100)
    tables = checked(play)
    connect = number_of(tables, "connect")
    assert frames_of(tables, connect, Role.HANDSHAKE_ACK) == [ack, answer]


# --- the end


def test_each_end_is_in_the_state_that_its_own_frames_give() -> None:
    play = wired()
    play.fin("c>s", 0)
    play.ack("s>c", 1, way="drop")
    row = checked(play).connections[0]
    assert (row.client_state, row.server_state) == ("FIN-WAIT-1", "CLOSE-WAIT")


@pytest.mark.parametrize(
    ("way", "server"), [("drop", "ESTABLISHED"), ("hold", "ESTABLISHED"), ("carry", "CLOSE-WAIT")]
)
def test_a_fin_closes_the_other_end_once_it_is_there(way: str, server: str) -> None:
    play = wired()
    play.fin("c>s", 0, way=way)
    row = checked(play).connections[0]
    assert (row.client_state, row.server_state) == ("FIN-WAIT-1", server)
    assert (row.closed_by, row.close_kind) == ("client", "half-close")


def test_a_fin_behind_a_hole_waits_for_what_fills_it() -> None:
    play = wired()
    _, lost = sends(play, 100, way="drop")
    play.fin("c>s", 100)
    assert play.tables().connections[0].server_state == "ESTABLISHED"
    play.data("c>s", 0, 100)
    assert play.tables().connections[0].server_state == "CLOSE-WAIT"
    assert lost


def test_fins_that_cross_on_the_wire_close_at_once() -> None:
    play = wired()
    mine = play.fin("c>s", 0, way="hold")
    yours = play.fin("s>c", 0, way="hold")
    play.arrives(mine)
    play.arrives(yours)
    row = checked(play).connections[0]
    assert (row.client_state, row.server_state) == ("CLOSING", "CLOSING")
    assert row.closed_by == "both"
    play.ack("c>s", 1, at=1)
    play.ack("s>c", 1, at=1)
    row = play.tables().connections[0]
    assert (row.client_state, row.server_state) == ("TIME-WAIT", "TIME-WAIT")


def test_a_lost_reset_closes_only_its_sender() -> None:
    play = wired()
    play.rst("c>s", 0, way="drop")
    row = checked(play).connections[0]
    assert (row.client_state, row.server_state) == ("CLOSED", "ESTABLISHED")


def test_the_end_of_the_stream_is_the_fin_that_arrived() -> None:
    play = wired()
    with play.call("client", "close", 0):
        lost = play.fin("c>s", 0, way="drop")
    again = play.fin("c>s", 0)
    play.copy(again)
    recv = play.did("server", "recv", 0, size=4096)
    tables = checked(play)
    close = number_of(tables, "close")
    assert frames_of(tables, close, Role.FIN) == [lost, again]
    assert frames_of(tables, recv, Role.FIN) == [again]


def test_a_reset_that_was_lost_failed_no_call() -> None:
    play = wired()
    play.rst("s>c", 0, way="drop")
    second = play.rst("s>c", 0)
    send = play.did("client", "send", -1, errno="ECONNRESET", size=10)
    assert frames_of(checked(play), send, Role.RST) == [second]


# --- waits


def test_a_wait_is_woken_by_what_arrived_not_by_what_left() -> None:
    play = wired()
    with play.wait("server", (200, 1)):
        play.data("c>s", 0, 100, way="drop")
        again = play.data("c>s", 0, 100)
    reads(play, 100)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "epoll_wait"), Role.WAKEUP) == [again]


def test_the_end_behind_a_hole_wakes_when_the_hole_is_filled() -> None:
    play = wired()
    play.data("c>s", 0, 100, way="drop")
    fin = play.fin("c>s", 100)
    filler = play.data("c>s", 0, 100)
    reads(play, 100)
    with play.wait("server", (200, 1)):
        pass
    play.did("server", "recv", 0, size=4096)
    tables = play.tables()
    assert frames_of(tables, number_of(tables, "epoll_wait"), Role.WAKEUP) == [filler]
    assert frames_of(tables, number_of(tables, "recv", 2), Role.FIN) == [fin]


def test_what_a_read_returned_before_it_arrived_was_not_that() -> None:
    play = wired()
    _, frame = sends(play, 100, way="hold")
    recv = reads(play, 100)
    play.arrives(frame)
    tables = checked(play)
    assert spans_of(tables, recv) == []
    assert [row.reason for row in tables.unmatched if row.call == recv] == [Reason.CONTRADICTION]
