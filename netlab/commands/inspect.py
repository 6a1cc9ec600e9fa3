"""`netlab inspect FILE`: a recording or capture, from its summary down to one packet's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netlab.commands.decode_as import decode_as_option, rules
from netlab.commands.numbers import WholeNumber
from netlab.model.errors import UsageError
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

if TYPE_CHECKING:
    from netlab.show.views.packets import PacketView


@click.command("inspect")
@click.argument("file")
@click.option("--connections", "view", flag_value="connections", help="List the connections.")
@click.option("--packets", "view", flag_value="packets", help="List the packets.")
@click.option("--messages", "view", flag_value="messages", help="List what applications said.")
@click.option("--message", metavar="M", type=int, help="Show one message's fields and bytes.")
@decode_as_option
@click.option(
    "--connection", "-c", metavar="N", help="Draw a connection's ladder: 3, tcp.0, udp.1."
)
@click.option("--packet", "-p", metavar="N", type=int, help="Show one packet's fields and bytes.")
@click.option("--deep", is_flag=True, help="With --packet: add what scapy makes of it.")
@click.option("--boxes", is_flag=True, help="With --packet: draw its headers as the RFCs do.")
@click.option("--field", metavar="NAME", help="With --packet: explain one field: `tcp.window`.")
@click.option(
    "--stream",
    type=click.Choice(["client", "server", "both"]),
    help="With --connection: what that side sent, with the frames that carried it.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["text", "hex", "c", "raw"]),
    help="With --stream: how; raw: the bytes alone.",
)
@click.option("--output", "-o", metavar="OUT", help="With --stream: write to a file.")
@click.option(
    "--states",
    is_flag=True,
    help="With --connection: what was sampled of its sockets: cwnd, bytes in flight, queues.",
)
@click.option("--limit", metavar="N", type=WholeNumber(min=0), help="At most N rows; 0: all.")
@click.option(
    "--where",
    metavar="SQL",
    help="With --packets, --connections, --messages: those of which it is true: `dport = 443`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the view as JSON.")
def command(
    file: str,
    view: str | None,
    message: int | None,
    decode_as: tuple[str, ...],
    connection: str | None,
    packet: int | None,
    deep: bool,
    boxes: bool,
    field: str | None,
    stream: str | None,
    form: str | None,
    output: str | None,
    states: bool,
    limit: int | None,
    where: str | None,
    as_json: bool,
) -> None:
    """Show what a recording or capture holds. FILE may be - for standard input.

    Without an option: a summary and the connections. A condition of --where names columns as
    `netlab query` has them: of `frames` for packets, of `connections` for connections, of
    `messages` for messages.
    """
    chosen = [name for name in (view, connection, packet, message) if name is not None]
    if len(chosen) > 1 and not (view == "messages" and connection and len(chosen) == 2):
        raise UsageError(
            "only one view at a time",
            "choose one of --connections, --packets, --messages, --connection N, --packet N, "
            "--message M",
        )
    closer = {"--deep": deep, "--boxes": boxes, "--field": field is not None}
    asked = [name for name, given in closer.items() if given]
    if asked and packet is None:
        raise UsageError(f"{asked[0]} is about one packet", "add --packet N")
    if len(asked) > 1:
        raise UsageError("only one look at a packet at a time", f"choose one of {', '.join(asked)}")
    if stream is not None and connection is None:
        raise UsageError("--stream is about one connection", "add --connection N")
    if states and connection is None:
        raise UsageError("--states is about one connection", "add --connection N")
    if states and stream is not None:
        raise UsageError("only one view at a time", "choose --states or --stream")
    if stream is None and (form is not None or output is not None):
        name = "--output" if form is None else "--as"
        raise UsageError(f"{name} is about a stream", "add --stream client, server or both")
    if view == "messages" and (stream is not None or states):
        raise UsageError("only one view at a time", "choose --messages, --states or --stream")
    if stream is not None and as_json:
        raise UsageError("a stream is no JSON", "choose --as text, hex, c or raw")
    if where is not None and view is None:
        raise UsageError("--where is about a list", "add --packets, --connections or --messages")
    from netlab.capture.files import read_raw
    from netlab.commands.main import note
    from netlab.explain.analysis import analyse

    told = rules(decode_as)
    raw = read_raw(file)
    tables = analyse(raw, told)
    if view == "messages":
        _messages(tables, connection, limit, where, as_json)
    elif message is not None:
        _message(tables, raw, message, limit, as_json)
    elif packet is not None:
        _show_packet(_packet(tables, raw, packet, deep), boxes, field, limit, as_json)
    elif connection is not None and stream is not None:
        _stream(tables, raw, connection, stream, form or "text", output, file)
    elif connection is not None and states:
        _states(tables, connection, limit, as_json)
    elif connection is not None:
        _ladder(tables, raw, connection, limit, as_json)
    elif view == "packets":
        _packets(tables, raw, limit, where, as_json)
    elif view == "connections":
        _connections(tables, limit, where, as_json)
    else:
        _summary(tables, raw, file, as_json)
    for fault in raw.faults if chosen else ():
        note(fault)


def _summary(tables: Tables, raw: RawRecording, file: str, as_json: bool) -> None:
    name = "standard input" if file == "-" else file
    if as_json:
        from netlab.show.views.summary import summary

        print(summary(tables, raw, name).as_json())
        return
    from netlab.show.terminal.summary import print_summary

    print_summary(tables, raw, path=name)


def _connections(tables: Tables, limit: int | None, where: str | None, as_json: bool) -> None:
    from netlab.show.terminal.lines import emit, width_of
    from netlab.show.terminal.summary import connection_lines
    from netlab.show.views.summary import connections, start_ns
    from netlab.show.views.text import as_json as json_text

    rows = connections(tables)
    if where is not None:
        from netlab.show.sql import rows_where

        chosen = rows_where(tables, "connections", where, "connection")
        rows = tuple(row for row in rows if row.connection in chosen)
    kept = rows[:limit] if limit else rows
    if as_json:
        print(json_text(kept))
        return
    emit(connection_lines(kept, start_ns(tables), width_of(None)))
    if len(kept) < len(rows):
        emit([[(f"… {len(rows) - len(kept):,} more: --limit 0 shows all", "italic")]])


def _packets(
    tables: Tables, raw: RawRecording, limit: int | None, where: str | None, as_json: bool
) -> None:
    from netlab.show.terminal.lines import columns_of_terminal, emit, fold
    from netlab.show.terminal.packets import list_lines
    from netlab.show.views.packets import packet_lines
    from netlab.show.views.text import as_json as json_text

    chosen = None
    if where is not None:
        from netlab.show.sql import FRAMES, rows_where

        chosen = rows_where(tables, FRAMES, where, "frame")
    rows = packet_lines(tables, raw, limit, chosen)
    if as_json:
        print(json_text(rows))
    else:
        columns = columns_of_terminal()
        there = len(tables.packets) if chosen is None else len(chosen)
        emit(list_lines(rows, there - len(rows), columns))
        if rows and tables.calls:
            said = fold("Frames are numbered as in Wireshark, which counts calls, too.", columns)
            emit([[(text, "dim")] for text in said])


def _messages(
    tables: Tables, connection: str | None, limit: int | None, where: str | None, as_json: bool
) -> None:
    from netlab.show import choose
    from netlab.show.terminal.lines import columns_of_terminal, emit
    from netlab.show.terminal.messages import DEFAULT_LIMIT, list_lines
    from netlab.show.views.messages import message_lines
    from netlab.show.views.text import as_json as json_text

    row = None if connection is None else choose.connection(tables, connection).connection
    chosen = None
    if where is not None:
        from netlab.show.sql import rows_where

        chosen = rows_where(tables, "messages", where, "message")
    most = limit if as_json or limit is not None else DEFAULT_LIMIT
    rows, there = message_lines(tables, most, chosen, row)
    if as_json:
        print(json_text(rows))
    else:
        emit(list_lines(rows, there - len(rows), columns_of_terminal()))


def _message(
    tables: Tables, raw: RawRecording, number: int, limit: int | None, as_json: bool
) -> None:
    from netlab.show.terminal.lines import columns_of_terminal, emit
    from netlab.show.terminal.messages import message_lines
    from netlab.show.views.messages import message_view
    from netlab.show.views.text import as_json as json_text

    view = message_view(tables, raw, number, whole=limit == 0)
    if as_json:
        print(json_text(view))
    else:
        emit(message_lines(view, columns_of_terminal(), limit))


def _ladder(
    tables: Tables, raw: RawRecording, connection: str, limit: int | None, as_json: bool
) -> None:
    from netlab.show import choose
    from netlab.show.terminal.ladder import print_ladder
    from netlab.show.views.ladder import ladder, limited
    from netlab.show.views.text import as_json as json_text

    row = choose.connection(tables, connection)
    if as_json:
        print(json_text(limited(ladder(tables, raw, row), limit or 0)))
    else:
        print_ladder(tables, raw, connection=row.connection, limit=limit)


def _states(tables: Tables, connection: str, limit: int | None, as_json: bool) -> None:
    from netlab.show import choose
    from netlab.show.terminal.lines import emit, width_of
    from netlab.show.terminal.states import DEFAULT_LIMIT, states_lines
    from netlab.show.views.states import limited, states_view
    from netlab.show.views.text import as_json as json_text

    view = states_view(tables, choose.connection(tables, connection))
    if as_json:
        print(json_text(limited(view, limit or 0)))
    else:
        emit(states_lines(limited(view, DEFAULT_LIMIT if limit is None else limit), width_of(None)))


def _stream(
    tables: Tables,
    raw: RawRecording,
    connection: str,
    stream: str,
    form: str,
    output: str | None,
    file: str,
) -> None:
    from netlab.commands.main import note
    from netlab.show import choose, export
    from netlab.show.terminal.content import c_lines, content_lines, notes_of, write_raw
    from netlab.show.terminal.lines import emit, plain
    from netlab.show.views.content import Sides, content

    view = content(tables, raw, choose.connection(tables, connection), Sides(stream))
    if output is None and form in ("text", "hex"):
        emit(content_lines(view, form))
        return
    with export.output(output, file, binary=form == "raw") as out:
        if form == "raw":
            write_raw(view, out)
        elif form == "c":
            out.writelines(f"{line}\n".encode() for line in c_lines(view))
        else:
            out.writelines(f"{plain(line)}\n".encode() for line in content_lines(view, form))
    for text in notes_of(view) if form in ("raw", "c") else ():
        note(text)


def _packet(tables: Tables, raw: RawRecording, frame: int, deep: bool) -> PacketView:
    from netlab.show import choose
    from netlab.show.views.packets import packet_view

    return packet_view(tables, raw, choose.packet(tables, frame), deep=deep)


def _show_packet(
    view: PacketView, boxes: bool, field: str | None, limit: int | None, as_json: bool
) -> None:
    from netlab.show.terminal import packets as drawn
    from netlab.show.terminal.lines import emit, width_of
    from netlab.show.views.packets import field_views
    from netlab.show.views.text import as_json as json_text

    width = width_of(None)
    if field is not None:
        found = field_views(view, field)
        if as_json:
            print(json_text(found))
        else:
            emit(drawn.field_lines(found, width))
    elif as_json:
        print(json_text(view))
    elif boxes:
        emit(drawn.box_lines(view, width))
    else:
        emit(drawn.packet_lines(view, width, limit))
