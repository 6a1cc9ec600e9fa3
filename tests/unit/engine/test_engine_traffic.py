"""Frames and bytes of each protocol and host, counted in bulk, are those of the general path."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare_files import write_forms
from compare_samples import write_samples

from netlab.capture.files import read_raw
from netlab.decode.packets import decode
from netlab.decode.stacks import stacks
from netlab.engine.records import Unfit
from netlab.engine.traffic import Traffic
from netlab.engine.whole import read
from netlab.model.errors import BadRecording

Counts = tuple[dict[Any, list[int]], dict[Any, list[int]]]


def by_the_general_path(path: Path) -> Counts:
    raw = read_raw(path)
    packets = decode(raw)
    found: Counts = ({}, {})
    for stack, packet in zip(stacks(raw, packets), packets, strict=True):
        for counts, key in zip(found, (stack, (packet.src, packet.dst)), strict=True):
            sums = counts.setdefault(key, [0, 0])
            sums[0] += 1
            sums[1] += packet.origlen_bytes
    return found


def maybe_in_bulk(path: Path, machine: Any) -> Counts | None:
    traffic = Traffic()
    try:
        read(str(path), machine, keep=False, traffic=traffic)
    except (Unfit, BadRecording):
        return None
    return traffic.stacks, traffic.between


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


def test_more_sums_than_are_made_by_number(
    machine: Any, captures_dir: Path, monkeypatch: Any
) -> None:
    """Whether few keys or many: what is counted does not depend on how it is added up."""
    path = captures_dir / "files" / "wikipedia.pcap"
    usual = maybe_in_bulk(path, machine)
    monkeypatch.setattr("netlab.engine.traffic._DENSE", 0)
    assert usual == maybe_in_bulk(path, machine) == by_the_general_path(path)
