"""The kernel's events about TCP sockets -> rows of `states`: each change, each segment's arrival.

`tcp_probe` tells the numbers just before a segment that has come in is looked at. The kernel closes
a socket when it goes into TIME-WAIT, which a smaller object of its own then keeps: what it calls
CLOSED after FIN-WAIT-2 or CLOSING is therefore no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from netlab.correlate.homes import Home, Homes, Look
from netlab.model.kernel_event import KernelEvent, Tracepoint
from netlab.model.tables import State

_BEGINNINGS = frozenset({"CLOSED", "LISTEN"})
_BEFORE_TIME_WAIT = frozenset({"FIN-WAIT-2", "CLOSING"})
_STATES = frozenset({Tracepoint.SET_STATE, Tracepoint.PROBE})


def lives_of_events(events: Sequence[KernelEvent]) -> list[list[KernelEvent]]:
    """The events by socket: by its ends, and anew whenever those are opened again."""

    def ends(event: KernelEvent) -> tuple[str, str, str]:
        return event.host, event.local or "", event.peer or ""

    found: list[list[KernelEvent]] = []
    ordered = sorted(events, key=lambda event: (ends(event), event.time_ns))
    for _, group in groupby(ordered, key=ends):
        life: list[KernelEvent] = []
        for event in group:
            if event.old_state in _BEGINNINGS and life:
                found.append(life)
                life = []
            life.append(event)
        found.append(life)
    return found


def home_of_life(life: Sequence[KernelEvent], homes: Homes) -> Home:
    """Which end of which connection the socket of these events is."""
    first = life[0]
    looks = [Look(event.time_ns, event.inode, event.state) for event in life]
    return homes.of(first.host, first.local, first.peer, looks)


def states_from_events(events: Sequence[KernelEvent], homes: Homes) -> list[State]:
    """The rows, in no order."""
    rows: list[State] = []
    for life in lives_of_events([event for event in events if event.what in _STATES]):
        connection, side = home_of_life(life, homes)
        for event in life:
            if event.state in (None, event.old_state) or _is_time_wait(event):
                continue
            rows.append(
                State(
                    event.time_ns, event.host, connection, side, event.state,
                    snd_cwnd=event.snd_cwnd, ssthresh=event.ssthresh, srtt_ns=event.srtt_ns,
                    snd_wnd_bytes=event.snd_wnd_bytes, rcv_wnd_bytes=event.rcv_wnd_bytes,
                    witness="kernel", local=event.local, peer=event.peer,
                )
            )  # fmt: skip
    return rows


def _is_time_wait(event: KernelEvent) -> bool:
    return event.state == "CLOSED" and event.old_state in _BEFORE_TIME_WAIT
