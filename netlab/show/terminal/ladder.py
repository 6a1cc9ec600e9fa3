"""A ladder as lines: time, client calls, frames, server calls, in exactly the width asked for.

The three columns get the room that their texts want; where there is too little, the widest gives
way first, and each mark then says what fits (`views.words`). Colour repeats what the glyphs say, so
that nothing is lost without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side, Tables
from netlab.show import choose
from netlab.show.escape import printable
from netlab.show.format import Ruler, count, duration
from netlab.show.terminal.lines import Line, emit, first_fitting, fit, fold, width_of
from netlab.show.terminal.opening import opening_lines
from netlab.show.views.ladder import ladder, limited
from netlab.show.views.marks import CallMark, Ladder, Lane, Row, Shown, WireMark

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_LIMIT = 200
_NUMBERS_FROM = 100  # columns: from here on frame and call numbers have room

_CALL_STYLES = {
    "call": "cyan",
    "waited": "bold yellow",
    "later": "magenta",
    "failed": "bold red",
    "hop": "green",
}
_WIRE_STYLES = {
    "data": "bold green",
    "datagram": "bold green",
    "local": "green",
    "ack": "dim",
    "control": "bold blue",
    "reset": "bold red",
    "resent": "bold yellow",
}
_DIM = "dim"
_STATE_STYLE = "italic magenta"
_SIDE_WEIGHT, _WIRE_WEIGHT = 10, 14
_SIDE_FLOOR, _WIRE_FLOOR = 14, 22
_SAID_FLOOR, _SAID_WIDE_FLOOR = 30, 42  # where frames name the messages that they complete
_SAID_WIDE_FROM = 90
_SACK_FLOOR = 34  # where ACKs name ranges: `ACK Ack=2897 SACK=4345..5793`
_WIRE_ENOUGH = 46
_STATE = len("SYN-RECEIVED")  # the longest
_LEAST_FAINT, _FAINT = 2, 3  # dashes of a frame that is on its way
_SAID_LEAST = (24, 14)  # columns of a message's text that are worth their room, first and last
_SHAFT_LEAST = 2  # columns of an arrow that no text takes
_ARROW_ROOM = 4  # "─ " before a label and " ▶" behind it


def print_ladder(
    tables: Tables,
    raw: RawRecording,
    *,
    connection: int | None = None,
    limit: int | None = None,
    only: Shown | None = None,
    console: Console | None = None,
) -> None:
    """Print the ladder of a connection (None: the first), at most `limit` rows of it (0: all)."""
    if connection is None:
        if not tables.connections:
            return
        number = tables.connections[0]
    else:
        number = choose.connection(tables, str(connection))
    drawn = limited(ladder(tables, raw, number, only), DEFAULT_LIMIT if limit is None else limit)
    emit(ladder_lines(drawn, width_of(console)), console)


def ladder_lines(view: Ladder, width: int) -> list[Line]:
    """The ladder in lines of at most `width` columns."""
    layout = _layout(view, width)
    lines = [*opening_lines(view.opening, width), *_heads(view, layout)]
    for row in view.rows:
        lines.append(_row(row, layout))
        if layout.states_below and (row.client_state or row.server_state):
            lines.append(_states_below(row, layout))
    if view.footnotes:
        lines.append([])
    for sign, text in view.footnotes:
        first, *rest = fold(printable(text), width - len(sign) - 4)
        lines.append([(f"  {sign}", "bold"), (f"  {first}", _DIM)])
        lines += [[(" " * (len(sign) + 4) + more, _DIM)] for more in rest]
    return lines


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns are. A side's column is its text, a space and its lanes."""

    width: int
    ruler: Ruler
    frame_width: int  # 0: no column of frame numbers
    client_width: int
    client_lanes: int
    wire_width: int
    server_lanes: int
    server_width: int
    numbers: bool  # there is room for the numbers of calls
    windows: bool  # there is room for Win= in every row
    states_below: bool  # no column is free for states: they take a line of their own

    @property
    def client_end(self) -> int:
        return self.gutter + self.client_width + bool(self.client_width) + self.client_lanes

    @property
    def gutter(self) -> int:
        return self.ruler.width + 2 + (self.frame_width + 1 if self.frame_width else 0)

    @property
    def server_start(self) -> int:
        return self.client_end + self.wire_width


def _layout(view: Ladder, width: int) -> _Layout:
    ruler = Ruler(view.length_ns, min((row.time_ns for row in view.rows), default=0))
    numbers = width >= _NUMBERS_FROM
    frames = [row.wire.frame for row in view.rows if row.wire and row.wire.frame is not None]
    frame_width = len(str(max(frames, default=0))) + 1 if frames and numbers else 0
    gutter = ruler.width + 2 + (frame_width + 1 if frame_width else 0)
    client_lanes = view.client_lane_count if view.has_calls else 0
    server_lanes = view.server_lane_count if view.has_calls else 0
    room = width - gutter - client_lanes - server_lanes - (2 if view.has_calls else 0)
    client, wire, server = _shares(view, room, numbers)
    has_states = any(row.client_state or row.server_state for row in view.rows)
    return _Layout(
        width, ruler, frame_width, client, client_lanes, wire, server_lanes, server, numbers,
        windows=max(map(_label_width, _labels(view)), default=0) <= wire,
        states_below=has_states and not client,
    )  # fmt: skip


def _shares(view: Ladder, room: int, numbers: bool) -> tuple[int, int, int]:
    """How the columns share `room`: client's text, frames, server's text."""
    wire = max(map(_label_width, _labels(view)), default=_WIRE_FLOOR)
    if not view.has_calls:
        beside = 2 * (_STATE + 1)
        with_states = any(row.client_state for row in view.rows) and wire + beside <= room
        side, left = (_STATE, room - beside) if with_states else (0, room)
        said = any(mark.said for mark in _labels(view))
        return side, left if said else min(left, max(wire + 6, 60)), side
    client = _wanted([row.client for row in view.rows], numbers)
    server = _wanted([row.server for row in view.rows], numbers)
    floor = _WIRE_FLOOR
    if any(mark.said for mark in _labels(view)):
        floor = _SAID_FLOOR if room < _SAID_WIDE_FROM else _SAID_WIDE_FLOOR
        wire = max(wire, floor)
    elif any("SACK=" in mark.texts[0] for mark in _labels(view)):
        floor = _SACK_FLOOR
        wire = max(wire, floor)
    while client + wire + server > room:
        if wire * _SIDE_WEIGHT >= max(client, server) * _WIRE_WEIGHT and wire > floor:
            wire -= 1
        elif client > server:
            client -= 1
        else:
            server -= 1
    spare = room - client - wire - server
    wider = min(spare, max(0, _WIRE_ENOUGH - wire))
    left = (spare - wider) // 2
    return client + left, wire + wider, server + spare - wider - left


def _labels(view: Ladder) -> list[WireMark]:
    return [row.wire for row in view.rows if row.wire is not None]


def _label_width(mark: WireMark) -> int:
    """What a frame's longest label needs."""
    faint = 0 if mark.part == "whole" else _LEAST_FAINT
    return len(mark.texts[0]) + (len(mark.window) + 1 if mark.window else 0) + _ARROW_ROOM + faint


def _wanted(marks: Sequence[CallMark | None], numbers: bool) -> int:
    widest = max([len(_texts(mark, numbers)[0]) for mark in marks if mark], default=0)
    return max(widest, _SIDE_FLOOR)


def _heads(view: Ladder, layout: _Layout) -> list[Line]:
    """The names above the columns; on two lines where they are too long for one."""
    client, server = printable(view.client), printable(view.server)
    unit = layout.ruler.unit.rjust(layout.ruler.width)
    client = fit(client, layout.width - layout.gutter)
    server = fit(server, layout.width - layout.gutter)
    at = max(layout.gutter, layout.client_end - len(client))
    if not view.has_calls:  # above its end of the arrows, where that leaves room for the other
        at = layout.client_end
        if at + len(client) + 2 + len(server) > layout.server_start:
            at = layout.gutter
    server_end = layout.width if view.has_calls else layout.server_start
    server_at = min(layout.server_start, layout.width - len(server))
    if not view.has_calls:
        server_at = max(layout.gutter, server_end - len(server))
    first: Line = [(unit, _DIM), (" " * (at - len(unit)) + client, "bold")]
    used = at + len(client)
    if used + 2 <= server_at:
        return [[*first, (" " * (server_at - used) + server, "bold")]]
    return [first, [(" " * server_at + server, "bold")]]


def _row(row: Row, layout: _Layout) -> Line:
    time = layout.ruler(row.time_ns)
    quiet = row.silence_ns is not None or bool(row.left_out)
    line: Line = [(" " * len(time) if quiet else time, _DIM), ("  ", "")]
    if layout.frame_width:
        frame = row.wire.frame if row.wire else None
        line.append((("" if frame is None else f"{frame}").rjust(layout.frame_width) + " ", _DIM))
    bar = "┊" if quiet else "│"
    if layout.client_width:
        line += _side_cell(row.client, row.client_lanes, layout, Side.CLIENT, bar, row.client_state)
    if row.left_out:
        line.append((_centred(_left_out_texts(row), layout.wire_width, "⋮"), "italic"))
    elif row.silence_ns is not None:
        said = duration(row.silence_ns)
        quietly = (f"{said} {row.cause}", said) if row.cause else (said,)
        line.append((_centred(quietly, layout.wire_width, "···"), "italic dim"))
    else:
        line.append(_wire_cell(row.wire, layout.wire_width, layout.windows))
    if layout.server_width:
        line += _side_cell(row.server, row.server_lanes, layout, Side.SERVER, bar, row.server_state)
    return line


def _left_out_texts(row: Row) -> tuple[str, ...]:
    rows = count(row.left_out, "row")
    if row.left_out_ns:
        return (f"{rows} in {duration(row.left_out_ns)}", rows, f"{row.left_out}")
    return (f"{rows} left out", f"{row.left_out} left out", f"{row.left_out}")


def _centred(texts: Sequence[str], width: int, dots: str) -> str:
    """The first text that leaves a blank on either side, between as many dots as fit."""
    for text in texts:
        for few in range(len(dots), 0, -1):
            whole = f"{dots[:few]} {text} {dots[:few]}"
            if len(whole) + 2 <= width:
                return whole.center(width)
    return fit(texts[-1], width).center(width)


def _texts(mark: CallMark, numbers: bool) -> tuple[str, ...]:
    who = "  " * mark.depth + (f"{mark.thread}: " if mark.thread else "")
    texts = [printable(who + text) for text in mark.texts]
    if numbers and mark.edge != "closes":
        texts = [f"{texts[0]}  #{mark.call}", *texts]
    return tuple(texts)


def _side_cell(
    mark: CallMark | None,
    lanes: Sequence[Lane],
    layout: _Layout,
    side: Side,
    bar: str,
    state: str,
) -> Line:
    """A side's text and lanes; the client's is the mirror image of the server's.

    Beside a frame the place of the call is free: there stands the end's state, where it changes.
    """
    is_client = side is Side.CLIENT
    width = layout.client_width if is_client else layout.server_width
    lane_count = layout.client_lanes if is_client else layout.server_lanes
    cells: Line = []
    style = _CALL_STYLES[mark.tone] if mark else ""
    tones = {held.lane: held.tone for held in lanes}
    for lane in range(lane_count):  # outwards, from the frames to the text
        if mark is not None and lane == mark.lane:
            cells.append((_CORNERS[mark.edge][not is_client], style))
        elif lane in tones:
            cells.append((bar, _CALL_STYLES[tones[lane]]))
        elif mark is not None and mark.lane is not None and lane > mark.lane:
            cells.append(("─", style))
        else:
            cells.append((" ", ""))
    text = first_fitting(_texts(mark, layout.numbers), width) if mark else fit(state, width)
    if mark is None:
        style = _STATE_STYLE
    if is_client:
        return [(text.rjust(width), style), (" ", ""), *reversed(cells)]
    return [*cells, (" ", ""), (text.ljust(width), style)]


def _states_below(row: Row, layout: _Layout) -> Line:
    """The states under the ends of the arrow that changed them."""
    between = layout.wire_width - len(row.client_state) - len(row.server_state)
    text = f"{row.client_state}{' ' * max(between, 1)}{row.server_state}"
    return [(" " * layout.gutter + text, _STATE_STYLE)]


# For each edge, at the client and at the server.
_CORNERS = {"opens": "┐┌", "closes": "┘└", "whole": "••"}


def _wire_cell(mark: WireMark | None, width: int, windows: bool) -> tuple[str, str]:
    if mark is None:
        return " " * width, ""
    room = width - _ARROW_ROOM - (0 if mark.part == "whole" else _LEAST_FAINT)
    text = _label(mark, room, windows)
    stroke = "╌" if mark.tone == "local" else "─"
    shaft = stroke * (width - len(text) - _ARROW_ROOM)
    outbound = mark.direction == Direction.C2S
    drawn = _arrow(mark, text, stroke, shaft)
    return drawn if outbound else _mirrored(drawn, text), _WIRE_STYLES[mark.tone]


def _label(mark: WireMark, room: int, windows: bool) -> str:
    """What stands on a frame: with the message that it completes, where there is room for both."""
    said = printable(mark.said)
    window = f" {mark.window}" if windows and mark.window else ""
    texts = mark.texts
    if said and len(texts[0]) <= room:  # no message is worth a verdict that there is room for
        texts = tuple(text for text in texts if _behind_len(text) == _behind_len(texts[0]))
    for least in _SAID_LEAST if said else ():
        for end in (window, ""):
            for text in texts:
                left = room - len(text) - len(end) - 2 - _SHAFT_LEAST
                if "Len=" in text and left >= min(len(said), least):
                    return f"{text}{end}  {_cut(said, left)}"
    return first_fitting(mark.texts, room) + window


def _behind_len(text: str) -> str:
    """Verdicts and signs: `gap before ×3` of `ACK Seq=1 Len=4 gap before ×3`."""
    return text.partition("Len=")[2].partition(" ")[2]


def _cut(said: str, room: int) -> str:
    """The text in so much room; how many messages there are besides (`GET / +2`) stays."""
    text, plus, more = said.rpartition(" +")
    if len(said) <= room or not more.isdigit():
        return fit(said, room)
    return fit(text, room - len(plus + more)) + plus + more


def _arrow(mark: WireMark, text: str, stroke: str, shaft: str) -> str:
    """An arrow to the right, as wide as its column."""
    room = len(shaft)
    if mark.end in ("lost", "unsure") and mark.part == "whole":
        half = room // 2
        sign = "✗" if mark.end == "lost" else "?"
        return f"{stroke} {text} {stroke * half}{sign}{' ' * (room - half)}"
    if mark.part == "leaves":  # it fades out where it is on its way
        faint = min(room, _FAINT)
        return f"{stroke} {text} {stroke * (room - faint)}{'┄' * faint} "
    head = "╳" if mark.end == "spoilt" else "▶"
    if mark.part == "arrives":
        faint = min(room, _FAINT)
        return f"{'┄' * faint}{stroke * (room - faint)} {text} {stroke}{head}"
    if mark.made:
        gap = room // 2
        return f"{' ' * gap}{stroke * (room - gap)} {text} {stroke}{head}"
    return f"{stroke} {text} {shaft}{head}"


def _mirrored(arrow: str, text: str) -> str:
    """The arrow to the left, its text still readable."""
    at = arrow.index(text)
    before, after = arrow[:at], arrow[at + len(text) :]
    return after[::-1].replace("▶", "◀") + text + before[::-1]
