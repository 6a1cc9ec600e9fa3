"""The table of options as text: for `netlab serve --help` and for the rows printed at start."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from enum import Enum
from itertools import groupby

from netlab.server.settings.option_table import OPTIONS, Alias, Option

WIDTH = 80
_INDENT = " " * 6


def value_text(value: object) -> str:
    """A value as users would type it."""
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return repr(value)[2:-1]
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or value == "":
        return "none"
    if callable(value):
        return str(getattr(value, "__qualname__", value))
    return str(value)


def help_text(options: Iterable[Option] = OPTIONS, width: int = WIDTH) -> str:
    """All options by group: name, default, what it means, the kernel's names and Swoole's."""
    blocks = []
    for group, rows in groupby(options, key=lambda option: option.group):
        blocks.append(f"{group}:")
        blocks.extend(option_help(option, width) for option in rows)
    return "\n".join(blocks) + "\n"


def option_help(option: Option, width: int = WIDTH) -> str:
    """One option in a few lines."""
    paragraphs = [f"{option.unit} {option.text}".strip()]
    wants = option.kind.wants
    if wants.count("|"):
        paragraphs.append(f"one of {wants.split(' (')[0].replace('|', ', ')}")
    if option.kernel:
        paragraphs.append(f"kernel: {option.kernel}")
    if option.swoole:
        paragraphs.append("Swoole: " + ", ".join(map(_alias_text, option.swoole)))
    lines = [f"  {option.name}={option.derived or value_text(option.default)}"]
    for paragraph in paragraphs:
        lines.extend(
            textwrap.wrap(paragraph, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        )
    return "\n".join(lines)


def _alias_text(alias: Alias) -> str:
    return f"{alias.name} ({alias.difference})" if alias.difference else alias.name
