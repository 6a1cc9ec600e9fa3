"""Undoes the compression of a capture file: gzip, xz, bzip2, zstd, lz4; knows nothing of captures.

The file's bytes are hostile: a kilobyte can be made that decompresses to gigabytes. Output is taken
in bounded pieces and ends at `ROOM_TIMES` the size of the file, which real captures stay far below.
What is cut short or damaged gives what came before, and a line that says so, as a plain file does.
Read first: RFC 1952, RFC 8878, the lz4 frame format, the .xz file format.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from netlab.capture.sources import Content, Spool
from netlab.model.errors import BadRecording

ROOM_TIMES = 256  # deflate's own limit is 1,032; captures compress 2 to 30 times
ROOM_LEAST_BYTES = 64 << 20  # so that a small capture of nothing but zeros can be read
_PIECE_BYTES = 1 << 20  # of output, and of input:
_INPUT_BYTES = 64 << 10
# One block of four bytes can stand for 128 kB (RFC 8878, RLE_Block), and zstandard's object gives
# all that its input holds: so little of it is handed over at a time.
_ZSTD_INPUT_BYTES = 512
# An .xz file says how much memory is wanted for it, up to 4 GiB; `xz -9` writes 65 MiB.
_XZ_MEMORY_BYTES = 256 << 20


class Plain(NamedTuple):
    """What came out, which compression it was, and what was wrong with it (empty: nothing)."""

    content: Content
    compression: str
    fault: str

    @property
    def data(self) -> bytes:
        """The bytes themselves."""
        return self.content.data()


class _Damaged(Exception):
    """The compressed stream is not what its format says."""


class _CutShort(Exception):
    """The compressed stream ends before its end."""


Decode = Callable[[memoryview], Iterator[bytes]]


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins with these bytes is."""
    return any(head.startswith(magic) for magic, _, _ in _FORMATS)


def maybe_decompressed(data: bytes, name: str) -> Plain | None:
    """The bytes that were compressed; None when these are not compressed.

    Raises BadRecording when they decompress to more than there is room for.
    """
    found = next(
        ((what, make) for magic, what, make in _FORMATS if data[: len(magic)] == magic), None
    )
    if found is None:
        return None
    compression, decode = found
    room = max(ROOM_LEAST_BYTES, ROOM_TIMES * len(data))
    fault = ""
    with Spool(f"what {name} decompresses to") as spool:
        try:
            for piece in decode(memoryview(data)):
                if spool.size + len(piece) > room:
                    raise BadRecording(
                        f"{name} decompresses to more than {room >> 20:,} MiB from "
                        f"{len(data):,} bytes",
                        "no capture does: if you trust it, decompress it first "
                        f"({compression} -dc)",
                    )
                spool.add(piece)
        except _Damaged as damage:
            fault = f"the {compression} data is damaged: {damage}"
        except _CutShort:
            fault = f"the {compression} data is cut short"
        return Plain(spool.content(), compression, fault)


def _gzip(data: memoryview) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        stream = zlib.decompressobj(31)  # 16 + 15: a gzip header, the largest window
        while not stream.eof:
            given: Any = data[at : at + _INPUT_BYTES]
            if not given:
                yield stream.flush()
                raise _CutShort
            at += len(given)
            while given and not stream.eof:
                before = stream.copy()
                try:
                    piece = stream.decompress(given, _PIECE_BYTES)
                except zlib.error as error:
                    yield _before_damage(before, given)
                    raise _Damaged(f"{error}") from None
                yield piece
                given = stream.unconsumed_tail
        at = _behind_zeros(data, at - len(stream.unused_data))


def _before_damage(stream: Any, given: Any) -> bytes:
    """What zlib kept to itself when it met the damage: it gives all of a call or nothing."""
    found = bytearray()
    with suppress(zlib.error):
        for at in range(len(given)):
            found += stream.decompress(given[at : at + 1])
    return bytes(found)


def _behind_zeros(data: memoryview, at: int) -> int:
    """Where the zeros end that begin at `at`, if any: padding behind the last member is usual on
    tapes and in copied blocks."""
    while at < len(data):
        piece = bytes(data[at : at + _INPUT_BYTES])
        rest = piece.lstrip(b"\0")
        at += len(piece) - len(rest)
        if rest:
            break
    return at


def _xz(data: memoryview) -> Iterator[bytes]:
    from lzma import LZMADecompressor, LZMAError

    make = partial(LZMADecompressor, memlimit=_XZ_MEMORY_BYTES)
    return _by_members(data, make, (LZMAError, EOFError))


def _bzip2(data: memoryview) -> Iterator[bytes]:
    from bz2 import BZ2Decompressor

    return _by_members(data, BZ2Decompressor, (OSError, ValueError, EOFError))


def _lz4(data: memoryview) -> Iterator[bytes]:
    from lz4.frame import LZ4FrameDecompressor

    return _by_members(data, LZ4FrameDecompressor, (RuntimeError, ValueError, EOFError))


def _by_members(
    data: memoryview, make: Callable[[], Any], errors: tuple[type[Exception], ...]
) -> Iterator[bytes]:
    """Streams one behind the other, by an object in the manner of bz2.BZ2Decompressor."""
    at = 0
    while at < len(data):
        stream = make()
        while not stream.eof:
            # Little at a time: what it does not need yet it copies.
            given = data[at : at + _INPUT_BYTES] if stream.needs_input else b""
            if stream.needs_input and not given:
                raise _CutShort
            at += len(given)
            try:
                yield stream.decompress(given, _PIECE_BYTES)
            except errors as error:
                raise _Damaged(f"{error}") from None
        at = _behind_zeros(data, at - len(stream.unused_data or b""))


def _zstd(data: memoryview) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor, ZstdError

    at = 0
    while at < len(data):
        stream = ZstdDecompressor().decompressobj()
        while not stream.eof:
            if at >= len(data):
                raise _CutShort
            given = data[at : at + _ZSTD_INPUT_BYTES]
            try:
                yield stream.decompress(given)
            except ZstdError as error:
                raise _Damaged(f"{error}") from None
            at += len(given)
        at -= len(stream.unused_data)


_FORMATS: tuple[tuple[bytes, str, Decode], ...] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"\x04\x22\x4d\x18", "lz4", _lz4),
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"BZh", "bzip2", _bzip2),
)
