"""What a connection's ends said to each other, as text, hexadecimal, C arrays, or the bytes alone.

On lines nothing of the bytes is obeyed: what is not plainly visible is escaped. Raw bytes go to
files and pipes as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from netlab.model.tables import Side
from netlab.show.escape import printable
from netlab.show.format import byte_count, byte_range
from netlab.show.terminal.lines import NARROW, Line, fold
from netlab.show.views.content import Chunk, Conflict, Content

_STYLES = {Side.CLIENT: "cyan", Side.SERVER: "green"}
_C_ROW = 12
_HEX_WIDTH = 80  # columns of sixteen bytes
_TEXT_ROW = 4096  # a line without an end is cut here, so that a terminal need not hold megabytes


def content_lines(view: Content, form: str, width: int = NARROW) -> Iterator[Line]:
    """The chunks, each under the frame that brought it, then what is not certain.

    Text is as wide as it is: it was not made for a terminal.
    """
    for chunk in view.chunks:
        yield _head(chunk)
        if chunk.frame is None:
            continue
        data = bytes(chunk.data)
        if form == "hex":
            yield from _hex(data, chunk.start, 16 if width >= _HEX_WIDTH else 8)
        else:
            yield from _text(data)
    if not view.chunks:
        yield [("(no bytes)", "italic")]
    for conflict in view.conflicts:
        for text in fold(_conflict(conflict), width):
            yield [(text, "bold red")]


def c_lines(view: Content) -> Iterator[str]:
    """C source: an array for each chunk."""
    for number, chunk in enumerate(view.chunks):
        where = f"{chunk.side} {byte_range(chunk.start, chunk.stop)}"
        if chunk.frame is None:
            yield f"/* {where}: missing */"
            continue
        yield f"/* frame {chunk.frame}, {where} */"
        yield f"static const unsigned char chunk_{number}[{chunk.size}] = {{"
        data = bytes(chunk.data)
        for at in range(0, len(data), _C_ROW):
            row = ", ".join(f"0x{byte:02x}" for byte in data[at : at + _C_ROW])
            yield f"    {row},"
        yield "};"


def write_raw(view: Content, out: BinaryIO) -> None:
    """The bytes alone."""
    for chunk in view.chunks:
        out.write(chunk.data)


def notes_of(view: Content) -> list[str]:
    """What a reader of the bytes alone must know, a line each."""
    missing = [
        f"{chunk.side} bytes {byte_range(chunk.start, chunk.stop)} are missing in the capture"
        for chunk in view.chunks
        if chunk.frame is None
    ]
    return missing + [_conflict(conflict) for conflict in view.conflicts]


def _head(chunk: Chunk) -> Line:
    arrow = "→" if chunk.side is Side.CLIENT else "←"
    where = f"{chunk.side} {byte_range(chunk.start, chunk.stop)}"
    if chunk.frame is None:
        return [(f"{arrow} {where}  {byte_count(chunk.size)} missing", "bold red")]
    return [(f"{arrow} {where}", f"bold {_STYLES[chunk.side]}"), (f"  frame {chunk.frame}", "dim")]


def _text(data: bytes) -> Iterator[Line]:
    for row in data.splitlines(keepends=True):
        line = row.removesuffix(b"\n").removesuffix(b"\r")
        for at in range(0, len(line) or 1, _TEXT_ROW):
            part = line[at : at + _TEXT_ROW].decode("utf-8", "backslashreplace")
            yield [(f"  {printable(part)}", "")]


def _hex(data: bytes, start: int, row_bytes: int) -> Iterator[Line]:
    """Sixteen a row, or eight, counted from the beginning of the stream."""
    for at in range(0, len(data), row_bytes):
        row = data[at : at + row_bytes]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        halves = "  ".join(
            f"{row[half : half + 8].hex(' '):<23}" for half in range(0, row_bytes, 8)
        )
        yield [(f"  {start + at:>8}  ", "dim"), (f"{halves}  ", ""), (text, "dim")]


def _conflict(conflict: Conflict) -> str:
    where = f"{conflict.side} {byte_range(conflict.start, conflict.stop)}"
    return (
        f"frames {conflict.frame} and {conflict.other_frame} hold different bytes for {where}: "
        f"those of frame {conflict.frame} are shown"
    )
