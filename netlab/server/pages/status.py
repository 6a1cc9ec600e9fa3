"""The status page of a running server: its figures, to JSON and back, and to lines for people.

The server makes a page (`status_door`), `netlab status` or a signal prints it. Pure: what is asked
of the system stands elsewhere. Lines are at most 80 columns wide; names and addresses that came
from outside are escaped by whoever prints them.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

WIDTH = 80
MOST_CONNECTIONS = 200  # in a page; those with the longest queues
_SHOWN_CONNECTIONS = 10
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process; what is not known of it is None."""

    name: str  # server, master, manager, worker-1, task-0
    pid: int
    connections: int | None = None
    requests: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    queued: int | None = None  # messages or tasks that it has in hand
    busy_s: float | None = None  # how long it has been inside a callback
    signal: str = ""  # the last one that it got


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One connection."""

    session: int
    client: str
    worker: int | None
    received_bytes: int
    sent_bytes: int
    queued_bytes: int  # output that the kernel has not taken
    idle_s: float
    state: str  # open, paused, half-closed, closing


@dataclass(frozen=True, slots=True)
class StatusPage:
    """All of it, at one moment."""

    mode: str
    pid: int
    uptime_s: float
    addresses: tuple[str, ...]
    figures: dict[str, int]  # `Stats` by name
    processes: tuple[ProcessRow, ...]
    connections: tuple[ConnectionRow, ...]

    def as_json(self) -> str:
        """One line for other programs, and for `page_from_json`."""
        return json.dumps(asdict(self))


def page_from_json(text: str | bytes) -> StatusPage:
    """What `as_json` wrote. Raises ValueError, KeyError or TypeError when it is something else."""
    made: dict[str, Any] = json.loads(text)
    return StatusPage(
        **made
        | {
            "addresses": tuple(map(str, made["addresses"])),
            "processes": tuple(ProcessRow(**row) for row in made["processes"]),
            "connections": tuple(ConnectionRow(**row) for row in made["connections"]),
        }
    )


def page_lines(page: StatusPage) -> Iterator[str]:
    """The page for people."""
    yield f"netlab server, mode {page.mode}, pid {page.pid}, up {duration_text(page.uptime_s)}"
    yield from (f"  at {address}" for address in page.addresses)
    yield ""
    yield from _figures(page)
    yield ""
    yield from process_lines(page.processes)
    if page.connections:
        yield ""
        yield from connection_lines(page.connections)


def _figures(page: StatusPage) -> Iterator[str]:
    figure = page.figures
    yield (
        f"connections  {figure['connections']:,} open, {figure['accepted']:,} accepted,"
        f" {figure['closed']:,} closed"
    )
    yield (
        f"messages     {figure['messages']:,} received, {figure['responses']:,} sent"
        + (f", {figure['lost_messages']:,} lost" if figure["lost_messages"] else "")
    )
    yield (
        f"bytes        {bytes_text(figure['received_bytes'])} received,"
        f" {bytes_text(figure['sent_bytes'])} sent"
    )
    if figure["task_workers"]:
        yield f"tasks        {figure['tasks_waiting']:,} in hand, {figure['tasks_done']:,} done"
    if page.mode in ("base", "process"):
        yield (
            f"workers      {figure['workers']:,}, {figure['idle_workers']:,} of them idle,"
            f" {figure['restarts']:,} started again"
        )
    if figure["refused"] or figure["accept_pauses"]:
        yield (
            f"refused      {figure['refused']:,};"
            f" accepting paused {figure['accept_pauses']:,} times for want of descriptors"
        )


def process_lines(rows: Sequence[ProcessRow]) -> Iterator[str]:
    """A line for each process."""
    yield (
        f"{'process':<13}{'pid':>8}{'conns':>10}{'requests':>11}{'received':>9}{'sent':>9}"
        f"{'queue':>7}{'busy':>6} signal"
    )
    for row in rows:
        yield (
            f"{row.name:<13.13}{row.pid:>8}{_count(row.connections):>10}{_count(row.requests):>11}"
            f"{_bytes(row.received_bytes):>9}{_bytes(row.sent_bytes):>9}{_count(row.queued):>7}"
            f"{duration_text(row.busy_s) if row.busy_s else '-':>6} {row.signal or '-':.6}"
        )


def connection_lines(rows: Sequence[ConnectionRow]) -> Iterator[str]:
    """The first few, in the order given."""
    yield (
        f"{'session':>14} {'client':<21}{'worker':>7}{'received':>10}{'sent':>10}{'queued':>9}"
        f"{'idle':>7}"
    )
    for row in rows[:_SHOWN_CONNECTIONS]:
        worker = "-" if row.worker is None else row.worker
        yield (
            f"{row.session:>14} {row.client:<21.21}{worker:>7}{bytes_text(row.received_bytes):>10}"
            f"{bytes_text(row.sent_bytes):>10}{bytes_text(row.queued_bytes):>9}"
            f"{duration_text(row.idle_s):>7}"
        )
    more = len(rows) - _SHOWN_CONNECTIONS
    if more > 0:
        yield f"{'':>14} and {more:,} more: netlab status --json"


def duration_text(seconds: float) -> str:
    """Two digits or so: 0.3s, 42s, 3m12, 5h07, 12d."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}" if hours < 100 else f"{hours // 24}d"


def bytes_text(count: int) -> str:
    """Three digits or so: 512 B, 1.2 kB, 34 MB."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < 9.95 else f"{value:.0f} {_UNITS[unit]}"


def signal_text(number: int) -> str:
    """HUP, TERM, ...; empty for none."""
    return signal.Signals(number).name.removeprefix("SIG") if number else ""


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _bytes(value: int | None) -> str:
    return "-" if value is None else bytes_text(value)
