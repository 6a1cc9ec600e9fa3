"""`netlab inspect` of a large capture by others: its summary or connections, from the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.commands.inspect.asked import Asked
from netlab.commands.watching import watching

if TYPE_CHECKING:
    from netlab.capture.at_hand import AtHand
    from netlab.engine.whole import Whole
    from netlab.model.tables import Connection


def show(asked: Asked, file: AtHand) -> bool:
    """Draw what was asked for, unless the file is small or not for the engine."""
    from netlab.engine.choose import is_large, maybe_read

    if not is_large(file) or not _can_answer(asked.where):
        return False
    with watching() as progress:
        progress.step("reading")
        whole = maybe_read(file, keep=False, with_traffic=asked.view is None)
    if whole is None:
        return False
    from netlab.commands.main import note
    from netlab.show.terminal.screen import paged

    with paged():
        if asked.view == "connections":
            from netlab.commands.inspect.lists import draw_connections
            from netlab.show.views.bulk import bulk_connections

            kept, there = _connections(whole, asked)
            draw_connections(
                bulk_connections(kept),
                there - len(kept),
                whole.capture.records.began_ns,
                asked,
            )
        else:
            from netlab.show.terminal.lines import emit, emit_json, width_of
            from netlab.show.terminal.summary import LISTED, summary_lines
            from netlab.show.terminal.traffic import HOSTS
            from netlab.show.views.bulk import bulk_summary

            if asked.as_json:
                emit_json(bulk_summary(whole, asked.name))
            else:
                view = bulk_summary(whole, asked.name, busiest=LISTED, most_hosts=HOSTS)
                emit(summary_lines(view, width_of(None)))
    if asked.has_view:
        for fault in whole.capture.raw.faults:
            note(fault)
    return True


def _can_answer(condition: str | None) -> bool:
    """Whether a condition on connections names only what the engine knows of them."""
    if condition is None:
        return True
    from netlab.show.bulk_sql import missing_columns

    return not missing_columns(condition, ["connections"])


def _connections(whole: Whole, asked: Asked) -> tuple[list[Connection], int]:
    """Those that are to be shown, and how many there are."""
    if asked.where is None:
        kept = whole.first_connections(asked.limit) if asked.limit else whole.connections()
        return kept, whole.connection_count
    from netlab.model.tables import Tables
    from netlab.show.sql import rows_where

    rows = whole.connections()
    chosen = rows_where(Tables(connections=rows), "connections", asked.where, "connection")
    rows = [row for row in rows if row.connection in chosen]
    return rows[: asked.limit or None], len(rows)
