"""The fields of a header or a message as lines: where each stands, its value, its bytes, why."""

from __future__ import annotations

from netlab.show.escape import printable
from netlab.show.format import byte_range
from netlab.show.terminal.lines import Line, cells, fit, fold, pieces
from netlab.show.views.blocks import FieldLine, LayerBlock

_OFFSETS = 11  # columns for `65483..65535`
_HEX_BYTES = 8
_HEX_FROM = 72  # columns: from here on bytes stand beside the value, else behind its meaning
_VALUE_LEAST = 12  # columns beside the bytes
_NAMES_SHORT = 20
_TOGETHER = "\0"  # for a blank where no line ends: no text to print has it
_VALUE_LINES = 4  # of a long value; all of it is in the JSON


def field_lines(
    block: LayerBlock, style: str, width: int, data: bytes, start: int, names_most: int
) -> list[Line]:
    """Each field: where it stands, its name, its value, its bytes, and under that what it means.

    `data` begins at offset `start`; without it no bytes are shown.
    """
    names = min(max((len(printable(f.name)) for f in block.fields), default=0), names_most)
    places = [place(field) for field in block.fields]
    offsets = max(_OFFSETS, *map(len, places)) if places else _OFFSETS
    indent = offsets + 2 + names + 2
    # Under a long name too little room would be left for what a field means.
    short = names <= _NAMES_SHORT and width - indent > 3 * _HEX_BYTES
    under = indent if short else offsets + 4
    shown = [raw(field, data, start) for field in block.fields]
    bytes_room = max(map(len, shown), default=0) + 2
    room = width - indent - bytes_room if data else width - indent
    beside = bool(data) and width >= _HEX_FROM and room >= _VALUE_LEAST
    room = room if beside else width - indent
    lines: list[Line] = []
    before = ""
    for field, where, hexadecimal in zip(block.fields, places, shown, strict=True):
        # A source alone is said once of fields that follow each other.
        source = field.source if field.meaning or field.source != before else ""
        before = field.source
        name = printable(field.name)
        line: Line = [(where.rjust(offsets), "dim"), (f"  {name:<{names}}  ", style)]
        if len(name) > names:
            line = [(where.rjust(offsets), "dim"), (f"  {fit(name, width - offsets - 2)}", style)]
            lines.append(line)
            line = [(" " * indent, "")]
        fits = beside and cells(printable(field.text)) <= room
        first, *more = folded(field.text, room if fits else width - indent)
        line.append((first + " " * (room - cells(first)) if fits else first, "bold"))
        if fits:
            line.append((f"  {hexadecimal}", "dim"))
        lines.append(line)
        lines += [[(" " * indent + text, "bold")] for text in more]
        below = _below(field.meaning, source, "" if fits else hexadecimal, width - under)
        lines += [[(" " * under + text, "dim")] for text in below]
    return lines


def _below(meaning: str, source: str, hexadecimal: str, width: int) -> list[str]:
    """What a field means, who says so, and its bytes where they found no room beside its value."""
    parts = (printable(source).replace(" ", _TOGETHER), hexadecimal.replace(" ", _TOGETHER))
    text = "  ".join(filter(None, (printable(meaning), *parts)))
    lines = (line.replace(_TOGETHER, " ").rstrip() for line in fold(text, width))
    return [line for line in lines if line]


def place(field: FieldLine) -> str:
    """Where a field stands: `16..18`; of part of a byte with its bits: `20.3..22`."""
    if field.bit_start == field.bit_stop:
        return ""
    if field.bit_start % 8 == 0 == field.bit_stop % 8:
        return byte_range(field.start, field.stop)
    return f"{_bit(field.bit_start)}..{_bit(field.bit_stop)}"


def _bit(at: int) -> str:
    whole, bit = divmod(at, 8)
    return f"{whole}.{bit}" if bit else f"{whole}"


def raw(field: FieldLine, data: bytes, start: int) -> str:
    """The first bytes of a field: `47 45 54`; of one that is no whole bytes its bits: `0101`."""
    there = data[max(field.start - start, 0) : max(field.stop - start, 0)]
    if field.bit_start % 8 == 0 == field.bit_stop % 8 or len(there) < field.stop - field.start:
        more = "…" if field.stop - field.start > _HEX_BYTES else ""
        return there[:_HEX_BYTES].hex(" ") + (more if there else "")
    wide = field.bit_stop - field.bit_start
    bits = int.from_bytes(there, "big") >> (field.stop * 8 - field.bit_stop) & ((1 << wide) - 1)
    return f"{bits:0{wide}b}"


def folded(text: str, room: int) -> list[str]:
    """Captured text in lines of at most `room`, words or not; a long one is cut."""
    text = printable(text)
    room = max(room, 8)
    most = room * _VALUE_LINES
    return pieces(fit(text, most), room)
