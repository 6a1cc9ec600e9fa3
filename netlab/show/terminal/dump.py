"""Bytes as a hexadecimal dump, coloured by layer and marked where fields begin."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.show.format import byte_count
from netlab.show.terminal.lines import Line
from netlab.show.views.blocks import LayerBlock

LAYER_STYLES = ("cyan", "green", "yellow", "magenta", "blue")
DUMP_ROWS = 32
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
    layer_at: dict[int, str] = {}
    signs: dict[int, str] = {}
    each = 16 if width >= _WIDE else 8
    kept = data[: most_rows * each] if most_rows > 0 else data
    end = base + len(kept)
    for number, layer in enumerate(blocks):
        for field in layer.fields:
            signs[field.start] = "|"
        for at in range(max(layer.start, base), min(layer.stop, end)):
            layer_at[at] = LAYER_STYLES[number % len(LAYER_STYLES)]
    for layer in blocks:
        signs[layer.start] = "["
    lines: list[Line] = [[("bytes", "bold"), ("  [ a layer begins, | a field begins", "dim")]]
    for row in range(0, len(kept), each):
        chunk = kept[row : row + each]
        line: Line = [(f"{base + row:>7}  ", "dim")]
        for at, byte in enumerate(chunk, base + row):
            line += [(signs.get(at, " "), "bold"), (f"{byte:02x}", layer_at.get(at, ""))]
        line.append(("   " * (each - len(chunk)) + "  ", ""))
        line.append(("".join(chr(b) if 32 <= b < 127 else "·" for b in chunk), "dim"))
        lines.append(line)
    left = (len(data) if there is None else there) - len(kept)
    if left:
        lines.append([(f"        … {byte_count(left)} more: --limit 0 shows all", "italic")])
    return lines
