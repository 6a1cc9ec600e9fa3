"""The byte ledger closes, exactly and with the true reasons, for random conversations.

On real sockets: each example is a script of sends, reads, half-closes, resets on up to three
connections at once. Set NETLAB_CONVERSATIONS to run thousands.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from conversations import Worker, content_mismatches, scripts, told_otherwise
from hypothesis import HealthCheck, given, settings
from waits_told import check_recording

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason, What
from netlab.decode.packets import decode
from netlab.explain.analysis import analyse
from netlab.model.recording import Loss, RawRecording
from netlab.model.tables import Direction, Role, Side, Tables

EXAMPLES = int(os.environ.get("NETLAB_CONVERSATIONS", "151"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    running = Worker("conversation_worker.py")
    yield running
    running.close()


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
    check_recording(tables, raw)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables, 0) == []
    assert content_mismatches(raw, tables) == []
    assert unfounded_reasons(tables, [read for _, read in told["moved"]]) == []
    assert len(tables.connections) == script["connections"]
    assert told_otherwise(tables, told["moved"], script["connections"]) == []

    fewer = with_lost_frames(raw, script["lost"])
    if fewer.losses:
        lossy = analyse(fewer)
        check_recording(lossy, fewer)
        assert ledger_mismatches(lossy) == []
        assert claims_beyond_loss(tables, lossy) == []
