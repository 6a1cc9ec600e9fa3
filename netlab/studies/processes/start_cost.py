"""What it costs to start a thread, and to fork a process, with little memory and with much."""

from __future__ import annotations

import mmap
import os
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.quantity import Kind, shown
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

PASSES, EACH = 5, 21
MIB = 1 << 20


def client(probe: Probe, p: Params) -> Any:
    """Starts both often, also beside memory that is in use, and so again: a machine that is faster
    for a while is so for all of them. The least of all passes."""
    found: dict[str, list[int]] = {}

    def start_both(beside: str) -> None:
        for name, start in (("thread", thread), ("process", process)):
            found.setdefault(name + beside, []).extend(cost_ns(start) for _ in range(EACH))

    for _ in range(PASSES):
        start_both("")
        memory = mmap.mmap(-1, p.memory * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1
        start_both(", much")
        memory.close()
    return {name: min(each) for name, each in found.items()}


def thread() -> None:
    """From the start to the end of a thread that does nothing."""
    one = threading.Thread(target=str)
    one.start()
    one.join()


def process() -> None:
    """The same of a process."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def cost_ns(start: Callable[[], None]) -> int:
    """The processor time that one takes, its child's included: who waits for a processor, on a
    busy machine, pays nothing for that."""
    before_ns = time.process_time_ns() + _children_ns()
    start()
    return time.process_time_ns() + _children_ns() - before_ns


def _children_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)


def table(evidence: Evidence) -> list[list[str]]:
    """All four."""
    return [
        ["processor time for one", "little memory", f"{evidence.p.memory} MiB in use"],
        *(
            [name, *(shown(Kind.TIME, told(each)(evidence)) for each in (name, f"{name}, much"))]
            for name in ("thread", "process")
        ),
    ]


def grows(name: str) -> Callable[[Evidence], str]:
    """Whether much memory makes it cost twice as much."""
    return lambda e: "yes" if told(f"{name}, much")(e) > 2 * told(name)(e) else "no"


STUDY = Study(
    name="start-cost",
    topic=Topic.PROCESSES,
    question="What does it cost to start a thread, and to fork a process?",
    setup="A process starts and ends threads, and forks children that end at once; then it does so "
    "with {memory} MiB of memory in use. Five times in turn, each 21 times: told is the least "
    "processor time that one took, with its child's.",
    prediction="A thread is cheaper: it gets a stack, and everything else is there. A fork copies "
    "the tables of the memory, not the memory: one entry for each page of 4 KiB in use. So a fork "
    "costs the more, the more memory its parent uses, and a thread does not. Servers therefore "
    "fork before they have grown, and keep their workers (prefork).",
    parameters=(Parameter("memory", Kind.COUNT, 128, 64, 1024, "MiB in use every other time"),),
    client=client,
    connection=None,
    table=table,
    expects=(
        Expect("the cheaper to start and end", Kind.WORD, lambda p: "thread",
               lambda e: "thread" if told("thread")(e) < told("process")(e) else "process",
               "man 2 fork: the time and memory to duplicate the parent's page tables"),
        Expect("a fork costs twice as much with much memory", Kind.WORD, lambda p: "yes",
               grows("process"), "copy_page_range() of Linux: for each page"),
        Expect("a thread does", Kind.WORD, lambda p: "no", grows("thread"),
               "man 2 clone, CLONE_VM: the memory is shared, nothing is copied"),
    ),
    claims=(
        Claim("A thread is cheaper to start than a process.",
              lambda e: told("thread")(e) < told("process")(e)),
    ),
    next="`netlab study switch-cost`: is it cheaper to switch, too?",
)  # fmt: skip
