"""What the wire carries, and how well it keeps a delay.

Goals: a wire without rules carries 500 Mbit/s of full-size frames on two cores while a recorder
reads its spool and writes the recording; `delay 20ms` is kept within 0.2 ms at the median and 1 ms
at the 99th percentile at 5,000 frames/s.

Wall time and lateness are the machine's: with others at work on it, who waits for a processor is
late. So each is measured several times and the best counts; what the wire spends of a processor is
printed beside.
"""

from __future__ import annotations

import os
import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlab.capture.recording import LiveRecording
from netlab.lab.wire.journal import JournalReader, Taken
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description
from tests.private_network import in_private_network
from tests.wired_hosts import WiredHosts

BULK_BYTES = 200_000_033  # a prime
GOAL_MBIT_S = 500
FRAMES_PER_S = 5_000
FRAMES = 15_013  # a prime
DELAY_NS = 20_000_000
GOAL_MEDIAN_NS, GOAL_P99_NS = 200_000, 1_000_000
TRIES = 7
PORT = 7000
LOOK_S = 0.03  # how often the recorder looks


@dataclass(frozen=True)
class Bulk:
    """One transfer."""

    wall_s: float
    wire_cpu_s: float
    recorder_cpu_s: float
    frames: int
    recorded: int
    lost: int
    segments: int  # files of the spool

    @property
    def mbit_s(self) -> float:
        return BULK_BYTES * 8 / self.wall_s / 1e6

    def show(self) -> str:
        return (
            f"{self.mbit_s:.0f} Mbit/s of payload ({self.frames:,} frames in {self.wall_s:.2f} s); "
            f"wire {self.wire_cpu_s / self.frames * 1e6:.1f} us of CPU a frame "
            f"({BULK_BYTES * 8 / self.wire_cpu_s / 1e6:.0f} Mbit in a second of CPU), "
            f"recorder {self.recorder_cpu_s / self.frames * 1e6:.1f} us; "
            f"spool {self.segments} MiB, lost {self.lost}"
        )


@dataclass(frozen=True)
class Lateness:
    """How late the frames of one stream arrived, against the rule."""

    late_ns: list[int]
    wire_cpu_share: float

    def at(self, share: float) -> int:
        return self.late_ns[int(len(self.late_ns) * share)]

    @property
    def good(self) -> bool:
        return self.at(0.5) <= GOAL_MEDIAN_NS and self.at(0.99) <= GOAL_P99_NS

    def show(self) -> str:
        figures = ", ".join(
            f"{name} {value / 1000:.0f}"
            for name, value in (
                ("min", self.late_ns[0]), ("p50", self.at(0.5)), ("p90", self.at(0.9)),
                ("p99", self.at(0.99)), ("max", self.late_ns[-1]),
            )
        )  # fmt: skip
        return f"late by us: {figures}; wire {self.wire_cpu_share:.0%} of a core"


class Recorder:
    """A process that reads the wire's spool and writes the recording, until it is told to end."""

    def __init__(self, spools: Path) -> None:
        self._until, self._end = os.pipe()
        self._figures, figures = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._end)
            os.write(figures, self._record(spools).encode())
            os._exit(0)
        os.close(figures)
        os.close(self._until)

    def _record(self, spools: Path) -> str:
        interfaces = [Interface(name, LINK_ETHERNET, 0) for name in ("client", "server", "wire")]
        recording = LiveRecording.create(
            spools.parent / "rate.pcapng",
            description=Description(title="wire benchmark", witnesses=("packets",)),
            interfaces=interfaces,
        )
        reader = JournalReader(spools)
        frames = arrivals = 0
        cpu_s = time.process_time()
        over = False
        while not over:
            over = bool(select.select([self._until], [], [], LOOK_S)[0])
            taken = reader.finish() if over else reader.poll()
            self._write(recording, taken)
            frames += len(taken.frames)
            arrivals += len(taken.arrivals)
        cpu_s = time.process_time() - cpu_s
        recording.close()
        assert not reader.losses, reader.losses
        return f"{frames} {arrivals} {cpu_s}"

    def _write(self, recording: LiveRecording, taken: Taken) -> None:
        for number in (0, 1):
            recording.frames(
                number,
                [
                    (time_ns, data, len(data), 0)
                    for _, interface, time_ns, data in taken.frames
                    if interface == number
                ],
            )

    def end(self) -> tuple[int, int, float]:
        """Frames and arrivals that it read, and the seconds of CPU that it took."""
        os.close(self._end)
        os.waitpid(self._child, 0)
        with os.fdopen(self._figures) as pipe:
            frames, arrivals, cpu_s = pipe.read().split()
        return int(frames), int(arrivals), float(cpu_s)


def transfer(folder: Path) -> Bulk:
    """Send BULK_BYTES over TCP from host to host, in processes of their own."""
    hosts = WiredHosts(folder / "spools")
    client, server = hosts.hosts
    with server.inside():
        listener = socket.create_server((server.address, PORT))
    receiver = os.fork()
    if receiver == 0:
        accepted, _ = listener.accept()
        buffer, count = bytearray(1 << 18), 0
        while got := accepted.recv_into(buffer):
            count += got
        accepted.send(str(count).encode())
        os._exit(0)
    recorder = Recorder(hosts.spools)
    with client.inside():
        sender = socket.create_connection((server.address, PORT))
    data = random.Random(1).randbytes(1 << 16)
    cpu_s, wall_s = hosts.cpu_s(), time.monotonic()
    left = BULK_BYTES
    while left:
        left -= sender.send(data[:left])
    sender.shutdown(socket.SHUT_WR)
    assert int(sender.recv(100)) == BULK_BYTES
    wall_s, cpu_s = time.monotonic() - wall_s, hosts.cpu_s() - cpu_s
    os.waitpid(receiver, 0)
    report = hosts.stop()
    segments = len(list(hosts.spools.iterdir()))
    recorded, arrivals, recorder_cpu_s = recorder.end()
    assert recorded == arrivals == report.frames
    return Bulk(wall_s, cpu_s, recorder_cpu_s, report.frames, recorded, report.lost, segments)


def stream(folder: Path) -> Lateness:
    """Send datagrams at an even rate through a wire with a delay."""
    hosts = WiredHosts(folder / "spools", rules=f"delay {DELAY_NS // 1_000_000}ms")
    client, server = hosts.hosts
    with server.inside():
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind((server.address, PORT))  # never read: what does not fit is dropped behind it
    with client.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(sink.getsockname())
    cpu_s, began_s = hosts.cpu_s(), time.monotonic()
    for number in range(FRAMES):
        sender.send(number.to_bytes(158, "big"))
        early_s = began_s + (number + 1) / FRAMES_PER_S - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
    wall_s, cpu_s = time.monotonic() - began_s, hosts.cpu_s() - cpu_s
    report = hosts.stop()
    reader = JournalReader(hosts.spools)
    taken = reader.finish()
    assert (report.frames, report.left, report.lost, reader.losses) == (FRAMES, 0, 0, [])
    left_ns = {frame[0]: frame[2] for frame in taken.frames}
    late_ns = [
        arrival.arrived_ns - left_ns[arrival.packet] - DELAY_NS
        for arrival in taken.arrivals
        if arrival.arrived_ns is not None
    ]
    assert len(late_ns) == FRAMES
    return Lateness(sorted(late_ns), cpu_s / wall_s)


def tried(work: Callable[[int], bool]) -> bool:
    """Whether one of several tries succeeds."""
    return any(work(number) for number in range(TRIES))


@pytest.mark.bench
def test_a_plain_wire_carries_500_mbit_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def once(number: int) -> bool:
        folder = tmp_path / str(number)
        folder.mkdir()
        bulk = in_private_network(lambda: transfer(folder))
        with capsys.disabled():
            print(f"\n{bulk.show()}", end="")
        assert bulk.lost == 0
        (folder / "rate.pcapng").unlink()
        return bulk.mbit_s >= GOAL_MBIT_S

    assert tried(once)


@pytest.mark.bench
def test_a_delay_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def once(number: int) -> bool:
        folder = tmp_path / str(number)
        folder.mkdir()
        lateness = in_private_network(lambda: stream(folder))
        with capsys.disabled():
            print(f"\n{lateness.show()}", end="")
        assert lateness.late_ns[0] >= 0  # never too early
        return lateness.good

    assert tried(once)
