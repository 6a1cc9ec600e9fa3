"""What the kernel witness costs: who is watched, who is not, and netlab, which reads it.

The loop of `test_strace_overhead`: two processes of one host, a request of 11 bytes and a response
as long, four calls in all. Tracepoints of system calls are on for the whole machine while a witness
is open, so a program that nobody watches pays, too. Wall time is the machine's: each is measured
several times and the best counts. What reading costs is processor time, read at the end at once.
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from test_strace_overhead import LOOP, ROUNDS

from netlab.capture.kernel.witness import KernelWitness

pytestmark = [pytest.mark.root, pytest.mark.bench]

TRIES = 5
CALLS = 4  # of one request and its response
GATE = "import os, sys; sys.stdin.readline(); os.execv(sys.argv[1], sys.argv[1:])"
PROGRAM = [sys.executable, "-I", "-S", "-c", LOOP]
MOST_US = 300.0


def spent_us(witness: KernelWitness | None) -> tuple[float, float]:
    """Of one request with its response, and of one other call; watched if there is a witness."""
    gated = [sys.executable, "-c", GATE, *PROGRAM]
    with subprocess.Popen(gated, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        if witness is not None:
            witness.follow(child.pid, host="bench", actor="loop")
        answer, _ = child.communicate(b"\n", timeout=60)
    round_us, other_us = map(float, answer.split())
    return round_us, other_us


def test_what_the_kernel_witness_costs() -> None:
    plain = [spent_us(None) for _ in range(TRIES)]
    beside, watched, read_us = [], [], []
    for _ in range(TRIES):
        with KernelWitness.open(buffer_kb=32 << 10) as witness:
            beside.append(spent_us(None))
            witness.poll()
            watched.append(spent_us(witness))
            began = time.thread_time()
            found = witness.finish()
            read_us.append((time.thread_time() - began) / len(found.calls) * 1e6)
            assert found.losses == []
            moving = [call for call in found.calls if call.op in ("sendto", "recvfrom")]
            assert len(moving) == CALLS * ROUNDS + 1  # the last recv meets the end
    print()
    for name, found_us in (("unwatched", plain), ("beside", beside), ("watched", watched)):
        round_us, other_us = (min(column) for column in zip(*found_us, strict=True))
        print(
            f"{name:10} {round_us:7.1f} us a request and response, {other_us:6.2f} us another call"
        )
    print(f"reading    {min(read_us):7.1f} us of processor time a call")
    assert min(round_us for round_us, _ in watched) < MOST_US
