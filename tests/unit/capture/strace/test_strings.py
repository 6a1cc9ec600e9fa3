"""The texts that strace writes in quotes -> their bytes, however it escapes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture.strace.values import unescaped


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("abc", b"abc"),
        (r"\x61\x0a\xff", b"a\n\xff"),
        (r"\x61b\n\"\\x63", b'ab\n"\\x63'),
        (r"\0\1\377z", b"\0\1\xffz"),
        (r"\\x41\x42", b"\\x41B"),
    ],
)
def test_escapes(text: str, data: bytes) -> None:
    assert unescaped(text) == data


@given(st.binary())
def test_all_in_hexadecimal(data: bytes) -> None:
    assert unescaped("".join(f"\\x{byte:02x}" for byte in data)) == data
