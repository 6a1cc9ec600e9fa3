"""What the kernel of the host on which a program runs says of its TCP connections (sock_diag).

For what no call of the program shows any more: a connection lives on after close().
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from netlab.capture.sockdiag import DiagRow, dump, open_netlink
from netlab.model.sample import state_name

LOOK_S = 0.002  # between two looks
WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Known:
    """A connection as the kernel knows it now."""

    state: str
    expires_ns: int  # until its timer fires; 0: none runs


def known(port: int) -> list[Known]:
    """The connections of this host that have the port at either end; no listener."""
    with open_netlink() as netlink:
        rows = dump(netlink, socket.AF_INET, socket.IPPROTO_TCP)
    found = [_known(row) for row in rows if port in (row.local[1], row.peer[1])]
    return [one for one in found if one.state != "LISTEN"]


def states(port: int) -> list[str]:
    """The names of their states."""
    return [one.state for one in known(port)]


def wait_until(port: int, done: Callable[[list[str]], bool], within_s: float = WITHIN_S) -> bool:
    """Look until their states are as wanted; False where that does not come about."""
    until_s = time.monotonic() + within_s
    while not done(states(port)):
        if time.monotonic() > until_s:
            return False
        time.sleep(LOOK_S)
    return True


def passed(port: int, last: str = "", within_s: float = WITHIN_S) -> list[tuple[str, int]]:
    """The states that the only connection of this port goes through, and for how many ns each, from
    the first look that saw it until one did no longer; until it is in the `last`, or gone.

    One that is shorter than the time between two looks may be missed.
    """
    until_s = time.monotonic() + within_s
    found: list[tuple[str, int]] = []  # each state, and when it was first seen
    while time.monotonic() < until_s:
        now = states(port)
        state = now[0] if now else ""
        if not found or found[-1][0] != state:
            found.append((state, time.monotonic_ns()))
        if state in ("", last):
            break
        time.sleep(LOOK_S)
    ends = [*(begun_ns for _, begun_ns in found[1:]), time.monotonic_ns()]
    return [
        (state, end_ns - begun_ns)
        for (state, begun_ns), end_ns in zip(found, ends, strict=True)
        if state
    ]


def _known(row: DiagRow) -> Known:
    return Known(state_name(row.state), row.expires_ms * 1_000_000 if row.timer else 0)
