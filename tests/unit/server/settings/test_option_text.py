"""The help of the options: everything is in it, and it fits a terminal."""

from __future__ import annotations

import pytest

from netlab.server.settings.option_table import OPTION_NAMED, OPTIONS
from netlab.server.settings.option_text import help_text, option_help, value_text
from netlab.server.terms import Mode


def test_it_fits_and_has_every_name() -> None:
    text = help_text(width=80)
    assert max(map(len, text.splitlines())) <= 80
    words = text.replace("\n", " ")
    for option in OPTIONS:
        assert f"  {option.name}=" in text
        for alias in option.swoole:
            assert alias.name in words
        for kernel in option.kernel.split(", "):
            assert kernel in words


def test_it_reads_as_sentences() -> None:
    assert option_help(OPTION_NAMED["user_timeout"], 76) == (
        "  user_timeout=0\n"
        "      seconds that sent bytes may stay without ACK (the kernel takes\n"
        "      milliseconds)\n"
        "      kernel: TCP_USER_TIMEOUT\n"
        "      Swoole: tcp_user_timeout (in milliseconds)"
    )
    assert option_help(OPTION_NAMED["high_watermark"]) == (
        "  high_watermark=4/5 of output_buffer\n"
        "      bytes of waiting output, above which buffer_full is called\n"
        "      Swoole: buffer_high_watermark"
    )


def test_it_lists_the_choices() -> None:
    assert "one of single, threads, base, process" in option_help(OPTION_NAMED["mode"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"), (False, "no"), (0, "0"), (2.0, "2"), (0.25, "0.25"), (b"\r\n", r"\r\n"),
        (None, "none"), ("", "none"), ("x", "x"), (Mode.BASE, "base"), (len, "len"),
    ],
)  # fmt: skip
def test_values_as_users_type_them(value: object, text: str) -> None:
    assert value_text(value) == text
