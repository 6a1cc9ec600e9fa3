"""The byte ledger closes, exactly and with the true reasons, for random conversations.

On real sockets: each example is a script of sends, reads, half-closes, resets on up to three
connections at once. The payload of every stream encodes its own position, so a byte in the wrong
place cannot hide. Set NETLAB_CONVERSATIONS to run thousands.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason, What
from netlab.decode.packets import decode
from netlab.explain.analysis import analyse
from netlab.lab.pattern import pattern
from netlab.model.recording import Loss, RawRecording
from netlab.model.tables import Direction, Role, Side, Tables

EXAMPLES = int(os.environ.get("NETLAB_CONVERSATIONS", "211"))
SERVER_SALT = 1 << 24
WORKER = Path(__file__).with_name("conversation_worker.py")


class Worker:
    """The process that holds the conversations, in namespaces of its own."""

    def __init__(self) -> None:
        alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-r", "--net"]
        self.process = subprocess.Popen(
            [*alone, sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    running = Worker()
    yield running
    running.close()


sizes = st.one_of(
    st.integers(1, 300), st.sampled_from([1448, 1460, 4093, 21845, 65483, 65536]),
    st.integers(1, 300_000),
)  # fmt: skip
sends = st.tuples(st.sampled_from(["send", "send", "sendmsg", "sendall"]), sizes)
empty_sends = st.tuples(st.just("send"), st.just(0))
reads = st.tuples(
    st.sampled_from(["recv", "recv", "recv_into", "recvmsg", "peek", "swallow"]), sizes
)
endings = st.tuples(st.sampled_from(["shutdown", "close", "reset"]), st.just(0))
acts = st.one_of(sends, sends, sends, reads, reads, reads, empty_sends)
steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["client", "server"]), acts).map(
        lambda step: [step[0], step[1], *step[2]]
    ),
    max_size=25,
)
# Endings stand late, or most of a script would find closed sockets.
last_steps = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["client", "server"]), st.one_of(endings, acts)
    ).map(lambda step: [step[0], step[1], *step[2]]),
    max_size=6,
)
scripts = st.fixed_dictionaries(
    {
        "steps": st.builds(lambda first, last: first + last, steps, last_steps),
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


def unfounded_reasons(tables: Tables, told: list[int]) -> list[str]:
    """Rows of the ledger whose reason what is known of these conversations disproves.

    `told`: for each connection what the client, then the server says that it read. Nothing was lost
    by a witness, one thread made all calls, and every end was closed.
    """
    reset = {p.connection for p in tables.packets if p.tcp_flags and "RST" in p.tcp_flags}
    closed = {
        (c.connection, c.side) for c in tables.calls if c.op == "close" and c.connection is not None
    }
    wrong = []
    for row in tables.unmatched:
        assert row.connection is not None
        assert row.direction is not None
        assert row.start is not None
        receiver = Direction(row.direction).receiver
        read = told[row.connection * 2 + list(Side).index(receiver)]
        founded = {
            # The window or the congestion control held it when the recording ended.
            Reason.STILL_QUEUED: row.what == What.SENT_NOT_CAPTURED,
            Reason.RESET: row.connection in reset,
            Reason.CLOSED_UNREAD: row.what == What.CARRIED_NOT_READ
            and (row.connection, receiver) in closed,
            Reason.NOT_ACCEPTED: row.what == What.CARRIED_NOT_READ,
        }
        if not founded.get(Reason(row.reason), False) or row.start < read:
            wrong.append(f"{row}, and {receiver} read {read} bytes")
    return wrong


def with_lost_frames(raw: RawRecording, seed: int) -> RawRecording:
    """The same recording as a ring that was full at times would have given it."""
    chosen = random.Random(seed)
    packets = {packet.frame: packet for packet in decode(raw)}
    kept = [
        frame for frame in raw.frames
        if chosen.random() < 0.85 or "SYN" in (packets[frame.number].tcp_flags or "")
    ]  # fmt: skip
    lost = len(raw.frames) - len(kept)
    losses = [Loss("packets", "frames", lost, "ring full")] if lost else []
    return replace(raw, frames=kept, losses=losses)


def claims_beyond_loss(whole: Tables, lossy: Tables) -> list[str]:
    """What the tables of a recording with lost frames say that the whole one disproves."""
    wrong = [
        f"{call.op} #{call.call}: {call.start}..{call.stop}, in truth {true.start}..{true.stop}"
        for call, true in zip(lossy.calls, whole.calls, strict=True)
        if call.start is not None and (call.start, call.stop) != (true.start, true.stop)
    ]
    founded = {Reason.RING_DROP, Reason.RING_LOST, Reason.CLOSED_UNREAD, Reason.RESET,
               Reason.CONTRADICTION}  # fmt: skip
    wrong += [f"{row}" for row in lossy.unmatched if row.reason not in founded]
    # The frames that made a descriptor ready or ended a call: fewer may be known, but no others.
    roles = (Role.WAKEUP, Role.FIN, Role.RST)
    true_spans = {(s.call, s.frame, s.role) for s in whole.spans if s.role in roles}
    wrong += [
        f"{span}" for span in lossy.spans
        if span.role in roles and (span.call, span.frame, span.role) not in true_spans
    ]  # fmt: skip
    return wrong


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=scripts)
def test_every_byte_of_every_call_is_accounted_for(
    worker: Worker, tmp_path_factory: pytest.TempPathFactory, script: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("conversation") / "live.pcapng"
    told = worker.converse({**script, "path": str(path)})
    assert told["dropped"] == 0
    assert told["losses"] == []
    raw = read_raw(path, ended=True)
    tables = analyse(raw)
    path.unlink()

    assert raw.faults == []
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables, 0) == []
    assert content_mismatches(raw, tables) == []
    assert unfounded_reasons(tables, [read for _, read in told["moved"]]) == []
    # What the programs themselves say they wrote and read.
    moved = moved_by_calls(tables)
    assert len(tables.connections) == script["connections"]
    for number in range(script["connections"]):
        for index, side in enumerate(Side):
            sent, read = told["moved"][number * 2 + index]
            if sent is not None:
                assert moved.get((number, side, side.outbound), 0) == sent
            assert moved.get((number, side, side.inbound), 0) == read

    fewer = with_lost_frames(raw, script["lost"])
    if fewer.losses:
        lossy = analyse(fewer)
        assert ledger_mismatches(lossy) == []
        assert claims_beyond_loss(tables, lossy) == []
