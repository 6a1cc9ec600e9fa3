"""netlab's own verdicts in a lab: what the wire did and what the sender's kernel counted, agree.

One lab with a connection for each thing that a wire can do. The wire's rules say what was lost,
doubled or overtaken; the kernel's counters say how many time-outs, tail loss probes and fast
retransmissions there were on each connection. A verdict may be missing, but none may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lab_verdict_programs as programs
import pytest
from lab_cases import MSS_BYTES

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.lab.experiment import Lab
from netlab.model.ranges import RangeSet
from netlab.model.recording import RawRecording
from netlab.model.tables import Fate, Packet, Segment, Tables, Verdict
from netlab.show.at_end import seen_at

PIECE = 12 * MSS_BYTES


class Case(NamedTuple):
    """A connection: what the wire does with it, what the client writes, how long the server waits
    before it reads and the client before it closes, and what verdicts the client's frames get."""

    rule: str
    size: int
    pause_s: float
    idle_s: float
    verdicts: set[str]
    or_else: str = ""  # where the FIN left by itself, and so what is missing was not the last


CASES = [
    Case("", PIECE, 0, 0, set()),
    Case("drop c>s conn 1 data 3", PIECE, 0, 0, {"fast_retransmit"}),
    Case("drop c>s conn 2 data 12", PIECE, 0, 0, {"tail_loss_probe"}, "fast_retransmit"),
    Case(
        "drop c>s conn 3 data 11-12",
        PIECE,
        0,
        0,
        {"tail_loss_probe", "fast_retransmit"},
        "fast_retransmit",
    ),
    Case("drop c>s conn 4 data 5 copy 1-2", PIECE, 0, 0, {"fast_retransmit", "rto"}),
    Case(
        "drop c>s conn 5 data 12 copy 1-3",
        PIECE,
        0,
        0,
        {"tail_loss_probe", "rto"},
        "fast_retransmit",
    ),
    Case("cut conn 6 after c>s data 5 for 350ms", PIECE, 0, 0, {"spurious"}),
    Case("reorder c>s conn 7 data 4 by 1", PIECE, 0, 0, {"reordered"}),
    Case("reorder c>s conn 8 data 2 after 12", PIECE, 0, 0, {"reordered", "spurious"}),
    Case("duplicate c>s conn 9 data 4", PIECE, 0, 0, {"duplicated_by_network"}),
    Case("delay s>c conn 10 any 2- by 300ms", PIECE, 0, 0, {"spurious"}),
    Case("loss conn 11 3% seed 3", 30 * PIECE, 0, 0, {"fast_retransmit"}),
    Case("loss c>s conn 12 8% seed 5", 10 * PIECE, 0, 0, {"fast_retransmit"}),
    Case("", 20 * PIECE, 1.7, 0, {"zero_window_probe"}),
    Case("", 100, 0, 1.3, {"keep_alive"}),
    Case("drop c>s conn 15 syn 1", PIECE, 0, 0, {"rto"}),
    Case("drop c>s conn 16 fin 1", PIECE, 0, 0, {"tail_loss_probe"}),
    Case("corrupt c>s conn 17 data 6", PIECE, 0, 0, {"fast_retransmit"}),
]
WIRE = "; ".join(["delay 4ms", *(case.rule for case in CASES if case.rule)])


FAR_TOO_LATE_NS = 5_000_000  # for a wire: the sender's probes wait for some 20 ms
ATTEMPTS = 4


class Seen(NamedTuple):
    """The recording, and the kernel's counters by connection."""

    raw: RawRecording
    tables: Tables
    packets: dict[int, Packet]
    counted: list[dict[str, int]]

    def sent(self, number: int, direction: str = "c>s") -> list[Segment]:
        return [
            s for s in self.tables.segments if s.connection == number and s.direction == direction
        ]

    def verdicts(self, number: int) -> set[str]:
        """Of a connection's frames from the client; that one is new says nothing."""
        given = [s for s in self.sent(number) if s.verdict]
        found = {str(s.verdict) for s in given if s.seg_len} - {"new_data"}
        return found | {str(s.verdict) for s in given if not s.seg_len}

    def is_as_meant(self, number: int) -> bool:
        """Whether it got the verdicts that its rule causes, or none where there is none."""
        case, found = CASES[number], self.verdicts(number)
        if not case.verdicts:
            return not found
        return bool(found) and (case.verdicts <= found or case.or_else in found)

    def was_late(self, number: int) -> bool:
        """Whether the wire did not keep its times there: kernels may have done something else."""
        late = {one.packet: one.late_ns or 0 for one in self.raw.arrivals}
        mine = {s.frame for s in self.tables.segments if s.connection == number}
        return any(
            late.get(frame.packet or 0, 0) > FAR_TOO_LATE_NS
            for frame in self.raw.frames
            if frame.number in mine
        )

    def count(self, number: int, wanted: Callable[[Segment], bool]) -> int:
        return sum(1 for s in self.sent(number) if wanted(s))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The lab; anew where a connection is not as it was meant, on a wire that was late there."""
    for _ in range(ATTEMPTS):
        found = played(tmp_path_factory.mktemp("lab") / "lab.pcapng")
        other = [number for number in range(len(CASES)) if not found.is_as_meant(number)]
        if not other or not all(map(found.was_late, other)):
            break
    return found


def played(path: Path) -> Seen:
    with Lab(path=path, wire=WIRE) as lab:
        server = lab.start("server", programs.take_slowly, [case.pause_s for case in CASES])
        lab.wait_listening("server", within_s=60)
        client = lab.run(
            "client", programs.bring_counted, lab.address("server"),
            [case.size for case in CASES], [case.idle_s for case in CASES],
        )  # fmt: skip
        lab.wait(server)
        assert lab.settle()
        assert (client.status, server.status) == (0, 0), client.stderr + server.stderr
        assert [rule for rule, count in lab.fired if not count] == []
    raw = read_raw(path)
    tables = analyse(raw)
    return Seen(raw, tables, {packet.frame: packet for packet in tables.packets}, client.value)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_each_rule_gets_the_verdicts_that_it_causes(seen: Seen, number: int) -> None:
    assert seen.is_as_meant(number), seen.verdicts(number)


def said(segment: Segment, verdict: Verdict, words: str) -> bool:
    """Sent again for this reason, in vain or not."""
    if segment.verdict == Verdict.SPURIOUS:
        return words in (segment.verdict_reason or "")
    return segment.verdict == verdict


def left_open(seen: Seen, number: int) -> int:
    return seen.count(number, lambda s: s.verdict is None and s.verdict_reason is not None)


def kinds(segments: list[Segment]) -> dict[str, int]:
    """How many of each kind that the kernel counts, by the name of its counter."""
    recovery = "in the recovery that the time-out"
    return {
        "TCPTimeouts": sum("time-out:" in (s.verdict_reason or "") for s in segments),
        "TCPFastRetrans": sum(
            said(s, Verdict.FAST_RETRANSMIT, "as a fast retransmission") for s in segments
        ),
        "TCPLossProbes": sum(
            said(s, Verdict.TAIL_LOSS_PROBE, "as a tail loss probe") for s in segments
        ),
        "TCPSlowStartRetrans": sum(recovery in (s.verdict_reason or "") for s in segments),
        "TCPWinProbe": sum(s.verdict == Verdict.ZERO_WINDOW_PROBE for s in segments),
        "TCPKeepAlive": sum(s.verdict == Verdict.KEEP_ALIVE for s in segments),
    }


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_kernel_counted_the_same(seen: Seen, number: int) -> None:
    """Where none is left open, as many; else none that it did not count."""
    found = kinds(seen.sent(number))
    counted = {name: seen.counted[number][name] for name in found}
    assert all(found[name] <= counted[name] for name in found), (found, counted)
    del found["TCPLossProbes"], counted["TCPLossProbes"]  # a probe is new data where there is any
    assert found == counted or left_open(seen, number)


@pytest.mark.parametrize("host", ["client", "server"])
def test_a_capture_at_one_end_claims_nothing_that_the_kernel_did_not_count(
    seen: Seen, host: str
) -> None:
    """What that end's own tcpdump would have seen: no wire's notes, and no calls."""
    there = {row.client_port: row.connection for row in seen.tables.connections}
    tables = analyse(seen_at(seen.raw, host))
    certain = 0
    for row in tables.connections:
        number = there[row.client_port]
        found = kinds([
            s for s in tables.segments
            if s.connection == row.connection and s.direction == "c>s"
        ])  # fmt: skip
        counted = {name: seen.counted[number][name] for name in found}
        more = {name: (found[name], counted[name]) for name in found if found[name] > counted[name]}
        assert not more, number
        certain += sum(found.values())
    assert certain > 20


def test_few_are_left_open(seen: Seen) -> None:
    """Only where the sender may have taken back a time-out that turned out to be in vain: after a
    cut, and where chance may take all of a round's ACKs."""
    open_there = {number: left_open(seen, number) for number in range(len(CASES))}
    assert {number for number, count in open_there.items() if count} <= {6, 11, 12}
    assert all(open_there[number] <= len(seen.sent(number)) / 10 for number in (11, 12))


def test_new_is_what_no_frame_brought_before(seen: Seen) -> None:
    had: dict[tuple[int, str], RangeSet] = {}
    for segment in seen.tables.segments:
        mine = had.setdefault((segment.connection, segment.direction), RangeSet())
        if segment.stop > segment.start and segment.verdict != Verdict.KEEP_ALIVE:
            again = bool(mine.overlaps(segment.start, segment.stop))
            new = segment.verdict in (Verdict.NEW_DATA, Verdict.REORDERED)
            assert again is not new, segment
            mine.add(segment.start, segment.stop)


def test_what_was_in_vain_had_arrived_and_what_was_not_had_not(seen: Seen) -> None:
    """By the wire's own notes, without a word of any ACK."""
    arrived: dict[int, RangeSet] = {}
    spurious = needed = 0
    for segment in seen.tables.segments:
        packet = seen.packets[segment.frame]
        if segment.direction != "c>s" or segment.stop == segment.start or packet._made:
            continue
        mine = arrived.setdefault(segment.connection, RangeSet())
        had = mine.covers(segment.start, segment.stop)
        if segment.verdict == Verdict.SPURIOUS:
            assert had, segment
            spurious += 1
        elif segment.verdict in (Verdict.RTO, Verdict.FAST_RETRANSMIT, Verdict.TAIL_LOSS_PROBE):
            assert not had, segment
            needed += 1
        if packet.fate != Fate.DROPPED and not packet._spoilt:
            mine.add(segment.start, segment.stop)
    assert spurious >= 3
    assert needed >= 11


def test_late_is_what_the_wire_let_others_overtake(seen: Seen) -> None:
    late = [s for s in seen.tables.segments if s.verdict == Verdict.REORDERED]
    assert late
    for segment in late:
        packet = seen.packets[segment.frame]
        other = seen.packets[(segment.verdict_frames or (0,))[0]]
        assert packet.time_ns < other.time_ns
        assert (packet.arrived_ns or 0) > (other.arrived_ns or 0) > 0
