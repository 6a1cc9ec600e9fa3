"""What the kernel told: rows of `states`, and frames that a retransmission, reset or drop is of."""

from __future__ import annotations

import pytest
from playbook import ADDRESS, INODE, Play

from netlab.explain.gloss import note_text
from netlab.model.kernel_event import KernelEvent
from netlab.model.tables import FrameNote

FAR_NS = 50_000_000


def tell(play: Play, side: str, what: str, **more: object) -> None:
    """An event at one end, now."""
    other = "server" if side == "client" else "client"
    fields = {"local": ADDRESS[side], "peer": ADDRESS[other]} | more
    play.raw.kernel_events.append(KernelEvent(play.tick(), "localhost", what, **fields))  # type: ignore[arg-type]


def notes(play: Play) -> list[tuple[int, str, str | None]]:
    return [(note.frame, note.what, note.reason) for note in play.tables().notes]


# -- states ----------------------------------------------------------------------------------------


def test_states_and_numbers_become_rows_of_their_end() -> None:
    play = Play()
    tell(play, "client", "inet_sock_set_state", state="SYN-SENT", old_state="CLOSED")
    play.handshake(calls=False)
    tell(play, "client", "inet_sock_set_state", state="ESTABLISHED", old_state="SYN-SENT")
    tell(play, "server", "tcp_probe", state="ESTABLISHED", snd_cwnd=10, srtt_ns=26_000,
         snd_wnd_bytes=65_536, rcv_wnd_bytes=65_483, length_bytes=100)  # fmt: skip
    rows = play.tables().states
    assert [(row.connection, row.side, row.state, row.witness) for row in rows] == [
        (0, "client", "SYN-SENT", "kernel"),
        (0, "client", "ESTABLISHED", "kernel"),
        (0, "server", "ESTABLISHED", "kernel"),
    ]
    probe = rows[-1]
    assert (probe.snd_cwnd, probe.ssthresh, probe.srtt_ns) == (10, None, 26_000)
    assert (probe.snd_wnd_bytes, probe.rcv_wnd_bytes) == (65_536, 65_483)


def test_what_the_kernel_calls_closed_may_be_time_wait_and_is_no_row() -> None:
    play = Play()
    play.handshake(calls=False)
    tell(play, "client", "inet_sock_set_state", state="FIN-WAIT-2", old_state="FIN-WAIT-1")
    tell(play, "client", "inet_sock_set_state", state="CLOSED", old_state="FIN-WAIT-2")
    tell(play, "server", "inet_sock_set_state", state="CLOSED", old_state="LAST-ACK")
    tell(play, "server", "inet_sock_set_state", state="CLOSED", old_state="CLOSED")
    states = [(row.side, row.state) for row in play.tables().states]
    assert states == [("client", "FIN-WAIT-2"), ("server", "CLOSED")]


def test_ports_that_are_used_again_are_told_apart_by_the_first_state() -> None:
    play = Play()
    for _ in range(2):
        tell(play, "client", "inet_sock_set_state", state="SYN-SENT", old_state="CLOSED")
        play.handshake(calls=False)
        tell(play, "client", "tcp_probe", state="ESTABLISHED", snd_cwnd=10)
        play.rst("c>s", 0)
        play.iss, play.irs = play.iss + 100_000, play.irs + 100_000
    rows = play.tables().states
    assert [row.connection for row in rows] == [0, 0, 1, 1]


def test_a_socket_that_calls_were_made_on_is_found_by_its_number() -> None:
    play = Play()
    play.handshake()
    tell(play, "client", "tcp_probe", state="ESTABLISHED", inode=INODE["client"])
    assert [(row.connection, row.side) for row in play.tables().states] == [(0, "client")]


# -- frames ----------------------------------------------------------------------------------------


def test_a_retransmission_is_of_the_frame_that_carries_the_bytes_again() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.now_ns += FAR_NS
    again = play.data("c>s", 0, 100)
    tell(play, "client", "tcp_retransmit_skb", state="ESTABLISHED")
    assert notes(play) == [(again, "tcp_retransmit_skb", None)]


def test_two_that_stand_close_pair_in_order_and_one_too_many_pairs_with_none() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.data("c>s", 100, 200)
    play.now_ns += FAR_NS
    first = play.data("c>s", 0, 100)
    tell(play, "client", "tcp_retransmit_skb")
    second = play.data("c>s", 100, 200)
    tell(play, "client", "tcp_retransmit_skb")
    assert [frame for frame, _, _ in notes(play)] == [first, second]
    tell(play, "client", "tcp_retransmit_skb")
    assert notes(play) == []


def test_a_retransmission_that_failed_or_is_far_from_any_frame_is_of_none() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.data("c>s", 0, 100)
    tell(play, "client", "tcp_retransmit_skb", errno="ENOBUFS")
    play.now_ns += FAR_NS
    tell(play, "client", "tcp_retransmit_skb")
    assert notes(play) == []


def test_a_refused_connection_names_reset_and_dropped_syn() -> None:
    play = Play()
    syn = play.syn()
    tell(play, "server", "tcp_send_reset", reason="NO_SOCKET")
    reset = play.rst("s>c", -1)
    tell(play, "server", "kfree_skb", reason="NO_SOCKET")
    tell(play, "client", "tcp_receive_reset")
    assert notes(play) == [
        (syn, "kfree_skb", "NO_SOCKET"),
        (reset, "tcp_receive_reset", None),
        (reset, "tcp_send_reset", "NO_SOCKET"),
    ]


def test_a_listeners_drop_is_of_the_one_segment_that_came_to_it() -> None:
    play = Play()
    syn = play.syn()
    tell(play, "server", "kfree_skb", peer="0.0.0.0:0", local="0.0.0.0:80", reason="X")
    tell(play, "server", "kfree_skb", peer=None, reason="TCP_LISTEN_OVERFLOW")
    assert notes(play) == [(syn, "kfree_skb", "TCP_LISTEN_OVERFLOW")]


def test_a_drop_that_names_its_socket_by_number_alone_has_its_ends_from_the_calls() -> None:
    play = Play()
    play.handshake()
    with play.call("server", "recv", 0, errno="EAGAIN"):
        pass
    play.now_ns += FAR_NS
    data = play.data("c>s", 0, 100)
    tell(play, "server", "kfree_skb", local=None, peer=None, inode=INODE["server"], reason="X")
    tell(play, "server", "kfree_skb", local=None, peer=None, inode=99_999, reason="X")
    assert notes(play) == [(data, "kfree_skb", "X")]


@pytest.mark.parametrize("reason", ["QUEUE_PURGE", "SOCKET_CLOSE"])
def test_what_lay_in_a_queue_is_no_frames_fate(reason: str) -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    tell(play, "server", "kfree_skb", reason=reason)
    assert notes(play) == []


def test_a_drop_that_two_frames_fit_is_of_neither() -> None:
    play = Play()
    play.handshake(calls=False)
    play.now_ns += FAR_NS
    play.data("c>s", 0, 100)
    play.data("c>s", 100, 200)
    tell(play, "server", "kfree_skb", reason="SOCKET_BACKLOG")
    assert notes(play) == []


def test_a_note_reads_as_a_sentence() -> None:
    note = FrameNote(7, "server", "kfree_skb", "TCP_OVERWINDOW")
    assert note_text(note) == "the kernel of server says: dropped, TCP_OVERWINDOW"
