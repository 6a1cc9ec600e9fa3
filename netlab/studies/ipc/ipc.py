"""What carries a message fastest between two processes, and what that depends on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.channels import make_pair
from netlab.server.plain import PlainProbe
from netlab.studies.evidence import Evidence, told
from netlab.studies.ipc import peer_death
from netlab.studies.ipc.tcp_loopback import packets
from netlab.studies.lines import (
    BLOCKING,
    EVENTFD,
    KINDS,
    PIPE,
    SEMAPHORE,
    SHARED,
    SIGNAL,
    SPINNING,
    SPINNING_KINDS,
    STREAM,
    TCP,
    WAITING_KINDS,
)
from netlab.studies.parts import MS
from netlab.studies.quantity import Kind, shown
from netlab.studies.race import Way, flow_bytes_per_s, preempted_trips, round_trip_ns
from netlab.studies.study import Claim, Curves, Expect, Parameter, Params, Study, Topic

SMALL, LARGE = 64, 65_536
BELLS = (SEMAPHORE, EVENTFD, SIGNAL)
ONE, TWO = 1, 2  # processors
FEW_TRIPS = 3  # where each takes milliseconds
WAITING = ((BLOCKING, ONE), (BLOCKING, TWO))
SETTINGS = (*WAITING, (SPINNING, TWO))
PASSES = 3  # of the whole race: who else has a processor for a while spoils one of them
DRAWN = (PIPE, STREAM, TCP, SEMAPHORE)


def lacks() -> str:
    """Two processors, of a kind on which shared memory works from Python, and message queues."""
    if len(os.sched_getaffinity(0)) < TWO:
        return "two processors; there is one"
    try:
        ends = make_pair("ring", PlainProbe())
    except UsageError as error:
        return str(error)
    for end in ends:
        end.close()
    return peer_death.lacks()


def sizes(p: Params) -> list[int]:
    """Of messages: from 64 bytes to 64 KiB, in steps that are alike."""
    return [SMALL << (10 * step // (p.sizes - 1)) for step in range(p.sizes)]


def raced_sizes(p: Params, how: str, cores: int) -> list[int]:
    """Those that are raced so: all of them where they are drawn, else the ends.

    (Who spins on two processors has to have both at the same time, and waits for that where others
    run: each size takes as long as all of them waiting on one.)
    """
    return sizes(p) if (how, cores) == (BLOCKING, ONE) else [SMALL, LARGE]


def kinds(how: str) -> tuple[str, ...]:
    """Those that are raced so."""
    return WAITING_KINDS if how == BLOCKING else SPINNING_KINDS


def name(kind: str, how: str, cores: int, size: int) -> str:
    """Of a figure."""
    return f"{kind} {how} {cores} {size}"


def client(probe: Probe, p: Params) -> Any:
    """Times each kind in each way: messages there and back, then many one way. The best of all
    passes is told."""
    trips, flows = dict[str, int](), dict[str, int]()
    counted = dict.fromkeys((*WAITING_KINDS, SHARED), 0)
    for _ in range(PASSES):
        for how, cores in SETTINGS:
            for kind in kinds(how):
                before = packets()
                for size in raced_sizes(p, how, cores):
                    way, of = Way(kind, how, cores, size), name(kind, how, cores, size)
                    trip_ns = round_trip_ns(way, p.budget)
                    trips[of] = min(trips.get(of, trip_ns), trip_ns)
                    flows[of] = max(flows.get(of, 0), flow_bytes_per_s(way, p.budget))
                counted[kind] += packets() - before
    spun = {
        kind: preempted_trips(Way(kind, SPINNING, ONE, SMALL), FEW_TRIPS) for kind in SPINNING_KINDS
    }
    return {"trip": trips, "flow": flows, "spun": spun, "packets": counted}


def trip_ns(evidence: Evidence, kind: str, how: str, cores: int, size: int) -> int:
    """A message there and back."""
    found: int = told("trip")(evidence)[name(kind, how, cores, size)]
    return found


def flow(evidence: Evidence, kind: str, how: str, cores: int, size: int) -> int:
    """Bytes a second, one way."""
    found: int = told("flow")(evidence)[name(kind, how, cores, size)]
    return found


def table(evidence: Evidence) -> list[list[str]]:
    """The smallest and the largest message, there and back, and one way."""
    heads = ["64 B, 1 core", "2 cores", "2, spin", "64 KiB, 1 core", "2 cores", "2, spin"]
    rows = [["there and back", *heads]]
    rows += _rows(evidence, lambda *way: shown(Kind.TIME, trip_ns(evidence, *way)))
    rows += [[], ["MiB/s, one way", *heads]]
    rows += _rows(evidence, lambda *way: f"{flow(evidence, *way) / (1 << 20):,.0f}")
    return rows


def _rows(evidence: Evidence, cell: Callable[[str, str, int, int], str]) -> list[list[str]]:
    return [
        [
            kind.replace(SHARED, "shared"),
            *(
                cell(kind, how, cores, size) if kind in kinds(how) else ""
                for size in (SMALL, LARGE)
                for how, cores in SETTINGS
            ),
        ]
        for kind in (*WAITING_KINDS, SHARED)
    ]


def curves(evidence: Evidence) -> list[Curves]:
    """Over the size of a message: how long it takes there and back, and how much goes one way."""
    places = [(BLOCKING, ONE, size) for size in sizes(evidence.p)]

    def drawn(of: Callable[..., int]) -> tuple[Any, ...]:
        return tuple(
            (kind, tuple((place[2], of(evidence, kind, *place)) for place in places))
            for kind in DRAWN
        )

    how = "over the size of a message, waiting, on one core"
    return [
        Curves(f"time there and back, {how}", drawn(trip_ns), Kind.SIZE, Kind.TIME, log=True),
        Curves(f"bytes a second one way, {how}", drawn(flow), Kind.SIZE, Kind.SIZE, log=True),
    ]


def seen(evidence: Evidence) -> str:
    """The packets, and where shared memory was first."""
    first = [
        shown(Kind.SIZE, size)
        for size in sizes(evidence.p)
        if is_first(evidence, BLOCKING, ONE, size)
    ]
    return (
        f"While TCP was measured, {told('packets')(evidence)[TCP]:,} packets went over the "
        f"loopback interface, while all others were, {others_packets(evidence):,}. Waiting on one "
        "core, shared memory was first there and back with messages of "
        f"{', '.join(first) or 'no size'}. A message there and back took TCP "
        f"{_span(tcp_trip_over_unix(evidence))} of the time of a Unix stream socket. One way that "
        f"socket carried, in % of what TCP did: {_by_setting(evidence)}. Spinning on one core, a "
        f"message of {SMALL} bytes there and back took {_spun(evidence)}. What two cores do hangs "
        "on whether another program has one of them for a while."
    )


def _by_setting(evidence: Evidence) -> str:
    words = (
        f"{_names(setting)} {', '.join(map(str, unix_over_tcp(evidence, *setting)))}"
        for setting in SETTINGS
    )
    return f"{'; '.join(words)} (from {SMALL} bytes to 64 KiB; on two cores only these two)"


def _names(setting: tuple[str, int]) -> str:
    how, cores = setting
    return (
        f"{'waiting' if how == BLOCKING else 'spinning'} on {'one core' if cores == 1 else 'two'}"
    )


def _spun(evidence: Evidence) -> str:
    times_ns = [took_ns for took_ns, _ in told("spun")(evidence).values()]
    return f"{shown(Kind.TIME, min(times_ns))} to {shown(Kind.TIME, max(times_ns))}"


def _span(percents: list[int]) -> str:
    return f"{min(percents)} to {max(percents)} %"


def others_packets(evidence: Evidence) -> int:
    """Packets of those that are no network."""
    return sum(count for kind, count in told("packets")(evidence).items() if kind != TCP)


def unix_over_tcp(evidence: Evidence, how: str, cores: int) -> list[int]:
    """What a Unix stream socket carries one way of what TCP does, in %: for each size."""
    places = [(how, cores, size) for size in raced_sizes(evidence.p, how, cores)]
    return [100 * flow(evidence, STREAM, *place) // flow(evidence, TCP, *place) for place in places]


def tcp_trip_over_unix(evidence: Evidence) -> list[int]:
    """The time of a message there and back by TCP over that of a Unix stream socket, in %."""
    places = [(BLOCKING, ONE, size) for size in sizes(evidence.p)]
    return [
        100 * trip_ns(evidence, TCP, *place) // trip_ns(evidence, STREAM, *place)
        for place in places
    ]


def twice(evidence: Evidence) -> bool:
    """Whether a Unix socket carries about twice what TCP does: at each size, waiting and spinning,
    on one core and on two."""
    ratios = [ratio for setting in SETTINGS for ratio in unix_over_tcp(evidence, *setting)]
    return all(150 <= ratio <= 250 for ratio in ratios)


def pipe_over_shared(evidence: Evidence) -> int:
    """The time of a small message there and back by a pipe over that of the fastest shared memory,
    both waiting, on one core, in %."""
    best = min(trip_ns(evidence, kind, BLOCKING, ONE, SMALL) for kind in BELLS)
    return 100 * trip_ns(evidence, PIPE, BLOCKING, ONE, SMALL) // best


def lead(evidence: Evidence, how: str, cores: int, size: int) -> int:
    """The fastest of the kernel's kinds over the fastest of shared memory, there and back, in %:
    both wait, or both spin, and on as many cores."""
    shared = [kind for kind in kinds(how) if kind.startswith(SHARED)]
    best = min(trip_ns(evidence, kind, how, cores, size) for kind in KINDS)
    return 100 * best // min(trip_ns(evidence, kind, how, cores, size) for kind in shared)


def is_first(evidence: Evidence, how: str, cores: int, size: int) -> bool:
    """Whether shared memory brings such a message there and back before all others."""
    return lead(evidence, how, cores, size) > 100


def carries_most(evidence: Evidence, size: int) -> str:
    """Who moves most bytes one way, waiting, on one core."""
    kind = max(WAITING_KINDS, key=lambda kind: flow(evidence, kind, BLOCKING, ONE, size))
    return SHARED if kind.startswith(SHARED) else kind


def always_first(evidence: Evidence) -> bool:
    """Whether shared memory is, waiting on one core, at every size and in both disciplines."""
    return all(
        is_first(evidence, BLOCKING, ONE, size) and carries_most(evidence, size) == SHARED
        for size in sizes(evidence.p)
    )


def slowest(evidence: Evidence, chosen: tuple[str, ...]) -> str:
    """Of these, who takes longest with a small message there and back, waiting on one core."""
    return max(chosen, key=lambda kind: trip_ns(evidence, kind, BLOCKING, ONE, SMALL))


def _yes(found: bool) -> str:
    return "yes" if found else "no"


STUDY = Study(
    name="ipc",
    topic=Topic.IPC,
    question="Which kind of IPC is the fastest: is it shared memory, and is TCP half as fast?",
    setup="Two processes send each other messages of 64 bytes to 64 KiB, there and back, and then "
    "many one way: through a pipe, POSIX and System V message queues, Unix stream, datagram and "
    "seqpacket sockets, TCP on loopback, and shared memory, whose other end is woken by a "
    "semaphore, an eventfd or a signal. On one core and on two; waiting in the call, and spinning, "
    "which is to ask again and again (nobody needs to be woken then); on two only the smallest and "
    "the largest. Told is the best of several rounds in each of three passes: who else has a "
    "processor meanwhile spoils some. (Spinning on one core only three messages go there and "
    "back: they tell how long a slice is, and many one way would tell how much a buffer takes.) "
    "These calls are not recorded: a note of a call takes as long as the call.",
    prediction="It depends on size and on waiting, so like must be compared with like. A small "
    "message costs calls and a wake-up, not copying: who waits pays for both, whatever carries the "
    "bytes, so shared memory, which must wake the other too, is no better than a pipe by much. A "
    "large one costs memory: pipes, sockets and queues find some in the kernel for each message, "
    "copy into it and out again. The slots of shared memory are there already; messages are copied "
    "in and out here as well, but by the processes themselves (who works in the slot need not copy "
    "at all). So with 64 KiB it is first, and its lead grows with size. Where both have a core and "
    "spin, nobody is woken, and memory is first with small messages, too: it needs no call. On one "
    "core spinning is the worst of all: the other can answer only once the kernel takes the "
    "processor away, at the end of a slice. TCP does what a Unix socket does, and segments "
    "and ACKs beside: more work for each message there and back. Of many small ones one way, "
    "on one core, it gathers what the reader has had no turn to take, and so carries about as "
    "much; where each has a core there is less to gather, and large ones cost copying in both: "
    "`twice` is not a number of theirs.",
    parameters=(
        Parameter("budget", Kind.TIME, 8 * MS, 5 * MS, 50 * MS,
                  "for one figure, at least, in each of three passes"),
        Parameter("sizes", Kind.COUNT, 3, 2, 11, "of messages, from 64 bytes to 64 KiB"),
    ),
    full={"budget": 50 * MS, "sizes": 6},
    client=client,
    connection=None,
    lacks=lacks,
    seen=seen,
    table=table,
    curves=curves,
    expects=(
        Expect("64 bytes there and back, waiting, one core: the slower of Unix stream and TCP",
               Kind.WORD, lambda p: TCP, lambda e: slowest(e, (STREAM, TCP)),
               "unix_stream_sendmsg() puts into the peer's queue; tcp_sendmsg() goes through IP "
               "and loopback to get there"),
        Expect("the same: the slowest that wakes the other of a shared memory", Kind.WORD,
               lambda p: SIGNAL, lambda e: slowest(e, BELLS),
               "man 7 futex; man 2 eventfd; man 7 signal: a semaphore is a call only for who "
               "sleeps and for who wakes him; a signal is queued, looked for and taken from the "
               "queue"),
        Expect("64 bytes there and back, waiting, one core: a pipe's time over the best of shared "
               "memory, in %", Kind.COUNT, lambda p: 100, pipe_over_shared,
               "man 7 futex, man 7 pipe: two wake-ups in each",
               less=60, more=60, because="the wake-ups are alike, the calls beside them are not"),
        Expect("64 KiB there and back, waiting, one core: shared memory is first", Kind.WORD,
               lambda p: "yes", lambda e: _yes(is_first(e, BLOCKING, ONE, LARGE)),
               "sock_alloc_send_pskb() and pipe_write() of Linux find memory for each message; "
               "slots are there already"),
        Expect("the same, 64 KiB one way: who carries most", Kind.WORD,
               lambda p: SHARED, lambda e: carries_most(e, LARGE), "the same"),
        Expect("its lead is larger with 64 KiB than with 64 bytes", Kind.WORD, lambda p: "yes",
               lambda e: _yes(lead(e, BLOCKING, ONE, LARGE) > lead(e, BLOCKING, ONE, SMALL)),
               "a cost for each message, and one for each byte"),
        Expect("64 bytes there and back, all spin, two cores: shared memory is first", Kind.WORD,
               lambda p: "yes", lambda e: _yes(is_first(e, SPINNING, TWO, SMALL)),
               "man 7 shm_overview: no call"),
        Expect("spinning on one core: kinds whose asker was taken off in each round trip",
               Kind.COUNT, lambda p: len(SPINNING_KINDS),
               lambda e: sum(off >= FEW_TRIPS for _, off in told("spun")(e).values()),
               "man 7 sched: who does not wait runs until it is preempted"),
        Expect("a Unix socket carries 150 to 250 % of what TCP does, everywhere", Kind.WORD,
               lambda p: "no", lambda e: _yes(twice(e)),
               "costs for each message and costs for each byte have no fixed ratio"),
        Expect("64 bytes one way, waiting, one core: Unix stream over TCP, in %", Kind.COUNT,
               lambda p: 100, lambda e: unix_over_tcp(e, BLOCKING, ONE)[0],
               "tcp_try_coalesce() of Linux: segments that nobody has read become one",
               less=49, more=49,
               because="one saves a packet, the other its gathering: neither is nothing"),
        Expect("packets of all that are not TCP", Kind.COUNT, lambda p: 0,
               others_packets, "man 7 unix, man 7 pipe"),
    ),
    claims=(
        Claim("A Unix socket moves data about twice as fast as TCP on loopback.", twice,
              "for some of these settings only: there and back TCP takes somewhat longer; "
              "one way on one core it gathers small ones and carries about as much; where each end "
              "has a core it may be half, or a third; large ones are copied by both"),
        Claim("Shared memory is the fastest IPC.", always_first,
              "with large messages, for which others find memory in the kernel; with small "
              "ones where both processes have a core and spin, not where one must be woken"),
    ),
    next="`netlab study ipc-kinds`: what else sets them apart: direction, kinship, borders, "
    "limits. `netlab study tcp-loopback`: the packets.",
)  # fmt: skip
