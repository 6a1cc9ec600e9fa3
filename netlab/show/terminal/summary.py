"""A summary, and the list of connections, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from netlab.show.escape import printable
from netlab.show.format import byte_count, byte_size, count, duration, instant
from netlab.show.terminal.lines import Line, emit, fold, width_of
from netlab.show.views.summary import (
    ConnectionSummary,
    InterfaceSummary,
    Ledger,
    Operations,
    Summary,
    summary,
)

if TYPE_CHECKING:
    from rich.console import Console

_LABEL = 13
_DETAILED = 3  # connections that get a paragraph each; more get a line each
_LISTED = 20


def print_summary(
    tables: Tables, raw: RawRecording, *, path: str | Path, console: Console | None = None
) -> None:
    """Print what a recording holds."""
    emit(summary_lines(summary(tables, raw), str(path), width_of(console)), console)


def summary_lines(view: Summary, path: str, width: int) -> list[Line]:
    """The summary in lines of at most `width` columns, as far as names allow."""
    lines: list[Line] = [[(printable(path), "bold"), (f"  {printable(view.source)}", "")]]

    def say(label: str, text: str, style: str = "") -> None:
        first, *rest = fold(printable(text), width - _LABEL)
        lines.append([(label.ljust(_LABEL), "dim"), (first, style)])
        lines.extend([(" " * _LABEL, ""), (more, style)] for more in rest)

    if view.title:
        say("made by", view.title)
    if view.start_ns is not None and view.stop_ns is not None:
        say("time", f"{duration(view.stop_ns - view.start_ns)} from {instant(view.start_ns)}")
    say("holds", _holds(view))
    if view.witnesses:
        say("witnesses", "; ".join(view.witnesses))
    if len(view.connections) <= _DETAILED:
        for row in view.connections:
            lines.append([])
            _connection(row, lines, say)
    else:
        lines += [[], *connection_lines(view.connections[:_LISTED], view.start_ns, width)]
        if len(view.connections) > _LISTED:
            more = len(view.connections) - _LISTED
            lines.append([(f"      … and {more:,} more: --connections lists them", "dim")])
    lines.append([])
    if view.interfaces:
        lost = any(one.dropped for one in view.interfaces)
        say("capture", "; ".join(map(_interface, view.interfaces)), "bold red" if lost else "")
    for loss in view.losses:
        say("lost", loss, "bold red")
    _ledger(view.ledger, say)
    for note in view.notes:
        say("note", note)
    for fault in view.faults:
        say("damage", fault, "bold red")
    return lines


def connection_lines(
    rows: Sequence[ConnectionSummary], start_ns: int | None, width: int
) -> list[Line]:
    """One line a connection; where `width` is too little, what matters least is left out."""
    table = [_HEADS, *(_connection_cells(row, start_ns) for row in rows)]
    widths = {head: max(len(row[i]) for row in table) for i, head in enumerate(_HEADS)}
    shown = list(_HEADS)
    for head in _LEAST_FIRST:
        if sum(widths[head] for head in shown) + 2 * (len(shown) - 2) <= width:
            break
        shown.remove(head)
    lines: list[Line] = []
    for number, row in enumerate(table):
        text = "  ".join(
            cell.rjust(widths[head]) if head in _RIGHT else cell.ljust(widths[head])
            for head, cell in zip(_HEADS, row, strict=True)
            if head in shown
        )
        lines.append([(text.replace("  →  ", " → ", 1), "" if number else "dim")])
    return lines


_HEADS = ("#", "stream", "client", "→", "server", "start", "took", "c>s", "s>c", "end")
_RIGHT = ("#", "start", "took", "c>s", "s>c")
_LEAST_FIRST = ("start", "stream", "took")


def _connection_cells(row: ConnectionSummary, start_ns: int | None) -> tuple[str, ...]:
    started = took = "-"
    if row.first_ns is not None and row.last_ns is not None:
        started = duration(row.first_ns - (start_ns or 0))
        took = duration(row.last_ns - row.first_ns)
    return (
        str(row.connection), row.name, printable(row.client), "→", printable(row.server), started,
        took, byte_size(row.client_bytes), byte_size(row.server_bytes), row.end_word,
    )  # fmt: skip


def _holds(view: Summary) -> str:
    parts = [count(view.frames, "frame")]
    if view.frames_without_connection:
        parts[0] += f" ({view.frames_without_connection:,} of no connection)"
    if view.calls:
        parts += [count(view.calls, "call"), count(view.links, "link") + " between them"]
    if view.stamps:
        parts.append(count(view.stamps, "kernel stamp"))
    parts.append(count(len(view.connections), "connection"))
    return ", ".join(parts)


class _Say(Protocol):
    """How `summary_lines` adds a labelled paragraph."""

    def __call__(self, label: str, text: str, style: str = "") -> None: ...


def _connection(row: ConnectionSummary, lines: list[Line], say: _Say) -> None:
    head = f"{row.client} → {row.server}"
    name = row.name if row.name != str(row.connection) else ""
    label = f"connection {row.connection}".ljust(_LABEL)
    lines.append([(f"{label} ", "bold"), (printable(head), "bold"), (f"  {name}", "dim")])
    if row.handshake_ns is not None:
        say("handshake", duration(row.handshake_ns))
    frames = row.client_packets + row.server_packets
    say("bytes", f"{byte_count(row.client_bytes)} →   {byte_count(row.server_bytes)} ←")
    if frames:
        resent = f", {row.resent_frames:,} resent" if row.resent_frames else ""
        say("frames", f"{row.client_packets:,} →   {row.server_packets:,} ←{resent}")
    for side in ("client", "server", "unknown"):
        made = [one for one in row.operations if one.side == side]
        if made:
            say(f"{side} calls", ", ".join(map(_operation, made)))
    if row.end:
        say("end", row.end)


def _operation(one: Operations) -> str:
    failed = f" ({one.errors})" if one.failed else ""
    return f"{one.calls:,} {one.op}{failed}"


def _interface(one: InterfaceSummary) -> str:
    name = one.name or "unnamed interface"
    lost = "losses not known"
    if one.dropped is not None:
        lost = "none lost" if one.dropped == 0 else f"{one.dropped:,} LOST by the ring"
    return f"{name}: {count(one.frames, 'frame')}, {lost}"


def _ledger(ledger: Ledger, say: _Say) -> None:
    if ledger.closed is None:
        return
    if ledger.closed:
        moved = byte_count(ledger.moved_bytes)
        say("byte ledger", f"closed: all {moved} that calls moved are matched", "green")
        return
    lines: Iterable[str] = (
        f"{byte_count(line.bytes)} {line.what}: {line.reason}" for line in ledger.lines
    )
    say("byte ledger", "; ".join(lines), "yellow")
