"""The views of `netlab inspect` on what applications said: all messages, or one of them."""

from __future__ import annotations

from netlab.commands.decode_as import rules
from netlab.commands.inspect.asked import Asked
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


def show_list(tables: Tables, raw: RawRecording, asked: Asked) -> None:
    """All messages, or those of one connection."""
    from netlab.show import choose
    from netlab.show.terminal.lines import columns_of_terminal, emit, emit_json
    from netlab.show.terminal.messages import DEFAULT_LIMIT, list_lines, spoken_lines
    from netlab.show.views.messages import message_lines, spoken

    only = asked.connection
    row = None if only is None else choose.connection(tables, only)
    chosen = None
    if asked.where is not None:
        from netlab.show.sql import rows_where

        chosen = rows_where(tables, "messages", asked.where, "message")
    most = asked.limit if asked.as_json or asked.limit is not None else DEFAULT_LIMIT
    rows, there = message_lines(tables, most, chosen, None if row is None else row.connection)
    if asked.as_json:
        emit_json(rows)
    else:
        width = columns_of_terminal()
        if row is not None:
            emit(spoken_lines(spoken(tables, raw, row, rules(asked.decode_as)), width))
        emit(list_lines(rows, there - len(rows), width))


def show(tables: Tables, raw: RawRecording, asked: Asked, number: int) -> None:
    """One message: its fields, its bytes, its frames and its calls."""
    from netlab.show.terminal.lines import columns_of_terminal, emit, emit_json
    from netlab.show.terminal.messages import message_lines
    from netlab.show.views.messages import message_view

    view = message_view(tables, raw, number, whole=asked.limit == 0)
    if asked.as_json:
        emit_json(view)
    else:
        emit(message_lines(view, columns_of_terminal(), asked.limit))
