"""What studies have in common: parameters, wires, and how exact a time can be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netlab.studies.quantity import Kind
from netlab.studies.study import Parameter, Params

US, MS, S = 1_000, 1_000_000, 1_000_000_000
# CONFIG_HZ of Debian's and most kernels: what timers are counted in.
TICK_NS = 4 * MS

RTT = Parameter("rtt", Kind.TIME, 40 * MS, 0, 1000 * MS, "round trip of the wire")


def delay(p: Params) -> str:
    """The wire that has a round trip of `rtt`."""
    return f"delay {p.rtt // 2}ns" if p.rtt else ""


# How much later than said a frame or a process may be on a machine that is shared with others: some
# turns of theirs at two cores.
BUSY_NS = 40 * MS


def wire_room(p: Params) -> int:
    """The same for a study with any parameters."""
    return BUSY_NS


def timer_room(length_ns: int) -> int:
    """How late the kernel's timer wheel may fire, never early: 1/8 of its length, and two ticks.

    kernel/time/timer.c: each level of the wheel is 8 times coarser than the one before.
    """
    return length_ns // 8 + 2 * TICK_NS


def no_tail_loss_probes(p: Params) -> Mapping[str, Mapping[str, str]]:
    """The sysctls by which neither host sends tail loss probes."""
    return {host: {"net.ipv4.tcp_early_retrans": "0"} for host in ("client", "server")}


# net.ipv4.tcp_rmem of a receiver whose window is to be no limit: it begins with a mebibyte.
WIDE_RMEM = "4096 1048576 6291456"


def lacks_algorithm(name: str) -> str:
    """What to say where this kernel has no such congestion control; empty where it has."""
    there = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    return "" if name in there else f"this kernel has no {name} (or has not loaded it)"
