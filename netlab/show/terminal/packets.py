"""The list of packets, and one packet with its fields and bytes, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from netlab.model.frame import WIRE
from netlab.model.tables import columns
from netlab.show.escape import printable
from netlab.show.format import Ruler, byte_count, byte_range, count, duration, instant
from netlab.show.terminal.boxes import boxes
from netlab.show.terminal.dump import DUMP_ROWS, LAYER_STYLES, dump_lines, marked_lines
from netlab.show.terminal.ends import end_widths
from netlab.show.terminal.fields import field_lines
from netlab.show.terminal.lines import Line, cells, first_fitting, fit, fold, left_out_line, pieces
from netlab.show.terminal.messages import part_lines
from netlab.show.views.blocks import LayerBlock
from netlab.show.views.messages import MessagePart
from netlab.show.views.packets import (
    FRAME,
    FieldView,
    PacketLine,
    PacketView,
    WayView,
    WholeView,
    link_text,
)
from netlab.show.views.verdicts import VerdictView

_NAMES_MOST = 24
_BESIDE_FROM = 116  # columns: from here on the bytes stand beside the fields, else under them
_BYTES_ROOM = 45  # columns for eight bytes a row, and a margin
_CHANGES = 8  # places that a wire changed are shown one by one
_PROTOCOL_MOST = 8
_INFO_LEAST = 16  # columns; with less, what a packet says stands on a line of its own
_END_HEADS = ("source", "destination")
_COLUMNS = frozenset(column.name for column in columns("packets"))


class PacketList:
    """A line a packet, under a head; a second one where its ends leave no room for the rest.

    How wide the columns are follows from some rows, or all: `last` has the largest frame number
    and the latest time, `ends` are those of rows that are not among them.
    """

    def __init__(
        self,
        rows: Sequence[PacketLine],
        width: int,
        last: tuple[int, int],
        ends: Iterable[tuple[str, str]] = (),
    ) -> None:
        frame, time_ns = last
        self._width = width
        self._ruler = Ruler(time_ns)
        self._number = max(len(str(frame)), len("frame"))
        self._protocol = min(max((len(row.protocol) for row in rows), default=0), _PROTOCOL_MOST)
        self._indent = self._number + 2 + self._ruler.width + 2
        shown = [(printable(row.source), printable(row.destination)) for row in rows]
        room = width - self._indent - len(" → ") - 2 - self._protocol - 2 - _INFO_LEAST
        self._widths = end_widths([_END_HEADS, *shown, *ends], room)

    def head(self) -> Line:
        """What the columns are."""
        names = f"  {_ends_text(*_END_HEADS, *self._widths)}  protocol, info"
        return [
            ("frame".rjust(self._number), "dim"),
            (f"  {self._ruler.unit.rjust(self._ruler.width)}", "dim"),
            (fit(names, self._width - self._indent + 2), "dim"),
        ]

    def lines(self, row: PacketLine) -> list[Line]:
        """The line of a packet, or two."""
        indent, width = self._indent, self._width
        lines: list[Line] = []
        source, destination = printable(row.source), printable(row.destination)
        when = f"  {self._ruler(row.time_ns)}  "
        head: Line = [(f"{row.frame:>{self._number}}", "bold"), (when, "dim")]
        what = f"  {printable(row.protocol):<{self._protocol}}  "
        between = _ends_text(source, destination, *self._widths)
        if indent + len(between.rstrip()) > width:
            if indent + len(source) + 2 > width:  # an IPv6 address, on a narrow terminal
                lines.append(head)
                head = [(" " * max(width - len(source) - 2, 2), "")]
            lines.append([*head, (f"{source} →", "")])
            at = min(indent, max(width - len(destination.rstrip()), 2))
            head, between = [(" " * at, "")], destination
            if at < indent:
                lines.append([*head, (between, "")])
                head, between = [(" " * indent, "")], ""
        left = width - indent - len(between) - len(what)
        if left < min(_INFO_LEAST, len(row.info)):
            lines.append([*head, (between.rstrip(), "")])
            head, between, what = [(" " * indent, "")], "", what[2:]
            left = width - indent - len(what)
        said = first_fitting([printable(text) for text in (row.info, *row.shorter)], left)
        return [*lines, [*head, (between, ""), (what, "cyan"), (said, "")]]


def list_lines(rows: Sequence[PacketLine], left_out: int, width: int) -> list[Line]:
    """The packets, and how many there are more."""
    last = max((row.frame for row in rows), default=0), max((r.time_ns for r in rows), default=0)
    drawn = PacketList(rows, width, last)
    lines = [drawn.head(), *(line for row in rows for line in drawn.lines(row))]
    return [*lines, left_out_line(left_out)] if left_out else lines


def _ends_text(source: str, destination: str, left: int, right: int) -> str:
    return f"{source:<{left}} → {destination:<{right}}"


def packet_lines(view: PacketView, width: int, limit: int | None) -> list[Line]:
    """One packet: what it is, its calls, its fields with their offsets, its bytes marked."""
    lines = _head(view, width)
    if view.way is not None:
        lines += [[], *_way(view.way, view.since_first_ns, width)]
    if view.verdict is not None:
        lines += [[], *_verdict(view.verdict, width)]
    if view.calls:
        lines += [[], [("calls", "bold")]]
        widest = max(len(link.role) for link in view.calls)
        lines += [
            [(f"  {link.role:<{widest}}  ", "cyan"), (printable(link_text(link)), "")]
            for link in view.calls
        ]
    rows = DUMP_ROWS if limit is None else limit
    lines += _tree_and_bytes(view.layers, view.messages, view.data, width, rows)
    if view.whole is not None:
        lines += [[], *_put_together(view.whole, width, rows)]
    for text in view.notes:
        lines += [[], *([(line, "italic")] for line in fold(printable(text), width))]
    if view.deep:
        lines += [[], [("scapy", "bold")]]
        folded = (_beneath(printable(text), width - 2) for text in view.deep)
        lines += [[(f"  {text}", "")] for texts in folded for text in texts]
    return lines


def _tree_and_bytes(
    layers: Sequence[LayerBlock],
    messages: Sequence[MessagePart],
    data: bytes,
    width: int,
    rows: int,
) -> list[Line]:
    """The layers with their fields, and the bytes: beside them where there is room, else below."""
    beside = width >= _BESIDE_FROM
    room = width - _BYTES_ROOM if beside else width
    tree: list[Line] = []
    for number, layer in enumerate(layers):
        tree += [[], *_layer(layer, LAYER_STYLES[number % len(LAYER_STYLES)], room, data)]
    for number, part in enumerate(messages, len(layers)):
        tree += [[], *part_lines(part, LAYER_STYLES[number % len(LAYER_STYLES)], room)]
    blocks = [*layers, *(block for part in messages for block in part.blocks)]
    if not beside:
        return [*tree, [], *dump_lines(data, 0, blocks, rows, width=width)]
    # Half as many bytes stand in a row: twice as many rows show as much.
    dump = [[], *dump_lines(data, 0, blocks, rows * 2, width=_BYTES_ROOM - 2)]
    nothing: Line = []
    both = zip_longest(tree, dump, fillvalue=nothing)
    return [_beside(left, right, room) for left, right in both]


def _beside(left: Line, right: Line, room: int) -> Line:
    if not right:
        return left
    used = sum(cells(text) for text, _ in left)
    return [*left, (" " * (room - used + 2), ""), *right]


def _verdict(verdict: VerdictView, width: int) -> list[Line]:
    """What tshark says of a segment, what netlab says, why, and which frames show it."""
    mine = f"{verdict.netlab}: {verdict.reason}" if verdict.reason else verdict.netlab
    facts = [("tshark", verdict.tshark or "nothing"), ("netlab", mine or "nothing")]
    if verdict.frames:
        many = "s" if len(verdict.frames) > 1 else ""
        facts.append(("evidence", f"frame{many} {', '.join(map(str, verdict.frames))}"))
    lines: list[Line] = [[("verdict" if verdict.agree else "verdicts that differ", "bold")]]
    for name, text in facts:
        first, *rest = fold(text, width - 12)
        lines.append([(f"  {name:<8}  ", "cyan"), (first, "")])
        lines += [[(" " * 12 + more, "")] for more in rest]
    return lines


def _put_together(whole: WholeView, width: int, rows: int) -> list[Line]:
    """The packet that came in fragments, with its own offsets."""
    lines = _whole_head(whole, width)
    return [*lines, *_tree_and_bytes(whole.layers, (), whole.data, width, rows)]


def _whole_head(whole: WholeView, width: int) -> list[Line]:
    frames = ", ".join(map(str, whole.frames))
    text = f"reassembled from frames {frames}: {byte_count(len(whole.data))}"
    return [[(line, "bold")] for line in fold(text, width)]


def _head(view: PacketView, width: int) -> list[Line]:
    cut = "" if view.caplen_bytes == view.origlen_bytes else f" of {byte_count(view.origlen_bytes)}"
    place = "" if view.connection is None else f", connection {view.connection}"
    where = f" on {printable(view.interface)}" if view.interface else ""
    when = f"{instant(view.time_ns)}, {duration(view.since_first_ns)} after the first frame"
    head = f"frame {view.frame}"
    first, *rest = fold(printable(view.info), width - len(head) - 2)
    return [
        [(head, "bold"), (f"  {first}", "")],
        *([(" " * (len(head) + 2) + more, "")] for more in rest),
        *(
            [(text, "")]
            for text in fold(f"{byte_count(view.caplen_bytes)}{cut}{where}{place}", width)
        ),
        *_elsewhere(view),
        *([(text, "dim")] for text in fold(when, width)),
    ]


def _elsewhere(view: PacketView) -> list[Line]:
    """Of a fragment, where its packet was whole."""
    if view.whole_in in (None, view.frame):
        return []
    return [[(f"a fragment: its packet was whole with frame {view.whole_in}", "")]]


def box_lines(view: PacketView, width: int) -> list[Line]:
    """One packet: what it is, and each header as its RFC draws it."""
    lines = _head(view, width)
    lines += _drawn(view.layers, width)
    if view.whole is not None:
        lines += [[], *_whole_head(view.whole, width), *_drawn(view.whole.layers, width)]
    return lines


def _drawn(layers: Sequence[LayerBlock], width: int) -> list[Line]:
    lines: list[Line] = []
    for number, layer in enumerate(layers):
        style = LAYER_STYLES[number % len(LAYER_STYLES)]
        lines += [[], _layer_head(layer, style)]
        lines += [[(text, "")] for text in boxes(layer, width)]
    return lines


def explained_lines(view: PacketView, found: Sequence[FieldView], width: int) -> list[Line]:
    """What a field is, where it stands, what it says and who says so; its bytes among others."""
    lines: list[Line] = []
    for one in found:
        field, layer = one.field, one.layer
        at = field.bit_start - layer.start * 8
        bits = field.bit_stop - field.bit_start
        facts = [
            ("value", field.text),
            ("means", field.meaning),
            ("where", f"bit {at} of the {layer.name} header, {count(bits, 'bit')} wide"),
            ("bytes", f"{byte_range(field.start, field.stop)} of {one.within}"),
            ("defined in", field.source),
        ]
        if field.column in _COLUMNS:
            facts.append(("column", f"{field.column} of packets"))
        lines += [[]] if lines else []
        lines.append([(one.name, "bold")])
        for name, text in facts:
            first, *rest = fold(printable(text), width - 14)
            lines.append([(f"  {name:<10}  ", "cyan"), (first, "")])
            lines += [[(" " * 14 + more, "")] for more in rest]
        whole = view.whole if one.within != FRAME else None
        lines += marked_lines(
            view.data if whole is None else whole.data,
            view.layers if whole is None else whole.layers,
            (field.start, field.stop), width,
        )  # fmt: skip
    return lines


def _way(way: WayView, since_first_ns: int, width: int) -> list[Line]:
    """Where it left, where and when it arrived, and what the wire did on the way."""
    made = f"made by the {way.sender}" if way.sender == WIRE else f"left {way.sender}"
    at = f" at {way.receiver}" if way.receiver else ""
    facts = [("departure", f"{duration(since_first_ns)}  {made}")]
    if way.took_ns is not None:
        arrived = duration(since_first_ns + way.took_ns)
        facts.append(("arrival", f"{arrived}  +{duration(way.took_ns)}{at}"))
    if way.late_ns is not None:
        facts.append(("lateness", f"{duration(way.late_ns)}  more than the rules said"))
    facts.append(("fate", way.fate))
    if way.rule:
        facts.append(("rule", way.rule))
    facts += [(f"byte {at}", f"{left} → {now}") for at, left, now in way.changed[:_CHANGES]]
    if len(way.changed) > _CHANGES:
        facts.append(("bytes", f"… and {len(way.changed) - _CHANGES} more places"))
    widest = max(len(name) for name, _ in facts)
    lines: list[Line] = [[("wire", "bold")]]
    for name, text in facts:
        first, *rest = fold(printable(text), width - widest - 4)
        lines.append([(f"  {name:<{widest}}  ", "cyan"), (first, "")])
        lines += [[(" " * (widest + 4) + more, "")] for more in rest]
    if way.spoilt:
        text = "  its receiver threw it away: a checksum or a header is wrong"
        lines.append([(text, "bold red")])
    return lines


def _beneath(text: str, width: int) -> list[str]:
    """The text in lines of at most `width`; of `name = value` the value stays in its column."""
    name, equals, _ = text.partition("= ")
    indent = len(name + equals) if equals and len(name) < width // 2 else 0
    room = width - indent
    value = text[indent:]
    first, *rest = pieces(value, room)
    return [text[:indent] + first, *(" " * indent + piece for piece in rest)]


def _layer(layer: LayerBlock, style: str, width: int, data: bytes) -> list[Line]:
    bits = next((field.bit_stop for field in layer.fields if field.bit_stop % 8), None)
    head = _layer_head(layer, style)
    if bits is not None:
        byte, bit = divmod(bits, 8)
        head.append((f"  ({byte}.{bit}: bit {bit} of byte {byte})", "dim"))
    return [head, *field_lines(layer, style, width, data, 0, _NAMES_MOST)]


def _layer_head(layer: LayerBlock, style: str) -> Line:
    return [
        (printable(layer.name), f"bold {style}"),
        (f"  bytes {byte_range(layer.start, layer.stop)}", "dim"),
    ]
