"""Options that several verbs have, said once."""

from __future__ import annotations

import click

from netlab.commands.numbers import WholeNumber

journal_limit_option = click.option(
    "--journal-limit",
    default=100_000,
    type=WholeNumber(0),
    show_default=True,
    metavar="N",
    help="How many calls Wireshark shows one by one.",
)
