"""What studies have in common: parameters, wires, and how exact a time can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from netlab.studies.quantity import Kind
from netlab.studies.study import Parameter, Params

US, MS, S = 1_000, 1_000_000, 1_000_000_000
# CONFIG_HZ of Debian's and most kernels: what timers are counted in.
TICK_NS = 4 * MS

RTT = Parameter("rtt", Kind.TIME, 40 * MS, 0, 1000 * MS, "round trip of the wire")
# Where a time is to tell of one round trip, and not of two: longer than the turns that are waited
# for in it.
LONG_RTT = replace(RTT, default=100 * MS)


def delay(p: Params) -> str:
    """The wire that has a round trip of `rtt`."""
    return f"delay {p.rtt // 2}ns" if p.rtt else ""


# How long who can run may have to wait for a processor. Linux looks at every tick whose turn it is
# (sched_tick()), and the turns are fair: each other that can run has one tick at most. So many
# others there are at each processor of a machine with two of them and a load of ten.
OTHERS = 5
TURN_NS = OTHERS * TICK_NS
# What passes the wire and wakes a program waits for two turns: the wire is a process, too. Lower
# bounds need no such room: no timer is early, and the kernel itself stamps a frame's departure.
BUSY_NS = 2 * TURN_NS


def felt(cause: str) -> Callable[[Params], str]:
    """A cause that is demanded of `why` where a round trip is longer than the wait for a processor
    may be: of a shorter one that wait, or the kernel's own work, may be the larger part."""
    return lambda p: cause if p.rtt >= BUSY_NS else ""


def timer_room(length_ns: int) -> int:
    """How late the kernel's timer wheel may fire, never early: 1/8 of its length, and two ticks.

    kernel/time/timer.c: each level of the wheel is 8 times coarser than the one before.
    """
    return length_ns // 8 + 2 * TICK_NS


def no_tail_loss_probes(p: Params) -> Mapping[str, Mapping[str, str]]:
    """The sysctls by which neither host sends tail loss probes."""
    return {host: {"net.ipv4.tcp_early_retrans": "0"} for host in ("client", "server")}


def first_rto_ns(p: Params) -> int:
    """The RTO after the first two trips, of the same length: srtt + max(4 rttvar, 200 ms).

    4 rttvar begins with twice the first trip, and is let down only a round later
    (tcp_rtt_estimator() of Linux).
    """
    return p.rtt + max(2 * p.rtt, 200 * MS)


# net.ipv4.tcp_rmem of a receiver whose window is to be no limit: it begins with a mebibyte.
WIDE_RMEM = "4096 1048576 6291456"


def lacks_algorithm(name: str) -> str:
    """What to say where this kernel has no such congestion control; empty where it has."""
    there = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    return "" if name in there else f"this kernel has no {name} (or has not loaded it)"
