"""What a study's own function raised, in a line: what it was, and where in the study's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb
from typing import Any


def is_own(error: Exception, function: Callable[..., Any]) -> bool:
    """Whether it was raised in the file of `function`, and not in what that called."""
    code = getattr(function, "__code__", None)
    frames = extract_tb(error.__traceback__)
    return code is not None and frames[-1].filename == code.co_filename


def reason(error: Exception, function: Callable[..., Any]) -> str:
    """`KeyError: 'took' (mine.py:57)`.

    The place is the innermost one in the file of `function`: what it called there is netlab's.
    """
    code = getattr(function, "__code__", None)
    return at_line(error, code.co_filename if code is not None else "")


def at_line(error: Exception, path: str) -> str:
    """What was raised, and the innermost place in the file of this path; where there is none, the
    innermost of all."""
    said = str(error.msg if isinstance(error, SyntaxError) else error).splitlines()
    words = ": ".join([type(error).__name__, *said[:1]])
    if isinstance(error, SyntaxError) and error.filename:
        return f"{words} ({Path(error.filename).name}:{error.lineno})"
    frames = extract_tb(error.__traceback__)
    place = ([frame for frame in frames if frame.filename == path] or frames)[-1]
    return f"{words} ({Path(place.filename).name}:{place.lineno})"
