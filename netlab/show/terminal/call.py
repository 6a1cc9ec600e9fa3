"""One call with the frames and calls that belong to it, as lines."""

from __future__ import annotations

from netlab.explain.gloss import call_message, surroundings
from netlab.model.tables import Call, Tables
from netlab.show.escape import printable
from netlab.show.format import byte_range
from netlab.show.terminal.lines import Line
from netlab.show.views.messages import moved_by


def call_lines(tables: Tables, call: Call) -> list[Line]:
    """The call's line as the recording has it, then its links."""
    lines: list[Line] = [[(printable(call_message(call, surroundings(tables))), "bold")]]
    for span in tables.spans:
        if span.call != call.call:
            continue
        partner = f"frame {span.frame}" if span.frame is not None else f"call #{span.peer_call}"
        moved = ""
        if span.start is not None and span.stop is not None and span.start != span.stop:
            moved = f", bytes {byte_range(span.start, span.stop)}"
        lines.append([(f"  {span.role:<14}", "cyan"), (partner + moved, "")])
    for text in moved_by(tables, call):
        lines.append([(f"  {'message':<14}", "cyan"), (printable(text), "")])
    return lines
