"""What `netlab inspect` costs as a whole process: processor time of small captures and of one
packet, and the memory that a packet of a large capture takes.

Processor time, since others may use the machine; the best of some runs, with compiled modules in
their cache, as an installed netlab has them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from struct import pack

import pytest

PACKETS = 50_021
RUNS = 5
# What is asked for: arguments, and the most seconds of processor time.
LOOKS = {
    "the summary": ((), 0.35),
    "one packet": (("--packet", "10"), 0.4),
    "one packet, with scapy": (("--packet", "10", "--deep"), 0.8),
}
MOST_BYTES_A_PACKET = 2600


# A child's peak begins with its parent's memory, so that a small program has to be the parent.
_MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


def inspect(path: Path, *arguments: str, cache: Path) -> tuple[float, int]:
    """Runs it; gives the processor time and the peak of memory in bytes."""
    known = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "COLUMNS": "80"}
    known.pop("PYTHONDONTWRITEBYTECODE", None)
    netlab = [sys.executable, "-m", "netlab", "inspect", str(path), *arguments]
    said = subprocess.run(
        [sys.executable, "-c", _MEASURE, *netlab], env=known, check=True, capture_output=True
    )
    status, used_s, peak = said.stdout.split()
    assert int(status) == 0, said.stderr
    return float(used_s), int(peak)


@pytest.mark.bench
@pytest.mark.parametrize("name", ["wikipedia.pcap", "ssh-dups.pcap"])
def test_a_small_capture(
    name: str, captures_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = captures_dir / "files" / name
    bare_s = min(_bare() for _ in range(RUNS))
    late = []
    for what, (arguments, most_s) in LOOKS.items():
        inspect(path, *arguments, cache=tmp_path)  # compiles
        best_s = min(inspect(path, *arguments, cache=tmp_path)[0] for _ in range(RUNS))
        with capsys.disabled():
            print(
                f"\n{name}: {what} takes {best_s:.2f} s of processor time, of which an empty "
                f"program of Python's takes {bare_s:.2f} s (at most {most_s} s)"
            )
        if best_s > most_s:
            late.append(what)
    assert late == []


def _bare() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.bench
def test_memory_a_packet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = tmp_path / "small.pcap", tmp_path / "large.pcap"
    small.write_bytes(conversations(500))
    large.write_bytes(conversations(PACKETS))
    for path in (small, large):
        inspect(path, cache=tmp_path)
    _, base = inspect(small, cache=tmp_path)
    used_s, peak = inspect(large, cache=tmp_path)
    each = (peak - base) / PACKETS
    with capsys.disabled():
        print(
            f"\n{PACKETS:,} packets: {used_s:.1f} s of processor time, a peak of {peak >> 20} MiB,"
            f" {base >> 20} MiB without them: {each:,.0f} bytes a packet, whose record is "
            f"{large.stat().st_size // PACKETS} bytes (at most {MOST_BYTES_A_PACKET:,})"
        )
    assert each < MOST_BYTES_A_PACKET


def conversations(packets: int) -> bytes:
    """A pcap of that many segments: data and acknowledgements of many connections in turn."""
    parts = [pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    ends: dict[int, list[int]] = {}
    for number in range(packets):
        port = 20_000 + number % 97 * 7 + number // 10_000 * 1_000
        sent = ends.setdefault(port, [1_000, 5_000])
        fresh = sent == [1_000, 5_000]
        client = number % 2 == 0 or fresh
        payload = b"" if fresh else bytes(48)
        ports = (port, 443) if client else (443, port)
        mine, theirs = sent if client else (sent[1], sent[0])
        flags = 0x02 if fresh else 0x18
        stamps = pack("!BBBBII", 1, 1, 8, 10, number, max(0, number - 97))
        tcp = pack("!HHIIBBHHH", *ports, mine, theirs, 0x80, flags, 502, 0, 0) + stamps + payload
        hosts = (b"\n\0\0\1", b"\n\0\0\2") if client else (b"\n\0\0\2", b"\n\0\0\1")
        ip = pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), number & 0xFFFF, 0x4000, 64, 6, 0)
        frame = bytes(12) + b"\x08\0" + ip + hosts[0] + hosts[1] + tcp
        sent[0 if client else 1] += len(payload) + fresh
        at_us = number * 131
        parts += (
            pack("<IIII", 1_700_000_000 + at_us // 10**6, at_us % 10**6, len(frame), len(frame)),
            frame,
        )
    return b"".join(parts)
