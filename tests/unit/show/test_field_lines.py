"""A field of a header as a line: its place with its bits, its bytes as they are, who defines it."""

from __future__ import annotations

from pathlib import Path

import compare_samples as made
import pytest
from compare_samples import LINK, built
from rich.cells import cell_len
from scapy.layers import inet

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.show.terminal.fields import field_lines, place, raw
from netlab.show.terminal.lines import LEAST, cells, fit, fold, pieces, plain
from netlab.show.terminal.packets import explained_lines, packet_lines
from netlab.show.views.blocks import FieldLine, LayerBlock
from netlab.show.views.packets import PacketView, field_views, packet_view


def field(start: int, stop: int, *, name: str = "window", text: str = "1") -> FieldLine:
    """A field from one bit up to another."""
    first, last = start // 8, -(-stop // 8)
    return FieldLine(name, text, "Says so.", first, last, "RFC 9293 3.1", start, stop, "")


@pytest.fixture
def view(tmp_path: Path) -> PacketView:
    tcp = inet.TCP(sport=1000, dport=2000, flags="SA", window=5840)
    packet = built(LINK / inet.IP(src="192.0.2.1", dst="198.51.100.2", flags="DF") / tcp)
    path = tmp_path / "a.pcapng"
    made.write_frames(path, [(1, packet)])
    read = read_raw(path)
    tables = analyse(read)
    return packet_view(tables, read, tables.packets[0], deep=False)


def test_a_place_names_bits_where_no_byte_begins_or_ends() -> None:
    assert place(field(16 * 8, 18 * 8)) == "16..18"
    assert place(field(14 * 8, 14 * 8 + 4)) == "14..14.4"
    assert place(field(20 * 8 + 3, 22 * 8)) == "20.3..22"
    assert place(field(20 * 8, 20 * 8)) == ""


def test_bytes_are_shown_as_they_are_and_bits_as_bits() -> None:
    data = bytes.fromhex("45 00 6f ff 01 02 03 04 05 06")
    assert raw(field(0, 4), data, 0) == "0100"
    assert raw(field(4, 8), data, 0) == "0101"
    assert raw(field(2 * 8 + 3, 4 * 8), data, 0) == "0111111111111"
    assert raw(field(12 * 8, 14 * 8), data, 10) == "6f ff"
    assert raw(field(0, 10 * 8), data, 0) == "45 00 6f ff 01 02 03 04…"
    assert raw(field(9 * 8, 11 * 8 + 1), data, 0) == "06"  # the capture ends in it
    assert raw(field(0, 8), b"", 0) == ""


@pytest.mark.parametrize("width", [LEAST, 80, 115, 116, 120])
def test_a_packet_has_each_field_with_bits_raw_value_and_source(
    view: PacketView, width: int
) -> None:
    lines = [plain(line) for line in packet_lines(view, width, None)]
    assert all(len(line) <= width for line in lines)
    page = "\n".join(lines)
    assert "20.1..20.2  don't fragment" in page
    assert "(14.4: bit 4 of byte 14)" in page
    for layer in view.layers:
        for one in layer.fields:
            assert one.source in page, one.name
            assert raw(one, view.data, 0) in page, one.name
    rows = [line for line in lines if "bytes  [ a layer begins" in line]
    assert len(rows) == 1
    assert rows[0].startswith("Ethernet") == (width >= 116)


@pytest.mark.parametrize("width", [LEAST, 80, 120])
def test_places_of_ten_figures_keep_to_the_width(width: int) -> None:
    far = 1_180_489_197 * 8
    fields = (
        field(far, far + 256, name="supported_versions", text="f8b1" * 16),
        field(far, far + 1),
    )
    block = LayerBlock("TLS", far // 8, far // 8 + 32, fields)
    lines = field_lines(block, "", width, bytes(32), far // 8, 20)
    assert all(len(plain(line)) <= width for line in lines)


@pytest.mark.parametrize("text", ["中文" * 40, "a中" * 50, "plain " * 20, "é→…" * 30, ""])
@pytest.mark.parametrize("width", [8, 13, 60])
def test_wide_letters_take_two_columns_wherever_text_is_cut(text: str, width: int) -> None:
    assert cells(text) == cell_len(text)
    cut = fit(text, width)
    assert cell_len(cut) <= width
    assert cut == text or cut.endswith("…")
    assert "".join(pieces(text, width)) == text
    assert all(cell_len(piece) <= width for piece in pieces(text, width))
    words = text.replace("文", "文 ")
    assert all(cell_len(line) <= width or " " not in line for line in fold(words, width))
    assert " ".join(fold(words, width)) == words


@pytest.mark.parametrize("width", [LEAST, 80, 120])
def test_a_value_of_wide_letters_keeps_to_the_width(width: int) -> None:
    fields = (field(0, 64, name="host", text="中文" * 9), field(64, 72))
    block = LayerBlock("HTTP/1.1", 0, 9, fields)
    lines = field_lines(block, "", width, bytes(9), 0, 20)
    assert all(cell_len(plain(line)) <= width for line in lines)


@pytest.mark.parametrize("width", [LEAST, 80])
@pytest.mark.parametrize("name", ["tcp.window", "tcp.source-port", "ethernet.destination"])
def test_a_field_is_marked_in_the_bytes(name: str, width: int, view: PacketView) -> None:
    (found,) = field_views(view, name)
    lines = [plain(line) for line in explained_lines(view, [found], width)]
    assert max(map(len, lines)) <= width
    (row,) = (line for line in lines if line[:7].strip().isdigit() and ">" in line)
    between, stop, _ = row.partition(">")[2].partition("<")
    assert stop
    assert bytes.fromhex(between) == view.data[found.field.start : found.field.stop]
