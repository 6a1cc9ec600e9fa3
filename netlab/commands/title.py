"""A recording's title: the command as it was meant, without what is at its default."""

from __future__ import annotations

import shlex
from collections.abc import Collection

import click

from netlab.commands.numbers import Duration


def title_of(context: click.Context, *words: str, left_out: Collection[str]) -> str:
    """`netlab`, the `words`, then the options as they would be typed; but those `left_out`."""
    said = ["netlab", *words]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in left_out or value is None or value in (parameter.default, ()):
            continue
        if value is False:
            said += parameter.secondary_opts[-1:]  # such as --loopback; most flags have none
            continue
        shown = parameter.type.text if isinstance(parameter.type, Duration) else str
        for one in value if isinstance(value, tuple) else (value,):
            option = parameter.opts[-1]
            said += [option] if one is True else [option, shown(one)]
    return shlex.join(said)
