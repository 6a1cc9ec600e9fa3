"""Counters that all processes share."""

from __future__ import annotations

import os
import signal

from forked import forked

from netlab.server.shared.counters import Counter, Counters


def test_rows_add_up() -> None:
    counters = Counters(3)
    for row in range(3):
        counters.row(row)[Counter.ACCEPT_COUNT] += 10**row
    assert counters.total(Counter.ACCEPT_COUNT) == 111
    assert counters.totals()["accept_count"] == 111
    assert "start_time" not in counters.totals()
    counters.close()


def test_counters_survive_a_killed_worker() -> None:
    counters = Counters(2)

    def count_and_die() -> None:
        row = counters.row(1)
        row[Counter.REQUEST_COUNT] += 23
        row[Counter.CONNECTION_NUM] += 5
        os.kill(os.getpid(), signal.SIGKILL)

    pid = forked(count_and_die)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert counters.total(Counter.REQUEST_COUNT) == 23
    counters.forget_now(1)
    assert counters.total(Counter.CONNECTION_NUM) == 0
    assert counters.total(Counter.REQUEST_COUNT) == 23
