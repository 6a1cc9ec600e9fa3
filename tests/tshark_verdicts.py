"""What tshark says of TCP segments, beside what netlab's tables say of them: in one form.

there = judged_by_tshark(path)          # frame -> Judged
here = judged_by_netlab(tables.segments)
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from netlab.correlate.verdicts import VERDICTS
from netlab.model.tables import Segment

Judged = dict[str, Any]  # the verdicts that were given, and the numbers that go with them

_NUMBERS = {
    "duplicate_ack_num": "tcp.analysis.duplicate_ack_num",
    "acks_frame": "tcp.analysis.acks_frame",
    "bytes_in_flight": "tcp.analysis.bytes_in_flight",
}
_TIMES = {"ack_rtt_ns": "tcp.analysis.ack_rtt", "rto_ns": "tcp.analysis.rto"}
FIELDS = [
    "frame.number", "tcp.stream", "tcp.seq", "tcp.ack", "tcp.len",
    *(f"tcp.analysis.{name}" for name in VERDICTS), *_NUMBERS.values(), *_TIMES.values(),
]  # fmt: skip


def fields_of(path: Path) -> list[dict[str, str]]:
    """A row for each frame with TCP; of those that a tunnel holds, the first header."""
    flags = [part for field in FIELDS for part in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-n", "-r", path, "-Y", "tcp and not icmp and not icmpv6",
         "-T", "fields", "-E", "separator=|", "-E", "occurrence=f", *flags],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [
        dict(zip(FIELDS, line.split("|"), strict=True)) for line in done.stdout.splitlines()
    ]  # fmt: skip


def judged_by_tshark(rows: Iterable[Mapping[str, str]]) -> dict[int, Judged]:
    """By frame, from rows as `fields_of` gives them."""
    return {int(row["frame.number"]): _judged(row) for row in rows}


def _judged(row: Mapping[str, str]) -> Judged:
    said: Judged = {name: True for name in VERDICTS if row[f"tcp.analysis.{name}"]}
    said |= {name: int(row[field]) for name, field in _NUMBERS.items() if row[field]}
    said |= {name: _ns(row[field]) for name, field in _TIMES.items() if row[field]}
    return said


def _ns(seconds: str) -> int:
    whole, _, rest = seconds.lstrip("-").partition(".")
    ns = int(whole) * 10**9 + int(rest.ljust(9, "0"))
    return -ns if seconds.startswith("-") else ns


def judged_by_netlab(segments: Iterable[Segment]) -> dict[int, Judged]:
    """By frame, of those that netlab has a word on."""
    names = (*VERDICTS, *_NUMBERS, *_TIMES)
    return {
        segment.frame: {name: value for name in names if (value := getattr(segment, name))}
        for segment in segments
        if segment.retransmission is not None
    }
