"""The views of `netlab inspect` on one connection: its ladder, its streams, its sockets' states."""

from __future__ import annotations

from netlab.commands.inspect.asked import Asked
from netlab.model.recording import RawRecording
from netlab.model.tables import Connection, Tables


def show(tables: Tables, raw: RawRecording, asked: Asked, connection: str) -> None:
    """What was asked for of the connection that was named."""
    from netlab.show import choose

    row = choose.connection(tables, connection)
    if asked.stream is not None:
        _stream(tables, raw, asked, row, asked.stream)
    elif asked.facts:
        _facts(asked, row)
    elif asked.states:
        _states(tables, asked, row)
    else:
        _ladder(tables, raw, asked, row)


def _ladder(tables: Tables, raw: RawRecording, asked: Asked, row: Connection) -> None:
    from netlab.show.terminal.ladder import print_ladder
    from netlab.show.terminal.lines import emit_json
    from netlab.show.views.ladder import ladder, limited

    only = None
    if asked.where is not None:
        from netlab.show.chosen import frames_and_calls

        only = frames_and_calls(tables, asked.where)
    if asked.as_json:
        emit_json(limited(ladder(tables, raw, row, only), asked.limit or 0))
    else:
        print_ladder(tables, raw, connection=row.connection, limit=asked.limit, only=only)


def _facts(asked: Asked, row: Connection) -> None:
    from netlab.model.errors import UsageError
    from netlab.show.terminal.facts import facts_lines
    from netlab.show.terminal.lines import emit, emit_json, width_of
    from netlab.show.views.facts import facts

    if row.protocol != "tcp":
        raise UsageError(
            f"connection {row.connection} is not TCP: of {row.protocol} nothing is measured",
            "leave out --facts",
        )
    view = facts(row)
    if asked.as_json:
        emit_json(view)
    else:
        emit(facts_lines(view, width_of(None)))


def _states(tables: Tables, asked: Asked, row: Connection) -> None:
    from netlab.show.terminal.lines import emit, emit_json, width_of
    from netlab.show.terminal.states import DEFAULT_LIMIT, states_lines
    from netlab.show.views.states import limited, states_view

    if asked.where is not None:
        from netlab.show.chosen import states

        tables = states(tables, asked.where)
    view = states_view(tables, row)
    if asked.as_json:
        emit_json(limited(view, asked.limit or 0))
    else:
        limit = DEFAULT_LIMIT if asked.limit is None else asked.limit
        emit(states_lines(limited(view, limit), width_of(None)))


def _stream(tables: Tables, raw: RawRecording, asked: Asked, row: Connection, sides: str) -> None:
    from netlab.commands.main import note
    from netlab.show import export
    from netlab.show.terminal import screen
    from netlab.show.terminal.content import c_lines, content_lines, notes_of, write_raw
    from netlab.show.terminal.lines import emit, emit_json, left_out_line, plain, width_of
    from netlab.show.views.content import Sides, content
    from netlab.show.views.text import as_json

    form = asked.form or "text"
    view = content(tables, raw, row, Sides(sides))
    if asked.where is not None:
        from netlab.show.chosen import frames

        view = view.of_frames(frames(tables, asked.where))
    there = len(view.chunks)
    if asked.limit:
        view = view.first(asked.limit)
    if asked.as_json and asked.output is None:
        emit_json(view)
        return
    if asked.output is None and form in ("text", "hex"):
        emit(content_lines(view, form, width_of(None)))
        if there > len(view.chunks):
            emit([left_out_line(there - len(view.chunks))])
        return
    screen.about_to_write()
    with export.output(asked.output, asked.file, binary=form == "raw") as out:
        if asked.as_json:
            out.write(f"{as_json(view)}\n".encode())
        elif form == "raw":
            write_raw(view, out)
        elif form == "c":
            out.writelines(f"{line}\n".encode() for line in c_lines(view))
        else:
            out.writelines(f"{plain(line)}\n".encode() for line in content_lines(view, form))
    for text in notes_of(view) if form in ("raw", "c") else ():
        note(text)
