"""What the packet ring takes on loopback: 300,000 packets/s of 200 bytes for 3 s must lose nothing.

Packets are made by UDP_SEGMENT: the kernel cuts one send into many datagrams. On loopback it would
leave that to the device and the tap would see the uncut frame, so the device is first told to take
frames of one segment only; each packet then passes the tap on its own. One sender on one core
reaches the rate, the reader has the other.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlab.capture.bpf import SNAPLEN_BYTES
from netlab.capture.recording import LiveRecording
from netlab.capture.ring import PacketRing, RingFrame, RingStatistics
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description
from tests.private_network import in_private_network

RATE_PER_S = 300_000
SECONDS = 3
FRAME_BYTES = 200
PAYLOAD_BYTES = FRAME_BYTES - 42  # Ethernet, IPv4 and UDP headers
BATCH = 60  # packets a send
SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h


@dataclass(frozen=True)
class Figures:
    offered: int
    offered_s: float
    captured: int
    statistics: RingStatistics
    reader_cpu_s: float
    wall_s: float

    def show(self, title: str) -> str:
        return (
            f"\n{title}: offered {self.offered:,} in {self.offered_s:.2f} s "
            f"({self.offered / self.offered_s:,.0f}/s), captured {self.captured:,}, "
            f"lost {self.statistics.dropped:,}, reader {self.reader_cpu_s:.2f} s of CPU = "
            f"{self.reader_cpu_s / self.wall_s:.0%} of a core, "
            f"{self.reader_cpu_s / max(self.captured, 1) * 1e9:.0f} ns a packet"
        )


def send_at_rate(report: int) -> None:
    """Send RATE_PER_S * SECONDS datagrams, paced; write how long it took."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))  # never read: what does not fit its buffer is dropped after the tap
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(sink.getsockname())
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, PAYLOAD_BYTES)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    data = bytes(PAYLOAD_BYTES * BATCH)
    started = time.monotonic()
    sent = 0
    while sent < RATE_PER_S * SECONDS:
        early_s = sent / RATE_PER_S - (time.monotonic() - started)
        if early_s > 0:
            time.sleep(early_s)
        sender.send(data)
        sent += BATCH
    os.write(report, f"{sent} {time.monotonic() - started}".encode())


def measure(consume: Callable[[Sequence[RingFrame]], object]) -> Figures:
    subprocess.run(["ip", "link", "set", "lo", "gso_max_segs", "1"], check=True)
    read_end, write_end = os.pipe()
    captured = 0
    with PacketRing.open("lo") as ring:
        if os.fork() == 0:
            send_at_rate(write_end)
            os._exit(0)
        cpu_s, wall_s = time.process_time(), time.monotonic()
        finished = False
        while not finished:
            finished = bool(select.select([read_end], [], [], 0)[0])
            select.select([ring], [], [], 0.1)
            while frames := ring.read():
                captured += len(frames)
                consume(frames)
        frames = ring.drain()
        captured += len(frames)
        consume(frames)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        os.wait()
        offered, offered_s = os.read(read_end, 100).split()
        return Figures(int(offered), float(offered_s), captured, ring.statistics(), cpu_s, wall_s)


@pytest.mark.bench
def test_the_ring_takes_300_000_packets_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Figures:
        return measure(lambda frames: frames)

    figures = in_private_network(work)
    with capsys.disabled():
        print(figures.show("reading only"))
    assert figures.offered / figures.offered_s > 0.98 * RATE_PER_S
    assert figures.captured == figures.offered
    assert figures.statistics == RingStatistics(figures.offered, 0)
    assert figures.reader_cpu_s < figures.wall_s


@pytest.mark.bench
def test_the_ring_and_the_file_take_300_000_packets_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rate.pcapng"

    def work() -> Figures:
        recording = LiveRecording.create(
            path,
            description=Description(title="ring benchmark", witnesses=("packets",)),
            interfaces=[Interface("lo", LINK_ETHERNET, SNAPLEN_BYTES)],
        )
        figures = measure(lambda frames: recording.frames(0, frames))
        recording.close()
        return figures

    figures = in_private_network(work)
    with capsys.disabled():
        print(figures.show("writing the recording"), f"\n{path.stat().st_size:,} bytes written")
    # What the disk and the page cache take is the machine's; what must hold everywhere is that
    # every packet offered is in the file or counted as lost.
    assert figures.captured + figures.statistics.dropped == figures.offered
    assert path.stat().st_size > figures.captured * FRAME_BYTES
