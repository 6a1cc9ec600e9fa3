"""The views of `netlab inspect` on a whole file: its summary, its connections, its packets."""

from __future__ import annotations

from netlab.commands.inspect.asked import Asked
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


def show(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    """The list that was asked for, else the summary."""
    if asked.view == "packets":
        _packets(tables, raw, asked)
    elif asked.view == "connections":
        _connections(tables, asked)
    else:
        _summary(tables, raw, asked)


def _summary(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    if asked.as_json:
        from netlab.show.views.summary import summary

        print(summary(tables, raw, asked.name).as_json())
        return
    from netlab.show.terminal.summary import print_summary

    print_summary(tables, raw, path=asked.name)


def _connections(tables: Tables, asked: Asked) -> None:
    from netlab.show.terminal.connections import connection_lines
    from netlab.show.terminal.lines import emit, width_of
    from netlab.show.views.connections import connections, start_ns
    from netlab.show.views.text import as_json as json_text

    rows = connections(tables)
    if asked.where is not None:
        from netlab.show.sql import rows_where

        chosen = rows_where(tables, "connections", asked.where, "connection")
        rows = tuple(row for row in rows if row.connection in chosen)
    kept = rows[: asked.limit] if asked.limit else rows
    if asked.as_json:
        print(json_text(kept))
        return
    emit(connection_lines(kept, start_ns(tables), width_of(None)))
    if len(kept) < len(rows):
        emit([[(f"… {len(rows) - len(kept):,} more: --limit 0 shows all", "italic")]])


def _packets(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    from netlab.show.terminal.lines import columns_of_terminal, emit, fold
    from netlab.show.terminal.packets import list_lines
    from netlab.show.views.packets import packet_lines
    from netlab.show.views.text import as_json as json_text

    chosen = None
    if asked.where is not None:
        from netlab.show.sql import FRAMES, rows_where

        chosen = rows_where(tables, FRAMES, asked.where, "frame")
    rows = packet_lines(tables, raw, asked.limit, chosen)
    if asked.as_json:
        print(json_text(rows))
        return
    columns = columns_of_terminal()
    there = len(tables.packets) if chosen is None else len(chosen)
    emit(list_lines(rows, there - len(rows), columns))
    if rows and tables.calls:
        said = fold("Frames are numbered as in Wireshark, which counts calls, too.", columns)
        emit([[(text, "dim")] for text in said])
