"""Nothing captured reaches a terminal raw."""

from __future__ import annotations

import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.show import escape
from netlab.show.escape import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, [bold]markup[/bold]", "plain text, [bold]markup[/bold]"),
        ("Grüße, 日本, →", "Grüße, 日本, →"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00"),
        ("\x7f\x85\x9b31m", "\\x7f\\x85\\x9b31m"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("pay\u200bpal\ufeff", "pay\\u200bpal\\ufeff"),
        ("a\u2028b", "a\\u2028b"),
        ("\u3164", "\\u3164"),
        ("\U000e0041", "\\U000e0041"),
        (b"\xff".decode("utf-8", "surrogateescape"), "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_the_result_can_always_be_printed(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")  # no lone surrogate is left
    kinds = {unicodedata.category(c) for c in shown}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable(shown) == shown


def test_the_docstring_is_true() -> None:
    assert doctest.testmod(escape).failed == 0
