"""Makes text from elsewhere safe to print: whatever a terminal would obey becomes visible instead.

Captured bytes, file names and names of programs are hostile: an ESC in them can rewrite the screen,
a bidi control can make `abc.txt` read backwards (CVE-2021-42574), a zero-width character can hide.
"""

from __future__ import annotations

# Letters by their category, but blank on screen: Hangul fillers and the empty Braille cell.
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def printable(text: str) -> str:
    r"""The text with every character that is not plainly visible written as an escape.

    Kept: letters, marks, digits, punctuation, symbols and the ASCII space. Escaped as `\x1b`,
    `\u202e` or `\U000e0041`: C0 (line feed and tab too), DEL, C1, format characters (bidi, zero
    width), other spaces and separators, surrogates, private and unassigned code points.

    >>> print(printable("red \x1b[31m alert"))
    red \x1b[31m alert
    """
    if text.isprintable() and (text.isascii() or _BLANK_LETTERS.isdisjoint(text)):
        return text
    return "".join(
        c if c.isprintable() and c not in _BLANK_LETTERS else _escaped(ord(c)) for c in text
    )


def _escaped(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"
