"""What was sampled of a connection's sockets, as lines: its course at a glance, then row by row.

Beside each number stands a block as high as the number is in its column: read downwards they are
the same course again.
"""

from __future__ import annotations

from netlab.show.escape import printable
from netlab.show.format import Ruler, byte_size, count, duration
from netlab.show.terminal.lines import Line, fit, fold, plain
from netlab.show.views.states import EndStates, StateRow, StatesView

DEFAULT_LIMIT = 24  # rows an end
_BLOCKS = "▁▂▃▄▅▆▇█"
_LABEL = 11
_HEADS = ("cwnd", "in flight", "unsent", "unread", "window", "srtt")
_BLOCKED = ("cwnd", "in flight", "unsent", "unread")  # columns with a block
_WIDTHS = {"cwnd": 6, "in flight": 9, "unsent": 8, "unread": 8, "window": 7, "srtt": 8}
_DIM, _LOUD = "dim", "bold yellow"
_QUIET_STATES = (None, "open")


def states_lines(view: StatesView, width: int) -> list[Line]:
    """Both ends under each other, in 80 columns and more."""
    label = f"connection {view.connection}  "
    client, server = printable(view.client), printable(view.server)
    name = (f"  {view.name}", _DIM)
    lines: list[Line] = [[(f"{label}{client} → {server}", "bold"), name]]
    if len(plain(lines[0])) > width:
        room = width - len(label)
        lines = [[(f"{label}{client} →", "bold")], [(" " * len(label) + server, "bold"), name]]
        if max(len(client) + 2, len(server) + len(view.name) + 2) > room:  # IPv6, few columns
            lines = [
                [(label, "bold"), name],
                [(f"  {client} →", "bold")],
                [(f"  {server}", "bold")],
            ]
    if not view.ends:
        text = (
            "of its sockets no state was sampled: --sample 10ms of `netlab lab` and `netlab run`"
            " does, and --tcp-info around each call"
        )
        return [*lines, *([(more, "")] for more in fold(text, width))]
    ruler = Ruler(max(end.last_ns for end in view.ends), min(end.first_ns for end in view.ends))
    for end in view.ends:
        lines += [[], *_at_a_glance(end, width), [], *_rows(end, ruler, width)]
    return lines


def _at_a_glance(end: EndStates, width: int) -> list[Line]:
    spent = duration(end.last_ns - end.first_ns)
    seen = f"{count(end.samples, 'sample')} in {spent}, by {', '.join(end.witnesses)}"
    lines: list[Line] = [[(end.side.ljust(_LABEL), "bold"), (printable(end.address), "bold")]]
    if len(plain(lines[0])) + 2 + len(seen) > width:
        lines.append([(" " * _LABEL + seen, _DIM)])
    else:
        lines[0].append((f"  {seen}", _DIM))
    for course in end.courses:
        least, most = (_amount(value, course.unit) for value in (course.least, course.most))
        span = most if least == most else f"{least} … {most}"
        if course.unit == "segments":
            span += " segments"
        drawn = ""
        if least != most:
            blocks = (" " if part is None else _block(part, course.most) for part in course.parts)
            drawn = "".join(blocks)
        lines.append([(course.what.ljust(_LABEL), _DIM), (f"{span:<26} ", ""), (drawn, "cyan")])
    if end.limits is not None and end.limits.busy_ns:
        label = "busy"
        for text in fold(_limits(end), width - _LABEL):
            lines.append([(label.ljust(_LABEL), _DIM), (text, "")])
            label = ""
    return lines


def _limits(end: EndStates) -> str:
    assert end.limits is not None
    busy = f"{duration(end.limits.busy_ns)} with something to send"
    held = [
        f"{duration(ns)} by {what}"
        for ns, what in (
            (end.limits.rwnd_limited_ns, "the peer's window"),
            (end.limits.sndbuf_limited_ns, "the send buffer"),
        )
        if ns
    ]
    return f"{busy}, held back {' and '.join(held)}" if held else busy


def _rows(end: EndStates, ruler: Ruler, width: int) -> list[Line]:
    head = "".join(
        name.rjust(_WIDTHS[name]) + ("  " if name in _BLOCKED else "") for name in _HEADS
    )
    lines: list[Line] = [[(f"{ruler.unit.rjust(ruler.width)} {head}", _DIM)]]
    most = {course.what: course.most for course in end.courses}
    before: StateRow | None = None
    for row in end.rows:
        if row.left_out:
            more = f"⋮  {count(row.left_out, 'more sample')}: --limit 0 shows all"
            lines.append([(f"{' ' * ruler.width} {more}", "italic")])
        else:
            line = _line(row, most, ruler)
            room = width - len(plain(line)) - 2
            for text, style in _events(row, before):
                if room > 0:
                    line.append((f"  {fit(text, room)}", style))
                room -= len(text) + 2
            lines.append(line)
        before = row
    return lines


def _line(row: StateRow, most: dict[str, int], ruler: Ruler) -> Line:
    line: Line = [(f"{ruler(row.time_ns)} ", _DIM)]
    amounts = {
        "cwnd": (row.snd_cwnd, "segments"),
        "in flight": (row.in_flight_bytes, "bytes"),
        "unsent": (row.unsent_bytes, "bytes"),
        "unread": (row.unread_bytes, "bytes"),
        "window": (row.snd_wnd_bytes, "bytes"),
        "srtt": (row.srtt_ns, "ns"),
    }
    for name, (value, unit) in amounts.items():
        text = "-" if value is None else _amount(value, unit)
        line.append((f" {text.rjust(_WIDTHS[name] - 1)}", "" if value else _DIM))
        if name in _BLOCKED:
            block = " " if not value else _block(value, most.get(name, 0))
            line.append((f" {block}", "cyan"))
    return line


def _events(row: StateRow, before: StateRow | None) -> Line:
    """What is another than in the row before: the state, and congestion control's."""
    found: Line = []
    if before is None or row.state != before.state:
        found.append((row.state, "bold"))
    if row.ca_state not in _QUIET_STATES and (before is None or row.ca_state != before.ca_state):
        found.append((row.ca_state, _LOUD))
    elif before is not None and before.ca_state not in _QUIET_STATES and row.ca_state == "open":
        found.append(("open", ""))
    return found


def _amount(value: int, unit: str) -> str:
    if unit == "ns":
        return duration(value)
    return byte_size(value) if unit == "bytes" else f"{value:,}"


def _block(value: int, most: int) -> str:
    """The lowest for next to nothing, the highest for the most."""
    return _BLOCKS[min(len(_BLOCKS) - 1, value * (len(_BLOCKS) - 1) // most) if most else 0]
