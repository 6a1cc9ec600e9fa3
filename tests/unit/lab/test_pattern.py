from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.lab import pattern as module
from netlab.lab.pattern import first_difference, pattern

offsets = st.integers(0, 1 << 34)
lengths = st.integers(0, 3 << 16)


@given(offsets, lengths, lengths)
def test_parts_put_together_are_the_whole(start: int, first: int, second: int) -> None:
    middle, stop = start + first, start + first + second
    assert pattern(start, middle) + pattern(middle, stop) == pattern(start, stop)


def test_it_begins_with_its_name_and_has_the_length_asked_for() -> None:
    assert pattern(0, 4) == b"netl"
    assert pattern(7, 7) == b""
    assert len(pattern(65_535, 65_538)) == 3


def test_no_two_words_of_a_megabyte_are_equal() -> None:
    data = pattern(0, 1 << 20)
    words = {data[at : at + 4] for at in range(0, len(data), 4)}
    assert len(words) == (1 << 20) // 4


@given(st.integers(0, 1 << 22), st.integers(-(1 << 20), 1 << 20), st.integers(16, 300))
def test_any_misplacement_shows_within_sixteen_bytes(start: int, by: int, length: int) -> None:
    elsewhere = max(0, start + by)
    data = pattern(elsewhere, elsewhere + length)
    if elsewhere == start:
        assert first_difference(data, start) is None
    else:
        found = first_difference(data, start)
        assert found is not None
        assert found < start + 16


def test_the_first_wrong_byte_is_named() -> None:
    data = bytearray(pattern(100, 400))
    data[37] ^= 1
    assert first_difference(bytes(data), 100) == 137


def test_a_range_that_is_none_is_refused() -> None:
    for start, stop in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="not a range"):
            pattern(start, stop)


def test_only_the_first_block_is_computed_word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    spread, asked = module._spread, []

    def counted(word: int) -> int:
        asked.append(word)
        return spread(word)

    pattern(0, 1)
    module._block.cache_clear()
    monkeypatch.setattr(module, "_spread", counted)
    pattern(12_345, 312_345)
    assert len(asked) == 5  # one a block; word by word it would be 75,000
