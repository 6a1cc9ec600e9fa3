"""Shared memory: nothing is faster, and nothing takes turns."""

from __future__ import annotations

import mmap
import multiprocessing
import select
from contextlib import nullcontext
from typing import Any

from netlab.model.probe import PipeEnd, Probe
from netlab.studies.evidence import told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Params, Study, Topic

BOUND_MS = 20_000.0  # for what must come
PATIENCE_MS = 200.0  # for what must not


def client(probe: Probe, p: Params) -> Any:
    """Two processes add 1 to the same number, without a semaphore and with one."""
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    semaphore = multiprocessing.get_context("fork").Semaphore(1)
    found: dict[str, Any] = {}
    for name, turn, patience_ms in (
        ("without", nullcontext(), BOUND_MS), ("with", semaphore, PATIENCE_MS),
    ):  # fmt: skip
        memory[0] = 0
        found[f"{name}: inside at once"] = _both(probe, memory, turn, patience_ms)
        found[f"{name}: sum"] = memory[0]
    memory.close()
    return found


def _both(probe: Probe, memory: mmap.mmap, turn: Any, patience_ms: float) -> int:
    """Let two children add, each held up between its read and its write until the other has read
    too, or `patience_ms` are over; how many were there together."""
    ready, go = probe.pipe(), probe.pipe()

    def child() -> None:
        with turn:
            value = memory[0]
            ready[1].write(b"r")
            _comes(probe, go[0], BOUND_MS)
            memory[0] = value + 1

    pids = [forked(probe, f"child-{number}", child) for number in (1, 2)]
    inside = sum(_comes(probe, ready[0], within_ms) for within_ms in (BOUND_MS, patience_ms))
    go[1].write(b"g" * inside)
    if inside < len(pids) and _comes(probe, ready[0], BOUND_MS):
        go[1].write(b"g")
    for pid in pids:
        ended(pid)
    for end in (*ready, *go):
        end.close()
    return inside


def _comes(probe: Probe, end: PipeEnd, within_ms: float) -> bool:
    """Whether a byte comes in this time; it is taken."""
    poll = probe.poll()
    poll.register(end.fileno(), select.POLLIN)
    return bool(poll.poll(within_ms)) and bool(end.read(1))


STUDY = Study(
    name="shared-memory",
    topic=Topic.IPC,
    question="Two processes add 1 to the same number in shared memory. What is the sum?",
    setup="Two children share a page. Each reads the number, is held up for a moment, and writes "
    "back one more. First without a semaphore, then with one around reading and writing.",
    prediction="Perhaps 1. Both read 0, both write 1: nothing makes them take turns, and an "
    "addition is a read and a write. With a semaphore one of them waits outside, and the sum is 2. "
    "Shared memory needs no call to be read or written, so it is fast; and as there is no call, "
    "there is no order, no border, no waiting, and no word that something has come. All of that "
    "must be brought along: a semaphore, a futex, a pipe.",
    client=client,
    connection=None,
    expects=(
        Expect("without: how many had read before one wrote", Kind.COUNT, lambda p: 2,
               told("without: inside at once"), "man 7 shm_overview: processes must synchronize"),
        Expect("without: the sum", Kind.COUNT, lambda p: 1, told("without: sum"),
               "0 + 1, twice"),
        Expect("with a semaphore: how many had read", Kind.COUNT, lambda p: 1,
               told("with: inside at once"), "man 3 sem_wait: blocks until it can decrement"),
        Expect("with a semaphore: the sum", Kind.COUNT, lambda p: 2, told("with: sum"),
               "one after the other"),
    ),
    next="`netlab study semaphore`: when the one inside dies.",
)  # fmt: skip
