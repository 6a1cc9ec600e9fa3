"""Options that several verbs have, said once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from netlab.commands.numbers import WholeNumber

F = TypeVar("F", bound=Callable[..., Any])

journal_limit_option = click.option(
    "--journal-limit",
    default=100_000,
    type=WholeNumber(0),
    show_default=True,
    metavar="N",
    help="How many calls Wireshark shows one by one.",
)

decode_as_option = click.option(
    "--decode-as",
    "-d",
    metavar="RULE",
    multiple=True,
    help="What is spoken at a port: `tcp.port==8080,http`. Repeatable.",
)

tshark_compat_option = click.option(
    "--tshark-compat",
    "tshark_compat",
    type=click.Choice(["4.0", "4.4"]),
    default="4.0",
    show_default=True,
    help="The tshark whose verdicts are given; null where a newer one's rule is not known.",
)


def display_options(command: F) -> F:
    """`--color` and `--no-pager`, for a verb that writes within `screen.paged`."""
    colour = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        expose_value=False,
        callback=_wish_colour,
        help="Use colours; auto: on a terminal, unless NO_COLOR is set.",
    )
    pager = click.option(
        "--pager/--no-pager",
        default=True,
        expose_value=False,
        callback=_wish_pager,
        help="What is longer than the screen goes to $PAGER (less -R), or does not.",
    )
    return colour(pager(command))


def _wish_colour(_context: click.Context, _option: click.Parameter, value: str) -> None:
    from netlab.show.terminal import screen

    screen.wish(colour=screen.Colour(value))


def _wish_pager(_context: click.Context, _option: click.Parameter, value: bool) -> None:
    from netlab.show.terminal import screen

    screen.wish(pager=value)
