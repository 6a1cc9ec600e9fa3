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
    said = str(error).splitlines()
    frames = extract_tb(error.__traceback__)
    code = getattr(function, "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    place = (own or frames)[-1]
    words = ": ".join([type(error).__name__, *said[:1]])
    return f"{words} ({Path(place.filename).name}:{place.lineno})"
