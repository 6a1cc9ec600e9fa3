"""What carries a message fastest between two processes, and what that depends on."""

from __future__ import annotations

import os
from typing import Any

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.channels import make_pair
from netlab.server.plain import PlainProbe
from netlab.studies.evidence import Evidence, told
from netlab.studies.ipc.tcp_loopback import packets
from netlab.studies.parts import MS
from netlab.studies.quantity import Kind, shown
from netlab.studies.race import (
    BLOCKING,
    KINDS,
    PIPE,
    SHARED,
    SPINNING,
    TCP,
    UNIX,
    flow_bytes_per_s,
    round_trip_ns,
)
from netlab.studies.study import Claim, Curves, Expect, Params, Study, Topic

SMALL, LARGE = 64, 32_768
SIZES = (SMALL, 1024, 8192, LARGE)
ONE, TWO = 1, 2  # cores
SETTINGS = ((BLOCKING, ONE), (BLOCKING, TWO), (SPINNING, ONE), (SPINNING, TWO))
FEW_TRIPS = 3  # where each takes milliseconds
TICK_NS = 4 * MS


def lacks() -> str:
    """Two processors, and one of a kind on which shared memory works from Python."""
    if len(os.sched_getaffinity(0)) < TWO:
        return "two processors; there is one"
    try:
        ends = make_pair("ring", PlainProbe())
    except UsageError as error:
        return str(error)
    for end in ends:
        end.close()
    return ""


def client(probe: Probe, p: Params) -> Any:
    """Times each kind, small messages there and back, then many one way."""
    found: dict[str, Any] = {"packets": dict.fromkeys(KINDS, 0), "trip": {}, "flow": {}}
    for number in (1, 2):  # two passes: the machine is not busy all the time
        for kind in KINDS:
            before = packets()
            for how, cores in SETTINGS:
                if (how, cores) == (SPINNING, ONE) and number == 2:
                    continue
                trips = {} if (how, cores) != (SPINNING, ONE) else {"trips": FEW_TRIPS}
                took_ns = round_trip_ns(kind, how, cores, SMALL, **trips)
                name = f"{kind} {how} {cores}"
                found["trip"][name] = min(took_ns, found["trip"].get(name, took_ns))
            found["packets"][kind] += packets() - before
    for kind in KINDS:
        before = packets()
        for size, cores in (*((size, TWO) for size in SIZES), (LARGE, ONE)):
            found["flow"][f"{kind} {size} {cores}"] = flow_bytes_per_s(kind, cores, size)
        found["packets"][kind] += packets() - before
    return found


def trip_ns(evidence: Evidence, kind: str, how: str, cores: int) -> int:
    """A small message there and back."""
    found: int = told("trip")(evidence)[f"{kind} {how} {cores}"]
    return found


def flow(evidence: Evidence, kind: str, size: int, cores: int) -> int:
    """Bytes a second, one way."""
    found: int = told("flow")(evidence)[f"{kind} {size} {cores}"]
    return found


def table(evidence: Evidence) -> list[list[str]]:
    """All that was measured, but for the curves."""
    rows = [["", "1 core", "2 cores", "1, spins", "2, spins", "flow, 1 core", "flow, 2 cores"]]
    for kind in KINDS:
        trips = [trip_ns(evidence, kind, how, cores) for how, cores in SETTINGS]
        flows = [flow(evidence, kind, LARGE, cores) for cores in (ONE, TWO)]
        rows.append([
            kind, *(shown(Kind.TIME, took) for took in trips),
            *(f"{each / (1 << 20):,.0f} MiB/s" for each in flows),
        ])  # fmt: skip
    return rows


def curves(evidence: Evidence) -> Curves:
    """How many bytes a second, over the size of a message."""
    series = tuple(
        (kind, tuple((size, flow(evidence, kind, size, TWO)) for size in SIZES)) for kind in KINDS
    )
    return Curves("bytes a second on two cores, over the size of a message", series,
                  Kind.SIZE, Kind.SIZE, log=True)  # fmt: skip


def seen(evidence: Evidence) -> str:
    """The packets."""
    return (
        "First 64 bytes, there and back, then 32,768 bytes a message, one way. While TCP was "
        f"measured, {told('packets')(evidence)[TCP]:,} packets went over the loopback interface, "
        f"while all others were, {others_packets(evidence):,}."
    )


def others_packets(evidence: Evidence) -> int:
    """Packets of those that are no network."""
    return sum(count for kind, count in told("packets")(evidence).items() if kind != TCP)


def twice(evidence: Evidence) -> bool:
    """Whether a Unix socket carries about twice what TCP does, in all that was measured."""
    places = [(size, TWO) for size in SIZES] + [(LARGE, ONE)]
    ratios = [flow(evidence, UNIX, *place) / flow(evidence, TCP, *place) for place in places]
    return all(1.5 <= ratio <= 2.5 for ratio in ratios)


def fastest(evidence: Evidence, how: str, cores: int) -> str:
    """Who brings a small message there and back first."""
    return min(KINDS, key=lambda kind: trip_ns(evidence, kind, how, cores))


def faster(evidence: Evidence, one: str, other: str) -> str:
    """The faster of two, both waiting, on one core."""
    return min((one, other), key=lambda kind: trip_ns(evidence, kind, BLOCKING, ONE))


def spinning_is_worth_it(evidence: Evidence) -> str:
    """Whether shared memory without a call, on two cores, beats all that wait."""
    ours = trip_ns(evidence, SHARED, SPINNING, TWO)
    return "yes" if ours < min(trip_ns(evidence, kind, BLOCKING, TWO) for kind in KINDS) else "no"


STUDY = Study(
    name="ipc",
    topic=Topic.IPC,
    question="Which kind of IPC is the fastest: is it shared memory, and is TCP half as fast?",
    setup="Two processes send each other messages through a pipe, a Unix stream socket, TCP on "
    "loopback and a ring in shared memory, all with the channels of netlab's server core: on one "
    "core and on two; waiting in poll() (the ring has an eventfd as its bell) and spinning, which "
    "is to ask again and again. Told is the best of many short rounds. These calls are not "
    "recorded: a note of a call takes as long as the call.",
    prediction="It depends on who must be woken. A small message costs calls and a wake-up, not "
    "copying: who waits in the kernel pays for both, whatever carries the bytes. So shared memory "
    "with a bell is no faster than a pipe, and slower from Python, where the ring is our own work. "
    "Without a bell, spinning on two cores, it needs no call at all, and nothing that waits comes "
    "near. On one core spinning is the worst of all: who spins keeps the processor until its "
    "time is over, and only then the other can answer. TCP does all that a Unix socket does, and "
    "segments and ACKs beside: it is slower with small messages; but that is a cost for each "
    "message and packet, while copying is one for each byte, so `twice` is not one number.",
    client=client,
    connection=None,
    lacks=lacks,
    seen=seen,
    table=table,
    curves=curves,
    expects=(
        Expect("64 bytes, waiting, one core: the faster of Unix socket and TCP", Kind.WORD,
               lambda p: UNIX, lambda e: faster(e, UNIX, TCP),
               "unix_stream_sendmsg() puts into the peer's queue; tcp_sendmsg() goes through IP "
               "and loopback to get there"),
        Expect("the same: the faster of pipe and shared memory with a bell", Kind.WORD,
               lambda p: PIPE, lambda e: faster(e, PIPE, SHARED),
               "man 2 eventfd: a write and a read, as many calls as the pipe's own"),
        Expect("shared memory, spinning on two cores, beats all that wait", Kind.WORD,
               lambda p: "yes", spinning_is_worth_it, "man 7 shm_overview: no call, no copy"),
        Expect("shared memory, spinning on one core: there and back", Kind.TIME,
               lambda p: 2 * TICK_NS, lambda e: trip_ns(e, SHARED, SPINNING, ONE),
               "man 7 sched: who does not wait is preempted at a tick",
               less=2 * TICK_NS - 2 * MS, more=500 * MS,
               because="a tick is 1 to 10 ms (CONFIG_HZ), and on a busy machine others have "
               "their turns between"),
        Expect("a Unix socket carries twice what TCP does, always", Kind.WORD, lambda p: "no",
               lambda e: "yes" if twice(e) else "no",
               "costs for each message and costs for each byte have no fixed ratio"),
        Expect("packets of pipe, Unix socket and shared memory", Kind.COUNT, lambda p: 0,
               others_packets, "man 7 unix, man 7 pipe"),
    ),
    claims=(
        Claim("A Unix socket moves data about twice as fast as TCP on loopback.", twice,
              "only by chance, for some sizes: less with large messages, where copying counts; "
              "with small ones on two cores the wake-ups decide"),
        Claim("Shared memory is the fastest IPC.",
              lambda e: fastest(e, BLOCKING, ONE) == fastest(e, BLOCKING, TWO) == SHARED,
              "where both processes have a core and spin; not where one must be woken"),
    ),
    next="`netlab study tcp-loopback`: the packets. Then `netlab study switch-cost`.",
)  # fmt: skip
