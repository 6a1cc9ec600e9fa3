"""Runs a program under strace on a loopback of its own, and joins its log with the frames there."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.capture.ring import PacketRing
from netlab.capture.strace.asked import strace_options
from netlab.capture.strace.reader import StraceReader
from netlab.explain.analysis import analyse
from netlab.model.frame import LINK_ETHERNET, Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from tests.private_network import in_private_network


@dataclass
class Straced:
    """What came of one run."""

    output: str
    log: bytes
    raw: RawRecording
    tables: Tables
    reader: StraceReader


def straced(
    command: Sequence[str], folder: Path, options: Sequence[str] | None = None, *,
    timeout_s: float = 60,
) -> Straced:  # fmt: skip
    """Run it with `options` of strace, by default those that netlab itself asks for."""
    log = folder / "log.strace"
    given = strace_options() if options is None else list(options)

    def work() -> tuple[str, list[tuple[int, bytes, int, int]], int]:
        with PacketRing.open("lo") as ring:
            done = subprocess.run(
                ["strace", *given, "-o", str(log), "--", *command], check=False,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
            )  # fmt: skip
            assert not done.stderr, done.stderr
            frames = ring.drain()
            return done.stdout, frames, ring.statistics().dropped

    output, frames, dropped = in_private_network(work)
    assert dropped == 0
    raw = joined(log.read_bytes(), frames)
    return Straced(output, log.read_bytes(), raw[0], analyse(raw[0]), raw[1])


def joined(
    log: bytes, frames: Sequence[tuple[int, bytes, int, int]]
) -> tuple[RawRecording, StraceReader]:
    """A recording of a log and the frames of a loopback."""
    reader = StraceReader("lab", "prog", keep_bytes=1 << 20)
    reader.feed(log)
    reader.finish()
    frames = sorted(frames, key=lambda frame: frame[0])
    return RawRecording(
        frames=[
            Frame(number, time_ns, 0, data, length, flags)
            for number, (time_ns, data, length, flags) in enumerate(frames, 1)
        ],
        interfaces=[Interface("lo", LINK_ETHERNET, 0, len(frames), 0)],
        calls=reader.calls, inheritances=reader.inheritances, losses=reader.losses,
    ), reader  # fmt: skip
