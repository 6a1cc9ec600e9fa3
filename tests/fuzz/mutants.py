"""Capture files -> damaged ones, by chance but the same for the same seed.

Bytes are flipped, lengths become extreme, parts are cut out, doubled and swapped with those of
other captures; what lies in frames is damaged as well as what lies around them, frames come on
every link type that is read, and files come compressed, damaged before it and after it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from struct import Struct

from netlab.capture import pcap
from netlab.capture.compressed import maybe_decompressed
from netlab.capture.damage import Damaged
from netlab.decode.links import LINKS

_EXTREME = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 19, 20, 31, 32, 60, 64, 127, 128, 129, 254, 255)
_EXTREME_WIDE = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x40000, 0x40001,
                 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip
_MOST_BYTES = 24_000  # of a sample: its beginning is as strange as its end
_STRANGE_LINKS = (2, 3, 147, 189, 220, 231, 249, 279, 0x3FFFFFF)


def samples_of(*folders: Path) -> list[bytes]:
    """The beginnings of the captures in some folders, decompressed."""
    found = []
    every = [path for folder in folders for path in sorted(folder.rglob("*"))]
    for path in every:
        if not path.is_file() or path.suffix in (".md", ".txt"):
            continue
        data = path.read_bytes()
        plain = maybe_decompressed(data, path.name)
        found.append((plain.data if plain else data)[:_MOST_BYTES])
    return found


class Mutants:
    """An endless row of damaged captures."""

    def __init__(self, seed: int | str, samples: Sequence[bytes]) -> None:
        self._random = Random(seed)
        self._samples = samples
        self._frames = [frame for sample in samples for frame in _frames(sample)]

    def next(self) -> bytes:
        """One more."""
        random = self._random
        if random.random() < 0.45 and self._frames:
            data = self._own_file()
        else:
            data = random.choice(self._samples)
            if random.random() < 0.5:
                data = data[:4096]
            for _ in range(random.choice((1, 1, 2, 3, 8, 30))):
                data = self._damaged(data)
        if random.random() < 0.08:
            data = random.choice(_COMPRESSIONS)(data)
            if random.random() < 0.6:
                data = self._damaged(data)
        return data

    def _own_file(self) -> bytes:
        """A whole pcap of damaged frames from anywhere, on one link."""
        random = self._random
        links = [*LINKS, *LINKS, *_STRANGE_LINKS]
        frames = self._frames
        home = random.choice(frames)
        link = home[0] if random.random() < 0.7 else random.choice(links)
        order = random.choice("<>")
        record = Struct(order + "IIII")
        header = Struct(order + "IHHiIII").pack(0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
        parts = [header]
        at = frames.index(home)
        stretch = frames[at : at + random.choice((1, 2, 5, 20, 60))]
        if random.random() < 0.3:
            random.shuffle(stretch)
        seconds = 1_700_000_000
        for _, time_us, frame in stretch:
            copies = 2 if random.random() < 0.1 else 1
            for _ in range(copies):
                data = frame
                if random.random() < 0.5:
                    for _ in range(random.choice((1, 1, 2, 5))):
                        data = self._damaged(data)
                if link != home[0] and random.random() < 0.5:
                    data = data[random.choice((4, 8, 12, 14, 16)) :]
                length = len(data) if random.random() < 0.8 else random.choice(_EXTREME_WIDE)
                parts += (record.pack(seconds + time_us // 10**6, time_us % 10**6,
                                      len(data), length), data)  # fmt: skip
        return b"".join(parts)

    def _damaged(self, data: bytes) -> bytes:
        return self._random.choice(_DAMAGES)(self, data)

    def _place(self, data: bytes) -> int:
        # Headers stand at the beginning, of a file and of a frame.
        random = self._random
        reach = len(data) if random.random() < 0.6 else min(len(data), 120)
        return random.randrange(reach) if reach else 0

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._place(data)
        return data[:at] + bytes((data[at] ^ 1 << self._random.randrange(8),)) + data[at + 1 :]

    def _extreme(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + bytes((self._random.choice(_EXTREME),)) + data[at + 1 :]

    def _wide(self, data: bytes) -> bytes:
        random, at = self._random, self._place(data)
        size = random.choice((2, 4, 4, 8))
        value = random.choice(_EXTREME_WIDE) % (1 << 8 * size)
        order = "little" if random.random() < 0.5 else "big"
        return data[:at] + value.to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]

    def _nudge(self, data: bytes) -> bytes:
        random, at = self._random, self._place(data)
        size = random.choice((1, 2, 4))
        order = "little" if random.random() < 0.5 else "big"
        value = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
        value = (value + random.choice((-16, -4, -2, -1, 1, 2, 4, 16))) % (1 << 8 * size)
        return data[:at] + value.to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]

    def _cut_end(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data) + 1)]

    def _cut_out(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + data[at + self._random.choice((1, 2, 4, 16, 100, 1500)) :]

    def _double(self, data: bytes) -> bytes:
        at, size = self._place(data), self._random.choice((1, 2, 4, 16, 100, 1500))
        return data[: at + size] + data[at:]

    def _noise(self, data: bytes) -> bytes:
        at, size = self._place(data), self._random.choice((1, 2, 4, 16, 64))
        return data[:at] + self._random.randbytes(size) + data[at + size :]

    def _zeros(self, data: bytes) -> bytes:
        at, size = self._place(data), self._random.choice((2, 4, 8, 40))
        return data[:at] + bytes(size) + data[at + size :]

    def _graft(self, data: bytes) -> bytes:
        """A part of another capture in the place of one of this."""
        other = self._random.choice(self._samples)
        start = self._place(other)
        part = other[start : start + self._random.choice((4, 16, 60, 200, 1500))]
        at = self._place(data)
        return data[:at] + part + data[at + len(part) :]


def _frames(sample: bytes) -> list[tuple[int, int, bytes]]:
    """(link, time_us, bytes) of the frames of a pcap, as far as it is whole."""
    header = pcap.maybe_header(sample)
    if header is None:
        return []
    found, first_ns = [], None
    try:
        for time_ns, start, stop, _ in pcap.records(sample, header):
            first_ns = time_ns if first_ns is None else first_ns
            ago_us = max(0, time_ns - first_ns) // 1000 % 10**9
            found.append((header.link, ago_us, sample[start:stop]))
    except Damaged:
        pass
    return found


def _zstd(data: bytes) -> bytes:
    from zstandard import ZstdCompressor

    return ZstdCompressor().compress(data)


def _lz4(data: bytes) -> bytes:
    from lz4.frame import compress

    packed: bytes = compress(data)
    return packed


_COMPRESSIONS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: gzip.compress(data, 1), lambda data: lzma.compress(data, preset=0),
    lambda data: bz2.compress(data, 1), _zstd, _lz4,
)  # fmt: skip
_DAMAGES = (
    Mutants._flip, Mutants._flip, Mutants._extreme, Mutants._wide, Mutants._nudge, Mutants._nudge,
    Mutants._cut_end, Mutants._cut_out, Mutants._double, Mutants._noise, Mutants._zeros,
    Mutants._graft,
)  # fmt: skip
