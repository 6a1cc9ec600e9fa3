"""netlab's own verdicts: what they take for a segment, by kernels and by the general path.

    .ci/test -m bench -s tests/bench/test_second_verdict_speed.py

The capture is that of test_engine_peers; the general path and the plain kernels judge its first
packets only. Judging alone is timed, by processor time: for the kernels that is noting what options
say, and judging; for the general path, all that `judge_again` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netlab.capture.files import read_raw
from netlab.correlate.flows import flows_from_packets
from netlab.correlate.second_verdicts import judge_again
from netlab.correlate.segments import track_from_flow
from netlab.decode import kernels
from netlab.decode.packets import decode
from netlab.engine.native import Native
from netlab.engine.plain import Plain
from netlab.engine.second import Second
from netlab.engine.whole import read
from netlab.model.garbage import no_collection
from tests.bench.peers import machine_text
from tests.bench.test_engine_peers import beginning, capture

__all__ = ["capture"]  # a fixture
SOME = 100_003
GOAL_US = 1.0


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_what_a_second_verdict_takes(
    capture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = beginning(capture, SOME, tmp_path / "some.pcap")
    print(f"\n{machine_text()}; us a segment, processor time of judging alone\n")
    print("| | segments | us |\n|---|---|---|")
    general, segments = by_general_path(some)
    show("general path", segments, general)
    show("plain kernels", *by_kernels(Plain(), some, monkeypatch))
    segments, native = min(
        (by_kernels(Native(), capture, monkeypatch) for _ in range(3)), key=lambda pair: pair[1]
    )
    show("**compiled kernels**", segments, native)
    assert native <= GOAL_US


def show(name: str, segments: int, us: float) -> None:
    """A line of the table."""
    print(f"| {name} | {segments:,} | {us:.3f} |", flush=True)


def by_general_path(path: Path) -> tuple[float, int]:
    """us a segment, and how many there were."""
    with no_collection():
        flows = flows_from_packets(decode(read_raw(path)))
        tracks = [track_from_flow(flow) for flow in flows if flow.protocol == "tcp"]
        begun = time.process_time()
        for track in tracks:
            judge_again(track)
        passed = time.process_time() - begun
    segments = sum(len(track.rows) for track in tracks)
    return passed / segments * 1e6, segments


def by_kernels(machine: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """How many segments there were, and us for one."""
    spent = []

    def timed(method: Callable[..., None]) -> Callable[..., None]:
        def run(*args: Any, **named: Any) -> None:
            begun = time.thread_time()  # another thread follows meanwhile
            method(*args, **named)
            spent.append(time.thread_time() - begun)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Second, "note", timed(Second.note))
        patch.setattr(Second, "judge", timed(Second.judge))
        whole = read(str(path), machine, keep=True, with_second=True)
    rows = whole.capture.records.rows.array(whole.capture.count)
    segments = int((rows["kind"] == kernels.TCP).sum())
    return segments, sum(spent) / segments * 1e6
