"""`netlab doctor`: says what this machine allows, and the command that grants the rest."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from netlab.lab.machine import Machine

WIDTH = 80
STYLES = {"ok": "green", "limited": "yellow", "no": "bold red"}


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--warm-up", is_flag=True, help="Compile what large captures are read with, now.")
def command(as_json: bool, warm_up: bool) -> int:
    """Say what this machine allows, and what grants the rest.

    Exit code 0 when `netlab run` can work here, 3 when it cannot.
    """
    if warm_up:
        return compile_ahead()
    from netlab.lab.machine import examine

    machine = examine(Path.cwd())
    click.echo(json.dumps(asdict(machine), indent=2)) if as_json else show(machine)
    return 0 if machine.can_run else 3


def compile_ahead() -> int:
    """Make the object code of the kernels, unless it is there; 1 where that cannot be."""
    from netlab.engine.choose import warm_up

    problem = warm_up()
    click.echo(problem or "large captures are read by compiled code")
    return 1 if problem else 0


def show(machine: Machine) -> None:
    """Print the facts as a table, below it what grants the missing ones, and what follows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from netlab.show.escape import printable

    console = Console(highlight=False, soft_wrap=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0),
                  width=min(WIDTH, console.width))  # fmt: skip
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for fact in machine.facts:
        verdict = Text(str(fact.verdict), style=STYLES[fact.verdict])
        table.add_row(Text(fact.name), verdict, Text(printable(fact.text)))
    console.print(table)
    grants = [fact for fact in machine.facts if fact.grant]
    if grants:
        console.print("\nTo get what is missing:")
    for fact in grants:
        console.print(Text(f"  {fact.name}:", style="dim"))
        # Commands are copied: never wrapped, whatever the width.
        console.print(Text(f"    {printable(fact.grant)}"), soft_wrap=True)
    style = "bold green" if machine.can_run else "bold red"
    console.print(Text(f"\n{machine.summary}.", style=style))
