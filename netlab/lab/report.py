"""The pipe on which a program tells whoever started it how it gets on: a JSON object a line.

Lines are short enough that the kernel writes each whole (PIPE_BUF), so a program and its children
may share the pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any


class Report:
    """The end that is written to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, **facts: object) -> None:
        """Write one line. Nobody there to read it is no reason to stop."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, json.dumps(facts).encode() + b"\n")


class ReportReader:
    """The other end: reads what is there, line by line, without waiting."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor  # -1 once it has ended
        self._unread = b""

    def read(self) -> list[dict[str, Any]]:
        """The lines that have come; closes the descriptor at the end."""
        if self.descriptor < 0:
            return []
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return []
        if not data:
            self.close()
            return []
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Listen no more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
