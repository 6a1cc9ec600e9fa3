"""The lines that studies time: whatever carries them, messages come whole and in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.server.plain import PlainProbe
from netlab.studies.family import ended, forked
from netlab.studies.lines import (
    BLOCKING,
    QUEUE_BYTES,
    SPINNING,
    SPINNING_KINDS,
    WAITING_KINDS,
    both_ends,
)
from netlab.studies.race import Way, flow_bytes_per_s, preempted_trips, round_trip_ns

SIZES = (61, 4093, 65_536)
TIMES = 131  # more than any line has room for
WAYS = [
    *((kind, BLOCKING) for kind in WAITING_KINDS),
    *((kind, SPINNING) for kind in SPINNING_KINDS),
]


def alone(work: Callable[[], object]) -> None:
    """Do it in a process of one thread: of several, any may take a signal that one waits for."""

    def child() -> int:
        work()
        return 0

    assert ended(forked(PlainProbe(), "alone", child)) == 0


@pytest.mark.parametrize(("kind", "how"), WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_messages_come_whole_and_in_order_both_ways(kind: str, how: str, size: int) -> None:
    alone(lambda: _there_and_back(kind, how, size))


def _there_and_back(kind: str, how: str, size: int) -> None:
    assert size <= QUEUE_BYTES or size % QUEUE_BYTES == 0  # as pieces are put together again
    ends = both_ends(kind, how, size)
    messages = [bytes([number]) * size for number in range(TIMES)]

    def child() -> None:
        for message in messages:
            assert ends.its.get() == message
        for message in messages:
            ends.its.put(message)

    pid = forked(PlainProbe(), "child", child)
    ends.meet(pid)
    for message in messages:
        ends.ours.put(message)
    assert [ends.ours.get() for _ in messages] == messages
    assert ended(pid) == 0
    ends.close()


@pytest.mark.parametrize(("kind", "how"), WAYS)
def test_a_race_ends_and_is_told_in_its_unit(kind: str, how: str) -> None:
    way = Way(kind, how, 1 if how == BLOCKING else 2, 61)

    def race() -> None:
        assert 0 < round_trip_ns(way, 0) < 60_000_000_000
        assert flow_bytes_per_s(way, 0) > 0

    alone(race)


def test_who_spins_on_one_core_is_taken_off_it() -> None:
    took_ns, off = preempted_trips(Way(SPINNING_KINDS[0], SPINNING, 1, 61), 2)
    assert off >= 2
    assert took_ns > 0


def test_a_child_that_raises_is_told_from_one_that_returns(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def raises() -> None:
        raise ValueError("deliberately")

    probe = PlainProbe()
    pid = forked(probe, "child", raises)
    with pytest.raises(ChildProcessError):
        ended(pid)
    assert "ValueError: deliberately" in capfd.readouterr().err
    assert ended(forked(probe, "child", lambda: 7)) == 7
    assert ended(forked(probe, "child", lambda: None)) == 0
