"""A program of a lab as whoever started it holds it: how it fares and what it said.

What it writes is taken as it comes, so that it never waits for us, and kept up to a limit.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

KEPT_BYTES = 1 << 20  # of each output, from its end
_SHOWN_CHARACTERS = 300  # of a last line: it stands in an error, which is one line
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Output:
    """One pipe that a program writes to; `descriptor` is -1 once it has ended."""

    descriptor: int
    data: bytearray = field(default_factory=bytearray)

    def read(self) -> bool:
        """Take what is there, at most a chunk; False at the end, the descriptor is closed then."""
        if self.descriptor < 0:
            return False
        try:
            data = os.read(self.descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            self.close()
            return False
        self.data += data
        del self.data[:-KEPT_BYTES]
        return True

    def close(self) -> None:
        """Listen no more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@dataclass(slots=True)
class Program:
    """A program that was asked for."""

    actor: str
    host: str
    outputs: dict[str, Output]  # stdout, stderr, report: those that are ours to read
    foreground: bool = False  # it has the terminal
    watched: bool = False  # its calls were to be seen by strace
    blind: str = ""  # why they are not
    wanted: bool = False  # the kernel is to tell its calls, where it is asked
    pid: int | None = None  # as the machine outside sees it; None until it has started
    status: int | None = None  # None while it runs; negative: the signal that ended it
    ended_ns: int | None = None

    @property
    def running(self) -> bool:
        return self.status is None

    @property
    def exit_code(self) -> int:
        """As a shell has it: 128 and the signal's number when one ended it."""
        assert self.status is not None, "it runs"
        return 128 - self.status if self.status < 0 else self.status

    @property
    def stdout(self) -> bytes:
        """What it wrote, at most the last KEPT_BYTES; empty where it has the caller's."""
        return self._written("stdout")

    @property
    def stderr(self) -> bytes:
        return self._written("stderr")

    @property
    def value(self) -> Any:
        """What the function returned; None where it was a command, or returned nothing."""
        text = self._written("report")
        return json.loads(text) if text else None

    @property
    def last_words(self) -> str:
        """The last line that it wrote, to stderr if it wrote any there."""
        for name in ("stderr", "stdout"):
            lines = self._written(name).decode(errors="replace").strip().splitlines()
            if lines:
                line = lines[-1].strip()
                cut = len(line) > _SHOWN_CHARACTERS
                return line[: _SHOWN_CHARACTERS - 1] + "…" if cut else line
        return ""

    @property
    def spoke_of_root(self) -> bool:
        """Whether it wrote about root: some programs refuse to be root, not all in a last line."""
        return any(b"root" in self._written(name) for name in ("stderr", "stdout"))

    def _written(self, name: str) -> bytes:
        output = self.outputs.get(name)
        return bytes(output.data) if output is not None else b""
