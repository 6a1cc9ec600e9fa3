"""The byte ledger closes for random conversations over a wire that loses, delays, cuts and repeats.

What the tables say of frames is compared with what can be told without them: which bytes the wire
took a second time, and which frames a packet socket on the receiver's host saw. Set
NETLAB_CONVERSATIONS to run thousands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dpkt
import pytest
from conversations import Worker, content_mismatches, steps_of, told_otherwise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seen_frames import Seen, differences
from waits_told import check_recording
from wired_rules import rules

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.correlate.reasons import Reason, What
from netlab.explain.analysis import analyse
from netlab.model.frame import DIRECTION_OUT, WIRE, Frame
from netlab.model.ranges import RangeMap, RangeSet
from netlab.model.recording import RawRecording
from netlab.model.tables import Direction, Fate, Role, Side, Tables
from netlab.show.at_end import seen_at

EXAMPLES = int(os.environ.get("NETLAB_CONVERSATIONS", "29"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    running = Worker("wired_conversation_worker.py")
    yield running
    running.close()


# Each begins with a question and an answer of several segments, or most rules would find no frame
# that they are about. Then as over a loopback, but less, as round trips take their time.
several_segments = st.integers(5_000, 40_000)
openings = st.builds(
    lambda question, answer: [
        [0, "client", "send", question], [0, "server", "recv", question],
        [0, "server", "sendmsg", answer], [0, "client", "recv_into", answer],
    ],
    several_segments, several_segments,
)  # fmt: skip
sizes = st.one_of(st.integers(1, 300), st.sampled_from([4093, 21845]), st.integers(1, 30_000))
scripts = st.fixed_dictionaries(
    {
        "rules": rules,
        "steps": st.builds(lambda first, rest: first + rest, openings, steps_of(sizes, most=11)),
        "connections": st.sampled_from([1, 1, 2, 3]),
        "ipv6": st.booleans(),
        "nodelay": st.booleans(),
        "rcvbuf": st.sampled_from([None, None, None, 20_000]),
        "sndbuf": st.sampled_from([None, None, 50_000]),
        "queues": st.sampled_from(["calls", "events", "off"]),
        "drain": st.sampled_from([True, True, False]),
        "patience_ms": st.sampled_from([71, 71, 0]),
    }
)


Stream = tuple[bytes, int, bytes, int]  # source and destination, each with its port


def stream_of(packet: Any) -> Stream | None:
    """Of an IP packet of dpkt with TCP in it, whole; else None."""
    segment = packet.data
    if not isinstance(segment, dpkt.tcp.TCP):
        return None
    return packet.src, segment.sport, packet.dst, segment.dport


class Piece(NamedTuple):
    """A segment with payload, read without netlab: whose, and which bytes of the stream."""

    frame: int
    stream: Stream
    start: int
    stop: int


def pieces(frames: list[Frame]) -> list[Piece]:
    """The segments with payload of frames, in their order."""
    starts: dict[Stream, int] = {}
    found = []
    for frame in frames:
        packet = dpkt.ethernet.Ethernet(bytes(frame.data)).data
        stream = stream_of(packet)
        if stream is None:
            continue
        segment = packet.data
        if segment.flags & dpkt.tcp.TH_SYN:
            starts[stream] = segment.seq + 1
        elif segment.data:
            start = (segment.seq - starts[stream]) & 0xFFFFFFFF
            found.append(Piece(frame.number, stream, start, start + len(segment.data)))
    return found


def sent_twice(raw: RawRecording) -> dict[int, RangeSet]:
    """Which bytes of each frame its sender had sent before."""
    before: dict[Stream, RangeSet] = {}
    found = {}
    frames = [f for f in raw.frames if raw.interfaces[f.interface].name != WIRE]
    for piece in pieces(frames):
        ranges = before.setdefault(piece.stream, RangeSet())
        if again := RangeSet(ranges.overlaps(piece.start, piece.stop)):
            found[piece.frame] = again
        ranges.add(piece.start, piece.stop)
    return found


def resent(tables: Tables) -> dict[int, RangeSet]:
    """The same, as the tables say it."""
    found: dict[int, RangeSet] = {}
    for span in tables.spans:
        if span.role == Role.RESENT and span.start is not None and span.stop is not None:
            assert span.frame is not None
            found.setdefault(span.frame, RangeSet()).add(span.start, span.stop)
    return found


def as_ranges(found: dict[int, RangeSet]) -> dict[int, list[tuple[int, int]]]:
    return {frame: list(ranges) for frame, ranges in found.items()}


def differences_at(raw: RawRecording, path: Path, host: str) -> list[str]:
    """Where a host saw other frames than the recording says, or at another time."""
    there, said = (
        [Seen(f.time_ns, bool(f.flags & DIRECTION_OUT), bytes(f.data)) for f in frames]
        for frames in (read_raw(Path(f"{path}.{host}")).frames, seen_at(raw, host).frames)
    )
    return differences(there, said)


def wrongly_delivered(raw: RawRecording, tables: Tables) -> list[str]:
    """Spans `delivered` whose frame is not the first that brought these bytes, whole."""
    packets = {packet.frame: packet for packet in tables.packets}
    spoilt = {a.packet for a in raw.arrivals if a.fate == Fate.CHANGED}
    came = [
        frame for frame in raw.frames
        if packets[frame.number].arrived_ns is not None and frame.packet not in spoilt
    ]  # fmt: skip
    segments = {segment.frame: segment for segment in tables.segments}
    first: dict[tuple[int, str], RangeMap[int]] = {}
    for frame in sorted(came, key=lambda f: packets[f.number].arrived_ns or 0):
        segment = segments.get(frame.number)
        if segment is not None and segment.payload_len_bytes:
            key = segment.connection, segment.direction
            first.setdefault(key, RangeMap()).claim(segment.start, segment.stop, frame.number)
    wrong = []
    for span in tables.spans:
        if span.role != Role.DELIVERED or span.start == span.stop:
            continue
        assert span.frame is not None
        assert span.start is not None
        assert span.stop is not None
        segment = segments[span.frame]
        held = first[segment.connection, segment.direction].overlaps(span.start, span.stop)
        if [frame for _, _, frame in held] != [span.frame]:
            wrong.append(f"{span}: {list(held)}")
    return wrong


def unfounded(raw: RawRecording, tables: Tables, told: list[int]) -> list[str]:
    """Rows of the ledger whose reason what is known of these conversations disproves.

    Every connection has ended and every end was closed: nothing is queued or on its way.
    """
    reset = {p.connection for p in tables.packets if p.tcp_flags and "RST" in p.tcp_flags}
    arrived = {p.frame for p in tables.packets if p.arrived_ns is not None}
    came: dict[tuple[int | None, str | None], RangeSet] = {}
    for segment in tables.segments:
        if segment.frame in arrived and segment.payload_len_bytes:
            key = segment.connection, segment.direction
            came.setdefault(key, RangeSet()).add(segment.start, segment.stop)
    wrong = []
    for row in tables.unmatched:
        assert row.connection is not None
        assert row.direction is not None
        assert row.start is not None
        assert row.stop is not None
        receiver = Direction(row.direction).receiver
        read = told[row.connection * 2 + list(Side).index(receiver)]
        there = came.get((row.connection, row.direction), RangeSet())
        unread = row.what == What.CARRIED_NOT_READ
        founded = {
            Reason.RESET: row.connection in reset,
            Reason.CLOSED_UNREAD: unread and not there.gaps(row.start, row.stop),
            Reason.NOT_ACCEPTED: unread and not there.gaps(row.start, row.stop),
            Reason.LOST: unread and not list(there.overlaps(row.start, row.stop)),
        }
        if not founded.get(Reason(row.reason), False) or row.start < read:
            wrong.append(f"{row}, and {receiver} read {read} bytes")
    return wrong


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=scripts)
def test_every_byte_is_accounted_for_whatever_the_wire_does(
    worker: Worker, tmp_path_factory: pytest.TempPathFactory, script: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("conversation") / "live.pcapng"
    told = worker.converse({**script, "path": str(path)})
    assert set(told["dropped"].values()) == {0}, told["dropped"]
    assert told["losses"] == []
    raw = read_raw(path, ended=True)
    tables = analyse(raw)

    assert raw.faults == []
    check_recording(tables, raw)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables, 0) == []
    assert content_mismatches(raw, tables) == []
    assert unfounded(raw, tables, [read for _, read in told["moved"]]) == []
    assert len(tables.connections) == script["connections"]
    assert told_otherwise(tables, told["moved"], script["connections"]) == []

    assert as_ranges(resent(tables)) == as_ranges(sent_twice(raw))
    assert wrongly_delivered(raw, tables) == []
    assert differences_at(raw, path, "client") == []
    assert differences_at(raw, path, "server") == []
