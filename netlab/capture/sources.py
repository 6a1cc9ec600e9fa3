"""Where a capture comes from, a path or standard input -> its bytes, of whatever size.

Up to `HELD_BYTES` they are read into memory. A larger file is mapped: what nobody looks at is never
read, and what was read the kernel may forget again. Only a large one, for a mapped file that
someone cuts short kills its reader with SIGBUS. What has no file of its own, from a pipe or out of
a compressed file, goes on in a temporary file, which has no name and is its owner's alone
(`spare.spill_folder` says where; man 2 open, O_TMPFILE).
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import IO, TYPE_CHECKING, Self, cast

from netlab.capture.spare import spill_folder
from netlab.model.errors import BadRecording

if TYPE_CHECKING:
    from pathlib import Path

HELD_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20
_ZEROS = bytes(_PIECE_BYTES)


class Content:
    """Bytes in memory, or in a file that is open as long as this lives."""

    def __init__(self, held: bytes, file: IO[bytes] | None = None, size_bytes: int = 0) -> None:
        self._held = held
        self._file = file
        self.size_bytes = len(held) if file is None else size_bytes

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def is_in_file(self) -> bool:
        """Whether there is a file to be opened."""
        return self._file is not None

    def open(self) -> int:
        """A descriptor of that file, its caller's to close."""
        assert self._file is not None
        return os.dup(self._file.fileno())

    def data(self) -> bytes:
        """All of it. What lies in a file is mapped: to be indexed, sliced, searched and unpacked
        like bytes."""
        if self._file is None:
            return self._held
        from mmap import ACCESS_READ, mmap

        return cast(bytes, mmap(self._file.fileno(), self.size_bytes, access=ACCESS_READ))


def content_of(path: str | Path, name: str) -> Content:
    """What the file at `path`, or standard input (`-`), holds; `name` is what it is called.

    Raises BadRecording when it cannot be read, or is larger than what room there is.
    """
    try:
        if str(path) == "-":
            return _of_stream(sys.stdin.buffer, name)
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if stat.S_ISREG(status.st_mode):
                if status.st_size <= HELD_BYTES:
                    return Content(file.read())
                return Content(b"", os.fdopen(os.dup(file.fileno()), "rb", 0), status.st_size)
            return _of_stream(file, name)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = f"{reason[:1].lower()}{reason[1:]}; name a capture file, or - for standard input"
        raise BadRecording(f"cannot read {name}", hint) from None


class Spool:
    """Takes bytes piece by piece; what is too much for memory lies in a temporary file.

    A context manager: at its end the file is closed, unless `content` gave it away.
    """

    def __init__(self, name: str) -> None:
        """`name` is what the bytes are called in an error."""
        self.size = 0
        self._name = name
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, piece: bytes) -> None:
        """Take the next piece. Raises BadRecording when there is no room for it."""
        self.size += len(piece)
        if self._file is None and self.size <= HELD_BYTES:
            self._pieces.append(piece)
            return
        try:
            if self._file is None:
                self._move_out()
            self._write(piece)
        except OSError as error:
            raise self._no_room(error) from None

    def content(self) -> Content:
        """All that was taken; called once. Raises BadRecording when there is no room for it."""
        if self._file is None:
            return Content(b"".join(self._pieces))
        try:
            self._file.truncate(self.size)
        except OSError as error:
            raise self._no_room(error) from None
        file, self._file = self._file, None
        return Content(b"", file, self.size)

    def _move_out(self) -> None:
        from tempfile import TemporaryFile

        self._file = TemporaryFile(buffering=0, dir=spill_folder())  # noqa: SIM115 - __exit__ closes it
        for piece in self._pieces:
            self._write(piece)
        self._pieces.clear()

    def _write(self, piece: bytes) -> None:
        assert self._file is not None
        if piece == _ZEROS[: len(piece)]:  # a hole, which takes no room
            self._file.seek(len(piece), os.SEEK_CUR)
            return
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _no_room(self, error: OSError) -> BadRecording:
        reason = os.strerror(error.errno or 0).lower()
        return BadRecording(
            f"no room for the {self.size >> 20:,} MiB and more of {self._name}",
            f"{reason}: free some space, or let TMPDIR name a folder that has it",
        )


def _of_stream(stream: IO[bytes], name: str) -> Content:
    with Spool(name) as spool:
        while piece := stream.read(_PIECE_BYTES):
            spool.add(piece)
        return spool.content()
