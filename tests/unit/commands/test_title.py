"""A recording's title is the command as somebody could type it again."""

from __future__ import annotations

import pytest

from netlab.commands.run import command
from netlab.commands.title import title_of


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ((), "netlab run"),
        (("--loopback",), "netlab run --loopback"),
        (("--lab", "--udp"), "netlab run --udp --lab"),
        (("--journal-limit", "0", "--messages", "3"), "netlab run --journal-limit 0"),
        (("--wire", "delay 1ms; loss 1%"), "netlab run --wire 'delay 1ms; loss 1%'"),
        (
            ("--sysctl", "client:net.a=1", "--sysctl", "server:net.a=1"),
            "netlab run --sysctl client:net.a=1 --sysctl server:net.a=1",
        ),
    ],
)
def test_what_is_at_its_default_is_left_out(words: tuple[str, ...], title: str) -> None:
    context = command.make_context("run", list(words))
    assert title_of(context, "run", left_out=("scenario",)) == title
