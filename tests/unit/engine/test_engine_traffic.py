"""Frames and bytes of each protocol and host, counted in bulk, are those of the general path."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare_files import write_forms
from compare_samples import write_samples

from netlab.capture.files import read_raw
from netlab.correlate.verdict_names import VERDICTS
from netlab.decode.packets import decode
from netlab.decode.stacks import stacks
from netlab.engine.records import Unfit
from netlab.engine.whole import read
from netlab.explain.troubles import is_refused, is_unanswered
from netlab.model.errors import BadRecording
from netlab.show.views.traffic import host_rows, hosts

Counts = tuple[dict[Any, list[int]], dict[Any, list[int]]]  # of stacks, and of hosts


def by_the_general_path(path: Path) -> Counts:
    raw = read_raw(path)
    packets = decode(raw)
    found: dict[Any, list[int]] = {}
    for stack, packet in zip(stacks(raw, packets), packets, strict=True):
        sums = found.setdefault(stack, [0, 0])
        sums[0] += 1
        sums[1] += packet.origlen_bytes
    rows = hosts(packets)
    return found, {
        row.address: [row.sent_packets, row.sent_bytes, row.received_packets, row.received_bytes]
        for row in rows
    }


def maybe_in_bulk(path: Path, machine: Any) -> Counts | None:
    try:
        whole = read(str(path), machine, keep=False, with_traffic=True)
    except (Unfit, BadRecording):
        return None
    assert whole.capture.traffic is not None
    every, left_out = whole.capture.traffic.hosts()
    assert left_out == 0
    return whole.capture.traffic.stacks, every


def samples(captures_dir: Path, tmp_path: Path) -> Iterator[Path]:
    for path in sorted((captures_dir / "files").iterdir()):
        if path.suffix == ".gz":
            plain = tmp_path / path.stem
            plain.write_bytes(gzip.decompress(path.read_bytes()))
            yield plain
        else:
            yield path
    made = tmp_path / "made.pcapng"
    write_samples(made)
    yield made
    yield from write_forms(tmp_path)


def test_they_are_the_general_paths(machine: Any, captures_dir: Path, tmp_path: Path) -> None:
    compared, frames = 0, 0
    for path in samples(captures_dir, tmp_path):
        found = maybe_in_bulk(path, machine)
        if found is None:
            continue
        assert found == by_the_general_path(path), path.name
        compared += 1
        frames += sum(count for count, _ in found[0].values())
    assert compared > 50
    assert frames > 7000


def test_the_busiest_hosts_are_the_first_of_all(machine: Any, captures_dir: Path) -> None:
    path = captures_dir / "files" / "wikipedia.pcap"
    whole = read(str(path), machine, keep=False, with_traffic=True)
    assert whole.capture.traffic is not None
    every, _ = whole.capture.traffic.hosts()
    assert len(every) > 7
    for most in range(1, len(every) + 2):
        some, left_out = whole.capture.traffic.hosts(most)
        assert len(some) + left_out == len(every)
        assert host_rows(some)[:most] == host_rows(every)[:most]


def test_sums_are_those_of_the_rows(machine: Any, captures_dir: Path, tmp_path: Path) -> None:
    """What is said of a large capture's connections in all, and which moved most."""
    compared = 0
    for path in samples(captures_dir, tmp_path):
        try:
            whole = read(str(path), machine, keep=False)
        except (Unfit, BadRecording):
            continue
        general = {row.connection for row in whole.general.tables.connections}
        rows = whole.connections()
        mine = [r for r in rows if r.protocol == "tcp" and r.connection not in general]
        sums = whole.sums()
        assert sums.verdicts == {
            name: sum(getattr(row, f"{name}_count") or 0 for row in mine) for name in VERDICTS
        }
        reset = [row for row in mine if row.close_kind == "rst"]
        refused = sum(map(is_refused, reset))
        assert (sums.refused, sums.reset) == (refused, len(reset) - refused), path.name
        assert sums.unanswered == sum(is_unanswered(row) for row in mine), path.name
        ordered = sorted(rows, key=lambda r: (-r.client_bytes - r.server_bytes, r.connection))
        for most in (1, 5, len(rows) + 1):
            assert whole.busiest(most) == ordered[:most], path.name
        compared += len(rows)
    assert compared > 167
