"""Random conversations: their scripts, the process that holds them, and what their tables must say.

The payload of every stream encodes its own position, so a byte in the wrong place cannot hide.
Read `conversation_worker` for what a script means.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from netlab.lab.pattern import pattern
from netlab.model.recording import RawRecording
from netlab.model.tables import Direction, Role, Side, Tables

ROOT = Path(__file__).resolve().parents[2]
SERVER_SALT = 1 << 24


class Worker:
    """The process that holds the conversations, in namespaces of its own."""

    def __init__(self, script: str) -> None:
        alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-r", "--net"]
        places = [ROOT, ROOT / "tests", os.environ.get("PYTHONPATH")]
        self.process = subprocess.Popen(
            [*alone, sys.executable, Path(__file__).with_name(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(str(one) for one in places if one)},
        )
        assert self.answer() == "ready"

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the worker died; its traceback stands on stderr"
        return line.strip()

    def converse(self, script: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(script) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.answer())
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


def steps_of(sizes: st.SearchStrategy[int], *, most: int) -> st.SearchStrategy[list[list[Any]]]:
    """Up to `most` sends and reads of these sizes, then a few steps with endings among them."""
    sends = st.tuples(st.sampled_from(["send", "send", "sendmsg", "sendall"]), sizes)
    empty_sends = st.tuples(st.just("send"), st.just(0))
    reads = st.tuples(
        st.sampled_from(["recv", "recv", "recv_into", "recvmsg", "peek", "swallow"]), sizes
    )
    endings = st.tuples(st.sampled_from(["shutdown", "close", "reset"]), st.just(0))
    acts = st.one_of(sends, sends, sends, reads, reads, reads, empty_sends)
    # Endings stand late, or most of a script would find closed sockets.
    return st.builds(
        lambda first, last: first + last,
        _rows_of(acts, most),
        _rows_of(st.one_of(endings, acts), 6),
    )


def _rows_of(
    acts: st.SearchStrategy[tuple[str, int]], most: int
) -> st.SearchStrategy[list[list[Any]]]:
    sides = st.sampled_from(["client", "server"])
    rows = st.tuples(st.integers(0, 2), sides, acts).map(lambda step: [step[0], step[1], *step[2]])
    return st.lists(rows, max_size=most)


sizes = st.one_of(
    st.integers(1, 300), st.sampled_from([1448, 1460, 4093, 21845, 65483, 65536]),
    st.integers(1, 300_000),
)  # fmt: skip
scripts = st.fixed_dictionaries(
    {
        "steps": steps_of(sizes, most=25),
        "connections": st.integers(1, 3),
        "ipv6": st.booleans(),
        "nodelay": st.booleans(),
        "rcvbuf": st.sampled_from([None, None, 2304, 20_000]),
        "sndbuf": st.sampled_from([None, None, 4608, 50_000]),
        "queues": st.sampled_from(["calls", "events", "off"]),
        "drain": st.booleans(),
        "lost": st.integers(0, 1 << 16),
    }
)


def expected_bytes(direction: str, start: int, stop: int) -> bytes:
    salt = 0 if direction == Direction.C2S else SERVER_SALT
    return pattern(salt + start, salt + stop)


def content_mismatches(raw: RawRecording, tables: Tables) -> list[str]:
    """Spans whose frame does not hold, at their place, the bytes their range says."""
    frames = {frame.number: frame for frame in raw.frames}
    packets = {packet.frame: packet for packet in tables.packets}
    segments = {segment.frame: segment for segment in tables.segments}
    wrong = []
    for span in tables.spans:
        if span.role not in (Role.CARRIED, Role.RESENT, Role.DELIVERED, Role.DUPLICATE):
            continue
        if span.start == span.stop or span.frame is None:
            continue
        assert span.start is not None
        assert span.stop is not None
        assert span.direction is not None
        segment = segments[span.frame]
        offset = packets[span.frame].payload_off
        assert offset is not None
        offset += span.start - segment.start
        held = bytes(frames[span.frame].data[offset : offset + span.stop - span.start])
        if held != expected_bytes(span.direction, span.start, span.stop):
            wrong.append(f"{span}")
    return wrong


def moved_by_calls(tables: Tables) -> dict[tuple[int, str, str], int]:
    moved: dict[tuple[int, str, str], int] = {}
    for call in tables.calls:
        if call.connection is None or call.start is None or call.stop is None:
            continue
        assert call.side is not None
        assert call.direction is not None
        key = (call.connection, call.side, call.direction)
        moved[key] = moved.get(key, 0) + call.stop - call.start
    return moved


def told_otherwise(
    tables: Tables, told: list[tuple[int | None, int]], connections: int
) -> list[str]:
    """Where the tables differ from what the programs say they sent and read on each connection."""
    moved = moved_by_calls(tables)
    wrong = []
    for number in range(connections):
        for index, side in enumerate(Side):
            sent, read = told[number * 2 + index]
            found = moved.get((number, side, side.outbound), 0)
            if sent is not None and found != sent:
                wrong.append(f"{number} {side}: {found} sent, {sent} said")
            found = moved.get((number, side, side.inbound), 0)
            if found != read:
                wrong.append(f"{number} {side}: {found} read, {read} said")
    return wrong
