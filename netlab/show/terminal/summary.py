"""A summary, and the list of connections, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netlab.model.recording import RawRecording
from netlab.model.tables import Tables
from netlab.show.escape import printable
from netlab.show.format import byte_count, byte_size, count, duration, instant
from netlab.show.terminal.ends import end_widths
from netlab.show.terminal.lines import Line, emit, fold, plain, width_of
from netlab.show.views.summary import (
    ConnectionSummary,
    InterfaceSummary,
    Ledger,
    Operations,
    Summary,
    WireSummary,
    summary,
    unmatched_text,
)

if TYPE_CHECKING:
    from rich.console import Console

_LABEL = 13
_DETAILED = 3  # connections that get a paragraph each; more get a line each
_LISTED = 20
_RULES = 12


def print_summary(
    tables: Tables, raw: RawRecording, *, path: str | Path, console: Console | None = None
) -> None:
    """Print what a recording holds."""
    emit(summary_lines(summary(tables, raw, str(path)), width_of(console)), console)


def summary_lines(view: Summary, width: int) -> list[Line]:
    """The summary in lines of at most `width` columns, as far as names allow."""
    lines = _beside(printable(view.path), printable(view.source), width)

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
    used = [row for row in view.connections if row.is_used] or view.connections
    if len(used) <= _DETAILED:
        for row in used:
            lines.append([])
            _connection(row, lines, say, width)
    else:
        lines += [[], *connection_lines(used[:_LISTED], view.start_ns, width)]
    unlisted = []
    if len(used) > max(_LISTED, _DETAILED):
        unlisted.append(f"{len(used) - _LISTED:,} more")
    if len(used) < len(view.connections):
        unlisted.append(f"{len(view.connections) - len(used):,} that moved nothing")
    if unlisted:
        more = f"      … and {', '.join(unlisted)}: netlab inspect --connections lists them"
        lines.append([(more, "dim")])
    lines.append([])
    if view.interfaces:
        lost = any(one.dropped for one in view.interfaces)
        ring = "the ring" if view.wire is None else "the wire's ring"
        seen = "; ".join(_interface(one, ring) for one in view.interfaces)
        say("capture", seen, "bold red" if lost else "")
    if view.wire is not None:
        _wire(view.wire, say)
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
    """A line a connection; where `width` is too little, what matters least is left out, and long
    names take a line more."""
    table = [_HEADS, *(_connection_cells(row, start_ns) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADS))]
    shown = list(range(len(_HEADS)))
    for head in _LEAST_FIRST:
        if _row_width(shown, widths) <= width:
            break
        shown.remove(_HEADS.index(head))
    names = widths[_CLIENT] + widths[_SERVER]
    room = width - _row_width(shown, widths) + names
    client, server = end_widths([(row[_CLIENT], row[_SERVER]) for row in table], room)
    before = [column for column in shown if column < _CLIENT]
    behind = [column for column in shown if column > _SERVER]
    lines: list[Line] = []
    for number, row in enumerate(table):
        left = "".join(f"{row[column].rjust(widths[column])}  " for column in before)
        right = "".join(f"  {_cell(row, column, widths)}" for column in behind)
        between = f"{row[_CLIENT]:<{client}} → {row[_SERVER]:<{server}}"
        style = "" if number else "dim"
        if len(row[_CLIENT]) > client or len(row[_SERVER]) > server:
            lines.append([(f"{left}{row[_CLIENT]} →", style)])
            left, between = " " * len(left), row[_SERVER].ljust(client + 3 + server)
        lines.append([(left + between + right, style)])
    return lines


def _row_width(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[column] + 2 for column in shown) - 1  # " → " instead of two gaps


def _cell(row: Sequence[str], column: int, widths: Sequence[int]) -> str:
    right = _HEADS[column] in _RIGHT
    return row[column].rjust(widths[column]) if right else row[column].ljust(widths[column])


_HEADS = ("#", "stream", "client", "server", "start", "took", "c>s", "s>c", "end")
_CLIENT, _SERVER = _HEADS.index("client"), _HEADS.index("server")
_RIGHT = ("#", "start", "took", "c>s", "s>c")
_LEAST_FIRST = ("start", "stream", "took")


def _connection_cells(row: ConnectionSummary, start_ns: int | None) -> tuple[str, ...]:
    started = took = "-"
    if row.first_ns is not None and row.last_ns is not None:
        started = duration(row.first_ns - (start_ns or 0))
        took = duration(row.last_ns - row.first_ns)
    return (
        str(row.connection), row.name, printable(row.client), printable(row.server), started, took,
        byte_size(row.client_bytes), byte_size(row.server_bytes), row.end_word,
    )  # fmt: skip


def _holds(view: Summary) -> str:
    parts = [count(view.frames, "frame")]
    if view.frames_without_connection:
        parts[0] += f" ({view.frames_without_connection:,} of no connection)"
    if view.calls:
        parts += [count(view.calls, "call"), count(view.links, "link") + " between them"]
    if view.states:
        parts.append(count(view.states, "state sample"))
    if view.stamps:
        parts.append(count(view.stamps, "kernel stamp"))
    parts.append(count(len(view.connections), "connection"))
    return ", ".join(parts)


def _beside(name: str, text: str, width: int) -> list[Line]:
    """A name and a text, under each other where they are too long for one line."""
    if len(name) + 2 + len(text) <= width:
        return [[(name, "bold"), (f"  {text}", "")]]
    return [[(name, "bold")], [(" " * _LABEL + text, "")]]


class _Say(Protocol):
    """How `summary_lines` adds a labelled paragraph."""

    def __call__(self, label: str, text: str, style: str = "") -> None: ...


def _connection(row: ConnectionSummary, lines: list[Line], say: _Say, width: int) -> None:
    client, server = printable(row.client), printable(row.server)
    label = f"connection {row.connection}".ljust(_LABEL) + " "
    lines.append([(label, "bold"), (f"{client} → {server}", "bold"), (f"  {row.name}", "dim")])
    if len(plain(lines[-1])) > width:
        lines[-1] = [(f"{label}{client} →", "bold")]
        lines.append([(" " * len(label) + server, "bold"), (f"  {row.name}", "dim")])
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


def _interface(one: InterfaceSummary, ring: str) -> str:
    name = one.name or "unnamed interface"
    lost = "losses not known"
    if one.dropped is not None:
        lost = "none lost" if one.dropped == 0 else f"{one.dropped:,} LOST by {ring}"
    return f"{name}: {count(one.frames, 'frame')}, {lost}"


def _wire(wire: WireSummary, say: _Say) -> None:
    parts = [f"{count(wire.sent, 'frame')} sent by the hosts"]
    for number, what in (
        (wire.made, "made by the wire"),
        (wire.dropped, "dropped"),
        (wire.changed, "changed"),
        (wire.unknown, "of unknown fate"),
    ):
        parts += [f"{number:,} {what}"] if number else []
    say("wire", ", ".join(parts))
    if wire.late_median_ns is not None and wire.late_most_ns is not None:
        say(
            "lateness",
            f"{duration(wire.late_median_ns)} in the median, {duration(wire.late_most_ns)} at most",
        )
    for one in wire.rules[:_RULES]:
        parts = [count(one.sent, "frame")] if one.sent else []
        parts += [f"{one.made:,} made by the wire"] if one.made else []
        say("rule", f"{one.rule}: {', '.join(parts)}")
    if len(wire.rules) > _RULES:
        say("rule", f"… and {len(wire.rules) - _RULES} more")


def _ledger(ledger: Ledger, say: _Say) -> None:
    if ledger.closed is None:
        return
    if ledger.closed:
        sent, received = byte_count(ledger.sent_bytes), byte_count(ledger.received_bytes)
        say(
            "byte ledger",
            f"closed: {sent} sent and {received} received by calls, all matched",
            "green",
        )
        return
    lines: Iterable[str] = (
        f"{byte_count(line.bytes)} {unmatched_text(line.what, line.reason)}"
        for line in ledger.lines
    )
    say("byte ledger", "; ".join(lines), "yellow")
