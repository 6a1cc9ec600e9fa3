"""The engine's tables are the general path's on any bytes: made frames in made files, in damaged
ones, and conversations that nobody would have.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from same_tables import assert_same_tables
from test_decode_columns import frames
from test_verdicts_tshark import Talk

from netlab.model.frame import Frame, Interface

Made = tuple[Frame, Interface]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine") / "made"


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


@st.composite
def pcapng_files(draw: st.DrawFn) -> bytes:
    """Sections of either order, an interface for each frame, and blocks between."""
    data = b""
    for _ in range(draw(st.integers(1, 2))):
        order = draw(st.sampled_from("<>"))
        data += block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
        made = draw(st.lists(frames(), min_size=1, max_size=8))
        for _, interface in made:
            resolution = draw(st.sampled_from([b"", b"\6", b"\t", b"\x8a", b"\x83", b"\0"]))
            options = struct.pack(order + "HH", 9, 1) + resolution + bytes(3) if resolution else b""
            options += draw(st.sampled_from([b"", struct.pack(order + "HHq", 14, 8, 77)]))
            head = struct.pack(order + "HHI", interface.link, 0, draw(st.sampled_from([0, 60])))
            data += block(order, 1, head + options)
        for number, (frame, _) in enumerate(made):
            data += packet_block(draw, order, number, frame)
            data += draw(st.sampled_from([b""] * 4 + [
                block(order, 0xBAD, struct.pack(order + "I", 7)), block(order, 0x77, b"what"),
                block(order, 5, struct.pack(order + "III", number, 0, 0)),
            ]))  # fmt: skip
    return data


def packet_block(draw: st.DrawFn, order: str, number: int, frame: Frame) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return block(order, 3, struct.pack(order + "I", frame.origlen_bytes) + frame.data)
    options = draw(
        st.sampled_from(
            [
                b"",
                b"",
                struct.pack(order + "HHI", 2, 4, 1),
                b"\0\0\0\0",
                struct.pack(order + "HH", 1, 3) + b"why\0",
                b"\2\0\2\0",
            ]
        )
    )
    high, low = draw(st.sampled_from([(0, 0), (1, 7), (377_000, 5), (1 << 31, 0)]))
    head = struct.pack(
        order + "IIIII", number, high, low, len(frame.data), frame.origlen_bytes
    )  # fmt: skip
    padded = bytes(frame.data) + bytes(-len(frame.data) % 4)
    return block(order, 6, head + padded + options)


@st.composite
def pcap_files(draw: st.DrawFn) -> bytes:
    order = draw(st.sampled_from("<>"))
    magic = draw(st.sampled_from([0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34]))
    made = draw(st.lists(frames(), min_size=1, max_size=8))
    link = made[0][1].link
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    longer = bytes(8) if magic == 0xA1B2CD34 else b""
    for frame, interface in made:
        if interface.link == link:
            head = struct.pack(order + "IIII", 7, 5, len(frame.data), frame.origlen_bytes)
            data += head + longer + bytes(frame.data)
    return data


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.one_of(pcapng_files(), pcap_files())))
    places = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    for place, value in draw(st.lists(places, max_size=2)):
        data[place] = value
    return bytes(data[: draw(st.sampled_from([len(data), draw(st.integers(1, len(data)))]))])


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.one_of(pcapng_files(), pcap_files(), damaged_files()))
def test_tables_of_made_files(machine: Any, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert_same_tables(path, machine)


@pytest.mark.parametrize(("seed", "broken"), [(5, False), (6, True)])
def test_tables_of_conversations_that_nobody_would_have(
    machine: Any, seed: int, broken: bool, path: Path
) -> None:
    path.write_bytes(Talk(seed, broken=broken).file())
    whole = assert_same_tables(path, machine)
    assert whole is not None
    assert whole.capture.count - len(whole.general.frames) > 4_000  # the kernels' own
