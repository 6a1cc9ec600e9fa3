"""What a switch costs: between two threads, and between two processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from netlab.model.probe import Probe
from netlab.server.plain import PlainProbe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind, shown
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

TRIPS = 25  # of a round
BUDGET_S = 0.2
SAME = 2  # times as much still counts as the same


def client(probe: Probe, p: Params) -> Any:
    """A byte there and back through two pipes, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        found = {name: [] for name in ("alone", "threads", "processes")}  # type: dict[str, list[int]]
        for _ in range(p.passes):
            found["alone"].append(alone_ns())
            found["threads"].append(with_thread_ns())
            found["processes"].append(with_process_ns())
    finally:
        os.sched_setaffinity(0, before)
    return {name: min(each) for name, each in found.items()}


def alone_ns() -> int:
    """The same calls, and nobody who must be woken."""
    reader, writer = os.pipe()

    def trip() -> None:
        for _ in range(2):
            os.write(writer, b"n")
            os.read(reader, 1)

    took_ns = best_ns(trip)
    os.close(reader)
    os.close(writer)
    return took_ns


def with_thread_ns() -> int:
    """A thread at the other end."""
    there, back = os.pipe(), os.pipe()
    thread = threading.Thread(target=echo, args=(there[0], back[1]))
    thread.start()
    took_ns = best_ns(lambda: ask(there[1], back[0]))
    os.close(there[1])
    thread.join()
    for descriptor in (there[0], *back):
        os.close(descriptor)
    return took_ns


def with_process_ns() -> int:
    """A process at the other end."""
    there, back = os.pipe(), os.pipe()

    def child() -> None:
        os.close(there[1])
        echo(there[0], back[1])

    pid = forked(PlainProbe(), "child", child)
    took_ns = best_ns(lambda: ask(there[1], back[0]))
    os.close(there[1])
    ended(pid)
    for descriptor in (there[0], *back):
        os.close(descriptor)
    return took_ns


def echo(reader: int, writer: int) -> None:
    """Send back what comes, until the end."""
    while os.read(reader, 1):
        os.write(writer, b"n")


def ask(writer: int, reader: int) -> None:
    """A byte there and back."""
    os.write(writer, b"n")
    os.read(reader, 1)


def best_ns(trip: Callable[[], None]) -> int:
    """The mean of the best round."""
    begun_s, best = time.monotonic(), 0
    while time.monotonic() - begun_s < BUDGET_S:
        begun_ns = time.monotonic_ns()
        for _ in range(TRIPS):
            trip()
        took_ns = (time.monotonic_ns() - begun_ns) // TRIPS
        best = min(best or took_ns, took_ns)
    return best


def table(evidence: Evidence) -> list[list[str]]:
    """All three, and what is left for a switch."""
    calls_ns = told("alone")(evidence)
    return [
        ["", "there and back", "for each of the two switches"],
        ["the calls alone", shown(Kind.TIME, calls_ns), ""],
        *(
            [f"two {name}", shown(Kind.TIME, took_ns), shown(Kind.TIME, (took_ns - calls_ns) // 2)]
            for name in ("threads", "processes")
            for took_ns in (told(name)(evidence),)
        ),
    ]


def compared(evidence: Evidence) -> str:
    """Which of the two is cheaper, if by enough to say so."""
    threads, processes = told("threads")(evidence), told("processes")(evidence)
    if threads * SAME < processes:
        return "threads"
    return "processes" if processes * SAME < threads else "about the same"


STUDY = Study(
    name="switch-cost",
    topic=Topic.PROCESSES,
    question="Is it cheaper to switch between two threads than between two processes?",
    setup="A byte goes there and back through two pipes, on one core, so that each read() must "
    "wait until the processor has been given to the other: between two threads, then between two "
    "processes; and the same calls by one thread alone, which has nobody to wake. Told is the best "
    "of many rounds, and these calls are not recorded.",
    prediction="Hardly. The kernel does the same for both: put one to sleep, find the next in the "
    "queue, exchange registers and stack. Only if the next one has another memory, it loads the "
    "address of other page tables, one instruction more. What follows is not in this number: other "
    "memory means other contents of the caches. Either way it is more than the calls: what costs "
    "is to be woken, not what one is woken as.",
    parameters=(Parameter("passes", Kind.COUNT, 3, 1, 20, "over all three"),),
    client=client,
    connection=None,
    table=table,
    expects=(
        Expect("which is cheaper by more than a factor of 2", Kind.WORD,
               lambda p: "about the same", compared,
               "context_switch() of Linux: switch_mm_irqs_off() is all that threads leave out"),
        Expect("there and back takes longer than its calls", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if min(told("threads")(e), told("processes")(e)) >
               told("alone")(e) else "no",
               "man 7 pipe: a read from an empty pipe blocks"),
    ),
    claims=(
        Claim("Threads are cheaper to switch than processes.",
              lambda e: compared(e) == "threads",
              "by the load of one register and colder caches: less than a factor of 2 where "
              "little memory is used"),
    ),
    next="`netlab study start-cost`: there threads are cheaper indeed.",
)  # fmt: skip
