"""The views of `netlab inspect` on a whole file: its summary, its connections, packets, calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.commands.decode_as import rules
from netlab.commands.inspect.asked import Asked
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netlab.show.views.connections import ConnectionSummary


def show(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    """The list that was asked for, else the summary."""
    if asked.view == "packets":
        _packets(tables, raw, asked)
    elif asked.view == "connections":
        _connections(tables, asked)
    elif asked.view == "calls":
        _calls(tables, raw, asked)
    else:
        _summary(tables, raw, asked)


def _summary(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    where = ""
    told = rules(asked.decode_as)
    if asked.where is not None:
        from netlab.show.chosen import packets_alone

        there = len(tables.packets)
        tables, raw = packets_alone(tables, raw, asked.where)
        where = f"{asked.where}: {len(tables.packets):,} of {there:,} frames; connections whole"
    if asked.as_json:
        from netlab.show.terminal.lines import emit_json
        from netlab.show.views.summary import summary

        emit_json(summary(tables, raw, asked.name, where, told))
        return
    from netlab.show.terminal.summary import print_summary

    print_summary(tables, raw, path=asked.name, where=where, decode_as=told)


def _connections(tables: Tables, asked: Asked) -> None:
    from netlab.show.views.connections import connections, start_ns

    rows = connections(tables)
    if asked.where is not None:
        from netlab.show.sql import rows_where

        chosen = rows_where(tables, "connections", asked.where, "connection")
        rows = tuple(row for row in rows if row.connection in chosen)
    kept = rows[: asked.limit] if asked.limit else rows
    draw_connections(kept, len(rows) - len(kept), start_ns(tables), asked)


def draw_connections(
    rows: Sequence[ConnectionSummary], more: int, start_ns: int | None, asked: Asked
) -> None:
    """The rows, and how many there are more."""
    from netlab.show.terminal.connections import connection_lines
    from netlab.show.terminal.lines import emit, emit_json, left_out_line, width_of

    if asked.as_json:
        emit_json(rows)
        return
    emit(connection_lines(rows, start_ns, width_of(None)))
    if more:
        emit([left_out_line(more)])


def _packets(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    from netlab.show.terminal.lines import columns_of_terminal, emit, emit_json, fold
    from netlab.show.terminal.packets import list_lines
    from netlab.show.views.packets import packet_lines

    chosen = None
    if asked.where is not None:
        from netlab.show.chosen import frames

        chosen = frames(tables, asked.where)
    rows = packet_lines(tables, raw, asked.limit, chosen)
    if asked.as_json:
        emit_json(rows)
        return
    columns = columns_of_terminal()
    there = len(tables.packets) if chosen is None else len(chosen)
    emit(list_lines(rows, there - len(rows), columns))
    if rows and tables.calls:
        said = fold("Frames are numbered as in Wireshark, which counts calls, too.", columns)
        emit([[(text, "dim")] for text in said])


def _calls(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    from netlab.show.terminal.calls import list_lines
    from netlab.show.terminal.lines import emit, emit_json, width_of
    from netlab.show.views.calls import call_lines

    chosen = None
    if asked.where is not None:
        from netlab.show.sql import rows_where

        chosen = rows_where(tables, "calls", asked.where, "call")
    rows = call_lines(tables, raw, asked.limit, chosen)
    if asked.as_json:
        emit_json(rows)
        return
    there = len(tables.calls) if chosen is None else len(chosen)
    emit(list_lines(rows, there - len(rows), width_of(None)))
