"""Flows, stream numbers, relative numbers, handshakes and endings as the frames tell them."""

from __future__ import annotations

import pytest
from playbook import Play

from netlab.model.tables import Packet


def test_client_is_the_sender_of_the_first_syn_even_if_its_answer_was_captured_first() -> None:
    for order in (("syn", "synack"), ("synack", "syn")):
        play = Play()
        for name in order:
            getattr(play, name)()
        play.ack("c>s", 0)
        row = play.tables().connections[0]
        assert (row.client_port, row.server_port) == (40000, 80)


def test_without_a_syn_the_client_is_the_sender_of_the_first_frame() -> None:
    play = Play()
    play.data("s>c", 0, 10)
    play.ack("c>s", 10)
    row = play.tables().connections[0]
    assert (row.client_port, row.client_packets, row.server_packets) == (80, 1, 1)
    assert row.completeness == 4 + 8


def test_a_capture_that_began_late_counts_from_the_first_byte_seen() -> None:
    play = Play()
    play.data("c>s", 5_000, 5_100, ack=700)
    play.data("s>c", 700, 800, ack=5_100)
    first, second = play.tables().segments
    assert (first.seq, first.start, first.stop, first.ack) == (1, 0, 100, 1)
    assert (second.seq, second.start, second.stop, second.ack) == (1, 0, 100, 101)
    assert first.seg_wnd_bytes is None


def test_relative_numbers_go_on_across_the_wrap() -> None:
    play = Play(iss=(1 << 32) - 60, irs=(1 << 32) - 1)
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.data("c>s", 100, 200)
    play.ack("s>c", 200)
    rows = play.tables().segments
    assert [row.seq for row in rows] == [0, 0, 1, 1, 101, 1]
    assert rows[-1].ack == 201


@pytest.mark.parametrize(("scale", "window"), [(7, 512 << 7), (None, 512)])
def test_windows_are_scaled_when_both_offered_it(scale: int | None, window: int) -> None:
    play = Play(wscale=scale)
    play.handshake(calls=False)
    rows = play.tables().segments
    assert [row.seg_wnd_bytes for row in rows] == [512, 512, window]


def test_a_window_is_not_known_before_the_scale_is() -> None:
    play = Play()
    play.syn()
    play.ack("c>s", 0)
    assert [row.seg_wnd_bytes for row in play.tables().segments] == [512, None]


def test_a_new_stream_begins_with_another_isn_and_not_with_the_same() -> None:
    play = Play()
    play.syn()
    play.rst("s>c", 0)
    play.syn()
    play.iss = 77_777
    play.syn()
    tables = play.tables()
    assert [(c.stream, c.client_packets) for c in tables.connections] == [(0, 2), (1, 1)]
    assert [c.close_kind for c in tables.connections] == ["rst", "open"]


def test_an_orderly_end() -> None:
    play = Play()
    play.handshake(calls=False)
    play.fin("c>s", 0)
    play.fin("s>c", 0, ack=1)
    play.ack("c>s", 1, at=1)
    row = play.tables().connections[0]
    assert (row.client_state, row.server_state) == ("TIME-WAIT", "CLOSED")
    assert (row.closed_by, row.close_kind, row.completeness) == ("client", "fin", 1 + 2 + 4 + 16)
    assert row.handshake_ns == 2_000


def test_a_half_close_and_a_simultaneous_one() -> None:
    half, both = Play(), Play()
    for play in (half, both):
        play.handshake(calls=False)
        play.fin("s>c", 0)
    half.ack("c>s", 1)
    row = half.tables().connections[0]
    assert (row.client_state, row.server_state) == ("CLOSE-WAIT", "FIN-WAIT-2")
    assert (row.closed_by, row.close_kind) == ("server", "half-close")
    both.fin("c>s", 0)  # does not acknowledge the other's
    row = both.tables().connections[0]
    assert (row.closed_by, row.client_state, row.server_state) == ("both", "CLOSING", "CLOSING")


def test_a_reset_after_the_end_does_not_make_it_one() -> None:
    play = Play()
    play.handshake(calls=False)
    play.fin("c>s", 0)
    play.fin("s>c", 0, ack=1)
    play.ack("c>s", 1, at=1)
    play.rst("c>s", 1)
    assert play.tables().connections[0].close_kind == "fin"


def test_udp_conversations_have_numbers_of_their_own_and_ids_in_common() -> None:
    play = Play()
    play.datagram("10.0.0.1:5000", "10.0.0.2:53", 30)
    play.syn()
    play.datagram("10.0.0.2:53", "10.0.0.1:5000", 80)
    play.datagram("10.0.0.1:5001", "10.0.0.2:53", 30)
    rows = play.tables().connections
    assert [(r.connection, r.protocol, r.stream) for r in rows] == [
        (0, "udp", 0), (1, "tcp", 0), (2, "udp", 1),
    ]  # fmt: skip
    assert (rows[0].client_packets, rows[0].server_packets) == (1, 1)


def test_fragments_follow_their_first_and_the_stream_number_waits_for_the_last() -> None:
    play = Play()
    more = {"ip_id": 7, "_fragment_more": True}
    play.datagram("10.0.0.1:20", "10.0.0.2:21", 1472, fragment="0+1480 more", **more)
    play.datagram("10.0.0.1:30", "10.0.0.2:31", 3)
    for off, flag in ((1480, True), (2960, False)):
        play.datagram(
            "10.0.0.1:0", "10.0.0.2:0", 0, ip_id=7, sport=None, dport=None,
            fragment=f"{off}+{1480 if flag else 48} x", payload_len_bytes=None,
            _fragment_off=off, _fragment_more=flag,
        )  # fmt: skip
    tables = play.tables()
    assert [(c.client_port, c.stream) for c in tables.connections] == [(20, 1), (30, 0)]
    assert [p.connection for p in tables.packets] == [0, 1, 0, 0]


def test_an_icmp_error_joins_the_conversation_that_it_quotes() -> None:
    play = Play()
    play.datagram("10.0.0.1:30", "10.0.0.2:31", 3)
    quoted = Packet(2, 0, None, "unknown", "lo", "Raw IP", 36, 36, src="10.0.0.1",
                    dst="10.0.0.2", sport=30, dport=31, protocol="UDP")  # fmt: skip
    stranger = Packet(3, 0, None, "unknown", "lo", "Raw IP", 36, 36, src="10.0.0.1",
                      dst="10.0.0.2", sport=40, dport=41, protocol="UDP")  # fmt: skip
    for quote in (quoted, stranger):
        play.datagram("10.0.0.2:0", "10.0.0.1:0", 0, protocol="ICMP", sport=None, _quoted=quote)
    play.datagram("10.0.0.1:50", "10.0.0.2:51", 3)
    tables = play.tables()
    assert [(p.connection, p.direction) for p in tables.packets] == [
        (0, "c>s"), (0, "s>c"), (None, None), (1, "c>s"),
    ]  # fmt: skip
    assert [c.stream for c in tables.connections] == [0, 2]  # tshark numbers the stranger, too
    assert tables.connections[0].server_packets == 0
