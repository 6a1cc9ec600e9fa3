"""The list of messages, one message with its fields and bytes, and a frame's parts, as lines."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.model.tables import Direction
from netlab.show.escape import printable
from netlab.show.format import Ruler, byte_count, byte_range, count, duration
from netlab.show.terminal.dump import DUMP_ROWS, LAYER_STYLES, dump_lines
from netlab.show.terminal.fields import field_lines, folded
from netlab.show.terminal.lines import Line, cells, first_fitting, fit, fold, left_out_line
from netlab.show.views.blocks import LayerBlock
from netlab.show.views.messages import MessageLine, MessagePart, MessageView, Spoken

DEFAULT_LIMIT = 200
_ONE_LINE = 72  # columns: with fewer, what a message says stands on a line of its own
_NAMES_MOST = 20
_FRAMES_SHOWN = 8


def list_lines(rows: Sequence[MessageLine], left_out: int, width: int) -> list[Line]:
    """A line a message, under a head; two where there is little room."""
    if not rows:
        return [[("(no messages of a protocol that netlab reads)", "italic")]]
    ruler = Ruler(max(row.time_ns for row in rows))
    number = max(len(str(rows[-1].message or "")), 3)
    place = max(len(str(max(row.connection for row in rows))) + 2, 4)
    protocol = max(len("protocol"), *(len(row.protocol) for row in rows))
    sizes = [byte_count(row.size_bytes) for row in rows]
    size = max(map(len, sizes))
    frames = [_frames_text(row.frames) for row in rows]
    widest = max(len("frames"), *map(len, frames))
    head = f"{'msg':>{number}}  {ruler.unit.rjust(ruler.width)}  {'conn':<{place}}  "
    head += f"{'protocol':<{protocol}}  "
    room = width - len(head)
    beside = width >= _ONE_LINE and room - size - widest - 4 >= 20
    text_room = room - size - widest - 4 if beside else width - number - 2
    tail = f"{'size':>{size}}  frames"
    first = head + (f"{'message':<{text_room}}  {tail}" if beside else tail)
    lines: list[Line] = [[(first.rstrip(), "dim")]]
    for row, size_text, frame_text in zip(rows, sizes, frames, strict=True):
        arrow = "→" if row.direction == Direction.C2S else "←"
        before: Line = [
            (f"{row.message or '-':>{number}}", "bold"),
            (f"  {ruler(row.time_ns)}  ", "dim"),
            (f"{f'{row.connection} {arrow}':<{place}}  ", ""),
            (f"{printable(row.protocol):<{protocol}}  ", "cyan"),
        ]
        if not beside:
            frame_text = first_fitting(
                [frame_text, frame_text.partition(" (")[0]], width - len(head) - size - 2
            )
        end = (f"{size_text:>{size}}  {frame_text}", "dim")
        said = _said(row, text_room)
        if beside:
            used = sum(cells(text) for text, _ in said)
            lines.append([*before, *said, (" " * (text_room - used + 2), ""), end])
        else:
            lines += [[*before, end], [(" " * (number + 2), ""), *said]]
    if left_out:
        lines.append(left_out_line(left_out))
    return lines


def spoken_lines(spoken: Spoken, width: int) -> list[Line]:
    """What a connection speaks, and how that is known."""
    head = f"connection {spoken.connection}"
    text = "nothing that netlab reads; --decode-as says what it is"
    if spoken.protocol:
        how = f"by its {spoken.how}" if spoken.how != "--decode-as" else f"as {spoken.how} says"
        text = f"{spoken.protocol}, {how}"
    first, *rest = fold(f"{head}: {text}", width)
    return [[(first, "")], *([(more, "")] for more in rest)]


def _said(row: MessageLine, room: int) -> Line:
    """What a message says; what of it could not be read has a third of the room at least."""
    text = printable(row.text)
    if row.fault is None:
        return [(fit(text, room), "")]
    fault = f"  [{printable(row.fault)}]"
    text = fit(text, max(room - len(fault), room - max(room // 3, 16)))
    return [(text, ""), (fit(fault, room - cells(text)), "bold red")]


def _frames_text(frames: Sequence[int]) -> str:
    """`4`, `6, 8`, `34..51 (9)`."""
    if len(frames) <= 2:
        return ", ".join(map(str, frames))
    return f"{frames[0]}..{frames[-1]} ({len(frames)})"


def message_lines(view: MessageView, width: int, limit: int | None) -> list[Line]:
    """One message: what it is, who carried and moved it, its fields, its bytes."""
    row = view.line
    ends = ("client", "server") if row.direction == Direction.C2S else ("server", "client")
    took = f" until {duration(row.time_ns + row.took_ns)}" if row.took_ns else ""
    lines = _titled(f"message {row.message}", f"{row.protocol}  {row.text}", width)
    facts = [
        f"{ends[0]} to {ends[1]} of connection {row.connection}, "
        f"bytes {byte_range(view.start, view.stop)}, {byte_count(row.size_bytes)}",
        f"{duration(row.time_ns)}{took} after the first frame",
    ]
    lines += [[(text, "")] for fact in facts for text in fold(fact, width)]
    if row.fault is not None:
        lines += [[(text, "bold red")] for text in fold(f"not read: {printable(row.fault)}", width)]
    shown = len(view.frames) if limit == 0 else _FRAMES_SHOWN
    lines += [[], [("frames", "bold"), (f"  {len({c.frame for c in view.frames})}", "dim")]]
    for carrier in view.frames[:shown]:
        where = byte_range(carrier.start, carrier.stop)
        lines.append([(f"  frame {carrier.frame}", "cyan"), (f"  {where}", "")])
    if len(view.frames) > shown:
        lines.append([(f"  … {len(view.frames) - shown:,} more: --limit 0 shows all", "italic")])
    if view.calls:
        lines += [[], [("calls", "bold")]]
    for call in view.calls:
        text = f"{call.actor} {call.op} #{call.call}, bytes {byte_range(call.start, call.stop)}"
        lines.append([(f"  {call.side:<8}  ", "cyan"), (printable(text), "")])
    for number, block in enumerate(view.blocks):
        style = LAYER_STYLES[number % len(LAYER_STYLES)]
        title = f"{block.name}  {view.texts[number]}" if number else block.name
        lines += [[], *_ranged(title, block, f"bold {style}", width)]
        lines += field_lines(block, style, width, view.data, view.start - view.base, _NAMES_MOST)
    rows = DUMP_ROWS if limit is None else limit
    start = view.start - view.base
    there = view.stop - view.start
    lines += [[], *dump_lines(view.data, start, view.blocks, rows, there=there, width=width)]
    return lines


def part_lines(part: MessagePart, style: str, width: int) -> list[Line]:
    """What a frame holds of a message."""
    lines = _titled(part.protocol, part.text, width, style)
    name = "message" if part.message is None else f"message {part.message}"
    of = f", one of {count(part.frames, 'frame')}" if part.frames > 1 else ""
    said = {"whole": "all of it", "begins": "begins here", "ends": "ends here"}.get(part.part)
    where = f"  bytes {byte_range(part.start, part.stop)}  {name}: {said or 'goes on'}{of}"
    lines += [[(text, "dim")] for text in fold(where, width, "  ")]
    if part.fault is not None:
        text = f"  not read: {printable(part.fault)}"
        lines += [[(text, "bold red")] for text in fold(text, width, "  ")]
    for number, block in enumerate(part.blocks):
        if number:
            lines += _ranged(f"  {part.texts[number]}", block, style, width)
        lines += field_lines(block, style, width, b"", 0, _NAMES_MOST)
    return lines


def _titled(head: str, text: str, width: int, style: str = "") -> list[Line]:
    first, *rest = folded(text, width - len(head) - 2)
    return [
        [(printable(head), f"bold {style}".strip()), (f"  {first}", "")],
        *([(" " * (len(head) + 2) + more, "")] for more in rest),
    ]


def _ranged(title: str, block: LayerBlock, style: str, width: int) -> list[Line]:
    where = f"  bytes {byte_range(block.start, block.stop)}"
    return [[(fit(printable(title), width - len(where)), style), (where, "dim")]]
