"""A payload whose every byte tells its place in the stream, so that a misplaced byte shows.

The stream is a row of 4-byte big-endian words; word w is `w` spread over all 32 bits by a mapping
that gives every word of the first 16 GiB another value. The mapping is linear over XOR, so one
block of 64 KiB is computed word by word, once, and every other block is that one XORed with a
constant: 300 kB take well under a millisecond.
"""

from __future__ import annotations

from functools import lru_cache

_WORD_BITS = 14  # words in a block: 2**14 of 4 bytes
_BLOCK_BYTES = 4 << _WORD_BITS
_ALL_ONES = (1 << 32) - 1
_SALT = 0x6E65746C  # word 0: a stream begins with the letters "netl"


def pattern(start: int, stop: int) -> bytes:
    """The bytes at stream offsets start..stop."""
    if not 0 <= start <= stop:
        raise ValueError(f"not a range of stream offsets: {start}..{stop}")
    first, last = start // _BLOCK_BYTES, -(-stop // _BLOCK_BYTES)
    whole = b"".join(_block(index) for index in range(first, last))
    skipped = first * _BLOCK_BYTES
    return whole[start - skipped : stop - skipped]


def first_difference(data: bytes, start: int) -> int | None:
    """The stream offset of the first byte of `data` that is not the pattern from `start` on."""
    expected = pattern(start, start + len(data))
    if data == expected:
        return None
    return start + next(i for i, (a, b) in enumerate(zip(data, expected, strict=True)) if a != b)


def _spread(word: int) -> int:
    """One step of Marsaglia's xorshift: one to one on 32 bits, and linear over XOR."""
    word ^= (word << 13) & _ALL_ONES
    word ^= word >> 17
    return word ^ (word << 5) & _ALL_ONES


@lru_cache(maxsize=1)
def _base() -> int:
    words = (_SALT ^ _spread(low) for low in range(1 << _WORD_BITS))
    return int.from_bytes(b"".join(word.to_bytes(4, "big") for word in words), "big")


@lru_cache(maxsize=16)
def _block(index: int) -> bytes:
    high = _spread((index << _WORD_BITS) & _ALL_ONES).to_bytes(4, "big")
    mask = int.from_bytes(high * (1 << _WORD_BITS), "big")
    return (_base() ^ mask).to_bytes(_BLOCK_BYTES, "big")
