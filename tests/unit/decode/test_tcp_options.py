"""The options of a TCP header are found whole, wherever it lies, and are those of `layers`."""

from __future__ import annotations

from pathlib import Path

from netlab.capture.files import read_raw
from netlab.decode.layers import layers
from netlab.decode.packets import decode
from netlab.decode.tcp_options import _header, tcp_options
from netlab.model.errors import BadRecording


def test_options_are_those_of_the_layers(captures_dir: Path) -> None:
    compared = short = 0
    for path in sorted((captures_dir / "files").iterdir()):
        try:
            raw = read_raw(path)
        except BadRecording:
            continue
        packets = decode(raw)
        for frame, packet in list(zip(raw.frames, packets, strict=True))[:60]:
            if packet.protocol != "TCP" or packet.fault_layer or packet.fragment:
                continue
            interface = raw.interfaces[frame.interface]
            header = [one for one in layers(frame, interface) if one.name == "TCP"][-1]
            place = _header(packet, frame.data)
            assert place in (None, header.start), (path.name, frame.number)
            short += place is not None
            found = tcp_options(packet, frame, interface)
            shown: dict[int, bytes] = {}
            for field in header.fields:
                value = field.raw
                if isinstance(value, bytes) and field.start >= header.start + 20:
                    whole = len(value) > 1 and value[0] > 1 and value[1] == len(value)
                    shown.setdefault(value[0] if whole else -1, value)
            assert found.items() <= shown.items(), (path.name, frame.number)
            compared += len(found)
    assert compared > 500
    assert short > 500
