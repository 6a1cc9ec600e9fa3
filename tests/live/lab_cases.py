"""One question and its answer over a wire with rules, and its recording, asked in the words of a
case: which frames were lost, sent again, when, and what came of them.

On a machine that is busy with other things the wire may send a frame on much later than its rules
say, and then the kernels rightly do something else than the case is about. The recording says how
late each frame was: a test that fails on such a recording is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import lab_case_programs as programs

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.lab.experiment import Lab
from netlab.lab.finish import Finished
from netlab.model.frame import WIRE
from netlab.model.tables import Call, Direction, Fate, Packet, Role, Segment, Span

P = ParamSpec("P")
MS = 1_000_000
S = 1_000 * MS
MSS_BYTES = 1448  # 1500 less IPv4, TCP and the timestamps option
FAR_TOO_LATE_NS = 5 * MS
_ATTEMPTS = 7
_TICK_NS = 10 * MS  # CONFIG_HZ is 100 at least
_BUSY_NS = 40 * MS  # of a machine with other work; below all that is told apart by time


class Case:
    """One conversation: the client asks so many bytes, the server answers one."""

    def __init__(self, path: Path, recording: Finished) -> None:
        self.path = path
        self.raw, self.tables = recording
        self.packets = {packet.frame: packet for packet in self.tables.packets}
        self.segments = {segment.frame: segment for segment in self.tables.segments}
        self.calls = {call.call: call for call in self.tables.calls}
        self.by_departure = sorted(self.tables.packets, key=lambda packet: packet.time_ns)
        self.settings = dict(self.raw.description.hosts[0].sysctls)

    @property
    def latest_ns(self) -> int:
        """How late the wire was at worst."""
        return max(arrival.late_ns or 0 for arrival in self.raw.arrivals)

    def call(self, op: str, side: str) -> Call:
        """The only call of its kind and side that is about the connection."""
        (call,) = (c for c in self.tables.calls if (c.op, c.side) == (op, side))
        return call

    def spans(self, role: Role, op: str = "") -> list[Span]:
        """The spans of a role, in the order in which their frames left."""
        found = [
            span for span in self.tables.spans
            if span.role == role and span.frame and (not op or self.calls[span.call].op == op)
        ]  # fmt: skip
        return sorted(found, key=lambda span: (self.of(span).time_ns, span.start or 0))

    def of(self, span: Span) -> Packet:
        assert span.frame is not None
        return self.packets[span.frame]

    def frames(self, role: Role, op: str = "") -> list[Packet]:
        """The frames of a role, each once, in the order in which they left."""
        return list({span.frame: self.of(span) for span in self.spans(role, op)}.values())

    def data(self, direction: Direction = Direction.C2S) -> list[tuple[Packet, Segment]]:
        """What carried the question, or the answer, in the order in which it left."""
        return [
            (packet, self.segments[packet.frame]) for packet in self.by_departure
            if packet.direction == direction and packet.payload_len_bytes
            and packet.frame in self.segments and packet.interface != WIRE
        ]  # fmt: skip

    def lost(self) -> list[Packet]:
        """What the wire dropped, in the order in which it left."""
        return [packet for packet in self.by_departure if packet.fate == Fate.DROPPED]

    def acks(self, number: int) -> list[Packet]:
        """Pure ACKs of the server with this number, in the order in which they left."""
        return [
            self.packets[s.frame] for s in self.tables.segments
            if s.direction == Direction.S2C and s.ack == number and s.seg_len == 0
        ]  # fmt: skip


def ranges(spans: Iterable[Span]) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in spans
            if span.start is not None and span.stop is not None]  # fmt: skip


def segment_range(number: int) -> tuple[int, int]:
    """The bytes of the question's n-th full segment, counted from 1 as the rules count."""
    return (number - 1) * MSS_BYTES, number * MSS_BYTES


def arrived_ns(packet: Packet) -> int:
    assert packet.arrived_ns is not None, packet
    return packet.arrived_ns


def fires(elapsed_ns: int, timer_ns: int) -> bool:
    """Whether that is how long a kernel's timer of this length may take.

    The timer wheel fires up to an eighth of its length late, and it counts in ticks
    (kernel/time/timer.c, "Timer wheel").
    """
    return timer_ns - _TICK_NS <= elapsed_ns <= timer_ns + timer_ns // 8 + 2 * _TICK_NS + _BUSY_NS


def at_once(elapsed_ns: int) -> bool:
    """Whether something followed from something else, without a timer between."""
    return 0 <= elapsed_ns <= _BUSY_NS


def ask(folder: Path, wire: str, question_bytes: int, *, ipv6: bool = False) -> Case:
    """Have the question asked and answered."""
    path = folder / f"{len(_made)}.pcapng"
    with Lab(path=path, wire=wire) as lab:
        server = lab.start("server", programs.answer, question_bytes)
        lab.wait_listening("server", within_s=60)
        address = lab.address("server", ipv6=ipv6)
        client = lab.run("client", programs.ask, address, question_bytes)
        lab.wait(server)
        assert lab.settle()
    assert (client.status, server.status) == (0, 0), client.stderr + server.stderr
    assert server.value == question_bytes
    assert all(count for _, count in lab.fired), lab.fired
    case = Case(path, lab.recording)
    assert ledger_mismatches(case.tables) == []
    assert causal_violations(case.tables) == []
    _made.append(case)
    return case


_made: list[Case] = []  # by the test at hand


def again_if_the_wire_was_late(test: Callable[P, None]) -> Callable[P, None]:
    """The test, done again where it fails on a recording whose wire did not keep its times."""

    @wraps(test)
    def patient(*args: P.args, **kwargs: P.kwargs) -> None:
        _made.clear()
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return test(*args, **kwargs)
            except AssertionError:
                late_ns = _made[-1].latest_ns if _made else 0
                if late_ns <= FAR_TOO_LATE_NS or not attempts_left:
                    raise
        return None

    return patient
