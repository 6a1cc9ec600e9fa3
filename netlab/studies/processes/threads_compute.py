"""Two threads of Python compute: are they faster than one?"""

from __future__ import annotations

import json
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.family import ended, forked
from netlab.studies.parts import MS
from netlab.studies.quantity import Kind
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

TWO = 2
SWITCH_NS = 5 * MS
NAMES = ("threads", "processes")

# In percent; a thread that asks for the lock, every 5 ms, runs for a moment beside the other.
ONE_CORE = 106


def lacks() -> str:
    """An interpreter that has a lock, and a kernel that counts."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "a Python with a global lock; this one has none"
    return "" if Path("/proc/self/schedstat").exists() else "a kernel with CONFIG_SCHED_INFO"


def client(probe: Probe, p: Params) -> Any:
    """Two threads compute for a while, then two processes do."""
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(computed(p))) for _ in range(TWO)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader, writer = probe.pipe()

    def child() -> None:
        writer.write(json.dumps(computed(p)).encode() + b"\n")

    for pid in [forked(probe, f"child-{number}", child) for number in range(TWO)]:
        ended(pid)
    lines = reader.read(4096).splitlines()
    return {"threads": found, "processes": [json.loads(line) for line in lines]}


def computed(p: Params) -> list[int]:
    """Compute for so long: in how much of it, in percent, this thread ran, and in how much it
    stood in the queue of those who could; and how often it fell asleep.

    man 5 proc: /proc/PID/schedstat, in ns; /proc/PID/status, voluntary_ctxt_switches.
    """
    begun_ns, before = time.monotonic_ns(), _figures()
    number = 0
    while time.monotonic_ns() - begun_ns < p.long:
        for _ in range(1000):
            number = number * 3 % 1_000_003
    after, took_ns = _figures(), time.monotonic_ns() - begun_ns
    ran_ns, queued_ns, slept = (b - a for a, b in zip(before, after, strict=True))
    return [100 * ran_ns // took_ns, 100 * queued_ns // took_ns, slept]


def _figures() -> list[int]:
    place = Path(f"/proc/self/task/{threading.get_native_id()}")
    ran_ns, queued_ns, _ = (place / "schedstat").read_text(encoding="ascii").split()
    status = (place / "status").read_text(encoding="ascii", errors="replace")
    slept = status.partition("\nvoluntary_ctxt_switches:")[2].split()[0]
    return [int(ran_ns), int(queued_ns), int(slept)]


def ran(evidence: Evidence, name: str) -> int:
    """In what percent of the time they ran, both together."""
    return sum(int(one[0]) for one in evidence.returned["client"][name])


def wanted(evidence: Evidence, name: str) -> int:
    """In what percent of the time they ran or could have run, both together."""
    return min(sum(int(one[0] + one[1]) for one in evidence.returned["client"][name]), 100 * TWO)


def slept(evidence: Evidence, name: str) -> int:
    """How often they fell asleep, both together."""
    return sum(int(one[2]) for one in evidence.returned["client"][name])


def table(evidence: Evidence) -> list[list[str]]:
    """Each of them."""
    rows = [["", "ran", "waited for a processor", "fell asleep"]]
    for name in NAMES:
        for number, one in enumerate(evidence.returned["client"][name], 1):
            rows.append([f"{name} #{number}", f"{one[0]} %", f"{one[1]} %", f"{one[2]} times"])
    return rows


STUDY = Study(
    name="threads-compute",
    topic=Topic.PROCESSES,
    question="Two threads of one Python process compute. Do they share the work of two cores?",
    setup="Two threads compute for {long}, then two processes do. The kernel tells of each in how "
    "much of the time it ran, and how often it fell asleep.",
    prediction="No. CPython has one lock, the GIL, that a thread must hold to run Python code: "
    "one computes and the other sleeps, waking every 5 ms to ask for the lock. Together they use "
    "one core at most, 100 %, however many there are. Processes have a lock each, and never sleep: "
    "both run as much as the machine lets them, up to 200 %. (Threads that wait in recv() or "
    "sleep() have let go of the lock: for servers that wait more than they compute they are good "
    "enough.)",
    parameters=(Parameter("long", Kind.TIME, 500 * MS, 200 * MS, 5000 * MS, "computed"),),
    client=client,
    connection=None,
    lacks=lacks,
    table=table,
    expects=(
        Expect("two threads use one core together, at most", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if ran(e, "threads") <= ONE_CORE else "no",
               "Python/ceval_gil.c: one thread holds the lock"),
        Expect("two threads: times that they fell asleep", Kind.COUNT,
               lambda p: p.long // SWITCH_NS, lambda e: slept(e, "threads"),
               "sys.getswitchinterval: 5 ms",
               less=lambda p: p.long // SWITCH_NS * 9 // 10, more=lambda p: p.long // SWITCH_NS * 9,
               otherwise=lambda p: 6,
               because="the one that waits asks every 5 ms, the other is told when it has lost the "
               "lock; and on a busy machine both come late"),
        Expect("two processes: percent in which they ran or could have", Kind.COUNT,
               lambda p: 200, lambda e: wanted(e, "processes"),
               "man 7 sched: who never waits is always runnable",
               less=20, because="the clock is read before and after the kernel's figures"),
        Expect("two processes: times that they fell asleep", Kind.COUNT, lambda p: 0,
               lambda e: slept(e, "processes"), "there is no lock between them",
               more=6, otherwise=lambda p: p.long // SWITCH_NS // 10,
               because="a page of memory may have to be waited for"),
    ),
    claims=(
        Claim("Threads of one Python process compute in parallel.",
              lambda e: ran(e, "threads") > 150,
              "while they are in C code that has let go of the lock, and in a build without it"),
    ),
    next="`netlab study slow-request`: threads that wait.",
)  # fmt: skip
