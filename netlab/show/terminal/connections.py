"""The list of connections as lines."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.escape import printable
from netlab.show.format import bit_rate, byte_size, duration
from netlab.show.terminal.ends import end_widths
from netlab.show.terminal.lines import Line
from netlab.show.views.connections import ConnectionSummary

# What is left out first where there is no room: in a list of all, and among the busiest.
ALL = ("stream", "rate", "start", "took", "end")
BUSIEST = ("start", "stream", "took", "end", "rate")


def connection_lines(
    rows: Sequence[ConnectionSummary],
    start_ns: int | None,
    width: int,
    least_first: Sequence[str] = ALL,
) -> list[Line]:
    """A line a connection; where `width` is too little, what matters least is left out, and long
    names take a line more."""
    table = [_HEADS, *(_connection_cells(row, start_ns) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADS))]
    shown = list(range(len(_HEADS)))
    names = widths[_CLIENT] + widths[_SERVER]
    for head in least_first:
        taken = _row_width(shown, widths)
        if head == least_first[-1] == "rate":  # before it goes, the ends take two lines
            taken += max(widths[_CLIENT], widths[_SERVER]) - names
        if taken <= width:
            break
        shown.remove(_HEADS.index(head))
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
            if len(between) > client + 3 + server:
                lines.append([(left + between, style)])
                between = " " * (client + 3 + server)
        lines.append([(left + between + right, style)])
    return lines


def _row_width(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[column] + 2 for column in shown) - 1  # " → " instead of two gaps


def _cell(row: Sequence[str], column: int, widths: Sequence[int]) -> str:
    right = _HEADS[column] in _RIGHT
    return row[column].rjust(widths[column]) if right else row[column].ljust(widths[column])


_HEADS = ("#", "stream", "client", "server", "start", "took", "c>s", "s>c", "rate", "end")
_CLIENT, _SERVER = _HEADS.index("client"), _HEADS.index("server")
_RIGHT = ("#", "start", "took", "c>s", "s>c", "rate")


def _connection_cells(row: ConnectionSummary, start_ns: int | None) -> tuple[str, ...]:
    started = took = "-"
    if row.first_ns is not None and row.last_ns is not None:
        started = duration(row.first_ns - (start_ns or 0))
        took = duration(row.last_ns - row.first_ns)
    return (
        str(row.connection), row.name, printable(row.client), printable(row.server), started, took,
        byte_size(row.client_bytes), byte_size(row.server_bytes),
        "-" if row.bits_per_second is None else bit_rate(row.bits_per_second), row.end_word,
    )  # fmt: skip
