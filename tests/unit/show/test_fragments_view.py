"""A packet in fragments: one frame shows it whole, the others say where; streams hold it once."""

from __future__ import annotations

from pathlib import Path

import compare_samples as made
import pytest
from compare_samples import LINK, built
from scapy.layers import inet
from scapy.packet import Raw

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet, Tables
from netlab.show.terminal.lines import Line
from netlab.show.terminal.packets import box_lines, packet_lines
from netlab.show.views.content import Sides, content
from netlab.show.views.packets import PacketView, field_views, packet_view
from netlab.show.views.text import as_json

DATAGRAM = bytes(range(256)) * 12
SEGMENTS = (b"first" * 100, b"second" * 100)


def fragments(layer: object, number: int, size: int) -> list[bytes]:
    whole = LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", id=number) / layer
    return [built(part) for part in inet.fragment(whole, size)]


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[RawRecording, Tables]:
    """A datagram in three fragments, the last one first; two segments in pieces."""
    datagram = fragments(inet.UDP(sport=1000, dport=2000) / Raw(DATAGRAM), 7, 1200)
    frames = [datagram[2], datagram[0], datagram[1]]
    seq = 1
    for number, data in enumerate(SEGMENTS):
        tcp = inet.TCP(sport=3000, dport=4000, seq=seq, ack=1, flags="PA") / Raw(data)
        frames += fragments(tcp, 100 + number, 304)
        seq += len(data)
    path = tmp_path / "a.pcapng"
    made.write_frames(path, [(1, frame) for frame in frames])
    raw = read_raw(path)
    return raw, analyse(raw)


def view_of(recorded: tuple[RawRecording, Tables], frame: int) -> PacketView:
    raw, tables = recorded
    return packet_view(tables, raw, tables.packets[frame - 1], deep=False)


def text(lines: list[Line]) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines)


def test_the_frame_that_completed_it_shows_it(recorded: tuple[RawRecording, Tables]) -> None:
    view = view_of(recorded, 3)
    assert view.whole is not None
    assert view.whole.frames == (1, 2, 3)
    assert view.whole.layers[0].name == "UDP"
    assert view.whole.data[8:] == DATAGRAM
    sums = [f.text for f in view.whole.layers[0].fields if f.name == "checksum"]
    assert sums[0].endswith(" good")
    for width in (80, 100):  # the bytes take 75 columns at any width
        page = packet_lines(view, width, None)
        assert "reassembled from frames 1, 2, 3: 3,080 B" in text(page)
        assert all(len(line) <= width for line in text(page).splitlines())
    assert "|              3080             |" in text(box_lines(view, 80))
    assert '"frames": [' in as_json(view)


def test_the_others_say_where(recorded: tuple[RawRecording, Tables]) -> None:
    view = view_of(recorded, 2)
    assert (view.whole, view.whole_in) == (None, 3)
    assert "a fragment: its packet was whole with frame 3" in text(packet_lines(view, 80, None))


def test_a_field_says_what_its_bytes_are_counted_in(
    recorded: tuple[RawRecording, Tables],
) -> None:
    (found,) = field_views(view_of(recorded, 3), "udp.length")
    assert (found.field.text, found.within) == ("3080", "the packet put together")
    (found,) = field_views(view_of(recorded, 2), "udp.length")
    assert found.within == "the frame"


def test_streams_hold_each_byte_once(recorded: tuple[RawRecording, Tables]) -> None:
    raw, tables = recorded
    udp, tcp = tables.connections
    assert (udp.protocol, tcp.protocol) == ("udp", "tcp")
    said = content(tables, raw, udp, Sides.CLIENT).chunks
    assert [(chunk.frame, bytes(chunk.data)) for chunk in said] == [(3, DATAGRAM)]
    said = content(tables, raw, tcp, Sides.CLIENT).chunks
    assert b"".join(bytes(chunk.data) for chunk in said) == b"".join(SEGMENTS)
    assert tcp.client_bytes == sum(map(len, SEGMENTS))
    assert [segment.payload_len_bytes for segment in tables.segments] == [500, 600]


def test_each_fragment_belongs_to_its_connection(recorded: tuple[RawRecording, Tables]) -> None:
    _, tables = recorded
    packets: list[Packet] = tables.packets
    assert [packet.connection for packet in packets] == [0] * 3 + [1] * (len(packets) - 3)
