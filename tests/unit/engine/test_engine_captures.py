"""The engine's tables are the general path's on captures by others, plain and compiled."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from compare_files import write_forms
from compare_samples import write_samples
from same_tables import assert_same_tables, same_rows

from netlab.capture.files import read_raw
from netlab.decode import kernels
from netlab.decode.tunnels import TUNNEL_NAMES
from netlab.engine import tables
from netlab.engine.native import Native
from netlab.engine.records import Unfit
from netlab.engine.whole import read
from netlab.explain.analysis import analyse


def test_tables_are_the_general_paths(machine: Any, captures_dir: Path, tmp_path: Path) -> None:
    followed, left, unread = 0, 0, []
    for path in sorted((captures_dir / "files").iterdir()):
        source = path
        if path.suffix == ".gz":
            source = tmp_path / path.stem
            source.write_bytes(gzip.decompress(path.read_bytes()))
        whole = assert_same_tables(source, machine)
        if whole is None:
            unread.append(path.name)
            continue
        followed += whole.capture.count - len(whole.general.frames)
        left += len(whole.general.frames)
    assert followed > 6000
    assert 0 < left < 1800
    assert len(unread) < 25, unread


class InSmallPieces(Native):
    """Of which any capture has many: records lie across their ends, and threads meet at each."""

    piece_bytes = 1 << 9


def test_tables_by_two_threads_that_take_small_pieces(
    captures_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLAB_THREADS", "2")
    machine, count = InSmallPieces(), 0
    for path in sorted((captures_dir / "files").iterdir()):
        whole = assert_same_tables(path, machine)
        count += whole.capture.count if whole is not None else 0
    assert count > 6000


def test_packets_of_made_frames_are_the_general_paths(machine: Any, tmp_path: Path) -> None:
    """Tunnels, fragments in any order, every TCP option, rare transports, links, forms of files."""
    made = tmp_path / "made.pcapng"
    write_samples(made)
    unfit = []
    for path in (made, *write_forms(tmp_path)):
        try:
            whole = read(str(path), machine, keep=True)
        except Unfit:
            unfit.append(path.name)
            continue
        same_rows(list(tables.packets(whole)), analyse(read_raw(path)).packets)
    assert unfit == ["le-2.2.pcap", "le-2.3.pcap", "be-2.2.pcap", "be-2.3.pcap"]


def test_each_tunnel_over_udp_is_left_to_the_general_path() -> None:
    ports = {kernels.GTP_U, kernels.VXLAN, kernels.VXLAN_GPE, kernels.GENEVE, kernels.MPLS}
    assert ports == set(TUNNEL_NAMES)
