"""What the recorder writes, with witnesses and a file that only pretend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from netlab.capture.ring import RingFrame, RingStatistics
from netlab.lab.recorder import Death, Recorder
from netlab.lab.wire.journal import Taken
from netlab.model.call import CallRecord, Inheritance
from netlab.model.recording import Loss
from netlab.model.stamp import StampRecord
from netlab.model.wire import Arrival

FRAME: RingFrame = (1, b"frame", 5, 1)


def call(op: str, order: int, *, pid: int = 7, entered_ns: int = 100) -> CallRecord:
    returned_ns = None if op == "exit" else entered_ns + 1
    return CallRecord(
        "probe", "localhost", "client", pid, pid, order, op, 3, "", entered_ns, returned_ns
    )


@dataclass
class PretendFile:
    written: list[tuple[str, Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.written.append((name, what[0] if len(what) == 1 else what))

    def all(self, name: str) -> list[Any]:
        return [what for kind, what in self.written if kind == name]


@dataclass
class PretendRing:
    batches: list[list[RingFrame]]
    dropped: int = 0
    blocks: int = 7

    def read(self) -> list[RingFrame]:
        return self.batches.pop(0) if self.batches else []

    drain = read

    def statistics(self) -> RingStatistics:
        return RingStatistics(9, self.dropped)


@dataclass
class PretendSpools:
    batches: list[list[CallRecord]]
    inheritances: list[Inheritance] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    stamps: list[StampRecord] = field(default_factory=list)

    def poll(self, within_s: float) -> list[CallRecord]:
        return self.finish()

    def finish(self) -> list[CallRecord]:
        return self.batches.pop(0) if self.batches else []


def recorder(ring: PretendRing, spools: PretendSpools) -> tuple[Recorder, PretendFile]:
    file = PretendFile()
    return Recorder(file, [ring], spools), file  # type: ignore[arg-type]


def test_frames_and_calls_are_written_and_counted() -> None:
    it, file = recorder(PretendRing([[FRAME, FRAME], [FRAME]]), PretendSpools([[call("send", 1)]]))
    it.pump()
    it.finish([])
    assert file.all("frames") == [(0, [FRAME, FRAME]), (0, [FRAME])]  # a block at a time
    assert (it.frame_count, it.call_count) == (3, 1)
    assert file.written[-1] == ("close", ())
    assert len(file.all("clock")) == 2


def test_a_process_that_noted_its_end_gets_no_second_one() -> None:
    it, file = recorder(PretendRing([]), PretendSpools([[call("send", 1), call("exit", 2)]]))
    it.pump()
    it.finish([Death("localhost", "client", 7, "status 0", 500)])
    assert file.all("calls") == [[call("send", 1), call("exit", 2)]]


def test_the_end_of_a_killed_process_has_both_bounds() -> None:
    it, file = recorder(PretendRing([]), PretendSpools([[call("send", 4, entered_ns=300)]]))
    it.pump()
    it.finish([Death("localhost", "client", 7, "SIGKILL", 500)])
    ((end,),) = file.all("calls")[1:]
    assert (end.op, end.args, end.order, end.pid, end.actor) == ("exit", "SIGKILL", 5, 7, "client")
    assert (end.entered_ns, end.returned_ns, end.returned_by_ns) == (301, None, 500)


def test_a_process_killed_before_its_first_call_ends_too() -> None:
    it, file = recorder(PretendRing([]), PretendSpools([]))
    it.finish([Death("localhost", "server", 8, "SIGKILL", 500)])
    ((end,),) = file.all("calls")
    assert (end.entered_ns, end.order) == (500, 1)


def test_what_the_witnesses_lost_is_written_once() -> None:
    spools = PretendSpools([[], []])
    it, file = recorder(PretendRing([], dropped=3), spools)
    it.pump()
    lost = Loss("probe", "calls", None, "spool limit", "client")
    born = Inheritance(9, 7, 200, (1, 2))
    spools.losses.append(lost)
    spools.inheritances.append(born)
    it.finish([])
    assert file.all("inheritances") == [[born]]
    first, second = file.all("loss")
    assert first == lost
    assert (second.witness, second.count, second.reason) == ("packets", 3, "ring full")


def test_stamps_are_written_once() -> None:
    spools = PretendSpools([[], []])
    it, file = recorder(PretendRing([]), spools)
    first, second = (StampRecord(n, "localhost", 7, 21, "sent", n) for n in (1, 2))
    spools.stamps.append(first)
    it.pump()
    spools.stamps.append(second)
    it.finish([])
    assert file.all("stamps") == [[first], [second]]


def test_spools_are_not_looked_at_on_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10**12]
    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    spools = PretendSpools([[call("send", 1)], [call("send", 2)]])
    it, _ = recorder(PretendRing([]), spools)
    it.pump()
    it.pump()
    assert it.call_count == 1
    now[0] += 100_000_000
    it.pump()
    assert it.call_count == 2


@dataclass
class PretendWire:
    batches: list[Taken]
    losses: list[Loss] = field(default_factory=list)
    dropped: Counter[int] = field(default_factory=Counter)

    def poll(self, within_s: float) -> Taken:
        return self.finish()

    def finish(self) -> Taken:
        return self.batches.pop(0) if self.batches else Taken()


def test_what_a_wire_noted_is_written_frames_first() -> None:
    frames = [(1, 0, 10, b"one"), (2, 1, 20, b"two"), (3, 0, 30, b"three")]
    arrivals = [Arrival(1, "delivered", 15, 1), Arrival(2, "dropped")]
    lost = Loss("packets", "frames", 7, "the wire's receive queue of client was full")
    batches = [Taken(frames[:2], arrivals[:1]), Taken(frames[2:], arrivals[1:])]
    wire = PretendWire(batches, [lost], Counter({0: 7}))
    file = PretendFile()
    it = Recorder(file, [], PretendSpools([]), wire=wire)  # type: ignore[arg-type]
    it.pump()
    it.finish([])
    kinds = [name for name, _ in file.written if name in ("wire_frames", "arrivals", "loss")]
    assert kinds == ["wire_frames", "arrivals", "loss", "wire_frames", "arrivals"]
    assert file.all("wire_frames") == [frames[:2], frames[2:]]
    assert file.all("arrivals") == [arrivals[:1], arrivals[1:]]
    assert file.all("loss") == [lost]
    assert it.frame_count == 3
    counted = [what[:3] for what in file.all("statistics")]
    assert counted == [(0, 9, 7), (1, 1, 0)]  # by interface: what there was, and what was lost


@pytest.mark.parametrize("count", [5, None])
def test_losses_of_the_wire_that_nobody_can_place_are_of_no_host(count: int | None) -> None:
    lost = [
        Loss("packets", "frames", 7, "the wire's receive queue of client was full"),
        Loss("packets", "frames", count, "spool limit"),
        Loss("packets", "arrivals", 1, "spool limit"),
    ]
    wire = PretendWire([Taken([(1, 1, 10, b"one")], [])], lost, Counter({0: 7}))
    file = PretendFile()
    Recorder(file, [], PretendSpools([]), wire=wire).finish([])  # type: ignore[arg-type]
    assert [what[:3] for what in file.all("statistics")] == [(0, 7, None), (1, 1, None)]


def test_a_silent_wire_writes_nothing() -> None:
    file = PretendFile()
    it = Recorder(file, [], PretendSpools([]), wire=PretendWire([]))  # type: ignore[arg-type]
    it.pump()
    it.finish([])
    assert {name for name, _ in file.written} == {"clock", "close"}
