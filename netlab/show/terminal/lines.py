"""Lines of styled text, and where they are written: plainly to a pipe, through rich to a terminal.

A line is a list of (text, style) chunks, style in rich's words. Data never passes through rich's
markup: chunks become `rich.text.Text`, which interprets nothing. A pipe is written without rich,
which would cost every small command 60 ms for nothing.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from netlab.show.terminal import screen

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Line = list[tuple[str, str]]

LEAST = 60  # columns that every view keeps to
NARROW = 80
WIDE = 120
_FIRST_WIDE = "\u1100"  # before it no letter is wide


def plain(line: Line) -> str:
    """The line without its styles and without trailing blanks."""
    return "".join(text for text, _ in line).rstrip()


def width_of(console: Console | None) -> int:
    """Columns to lay out for: the terminal's, 60 at least and 120 at most; in a pipe COLUMNS."""
    return min(max(columns_of_terminal() if console is None else console.width, LEAST), WIDE)


def columns_of_terminal() -> int:
    """How many columns a line may have: the terminal's; in a pipe COLUMNS if set, else 80."""
    # As shutil.get_terminal_size does it, which imports every kind of archive.
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    with suppress(ValueError, OSError):  # closed, or no terminal
        if sys.stdout.isatty():
            return os.get_terminal_size(sys.stdout.fileno()).columns or NARROW
    return NARROW


def width_for_sentences() -> int:
    """Columns to fold sentences at: the terminal's, 40 at least and 100 at most."""
    return min(max(columns_of_terminal(), 40), 100)


def emit(lines: Iterable[Line], console: Console | None = None) -> None:
    """Write lines to the console, or to the screen: plain where it is no terminal."""
    if console is None:
        if not screen.is_coloured():
            for line in lines:
                screen.write(plain(line) + "\n")
            return
        console = _console()
    for line in lines:
        console.print(text_of(line), soft_wrap=True, highlight=False, markup=False, emoji=False)


def emit_json(view: Any) -> None:
    """Write a view, or several, as JSON."""
    from netlab.show.views.text import as_json

    screen.write(as_json(view) + "\n")


def emit_json_list(views: Iterable[Any]) -> None:
    """Write views as a list in JSON, one after the other as they are made."""
    from netlab.show.views.text import json_list

    for piece in json_list(views):
        screen.write(piece)
    screen.write("\n")


def _console() -> Console:
    from rich.console import Console

    return Console(
        file=cast("IO[str]", _Screen()),
        force_terminal=True,
        no_color=False,  # whether there are colours has been decided
        highlight=False,
        emoji=False,
        markup=False,
    )


class _Screen:
    """The screen as a file, for rich."""

    def write(self, text: str) -> None:
        screen.write(text)

    def flush(self) -> None:
        """Nothing is kept here."""


def text_of(line: Line) -> Text:
    """The line as rich knows it."""
    from rich.text import Text

    text = Text()
    for chunk, style in line:
        text.append(chunk, style or None)
    text.rstrip()
    return text


def cells(text: str) -> int:
    """Columns that a text takes: two for each letter that terminals draw wide (UAX 11)."""
    if text.isascii():
        return len(text)
    return len(text) + sum(map(_is_wide, text))


def _is_wide(letter: str) -> bool:
    return letter >= _FIRST_WIDE and unicodedata.east_asian_width(letter) in "WF"


def fit(text: str, width: int) -> str:
    """The text in at most `width` columns; a cut shows as `…`."""
    if cells(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while kept and cells(kept) >= width:
        kept = kept[:-1]
    return kept + "…"


def first_fitting(texts: Sequence[str], width: int) -> str:
    """The first text that fits, else the last one cut."""
    return next((text for text in texts if cells(text) <= width), fit(texts[-1], width))


def pieces(text: str, width: int) -> list[str]:
    """The text in pieces of at most `width` columns, words or not; one that is empty of none."""
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    found = [""]
    used = 0
    for letter in text:
        wide = cells(letter)
        if found[-1] and used + wide > width:
            found.append("")
            used = 0
        found[-1] += letter
        used += wide
    return found


def fold(text: str, width: int, indent: str = "") -> list[str]:
    """The text in lines of at most `width`, later ones indented; long words stand alone."""
    lines: list[str] = []
    current = ""
    used = 0
    for word in text.split(" "):
        size = cells(word)
        if current and used + 1 + size > width:
            lines.append(current)
            current = indent + word
            used = len(indent) + size
        else:
            used += size + (1 if current else 0)
            current = f"{current} {word}" if current else word
    return [*lines, current]


def left_out_line(count: int) -> Line:
    """That there are so many more."""
    return [(f"… {count:,} more: --limit 0 shows all", "italic")]
