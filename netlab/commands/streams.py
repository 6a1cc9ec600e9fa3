"""Standard input, output and error as a command finds them -> ones that can be relied on.

A closed one is occupied, else the next file to be opened would stand in its place and get what
was meant for a reader. What cannot be written to standard output is an error of one line.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

from netlab.model.errors import BadRecording

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_IN, _OUT, _ERR = range(3)


def settle() -> None:
    """Put `sys.stdin`, `sys.stdout` and `sys.stderr` in order; call it once, before all else."""
    closed = {number for number in (_IN, _OUT, _ERR) if _is_closed(number)}
    for number in sorted(closed):
        # Writing to what is open for reading alone fails, as writing to a closed output should;
        # complaints that nobody wants to hear are no failure.
        _occupy(number, os.O_WRONLY if number == _ERR else os.O_RDONLY)
    if _IN in closed:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(_IN, "rb", closefd=False)))
    if _ERR in closed:
        raw = io.FileIO(_ERR, "wb", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True)
    encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
    out = _Output(_OUT, "wb", closefd=False)
    # It may be in ASCII (LC_ALL=C): a glyph that it cannot take must not be fatal.
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(out), encoding, errors="replace", line_buffering=out.isatty()
    )


class _Output(io.FileIO):
    """Standard output. A reader that left is a BrokenPipeError, all else a BadRecording."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            silence_output()
            reason = "it is closed" if error.errno == errno.EBADF else os.strerror(error.errno or 0)
            raise BadRecording("cannot write to standard output", reason) from None


def silence_output() -> None:
    """From now on nobody gets what is printed, nor what still waits to be."""
    _silence(_OUT)


def silence_complaints() -> None:
    """Nobody gets what is complained, nor what waits: Python would try again at its end, and fail.

    Its exit code would then be 120, and not what there was to tell.
    """
    _silence(_ERR)


def _silence(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _occupy(number: int, way: int) -> None:
    found = os.open(os.devnull, way)
    if found != number:
        os.dup2(found, number)
        os.close(found)
    os.set_inheritable(number, True)
