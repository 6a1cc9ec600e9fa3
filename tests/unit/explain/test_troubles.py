"""What looks wrong is said, with its number and its first frame; what is right is passed over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import Play

from netlab.explain.troubles import Trouble, troubles
from netlab.model.frame import Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Icmp, Packet


def of(play: Play) -> list[Trouble]:
    """The troubles of a play; its frames are blank, and as long as it says."""
    tables = play.tables()
    play.raw.frames = [
        Frame(p.frame, p.time_ns, 0, bytes(p.caplen_bytes), p.origlen_bytes) for p in tables.packets
    ]
    return troubles(tables, play.raw)


def told(play: Play) -> list[tuple[str, int, int | None]]:
    return [(one.kind, one.count, one.frame) for one in of(play)]


def clean() -> Play:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.ack("s>c", 100)
    play.fin("c>s", 100)
    play.fin("s>c", 0, 101)
    play.ack("c>s", 1, 101)
    return play


def test_nothing_is_wrong_with_a_clean_conversation() -> None:
    assert told(clean()) == []


def test_a_capture_of_nothing_is_not_wrong() -> None:
    assert told(Play()) == []


def test_bytes_sent_again_have_their_share() -> None:
    play = Play()
    play.handshake(calls=False)
    for start in (0, 100, 200):
        play.data("c>s", start, start + 100)
    play.now_ns += 300_000_000
    again = play.data("c>s", 0, 100)
    (one,) = of(play)
    assert (one.kind, one.count, one.frame, one.connection) == ("resent", 1, again, 0)
    # Two SYNs and four segments with data have content, and one of those came again.
    assert one.text == "1 segment resent, 16.7 % of those with content: 1 by timeout"


def test_failed_connections_come_first() -> None:
    play = clean()
    for number in range(3):
        play.syn(sport=50_000 + number)
        if number < 2:
            play.frame("s>c", "RA", 0, 1, sport=50_000 + number)
    first = len(clean().packets) + 1
    assert told(play) == [("refused", 2, first + 1), ("unanswered", 1, first + 4)]


def test_a_reset_of_an_open_connection_is_no_refusal() -> None:
    play = Play()
    play.handshake(calls=False)
    play.rst("c>s", 0)
    assert told(play) == [("reset", 1, 4)]


def test_a_closed_window_is_told() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.ack("s>c", 100, window=0)
    assert told(play) == [("zero_window", 1, 5)]


def test_frames_that_are_missing_are_told() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 100, 200)
    assert ("lost_segment", 1, 4) in told(play)
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.ack("s>c", 500)
    assert told(play)[0][0] == "ack_lost_segment"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"fault_layer": "TCP options", "fault_limited_by": "option length"}, "malformed"),
        ({"caplen_bytes": 60}, "snaplen"),
        ({"time_ns": 1_000_002_500}, "clock"),
        ({"_quoted": Packet(0, 0, None, "", "", "", 0, 0), "_icmp": Icmp(3, 3, "port unreachable")},
         "icmp"),
    ],
)  # fmt: skip
def test_a_packet_that_is_wrong_is_told(change: dict[str, object], kind: str) -> None:
    play = clean()
    changed = replace(play.packets[4], **change)  # type: ignore[arg-type]
    play.packets[4] = changed
    assert [(one.kind, one.count, one.frame) for one in of(play) if one.kind == kind] == [
        (kind, 1, 5)
    ]


@pytest.mark.parametrize("limit", ["snaplen", "fragment", "quote"])
def test_what_only_this_frame_lacks_is_no_malformed_packet(limit: str) -> None:
    play = clean()
    play.packets[4] = replace(play.packets[4], fault_layer="TCP", fault_limited_by=limit)
    assert told(play) == []


def test_fragments_that_were_completed_are_silent() -> None:
    play = Play()
    pieces = [(0, 16, True), (16, 16, True), (32, 7, False)]
    for order in (pieces, pieces[::-1]):  # its number comes round again
        for off, length, more in order:
            fragment(play, 7, off, length, more)
        play.now_ns += 20_000_000
    fragment(play, 8, 0, 16, True)
    first_of_9 = len(play.packets) + 1
    fragment(play, 9, 16, 8, False)
    assert told(play) == [("incomplete", 2, first_of_9 - 1)]


def fragment(play: Play, ident: int, off: int, length: int, more: bool) -> None:
    play.datagram("10.0.0.1:1", "10.0.0.2:2", length)
    packet = play.packets[-1]
    packet.ip_id, packet._fragment_off, packet._fragment_more = ident, off, more
    packet.fragment = f"{off}+{length} {'more' if more else 'last'}"
    if off:
        packet.sport = packet.dport = None


def test_a_frame_captured_twice_is_no_retransmission() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 100)
    play.packets.append(replace(play.packets[-1], frame=5, time_ns=play.tick()))
    assert told(play) == [("captured_twice", 1, 5), ("retransmission", 1, 5)]  # for tshark it is


def test_losses_and_damage_of_the_capture_come_first() -> None:
    raw = RawRecording(interfaces=[Interface("eth0", 1, 0, dropped=12)], faults=["cut off"])
    play = Play(raw=raw)
    play.handshake(calls=False)
    play.rst("c>s", 0)
    assert told(play) == [("ring_drop", 12, None), ("damage", 1, None), ("reset", 1, 4)]
