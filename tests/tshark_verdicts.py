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
from netlab.model.tables import Connection, Packet, Segment

Judged = dict[str, Any]  # the verdicts that were given, and the numbers that go with them

NUMBERS = {
    "duplicate_ack_num": "tcp.analysis.duplicate_ack_num",
    "duplicate_ack_frame": "tcp.analysis.duplicate_ack_frame",
    "acks_frame": "tcp.analysis.acks_frame",
    "rto_frame": "tcp.analysis.rto_frame",
    "bytes_in_flight": "tcp.analysis.bytes_in_flight",
    "push_bytes": "tcp.analysis.push_bytes_sent",
}
TIMES = {"ack_rtt_ns": "tcp.analysis.ack_rtt", "rto_ns": "tcp.analysis.rto"}
FIELDS = [
    "frame.number", "tcp.stream", "tcp.seq", "tcp.ack", "tcp.len", "tcp.window_size",
    "tcp.analysis.initial_rtt",
    *(f"tcp.analysis.{name}" for name in VERDICTS), *NUMBERS.values(), *TIMES.values(),
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
    # A frame 0 is tshark's word for none.
    said |= {name: int(row[field]) for name, field in NUMBERS.items() if int(row[field] or 0)}
    said |= {name: _ns(row[field]) for name, field in TIMES.items() if row[field]}
    return said


def _ns(seconds: str) -> int:
    whole, _, rest = seconds.lstrip("-").partition(".")
    ns = int(whole) * 10**9 + int(rest.ljust(9, "0"))
    return -ns if seconds.startswith("-") else ns


def assert_same_initial_rtts(
    rows: Iterable[Mapping[str, str]], connections: Iterable[Connection]
) -> int:
    """Of each stream, where both say one; how many are compared."""
    there: dict[str, set[int]] = {}
    for row in rows:
        if row["tcp.analysis.initial_rtt"]:
            there.setdefault(row["tcp.stream"], set()).add(_ns(row["tcp.analysis.initial_rtt"]))
    here = {
        str(row.stream): {row.initial_rtt_ns}
        for row in connections
        if row.protocol == "tcp" and row.initial_rtt_ns is not None
    }
    both = there.keys() & here.keys()
    assert {one: there[one] for one in both} == {one: here[one] for one in both}
    return len(both)


def shows_nothing(packet: Packet) -> bool:
    """Whether tshark stops before its verdicts, which netlab gives: the header's end is cut off.

    The exceptions are those on Fast Open, which it shows where it reads the cookie or the ACK.
    """
    return packet.payload_off is not None and packet.payload_off > packet.caplen_bytes


def judged_by_netlab(segments: Iterable[Segment]) -> dict[int, Judged]:
    """By frame, of those that netlab has a word on."""
    names = (*VERDICTS, *NUMBERS, *TIMES)
    return {
        segment.frame: {name: value for name in names if (value := getattr(segment, name))}
        for segment in segments
        if segment.retransmission is not None
    }
