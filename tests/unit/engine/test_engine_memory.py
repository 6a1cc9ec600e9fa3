"""Tables grow where they are, and lie in a file where memory is short."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from limited_memory import cgroup

from netlab.capture.spare import spare_bytes
from netlab.engine.memory import Memory

PACKETS = 1_500_007
LIMIT_BYTES = 128 << 20
READ = """
import sys
from netlab.engine.native import Native
from netlab.engine.whole import read
whole = read(sys.argv[1], Native(), keep=True)
capture = whole.capture
spilt = capture.records.rows.is_spilt and capture.outs.is_spilt
rows = [(row.client_packets, row.client_bytes) for row in whole.connections()]
print(capture.count, spilt, sum(p for p, _ in rows), sum(b for _, b in rows), len(rows))
"""


def test_memory_keeps_what_it_holds_as_it_grows() -> None:
    memory = Memory(10)
    memory.view[:5] = b"hello"
    for size in (1 << 16, 1 << 20, 24 << 20):
        memory.ensure(size)
        assert memory.size_bytes >= size
        assert bytes(memory.view[:6]) == b"hello\0"
        assert not any(memory.view[-4096:])
    assert not memory.is_spilt
    memory.close()


def test_what_is_left_is_bounded_by_the_process_limit() -> None:
    pid = os.fork()
    if pid == 0:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20),) * 2)
        fine = 0 < spare_bytes() <= 64 << 20
        memory = Memory(17 << 20)  # more than a part of what is left, and more than any may have
        memory.view[:5] = b"hello"
        memory.ensure(18 << 20)
        fine = fine and memory.is_spilt and bytes(memory.view[:6]) == b"hello\0"
        os._exit(0 if fine else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.slow
def test_a_file_whose_tables_are_larger_than_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(PACKETS):
            client = 10_000 + number % 1_009
            ip = struct.pack(">BBHHHBBHII", 0x45, 0, 47, number & 0xFFFF, 0, 64, 6, 0, 1, 2)
            seq = number // 1_009 * 7
            tcp = struct.pack(">HHIIHHHH", client, 80, seq, 1, 0x5010, 500, 0, 0)
            head = struct.pack("<IIII", number >> 10, number & 0x3FF, 61, 61)
            file.write(head + bytes(12) + b"\x08\0" + ip + tcp + b"payload")
    command = [sys.executable, "-c", READ, str(path)]
    with cgroup(LIMIT_BYTES) as begin:
        done = subprocess.run([*begin, *command], check=True, capture_output=True, text=True)
    count, spilt, packets, payload, connections = done.stdout.split()
    assert (count, spilt) == (str(PACKETS), "True")
    assert (packets, payload) == (str(PACKETS), str(7 * PACKETS))
    assert connections == "1009"
