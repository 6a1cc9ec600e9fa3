"""The views of `netlab inspect` on one packet: its layers, its headers as boxes, one field."""

from __future__ import annotations

from netlab.commands.inspect.asked import Asked
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


def show(tables: Tables, raw: RawRecording, asked: Asked, frame: int) -> None:
    """What was asked for of the packet with this number."""
    from netlab.show import choose
    from netlab.show.terminal import packets as drawn
    from netlab.show.terminal.lines import emit, emit_json, width_of
    from netlab.show.views.packets import field_views, packet_view

    view = packet_view(tables, raw, choose.packet(tables, frame), deep=asked.deep)
    width = width_of(None)
    if asked.field is not None:
        found = field_views(view, asked.field)
        if asked.as_json:
            emit_json(found)
        else:
            emit(drawn.explained_lines(view, found, width))
    elif asked.as_json:
        emit_json(view)
    elif asked.boxes:
        emit(drawn.box_lines(view, width))
    else:
        emit(drawn.packet_lines(view, width, asked.limit))
