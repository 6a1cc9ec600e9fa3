"""A header as its RFC draws it: 32 bits a row, with the values of one packet in the boxes.

Layers in, lines of text out, 65 columns wide, or 33 with 16 bits a row where there is less room. A
box has the field's name and, below it, its
value; a field of one bit has its letters and its bit one below the other. What does not fit into
its box gets a number there, and its text below the drawing. Read first: RFC 9293 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netlab.model.records import dataclass
from netlab.show.escape import printable
from netlab.show.terminal.lines import fold
from netlab.show.views.blocks import FieldLine, LayerBlock

ROW_BITS = 32
WIDTH = 2 * ROW_BITS + 1
_TENS = " 0                   1                   2                   3"
_ONES = " 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1"
# What the RFCs write in boxes that are too narrow for the whole name.
SHORT = {
    "header length": "IHL",
    "data offset": "offset",
    "differentiated services": "DSCP",
    "more fragments": "MF",
    "don't fragment": "DF",
    "reserved": "rsv",
    "reserved bits": "rs",
    "drop eligible": "DEI",
    "priority": "PCP",
    "time to live": "TTL",
    "hop limit": "hops",
    "kind": "kind",
    "no operation": "NOP",
    "end of options": "EOL",
    "window scale": "wscale",
    "hardware size": "hw size",
    "protocol size": "pr size",
}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A field's part of one row."""

    first: int  # bit of the row
    bits: int
    field: FieldLine
    part: int  # 0: the one with the texts

    @property
    def room(self) -> int:
        return 2 * self.bits - 1


def boxes(layer: LayerBlock, width: int = WIDTH) -> list[str]:
    """The drawing of a header, and what did not fit into it; empty for bytes without a header."""
    row_bits = ROW_BITS if width >= WIDTH else ROW_BITS // 2
    drawn = _drawn(layer) if any(field.source for field in layer.fields) else []
    if not drawn:
        return []
    base = layer.start * 8
    last = max(field.bit_stop for field in drawn)
    lines = [_TENS[: 2 * row_bits], _ONES[: 2 * row_bits]]
    notes = [(printable(f.name), printable(f.text)) for f in layer.fields if f.name == "fault"]
    rows = [_row(drawn, base, at, row_bits) for at in range(base, last, row_bits)]
    lines.append(_rule(rows[0]))
    for number, pieces in enumerate(rows):
        lines += _row_lines(pieces, notes)
        below = rows[number + 1] if number + 1 < len(rows) else []
        lines.append(_rule(pieces, below))
    widest = max((len(name) for name, _ in notes), default=0)
    for name, text in notes:
        first, *rest = fold(text, min(width, WIDTH) - widest - 4)
        lines.append(f"  {name:<{widest}}  {first}")
        lines += [" " * (widest + 4) + more for more in rest]
    return lines


def _drawn(layer: LayerBlock) -> list[FieldLine]:
    """The fields that tile the header: what only sums up others or says more of them is left out.

    An option stands as one box, the numbers in it are its text.
    """
    found: list[FieldLine] = []
    for field in sorted(layer.fields, key=lambda f: (f.bit_start, -f.bit_stop)):
        inside = [f for f in layer.fields if _covers(field, f)]
        empty = field.bit_stop <= field.bit_start
        if empty or field.name == "fault" or (inside and _sums_up(field, inside)):
            continue
        if found and field.bit_start < found[-1].bit_stop:
            continue
        if inside:
            field = replace(field, text=", ".join(_value(part) for part in inside))
        found.append(field)
    return found


def _covers(whole: FieldLine, part: FieldLine) -> bool:
    inside = whole.bit_start <= part.bit_start and part.bit_stop <= whole.bit_stop
    return inside and part is not whole and part.bit_start < part.bit_stop


def _sums_up(whole: FieldLine, parts: Sequence[FieldLine]) -> bool:
    """Whether the parts begin where it does, as the flags of TCP: then they are what is drawn."""
    return min(part.bit_start for part in parts) == whole.bit_start


def _row(fields: Iterable[FieldLine], base: int, at: int, row_bits: int) -> list[_Piece]:
    pieces = []
    for field in fields:
        start, stop = max(field.bit_start, at), min(field.bit_stop, at + row_bits)
        if start < stop:
            pieces.append(
                _Piece((start - base) % row_bits, stop - start, field, _part(field, at, row_bits))
            )
    return pieces


def _part(field: FieldLine, at: int, row_bits: int) -> int:
    """Which part of the field lies in the row at bit `at`, counted from the one with the text: the
    first that is a whole row, or the larger of two."""
    sizes = []
    row = at - (at - field.bit_start + row_bits - 1) // row_bits * row_bits
    while row < field.bit_stop:
        start, stop = max(field.bit_start, row), min(field.bit_stop, row + row_bits)
        if start < stop:
            sizes.append((row, stop - start))
        row += row_bits
    best = max(sizes, key=lambda item: (item[1], -item[0]))[0]
    return (at - best) // row_bits


def _row_lines(pieces: Sequence[_Piece], notes: list[tuple[str, str]]) -> list[str]:
    columns = [_texts(piece, notes) for piece in pieces]
    height = max(len(column) for column in columns)
    lines = []
    for line in range(height):
        text = ""
        for piece, column in zip(pieces, columns, strict=True):
            # Letters that stand one below the other end at the same height as the values.
            before = height - len(column)
            said = column[line - before] if line >= before else ""
            text += "|" + said.center(piece.room)
        lines.append(text + "|")
    return lines


def _texts(piece: _Piece, notes: list[tuple[str, str]]) -> list[str]:
    """What stands in a box, a line each."""
    field, room = piece.field, piece.room
    if piece.part:
        return ["", ""]
    name, value = printable(field.name), _value(field)
    short = SHORT.get(name, name.partition(": ")[0])  # a flag's letter stands before its name
    if field.bit_stop - field.bit_start == 1:
        return [*short[:3], _bit(field)]
    label = name if len(name) <= room else short
    if len(label) > room:
        label = label[: max(room - 1, 0)] + "…" if room > 1 else label[:room]
    if len(value) > room:
        notes.append((name, value))
        value = _brief(field, room)
    return [label, value]


def _value(field: FieldLine) -> str:
    """A field's value without the verdict behind it: `64240`, `0x5ec0`."""
    text = printable(field.text)
    for ending in (" good", " bad", " not ", ":"):
        text = text.partition(ending)[0] if text.startswith("0x") else text
    return text


def _brief(field: FieldLine, room: int) -> str:
    """What of a value that is too long can stand in its box: the number in its brackets, or `*`."""
    number = _value(field).rpartition("(")[2].rstrip(")")
    return number if number and len(number) <= room else "*"


def _bit(field: FieldLine) -> str:
    return "0" if field.text == "not set" else "1" if field.text == "set" else field.text[-1:]


def _rule(above: Sequence[_Piece], below: Sequence[_Piece] = ()) -> str:
    """The line between two rows; open where a field goes on."""
    used = max(piece.first + piece.bits for piece in (*above, *below))
    goes_on = [
        any(_field_at(above, bit) is field for field in [_field_at(below, bit)] if field)
        for bit in range(used)
    ]
    line = "".join(
        ("+ " if not bit or not goes_on[bit - 1] else "  ") if goes_on[bit] else "+-"
        for bit in range(used)
    )
    return line + "+"


def _field_at(pieces: Sequence[_Piece], bit: int) -> FieldLine | None:
    return next((p.field for p in pieces if p.first <= bit < p.first + p.bits), None)
