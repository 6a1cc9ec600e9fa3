"""Which processes have ended, how and by when, on real ones that end at a word."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from netlab.lab.departures import Departures

AT_A_WORD = "import os, sys; sys.stdin.read(); os._exit(3)"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", AT_A_WORD], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def ends(child: subprocess.Popen[bytes], number: int | None) -> None:
    """Have it end, and wait until it has, without reaping it."""
    assert child.stdin is not None
    descriptor = os.pidfd_open(child.pid)
    if number is None:
        child.stdin.close()
    else:
        child.send_signal(number)
    assert select.select([descriptor], [], [], 30)[0]
    os.close(descriptor)


@pytest.mark.parametrize(
    ("number", "how"),
    [(None, "status 3"), (signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM")],
)
def test_an_end_is_noticed_once_and_not_reaped(
    child: subprocess.Popen[bytes], number: int | None, how: str
) -> None:
    with Departures() as departures:
        departures.watch(child.pid)
        departures.look()
        assert departures.seen == []
        before_ns = time.time_ns()
        ends(child, number)
        departures.watch(child.pid)
        departures.look()
        departures.look()
        (gone,) = departures.seen
    assert (gone.pid, gone.how) == (child.pid, how)
    assert before_ns <= gone.time_ns <= time.time_ns()
    assert child.wait(30) is not None  # nobody else has


def test_one_that_was_gone_before_is_gone_by_then(child: subprocess.Popen[bytes]) -> None:
    ends(child, None)
    child.wait(30)
    with Departures() as departures:
        departures.watch(child.pid)
        (gone,) = departures.seen
    assert (gone.pid, gone.how) == (child.pid, "")


def test_the_own_process_and_living_ones_have_not_ended(child: subprocess.Popen[bytes]) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with Departures() as departures:
        departures.watch(os.getpid())
        departures.watch(child.pid)
        departures.look()
        assert departures.seen == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
