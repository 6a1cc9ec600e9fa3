"""Bytes as a hexadecimal dump, coloured by layer and marked where fields begin."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.format import byte_count
from netlab.show.terminal.lines import Line
from netlab.show.views.blocks import LayerBlock

LAYER_STYLES = ("cyan", "green", "yellow", "magenta", "blue")
DUMP_ROWS = 32
_START, _STOP = "><"  # around what is marked
_WIDE = 75  # columns of a row of sixteen bytes


def dump_lines(
    data: bytes,
    base: int,
    blocks: Sequence[LayerBlock],
    most_rows: int,
    *,
    there: int | None = None,
    width: int = _WIDE,
) -> list[Line]:
    """The bytes: `[` where a layer begins, `|` where a field does; at most so many rows (0: all).

    `base` is the offset of the first byte, `there` how many there are where not all are at hand.
    """
    each = 16 if width >= _WIDE else 8
    kept = data[: most_rows * each] if most_rows > 0 else data
    end = base + len(kept)
    signs: dict[int, str] = {}
    for layer in blocks:
        for field in layer.fields:
            signs[field.start] = "|"
    for layer in blocks:
        signs[layer.start] = "["
    lines: list[Line] = [[("bytes", "bold"), ("  [ a layer begins, | a field begins", "dim")]]
    lines += _rows(kept, base, signs, _styles(blocks, base, end), each)
    left = (len(data) if there is None else there) - len(kept)
    if left:
        lines.append([(f"        … {byte_count(left)} more: --limit 0 shows all", "italic")])
    return lines


def marked_lines(
    data: bytes, blocks: Sequence[LayerBlock], marked: tuple[int, int], width: int = _WIDE
) -> list[Line]:
    """The rows that hold the `marked` bytes and one on either side: they stand between > and <."""
    each = 16 if width >= _WIDE else 8
    first, stop = marked
    base = max(first // each - 1, 0) * each
    kept = data[base : min((max(stop - 1, first) // each + 2) * each, base + DUMP_ROWS * each)]
    styles = _styles(blocks, base, base + len(kept))
    for at in range(first, stop):
        styles[at] = f"{styles.get(at, '')} reverse".strip()
    signs = {first: _START, stop: _STOP} if stop > first else {}
    return _rows(kept, base, signs, styles, each)


def _styles(blocks: Sequence[LayerBlock], base: int, end: int) -> dict[int, str]:
    """The colour of each byte: its layer's."""
    return {
        at: LAYER_STYLES[number % len(LAYER_STYLES)]
        for number, layer in enumerate(blocks)
        for at in range(max(layer.start, base), min(layer.stop, end))
    }


def _rows(
    data: bytes, base: int, signs: dict[int, str], styles: dict[int, str], each: int
) -> list[Line]:
    """Rows of so many bytes `each`, with their signs and colours, and their letters behind."""
    lines: list[Line] = []
    for row in range(0, len(data), each):
        chunk = data[row : row + each]
        line: Line = [(f"{base + row:>7}  ", "dim")]
        for at, byte in enumerate(chunk, base + row):
            sign = signs.get(at, " ")
            line += [(" " if sign == _STOP and at == base + row else sign, "bold")]
            line += [(f"{byte:02x}", styles.get(at, ""))]
        # What ends with the row ends in it.
        line.append((_STOP if signs.get(base + row + len(chunk)) == _STOP else " ", "bold"))
        line.append(("   " * (each - len(chunk)) + " ", ""))
        line.append(("".join(chr(b) if 32 <= b < 127 else "·" for b in chunk), "dim"))
        lines.append(line)
    return lines
