"""Headers as their RFCs draw them: the drawing of a SYN, and what holds for any frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_recordings import raw_recording

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording, UsageError
from netlab.model.frame import LINK_ETHERNET, Frame, Interface
from netlab.model.recording import RawRecording
from netlab.show.terminal.boxes import WIDTH, boxes
from netlab.show.views.packets import PacketView, field_views, packet_view

GOLDEN = Path(__file__).parents[2] / "golden" / "show_boxes_syn.txt"


def view_of(raw: RawRecording, at: int = 0) -> PacketView:
    tables = analyse(raw)
    return packet_view(tables, raw, tables.packets[at], deep=False)


def drawn(view: PacketView) -> str:
    return "\n\n".join("\n".join([layer.name, *boxes(layer)]) for layer in view.layers) + "\n"


def test_a_syn_is_drawn_as_in_the_rfcs() -> None:
    raw = raw_recording()
    syn = next(n for n, p in enumerate(analyse(raw).packets) if p.tcp_flags == "SYN")
    assert drawn(view_of(raw, syn)) == GOLDEN.read_text()


def test_every_header_of_the_samples_is_drawn_whole(captures_dir: Path) -> None:
    """As many rows as its bits fill, none wider than 32 bits are."""
    count = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        for frame in raw.frames[:7]:
            alone = RawRecording(frames=[frame], interfaces=raw.interfaces)
            for layer in view_of(alone).layers:
                lines = boxes(layer)
                if not lines:
                    continue
                count += 1
                rows = [line for line in lines[2:] if line[:1] in "+|"]
                assert all(len(line) <= WIDTH for line in rows), (path.name, layer.name)
                ends = [f.bit_stop for f in layer.fields if f.name != "fault"]
                bits = max(ends) - layer.start * 8
                rules = [line for line in rows if line.startswith("+")]
                assert len(rules) == -(-bits // 32) + 1, (path.name, layer.name)
    assert count > 300


@given(st.binary(max_size=200))
def test_any_bytes_can_be_drawn(data: bytes) -> None:
    raw = RawRecording(
        frames=[Frame(1, 0, 0, memoryview(data), len(data))],
        interfaces=[Interface("x", LINK_ETHERNET, 0)],
    )
    for layer in view_of(raw).layers:
        for line in boxes(layer):
            assert line.isprintable()


def test_a_field_is_found_by_its_name_and_by_its_column() -> None:
    view = view_of(raw_recording())
    by_name, by_column, both = (
        field_views(view, name) for name in ("ipv4.time-to-live", "TTL", "ipv4.ttl")
    )
    assert by_name == by_column == both
    (found,) = by_name
    assert (found.field.text, found.field.bit_start - found.layer.start * 8) == ("64", 64)
    assert found.field.source == "RFC 791 3.1"
    (flag,) = field_views(view, "ipv4.dont-fragment")
    assert flag.field.bit_stop - flag.field.bit_start == 1


def test_a_name_that_the_packet_does_not_have() -> None:
    with pytest.raises(UsageError, match=r"has no field 'tcp\.windw'.*did you mean tcp\.window\?"):
        field_views(view_of(raw_recording()), "tcp.windw")
    with pytest.raises(UsageError, match=r"has no field 'q'.*it has ethernet\.destination, "):
        field_views(view_of(raw_recording()), "q")
