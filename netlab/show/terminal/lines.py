"""Lines of styled text, and where they are written: plainly to a pipe, through rich to a terminal.

A line is a list of (text, style) chunks, style in rich's words. Data never passes through rich's
markup: chunks become `rich.text.Text`, which interprets nothing. A pipe is written without rich,
which would cost every small command 60 ms for nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Line = list[tuple[str, str]]

NARROW = 80
WIDE = 120


def plain(line: Line) -> str:
    """The line without its styles and without trailing blanks."""
    return "".join(text for text, _ in line).rstrip()


def width_of(console: Console | None) -> int:
    """Columns to lay out for: the terminal's, 80 at least and 120 at most; 80 in a pipe."""
    if console is not None:
        return min(max(console.width, NARROW), WIDE)
    if not coloured():
        return NARROW
    return min(max(columns_of_terminal(), NARROW), WIDE)


def columns_of_terminal() -> int:
    """How many columns a line may have: the terminal's; in a pipe COLUMNS if set, else 80."""
    # As shutil.get_terminal_size does it, which imports every kind of archive.
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    if sys.__stdout__ is not None:
        with suppress(ValueError, OSError):  # closed, or no terminal
            return os.get_terminal_size(sys.__stdout__.fileno()).columns or NARROW
    return NARROW


def emit(lines: Iterable[Line], console: Console | None = None) -> None:
    """Write lines to the console, or to standard output: plain where it is no terminal."""
    if console is None:
        if not coloured():
            for line in lines:
                sys.stdout.write(plain(line) + "\n")
            return
        from rich.console import Console

        console = Console(highlight=False, emoji=False, markup=False)
    for line in lines:
        console.print(text_of(line), soft_wrap=True, highlight=False, markup=False, emoji=False)


def text_of(line: Line) -> Text:
    """The line as rich knows it."""
    from rich.text import Text

    text = Text()
    for chunk, style in line:
        text.append(chunk, style or None)
    text.rstrip()
    return text


def fit(text: str, width: int) -> str:
    """The text in at most `width` characters; a cut shows as `…`."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def first_fitting(texts: Sequence[str], width: int) -> str:
    """The first text that fits, else the last one cut."""
    return next((text for text in texts if len(text) <= width), fit(texts[-1], width))


def fold(text: str, width: int, indent: str = "") -> list[str]:
    """The text in lines of at most `width`, later ones indented; long words stand alone."""
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        if current and len(current) + 1 + len(word) > width:
            lines.append(current)
            current = indent + word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]


def coloured() -> bool:
    """Whether standard output is a terminal that knows colours, or colours were asked for."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
