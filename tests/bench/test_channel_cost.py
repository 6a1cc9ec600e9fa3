"""What a message of 64 bytes between two ends costs by kind of channel, and what recording adds.

    pytest -m bench -s tests/bench/test_channel_cost.py

CPU time of a send and a receive in one thread, the best of many rounds: no waking of another
process is in it.
"""

from __future__ import annotations

from pathlib import Path
from time import thread_time_ns

import pytest

from netlab.capture.probe import JournalProbe
from netlab.server.channels import KINDS, Channel, make_pair
from netlab.server.plain import PlainProbe

pytestmark = pytest.mark.bench
ROUNDS, MESSAGES = 60, 500
MESSAGE = bytes(64)
ABOUT = 12345


def round_ns(ends: tuple[Channel, Channel], about: int) -> float:
    one, other = ends
    began_ns = thread_time_ns()
    for _ in range(MESSAGES):
        one.send(MESSAGE, about)
        other.receive()
    return (thread_time_ns() - began_ns) / MESSAGES


def test_cost_of_a_message(tmp_path: Path) -> None:
    traced = JournalProbe(tmp_path, actor="bench", queues="events")
    print(f"\n{'kind':<10} {'plain':>8} {'recorded':>9} {'about':>8} ns a message")
    for kind in KINDS:
        plain, watched = make_pair(kind, PlainProbe()), make_pair(kind, traced)
        rows = [
            (round_ns(plain, ABOUT), round_ns(watched, 0), round_ns(watched, ABOUT))
            for _ in range(ROUNDS)
        ]
        best = [min(column) for column in zip(*rows, strict=True)]
        print(f"{kind:<10} {best[0]:8.0f} {best[1]:9.0f} {best[2]:8.0f}")
        assert best[2] < best[0] + 50_000
        for end in (*plain, *watched):
            end.close()
    traced.close()
