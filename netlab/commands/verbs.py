"""The words behind `netlab`: finds the verb and has click read its options.

Verbs are imported when they are called: `netlab --help` must not pay for any of them.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import click

from netlab import __version__
from netlab.commands.main import complain, to_a_reader

# verb -> (module, what `netlab --help` says of it). The module has a click command named `command`.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a server and a client, capture both, map calls onto packets."),
    "lab": ("lab", "Run any two programs on hosts with a wire between, recorded."),
    "trace": ("trace", "Record a program on this machine: its calls and its packets."),
    "study": ("study", "Ask a question of real sockets: predict, measure, compare."),
    "serve": ("serve", "The server core for real clients, recorded on request."),
    "status": ("status", "What a running server is doing: connections, queues, processes."),
    "inspect": ("inspect.options", "Show a capture: summary, connections, packets, ladder."),
    "why": ("why", "Say where the time of calls went, with causes and what to change."),
    "diff": ("diff", "Compare two recordings of the same thing by cause and by finding."),
    "follow": ("follow", "Follow one byte from its send() to its recv()."),
    "query": ("query", "Ask SQL of the tables."),
    "export": ("export", "Print one of the tables, or write the packets alone."),
    "join": ("join", "Join a capture and logs of strace that were taken elsewhere."),
    "recover": ("recover", "Put together what a killed recording left."),
    "doctor": ("doctor", "Say what this machine allows, and what grants the rest."),
}
# They read a file, print and end. Looking for garbage among a million rows without cycles would
# take a third of their time.
_SHORT_LIVED = frozenset({"inspect", "why", "diff", "follow", "query", "export", "join"})


class Verbs(click.Group):
    """A group whose commands are imported on first use."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. A reader that left is seen to here, as click makes it exit 1; and of
        Ctrl-C it makes two lines."""
        try:
            return to_a_reader(partial(super().invoke, ctx))
        except KeyboardInterrupt as stop:
            raise click.Abort(*stop.args) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _SHORT_LIVED:
            gc.disable()
        else:
            gc.enable()
        command = import_module(f"netlab.commands.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="netlab")
@click.pass_context
def cli(context: click.Context) -> int:
    """See what sockets really do: every call mapped onto its packets, byte for byte."""
    if context.invoked_subcommand is not None:
        return 0
    with suppress(OSError):
        click.echo(context.get_help(), err=True)  # as click itself does it, in its later releases
    return 2


def call(argv: list[str]) -> Any:
    """What the verb gave back; of wrong words the exit code. Raises what the verb raises."""
    try:
        return cli.main(args=argv, prog_name="netlab", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        complain(usage_line(error))
        return 2
    except click.Abort as stop:
        raise KeyboardInterrupt(*stop.args) from None


def usage_line(error: click.ClickException) -> str:
    """A click error on one line, with the command that explains more."""
    path = "netlab"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
    text = " ".join(error.format_message().split())
    return f"{text.rstrip('.')}: see {path} --help"
