"""Whether a capture that began late shows a stream from its first new byte on."""

from __future__ import annotations

import pytest

from netlab.correlate.anchors import is_anchored
from netlab.correlate.flows import flows_from_packets
from netlab.correlate.segments import track_from_flow
from netlab.model.tables import Direction, Packet, TcpOptions

C, S = ("10.0.0.1", 40_000), ("10.0.0.2", 80)
FLAGS = {"ACK": 0x10, "PSH ACK": 0x18, "FIN ACK": 0x11}


def frame(sender: str, seq: int, ack: int, length: int = 0, flags: str = "ACK",
          sack: tuple[tuple[int, int], ...] = ()) -> Packet:  # fmt: skip
    source, destination = (C, S) if sender == "c" else (S, C)
    packet = Packet(0, 0, None, "unknown", "lo", "Ethernet", 100, 100)
    packet.ip_version, packet.protocol, packet._ip_protocol = 4, "TCP", 6
    packet.src, packet.sport = source
    packet.dst, packet.dport = destination
    packet.seg_seq, packet.seg_ack, packet.seg_wnd_raw = seq, ack, 500
    packet.payload_len_bytes, packet.payload_off = length, 54
    packet._flags, packet.tcp_flags = FLAGS[flags], flags
    packet._options = TcpOptions(sack_blocks=sack)
    return packet


def anchored(*packets: Packet) -> bool:
    """Of what the client sends."""
    for number, packet in enumerate(packets, 1):
        packet.frame, packet.time_ns = number, number * 1000
    (flow,) = flows_from_packets(list(packets))
    track = track_from_flow(flow)
    ours = next(d for d in Direction if (track.flow.client == C) == (d is Direction.C2S))
    return is_anchored(track, ours)


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([("c", 1000, 5000, 100), ("s", 5000, 1100, 50)], True),
        ([("s", 5000, 1000, 50), ("c", 1000, 5050, 100)], True),
        ([("c", 1000, 5000, 0), ("c", 1000, 5000, 100), ("s", 5000, 1100, 0)], True),
        # A keep-alive: the number before the next byte, and the answer acknowledges more.
        ([("c", 999, 5000, 0), ("s", 5000, 1000, 0), ("c", 1000, 5000, 100)], False),
        ([("c", 999, 5000, 0), ("c", 1000, 5000, 100), ("s", 5000, 1100, 0)], False),
        # A copy of what had arrived long ago: more is acknowledged than it holds.
        ([("c", 900, 5000, 100), ("s", 5000, 1100, 0), ("c", 1100, 5000, 10)], False),
        # The second of two lost segments came first; the other is resent.
        ([("c", 1100, 5000, 100), ("c", 1000, 5000, 100), ("s", 5000, 1200, 0)], False),
    ],
)
def test_only_new_bytes_are_concluded_from(
    packets: list[tuple[str, int, int, int]], expected: bool
) -> None:
    assert anchored(*[frame(*packet) for packet in packets]) is expected


def test_a_copy_that_its_receiver_tells_of() -> None:
    """D-SACK: exactly what the frame held is acknowledged, but it had come before."""
    copy = ("c", 1000, 5000, 100)
    assert anchored(frame(*copy), frame("s", 5000, 1100))
    assert not anchored(frame(*copy), frame("s", 5000, 1100, sack=((1000, 1100),)))
    assert anchored(
        frame(*copy), frame("c", 1200, 5000, 50), frame("s", 5000, 1100, sack=((1200, 1250),))
    )


def test_a_fin_has_a_number_of_its_own() -> None:
    assert anchored(
        frame("c", 1000, 5000, 100), frame("c", 1100, 5000, 0, "FIN ACK"), frame("s", 5000, 1101)
    )
