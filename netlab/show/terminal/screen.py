"""Where lines go: to a terminal in colour, through a pager when they fill more than it, or plainly
to a pipe. What was wished (`--color`, `--no-pager`) is kept here, as there is one standard output.

A pager is the reader's own program: NETLAB_PAGER, else PAGER, else `less -R`. It is started when
the first line arrives that the screen has no room for, so that a short answer costs nothing; lines
flow on as they are made, and one who leaves it ends them. Read first: man 1 less, no-color.org.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from netlab.model.records import dataclass

if TYPE_CHECKING:
    from subprocess import Popen


class Colour(StrEnum):
    """When to use colours."""

    AUTO = "auto"  # on a terminal, unless NO_COLOR is set
    ALWAYS = "always"
    NEVER = "never"


@dataclass(slots=True)
class _Wishes:
    colour: Colour = Colour.AUTO
    pager: bool = True


_wishes = _Wishes()
_pager: Pager | None = None
_before: Callable[[], None] | None = None
_DUMB = ("", "dumb")
_ROWS = 24


def wish(*, colour: Colour | None = None, pager: bool | None = None) -> None:
    """Note what the user asked for, for all that is written from now on."""
    if colour is not None:
        _wishes.colour = colour
    if pager is not None:
        _wishes.pager = pager


def is_coloured() -> bool:
    """Whether lines are written with their styles."""
    if _wishes.colour is not Colour.AUTO:
        return _wishes.colour is Colour.ALWAYS
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal()


def is_terminal() -> bool:
    """Whether standard output is a terminal that can place its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in _DUMB


def before_writing(call: Callable[[], None] | None) -> None:
    """What is to be called once, before anything is written; None: nothing any more."""
    global _before
    _before = call


def about_to_write() -> None:
    """Make room on the terminal: for one who writes to standard output by another way, too."""
    if _before is not None:
        call = _before
        before_writing(None)
        call()


def write(text: str) -> None:
    """Write to the pager, or else to standard output."""
    about_to_write()
    if _pager is None:
        sys.stdout.write(text)
    else:
        _pager.write(text)


@contextmanager
def paged() -> Iterator[None]:
    """All that is written within goes through a pager once it is longer than the screen."""
    global _pager
    command = _command() if _wishes.pager and _pager is None and is_terminal() else []
    if not command:
        yield
        return
    _pager = Pager(command, _rows())
    try:
        yield
    except ReaderLeft:
        pass
    finally:
        pager, _pager = _pager, None
        pager.close()


def _command() -> list[str]:
    """The pager and its options; nothing where the user wants none."""
    import shlex

    wanted = os.environ.get("NETLAB_PAGER", os.environ.get("PAGER", "less -R"))
    try:
        return shlex.split(wanted)
    except ValueError:  # a quote without its end
        return []


def _rows() -> int:
    wanted = os.environ.get("LINES", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    with suppress(ValueError, OSError):
        return os.get_terminal_size(sys.stdout.fileno()).lines or _ROWS
    return _ROWS


class ReaderLeft(Exception):
    """The pager was left: there is nobody to write for."""


class Pager:
    """Holds lines back until they are more than a screen; then a pager gets all there are."""

    def __init__(self, command: list[str], rows: int) -> None:
        self._command = command
        self._room = rows - 1  # the prompt that follows needs one
        self._held: list[str] = []
        self._process: Popen[str] | None = None
        self._plain = False  # no pager could be started

    def write(self, text: str) -> None:
        """Raises ReaderLeft when the pager has been left."""
        if self._plain:
            sys.stdout.write(text)
        elif self._process is not None:
            self._send(text)
        else:
            self._held.append(text)
            self._room -= text.count("\n")
            if self._room < 0:
                self._start()

    def _start(self) -> None:
        from subprocess import PIPE, Popen

        sys.stdout.flush()
        environ = dict(os.environ)
        environ.setdefault("LESS", "R")
        try:
            self._process = Popen(
                self._command, stdin=PIPE, text=True, encoding="utf-8", env=environ
            )
        except OSError:
            self._plain = True
        held, self._held = "".join(self._held), []
        if self._plain:
            sys.stdout.write(held)
        else:
            self._send(held)
            with suppress(BrokenPipeError):
                assert self._process is not None
                assert self._process.stdin is not None
                self._process.stdin.flush()  # a screenful is there to be read

    def _send(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text)
        except BrokenPipeError:
            raise ReaderLeft from None

    def close(self) -> None:
        """Show what was held back, or wait for the reader."""
        if self._process is None:
            sys.stdout.write("".join(self._held))
            return
        assert self._process.stdin is not None
        # Ctrl-C is the pager's to understand: it stays, and so must who feeds it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
