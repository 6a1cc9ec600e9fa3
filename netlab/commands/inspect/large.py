"""`netlab inspect` of a capture too large to be held: its packets, one packet, one connection.

The engine reads it in bulk; lists are drawn a page at a time, and of a packet or a connection only
its own frames go through the general path, so that memory need not have room for the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.commands.inspect.asked import Asked
from netlab.commands.watching import watching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netlab.capture.at_hand import AtHand
    from netlab.engine.part import Part
    from netlab.engine.whole import Whole
    from netlab.show.views.packets import PacketLine

_AHEAD_BYTES = 64 << 20  # of the file, behind a packet, that are looked at for its connection


def show(asked: Asked, file: AtHand) -> bool:
    """Draw what was asked for, unless the file is small or not for the engine."""
    from netlab.engine.choose import is_large

    if not is_large(file) or asked.message is not None:
        return False
    if asked.packet is not None:
        return _packet(asked, file, asked.packet)
    counted = asked.view == "messages" and asked.where is not None  # conditions know numbers
    if asked.connection is not None and not asked.states and not counted:
        return _connection(asked, file, asked.connection)
    return asked.view == "packets" and _packets(asked, file)


def _packet(asked: Asked, file: AtHand, frame: int) -> bool:
    from netlab.engine.capture import Sought
    from netlab.engine.choose import maybe_read
    from netlab.engine.part import packet_part

    sought = Sought(frame, _AHEAD_BYTES)
    with watching() as progress:
        progress.step("reading")
        whole = maybe_read(file, keep=False, sought=sought)
        if whole is None:
            return False
        if sought.found is None:
            from netlab.show.choose import no_packet

            first = whole.capture.number(0)
            raise no_packet(frame, first, sought.last, whole.capture.records.skipped)
        part = packet_part(whole)
    from netlab.commands.inspect import one_packet
    from netlab.show.terminal.screen import paged

    _read_later(part, asked)
    with paged():
        one_packet.show(part.tables, part.raw, asked, frame)
    _tell(whole, part.without)
    row = next(iter(part.tables.connections), None)
    if whole.capture.records.enough and row is not None and row.close_kind not in ("fin", "rst"):
        _tell_more(f"read up to frame {sought.last:,}: its connection may go on behind that")
    return True


def _connection(asked: Asked, file: AtHand, name: str) -> bool:
    from netlab.engine.choose import maybe_read
    from netlab.engine.part import connection_part
    from netlab.show.choose import number_of

    with watching() as progress:
        progress.step("reading")
        whole = maybe_read(file, keep=False)
        if whole is None:
            return False
        part = connection_part(whole, number_of(name, whole.streams(), whole.connection_count))
    from netlab.commands.inspect import messages, one_connection
    from netlab.show.terminal.screen import paged

    _read_later(part, asked)
    with paged():
        if asked.view == "messages":
            messages.show_list(part.tables, part.raw, asked)
        else:
            one_connection.show(part.tables, part.raw, asked, name)
    _tell(whole)
    return True


def _read_later(part: Part, asked: Asked) -> None:
    from netlab.commands.decode_as import rules
    from netlab.explain.analysis import read_later

    read_later(part.tables, part.raw, rules(asked.decode_as))


def _packets(asked: Asked, file: AtHand) -> bool:
    from netlab.engine.choose import maybe_read

    second = False
    if asked.where is not None:
        from netlab.show.bulk_sql import check_condition, missing_columns, needs_second

        check_condition(asked.where)
        if missing := missing_columns(asked.where, ["frames"]):
            _tell_more(
                f"{missing[0]} is made a connection at a time, and the whole capture is held for"
                " that; a column of tshark's, such as retransmission, takes seconds"
            )
            return False
        second = needs_second(asked.where)
    with watching() as progress:
        progress.step("reading")
        whole = maybe_read(file, keep=True, with_second=second)
        if whole is None:
            return False
        places: Sequence[int] = range(whole.capture.count)
        if asked.where is not None:
            from netlab.show.bulk_sql import rows_where

            progress.step("choosing")
            places = rows_where(whole, asked.where)
    from netlab.show.terminal.screen import paged

    with paged():
        _draw(whole, places, asked)
    _tell(whole)
    if asked.where is not None and not places:
        from netlab.show.bulk_sql import not_there

        for text in not_there(whole, asked.where):
            _tell_more(text)
    if not asked.as_json:
        _tell_more(
            "a large capture, read in bulk: verdicts in brackets are tshark's; --packet N and"
            " --connection N have netlab's"
        )
    return True


def _draw(whole: Whole, places: Sequence[int], asked: Asked) -> None:
    from netlab.show.terminal.lines import (
        columns_of_terminal,
        emit,
        emit_json_list,
        left_out_line,
    )
    from netlab.show.terminal.packets import PacketList
    from netlab.show.views.bulk_packets import bulk_packet_lines, ends_of, last_of

    kept = places[: asked.limit] if asked.limit else places
    drawn: PacketList | None = None
    if asked.as_json:
        emit_json_list(row for page in bulk_packet_lines(whole, kept) for row in page)
        return
    page: list[PacketLine] = []
    for page in bulk_packet_lines(whole, kept):
        if drawn is None:
            ends = ends_of(whole) if len(kept) > len(page) else ()
            drawn = PacketList(page, columns_of_terminal(), last_of(whole, kept), ends)
            emit([drawn.head()])
        emit(line for row in page for line in drawn.lines(row))
    if drawn is None:
        emit([PacketList([], columns_of_terminal(), (0, 0)).head()])
    if len(places) > len(kept):
        emit([left_out_line(len(places) - len(kept))])


def _tell(whole: Whole, *more: str) -> None:
    for text in (*whole.capture.raw.faults, *more):
        if text:
            _tell_more(text)


def _tell_more(text: str) -> None:
    from netlab.commands.main import note

    note(text)
