"""The list of calls as lines: a head, then a line a call."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.escape import printable
from netlab.show.format import Ruler, duration
from netlab.show.terminal.lines import Line, first_fitting, fit, left_out_line
from netlab.show.views.calls import CallLine

_ACTOR_MOST = 18
_TOOK = 8
_LONG_NS = 1_000_000  # from here on a call has visibly waited
_LATER = ("EAGAIN", "EINPROGRESS", "EINTR")


def list_lines(rows: Sequence[CallLine], left_out: int, width: int) -> list[Line]:
    """A line a call, then how many there are more."""
    ruler = Ruler(max((row.time_ns for row in rows), default=0))
    number = max(max((len(str(row.call)) for row in rows), default=0) + 1, len("call"))
    name = max([len("conn"), *(len(row.connection_name) for row in rows)])
    actor = min(max([len("who"), *(len(printable(row.actor)) for row in rows)]), _ACTOR_MOST)
    head = (
        f"{'call':>{number}}  {ruler.unit.rjust(ruler.width)}  {'took':>{_TOOK}}"
        f"  {'conn':<{name}}  {'who':<{actor}}  "
    )
    lines: list[Line] = [[(head + "what", "dim")]]
    for row in rows:
        took = "inside" if row.took_ns is None else duration(row.took_ns)
        said = first_fitting([printable(text) for text in (row.text, *row.shorter)],
                             width - len(head))  # fmt: skip
        lines.append(
            [
                (f"{'#' + str(row.call):>{number}}", "bold"),
                (f"  {ruler(row.time_ns)}  {took:>{_TOOK}}", "dim"),
                (f"  {row.connection_name:<{name}}", ""),
                (f"  {fit(printable(row.actor), actor):<{actor}}  ", _SIDES.get(row.side, "")),
                (said, _style(row)),
            ]
        )
    if left_out:
        lines.append(left_out_line(left_out))
    elif not rows:
        lines.append([("(no calls)", "italic")])
    return lines


_SIDES = {"client": "cyan", "server": "green"}


def _style(row: CallLine) -> str:
    if row.errno in _LATER:
        return "magenta"
    if row.errno is not None:
        return "bold red"
    return "yellow" if row.took_ns is None or row.took_ns >= _LONG_NS else ""
