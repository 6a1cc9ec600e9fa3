"""Some seconds of the fuzzer, every sample capture through every view, and a bound of memory.

`python tests/fuzz/fuzz.py -m 10` is the same for as long as one likes.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from random import Random

import pytest
from looks import look_at
from mutants import Mutants, samples_of
from sample_captures import CAPTURES

from netlab.capture.files import read_raw
from netlab.engine.plain import Plain
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording

INPUTS = 41
_LARGE_BYTES = 1 << 20
# The shortest record of a pcap, its header alone, has 16 bytes and becomes a row of 60 columns.
MOST_TIMES, LEAST_ROOM_BYTES = 80, 4 << 20

NAMES = sorted(path.name for path in (CAPTURES / "files").glob("*"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.slow
            if (CAPTURES / "files" / name).stat().st_size > _LARGE_BYTES
            else (),
        )
        for name in NAMES
    ],
)
def test_every_view_of_every_sample(name: str, captures_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((captures_dir / "files" / name).read_bytes())
    said = look_at(path, Random(name), Plain())
    if "malformed" in name or "truncated" in name or path.suffix == ".bin":
        assert said in ("faulty", "read")
    else:
        assert said != "refused" or name in ("solaris.snoop", "shb-option-too-long.pcapng")


def test_damaged_captures_through_every_view(captures_dir: Path, tmp_path: Path) -> None:
    samples = [sample[:4096] for sample in samples_of(captures_dir / "files")]
    mutants, random, path = Mutants("default", samples), Random(41), tmp_path / "damaged"
    said = set()
    for _ in range(INPUTS):
        path.write_bytes(mutants.next())
        said.add(look_at(path, random, Plain()))
    assert said == {"read", "faulty", "refused"}


def test_memory_is_bounded_by_the_file(captures_dir: Path, tmp_path: Path) -> None:
    samples = [sample[:8192] for sample in samples_of(captures_dir / "files")]
    mutants, path = Mutants("memory", samples), tmp_path / "damaged"
    header = samples[NAMES.index("wikipedia.pcap")][:24]
    inputs = [header + bytes(16) * 5_003, *(mutants.next() for _ in range(29))]
    analyse_at(captures_dir / "files" / "wikipedia.pcap")  # what is kept once
    for data in inputs:
        path.write_bytes(data)
        tracemalloc.start()
        analyse_at(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak <= MOST_TIMES * len(data) + LEAST_ROOM_BYTES, (peak, len(data))


def analyse_at(path: Path) -> None:
    try:
        raw = read_raw(path)
    except BadRecording:
        return
    assert analyse(raw).messages is not None
