"""tshark's reading and netlab's, field by field, and the table of what was compared (`pytest -s`).

    .ci/test -s -m 'slow or not slow' tests/live/test_compare_tshark.py

NETLAB_MORE_CAPTURES names folders with other captures, parted by colons: they are compared too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from compare_files import write_forms
from compare_samples import write_frames, write_samples
from deliberate_differences import DELIBERATE
from deliberate_samples import departures
from tshark_compare import (
    GROUP_OF,
    Comparison,
    compare,
    expected_rows,
    netlab_rows,
    page,
    shown,
    tshark_rows,
)

from netlab.capture.files import read_raw
from netlab.model.errors import BadRecording
from netlab.model.recording import RawRecording

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = (".pcap", ".pcapng", ".cap", ".bin", ".ntar", ".pcap.gz", ".pcapng.gz")
# Debian's packages that `.ci/test` installs.
PACKAGES = ("tshark", "wireshark-common", "libwireshark-data", "tcpdump", "util-linux", "mount",
            "curl", "iproute2", "gzip", "bzip2", "strace", "xz-utils", "zstd", "lz4")  # fmt: skip


def readable(paths: Iterable[Path]) -> Iterator[tuple[Path, RawRecording]]:
    """Those that are captures; damaged ones as far as they can be read."""
    for path in sorted(paths):
        if path.name.endswith(ENDINGS):
            try:
                yield path, read_raw(path)
            except BadRecording:
                continue


def by_tshark(paths: Iterable[Path]) -> list[Comparison]:
    return [
        compare(path.name, netlab_rows(raw), tshark_rows(path), DELIBERATE)
        for path, raw in readable(paths)
    ]


def judge(found: list[Comparison]) -> None:
    print()
    print(page(found, DELIBERATE))
    differences = [difference for one in found for difference in one.differences]
    assert differences == [], shown(differences)


def test_the_sample_captures_are_as_tshark_read_them(captures_dir: Path) -> None:
    """Against the tables that were made of them."""
    found = [
        compare(path.name, netlab_rows(raw), expected_rows(captures_dir / "expected", path.name),
                DELIBERATE)
        for path, raw in readable((captures_dir / "files").iterdir())
    ]  # fmt: skip
    judge(found)
    assert sum(one.frames for one in found) > 8000
    names = {name for one in found for name in one.fields}
    assert len(names) > 40


def test_made_frames_are_as_tshark_reads_them(tmp_path: Path) -> None:
    """Each form of each TCP option, tunnels, fragments, rare transports, links."""
    path = tmp_path / "made.pcapng"
    write_samples(path)
    found = by_tshark([path])
    judge(found)
    assert set(found[0].fields) == set(GROUP_OF)


# Captures of which netlab says something else than tshark for a reason that no made frame has.
DAMAGED = (
    "206_example_b.pcap",
    "be-difficult-test202.pcapng",
    "smb_v2_only_non_zero_reserved1.pcap",
    "clusterfuzz-testcase-FuzzTarget-5188876846235648.bin",
)


def test_every_deliberate_difference_is_needed(captures_dir: Path, tmp_path: Path) -> None:
    """An entry without a frame that it explains could hide what nobody means."""
    path = tmp_path / "departures.pcapng"
    write_samples(path)
    with_departures = tmp_path / "more.pcapng"
    write_frames(with_departures, departures())
    found = by_tshark([path, with_departures])
    found += [
        compare(name, netlab_rows(read_raw(captures_dir / "files" / name)),
                expected_rows(captures_dir / "expected", name), DELIBERATE)
        for name in DAMAGED
    ]  # fmt: skip
    judge(found)
    meant = {place for one in found for place in one.meant}
    assert [entry.why for place, entry in enumerate(DELIBERATE) if place not in meant] == []


@pytest.mark.slow
def test_every_form_of_file_is_as_tshark_reads_it(tmp_path: Path) -> None:
    paths = write_forms(tmp_path)
    found = by_tshark(paths)
    judge(found)
    assert len(found) == len(paths)
    assert all(one.compared["frame"] == one.frames > 0 for one in found)


@pytest.mark.slow
def test_all_captures_at_hand_are_as_tshark_reads_them(captures_dir: Path) -> None:
    """More fields than the expected tables have."""
    more = os.environ.get("NETLAB_MORE_CAPTURES", "").split(":")
    folders = [captures_dir / "files", *(Path(text) for text in more if text)]
    found = by_tshark(path for folder in folders for path in folder.rglob("*") if path.is_file())
    judge(found)
    assert sum(one.frames for one in found) > 8000


@pytest.mark.slow
def test_captures_that_packages_ship_are_as_tshark_reads_them() -> None:
    """Of the Debian and PyPI packages that the tests install."""
    found = list(package_files())
    captures = [path for path in found if path.name.endswith(ENDINGS) and path.suffix != ".bin"]
    print(f"\n{len(captures)} captures among {len(found):,} files of the tests' packages")
    assert len(found) > 1000
    if captures:
        judge(by_tshark(captures))


def package_files() -> Iterator[Path]:
    yield from Path(sysconfig.get_paths()["purelib"]).rglob("*")
    if shutil.which("dpkg") is None:
        return
    for package in PACKAGES:
        listed = subprocess.run(
            ["dpkg", "-L", package], capture_output=True, text=True, check=False
        ).stdout
        yield from (Path(line) for line in listed.splitlines() if Path(line).is_file())
