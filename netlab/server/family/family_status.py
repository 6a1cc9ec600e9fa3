"""What the hub knows of the processes of a server -> rows of the status page.

Everything stands in the shared counters, so a process that is stuck in a callback is shown too: it
is asked nothing.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from netlab.server.messages.switchboard import Station
from netlab.server.pages.status import ProcessRow, signal_text
from netlab.server.shared.counters import Counter
from netlab.server.terms import Mode

if TYPE_CHECKING:
    from netlab.server.family.hub import HubProcess

BUSY_FROM_S = 0.05  # a loop is always at work for a moment


def rows_of(hub: HubProcess) -> list[ProcessRow]:
    """The hub itself, then the others, by name."""
    rows = [_row(hub, hub.name, hub.row, None, hub.reactor.last_signal)]
    stations = sorted(hub.switchboard.stations(), key=_order)
    return rows + [
        _row(hub, station.name + ("'" if station.about_to_go else ""), station.row, station)
        for station in stations
    ]


def _row(
    hub: HubProcess, name: str, row: memoryview, station: Station | None, number: int = 0
) -> ProcessRow:
    in_base, role = hub.options.mode is Mode.BASE, name.partition("-")[0]
    owns = role == ("worker" if in_base else "master")
    busy_since_ms = row[Counter.BUSY_SINCE_MS]
    busy_s = monotonic() - busy_since_ms / 1000 if busy_since_ms and station is not None else 0.0
    queued: int | None = None
    if role == "task" and station is not None:
        queued = len(station.tasks)
    elif role == "worker" and station is not None and not in_base:
        queued = station.sent - (row[Counter.REQUEST_COUNT] - station.handled_before)
    return ProcessRow(
        name=name,
        pid=row[Counter.PID],
        connections=row[Counter.CONNECTION_NUM] if owns else None,
        requests=row[Counter.TASK_COUNT if role == "task" else Counter.REQUEST_COUNT],
        received_bytes=row[Counter.TOTAL_RECV_BYTES] if owns else None,
        sent_bytes=row[Counter.TOTAL_SEND_BYTES] if owns else None,
        queued=queued,
        busy_s=busy_s if busy_s >= BUSY_FROM_S else None,
        signal=signal_text(number),
    )


def _order(station: Station) -> tuple[int, int, int]:
    role = station.name.partition("-")[0]
    return ("manager", "worker", "task").index(role), station.number, station.generation
