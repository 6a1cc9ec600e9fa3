"""The engine beside its peers, in one run: whole processes, by processor time and by the clock.

    .ci/test -m bench -s tests/bench/test_engine_peers.py

The capture is 2 million packets of at most 96 bytes: $NETLAB_BENCH_CAPTURE names it, else the
generator beside the sample captures makes it. Slow peers read its first packets only, and their
times are multiplied. The table of large captures in the README is what this prints.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from netlab.capture import pcap
from netlab.correlate.verdicts import VERDICTS
from netlab.engine.choose import warm_up
from netlab.engine.known import SECOND
from netlab.model.tables import columns
from tests.bench.peers import (
    SCRIPTS,
    Took,
    best,
    from_debian,
    from_pypi,
    machine_text,
    peak_bytes,
    took,
)

ROUNDS = 7
SLOW = 20_011  # packets, for those that take 100 us for one
NETLAB = [sys.executable, "-m", "netlab"]
SEGMENTS = ",".join(c.name for c in columns("segments") if c.name not in SECOND)
ANALYSIS = [part for name in (*VERDICTS, "acks_frame", "ack_rtt", "rto", "bytes_in_flight")
            for part in ("-e", f"tcp.analysis.{name}")]  # fmt: skip

# What the library's user has who wants the tables, and no text of them.
AS_TABLES = """
import sys
from netlab.engine.native import Native
from netlab.engine.whole import read
print(read(sys.argv[1], Native(), keep=True).capture.count)
"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory, captures_dir: Path) -> Path:
    named = os.environ.get("NETLAB_BENCH_CAPTURE")
    if named:
        return Path(named)
    generator = captures_dir.parent / "bench" / "make_capture.py"
    if not generator.exists():
        pytest.fail("name a large pcap file in NETLAB_BENCH_CAPTURE", pytrace=False)
    prefix = tmp_path_factory.mktemp("bench") / "made"
    subprocess.run([sys.executable, generator, prefix, "2000000", "96"], check=True)
    return prefix.with_suffix(".pcap")


def beginning(whole: Path, packets: int, into: Path) -> Path:
    """A capture of the first packets of another."""
    data = whole.read_bytes()
    header = pcap.maybe_header(data)
    assert header is not None
    stop = max(stop for _, _, stop, _ in islice(pcap.records(data, header), packets))
    into.write_bytes(data[:stop])
    return into


def packets_in(path: Path) -> int:
    data = path.read_bytes()
    header = pcap.maybe_header(data)
    assert header is not None
    return sum(1 for _ in pcap.records(data, header))


@pytest.fixture(autouse=True)
def _bytecode(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's bytecode is kept, as that of an installed program is."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    folder = tmp_path_factory.getbasetemp() / "bytecode"
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(folder))


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_the_engine_beside_its_peers(capture: Path, tmp_path: Path) -> None:
    assert warm_up() is None
    some = beginning(capture, SLOW, tmp_path / "some.pcap")
    there = packets_in(capture)
    print(f"\n{machine_text()}; {there:,} packets, {capture.stat().st_size >> 20} MiB\n")
    print(
        "| | processor time | by the clock | packets a second of processor time | times netlab's |"
    )
    print("|---|---|---|---|---|")
    out = tmp_path / "out"
    export = [*NETLAB, "export", str(capture), "--table", "segments", "--columns", SEGMENTS]
    export += ["--format"]
    summary = best([*NETLAB, "inspect", str(capture)], ROUNDS)
    show("**`netlab inspect`**", summary, there, there, None)
    for name, command in (
        ("tshark -q -z conv,tcp", from_debian("tshark", "-n", "-q", "-z", "conv,tcp", "-r")),
        ("tcptrace -l", from_debian("tcptrace", "-n", "-l")),
        ("capinfos -c (counts only)", from_debian("capinfos", "-c")),
        ("tcpdump -w (copies only)", from_debian("tcpdump", "-n", "-w", "/dev/null", "-r")),
    ):
        if command is None:
            missing(name)
            continue
        took_them = took([*command, str(capture)])
        show(f"`{name}`", took_them, there, there, summary)
    for name in SCRIPTS:  # each in an environment of its own
        command = from_pypi(name, tmp_path)
        if command is None:
            missing(name)
            continue
        path, number = (capture, there) if name == "nfstream" else (some, SLOW)
        show(name, took([*command, str(path)]), number, there, summary)
    tables = best([sys.executable, "-c", AS_TABLES, str(capture)], ROUNDS)
    show("**verdicts of each segment**, as tables", tables, there, there, None)
    csv = best([*export, "csv"], ROUNDS, out)
    show("**`netlab export --table segments`**, CSV", csv, there, there, None)
    show("the same as Parquet", best([*export, "parquet"], ROUNDS, out), there, there, csv)
    command = from_debian("tshark", "-n", "-T", "fields", "-e", "tcp.stream", *ANALYSIS, "-r")
    if command is None:
        missing("tshark -T fields")
    else:
        fields = took([*command, str(capture)], into=out)
        show("`tshark -T fields`, as many", fields, there, there, csv)


def show(name: str, one: Took, number: int, there: int, mine: Took | None) -> None:
    """A line: what it took of all packets, and how many times as long as netlab."""
    cpu_s, wall_s = (took_s * there / number for took_s in (one.cpu_s, one.wall_s))
    times = "" if mine is None else f"{cpu_s / mine.cpu_s:.1f}"
    of_some = "" if number == there else f" (of {number:,} packets, multiplied)"
    print(
        f"| {name}{of_some} | {cpu_s:.2f} s | {wall_s:.2f} s | {number / one.cpu_s:,.0f} "
        f"| {times} |",
        flush=True,
    )


def missing(name: str) -> None:
    """A line for a peer that is not installed, or cannot be."""
    print(f"| {name} | not there | | | |", flush=True)


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_the_plain_engine(capture: Path, tmp_path: Path) -> None:
    some = beginning(capture, 200_003, tmp_path / "some.pcap")
    one = took([*NETLAB, "inspect", str(some)], {"NETLAB_ENGINE": "plain"})
    print(f"\n{machine_text()}")
    print(f"netlab, plain: {one.cpu_s:.2f} s CPU, {200_003 / one.cpu_s:,.0f} packets/s of it")
    assert one.cpu_s < 20


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_full_size_packets_cost_little_more_than_reading_them(tmp_path: Path) -> None:
    """1.7 GB of 1,514-byte frames: at most 3 times what `dd` takes, in less than 256 MB."""
    path = tmp_path / "large.pcap"
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1500, 1, 0x4000, 64, 6, 0, bytes(4), bytes(4))
    with path.open("wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(1_100_009):
            sequence = number * 1460 & 0xFFFFFFFF
            tcp = struct.pack(">HHIIHHHH", 80, 5000, sequence, 1, 0x5010, 500, 0, 0)
            head = struct.pack("<IIII", number >> 10, number & 0x3FF, 1514, 1514)
            file.write(head + bytes(12) + b"\x08\0" + ip + tcp + bytes(1460))
    mine = best([*NETLAB, "inspect", str(path)], ROUNDS)
    read = best(["dd", f"if={path}", "of=/dev/null", "bs=1M"], ROUNDS)
    print(f"\n{machine_text()}; {path.stat().st_size >> 20} MiB")
    print(f"netlab {mine.wall_s:.2f} s, {mine.cpu_s:.2f} s CPU")
    print(
        f"dd {read.wall_s:.2f} s, {read.cpu_s:.2f} s CPU: {mine.cpu_s / read.cpu_s:.1f} times,"
        f" {mine.wall_s / read.wall_s:.1f} by the clock"
    )
    peak = peak_bytes("inspect", str(path))
    print(f"most memory {peak >> 20} MiB")
    assert peak < 256 << 20


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_two_threads(capture: Path, tmp_path: Path) -> None:
    """Ten times as many packets: how many a second, and what a second thread is worth."""
    path = tmp_path / "long.pcap"
    there = ten_times(capture, path)
    print(f"\n{machine_text()}; {there:,} packets, {path.stat().st_size >> 20} MiB")
    walls_s = {}
    for threads in ("1", "2"):
        known = {"NETLAB_THREADS": threads}
        runs = [took([*NETLAB, "inspect", str(path)], known) for _ in range(ROUNDS)]
        walls_s[threads] = min(one.wall_s for one in runs)
        rate = there / walls_s[threads] / 1e6
        cpu_s = min(one.cpu_s for one in runs)
        print(f"threads: {threads}: {walls_s[threads]:.2f} s, {cpu_s:.2f} s CPU, {rate:.1f} M/s")
    print(f"one takes {walls_s['1'] / walls_s['2']:.2f} times as long as two")


def ten_times(capture: Path, into: Path) -> int:
    """The packets of a capture, each time later and of other hosts; how many they are.

    The generator would hold 20 million packets in some 20 GB of memory.
    """
    import numpy as np

    data = np.frombuffer(capture.read_bytes(), np.uint8)
    header = pcap.maybe_header(data.tobytes()[: pcap.FILE_HEADER_BYTES])
    assert header is not None
    heads, parts = [], []  # of the records; and of the addresses a byte that others have otherwise
    for _, start, _, _ in pcap.records(memoryview(data), header):
        heads.append(start - header.record_header_bytes)
        ip = start + (18 if data[start + 12] == 0x81 else 14)
        version = data[ip] >> 4
        if version in (4, 6):
            at, width = (ip + 12, 4) if version == 4 else (ip + 8, 16)
            parts += [at + width // 4, at + width + width // 4]
    with into.open("wb") as file:
        file.write(data[: pcap.FILE_HEADER_BYTES].tobytes())
        for number in range(10):
            again = data.copy()
            again[parts] += 23 * number
            seconds = again[np.add.outer(heads, range(4))].view("<u4")
            again[np.add.outer(heads, range(4))] = (seconds + 1_009 * number).view(np.uint8)
            file.write(again[pcap.FILE_HEADER_BYTES :].tobytes())
    return 10 * len(heads)
