"""A capture file or standard input, at hand: its plain bytes, read once however many ask for them.

Of what is compressed or has no file nobody knows how much it is before it is read. If that is much
it lies in a temporary file then (`sources`), which others read as any large file.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from netlab.capture.compressed import is_compressed, maybe_decompressed
from netlab.capture.damage import CUT_SHORT
from netlab.capture.sources import Content, content_of
from netlab.model.errors import BadRecording
from netlab.model.recording import RawRecording

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC_BYTES = 8


class AtHand:
    """The capture at a path; `name` is what it is called in messages."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.name = "standard input" if self.path == "-" else self.path
        self.fault = ""  # of the compression, once it was read
        self._is_settled = False
        self._file_bytes: int | None = None  # of a file that is read where it is
        self._content: Content | None = None

    def settle(self) -> None:
        """Read what is compressed or has no file. Raises BadRecording when it cannot be read, is
        empty, or is more than there is room for."""
        if self._is_settled:
            return
        self._is_settled = True
        self._file_bytes = self._plain_file_bytes()
        if self._file_bytes is None:
            self._content = self._read()

    @property
    def size_bytes(self) -> int | None:
        """Of the file in which the plain bytes are; None: they are in memory. Raises as `settle`
        does."""
        self.settle()
        if self._content is not None and self._content.is_in_file:
            return self._content.size_bytes
        return self._file_bytes

    def open(self) -> int:
        """A descriptor of that file, to read at places (man 2 pread); the caller's to close."""
        if self._content is not None:
            return self._content.open()
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def take(self) -> Content:
        """The plain bytes. What is in memory is let go, so it can be taken once. Raises as `settle`
        does."""
        content = self._content
        if content is None:
            self._is_settled = True
            return self._read()
        if not content.is_in_file:
            self._content = None
        return content

    def add_fault(self, raw: RawRecording, packets: int) -> None:
        """Say what was wrong with the compression, if anything, behind so many packets."""
        if not self.fault:
            return
        # That what came out of it is cut short, too, follows.
        raw.faults = [fault for fault in raw.faults if not fault.startswith(CUT_SHORT)]
        raw.faults.append(f"{self.fault} (packets read before that: {packets})")
        raw.cut_short = True

    def _plain_file_bytes(self) -> int | None:
        """The size of a file that is not compressed; None: it is, or is none, or has a fault that
        is said by whoever reads it."""
        try:
            status = os.stat(self.path)
            if self.path == "-" or not stat.S_ISREG(status.st_mode):
                return None
            with open(self.path, "rb", buffering=0) as file:
                return None if is_compressed(file.read(_MAGIC_BYTES)) else status.st_size
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return None

    def _read(self) -> Content:
        content = content_of(self.path, self.name)
        if not content.size_bytes:
            raise BadRecording(f"{self.name} is empty", "nothing was recorded in it")
        plain = maybe_decompressed(content.data(), self.name)
        if plain is None:
            return content
        self.fault = plain.fault
        return plain.content


def at_hand(capture: str | Path | AtHand) -> AtHand:
    """The capture at a path, unless it is at hand already."""
    return capture if isinstance(capture, AtHand) else AtHand(capture)
