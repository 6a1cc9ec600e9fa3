"""`netlab`: finds the verb, runs it, and turns netlab's own errors into one line and an exit code.

Verbs are imported when they are called: `netlab --help` must not pay for any of them.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from netlab import __version__
from netlab.model.errors import NetlabError

# verb -> (module, what `netlab --help` says of it). The module has a click command named `command`.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a server and a client, capture both, map calls onto packets."),
    "serve": ("serve", "The server core for real clients, recorded on request."),
    "status": ("status", "What a running server is doing: connections, queues, processes."),
    "inspect": ("inspect", "Show a capture: summary, connections, packets, ladder."),
    "follow": ("follow", "Follow one byte from its send() to its recv()."),
    "export": ("export", "Print one of the tables, or write the packets alone."),
    "recover": ("recover", "Put together what a killed recording left."),
    "doctor": ("doctor", "Say what this machine allows, and what grants the rest."),
}


class Verbs(click.Group):
    """A group whose commands are imported on first use."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. A reader of our output that leaves (head, less) is no error: there is
        nothing more to say, and nobody to say it to. Caught here, as click makes it exit 1."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"netlab.commands.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netlab")
def cli() -> None:
    """See what sockets really do: every call mapped onto its packets, byte for byte."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    if isinstance(sys.stdout, TextIOWrapper):
        # It may be in ASCII (LC_ALL=C): a glyph that it cannot take must not be fatal.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run the command line; return the exit code (0 done, 1 check failed, 2 usage, 3 privilege,
    4 bad recording, 130 interrupted)."""
    try:
        result = cli.main(args=argv, prog_name="netlab", standalone_mode=False)
    except NetlabError as error:
        complain(str(error))
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        complain(usage_line(error))
        return 2
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return 130
    return result if isinstance(result, int) else 0


def usage_line(error: click.ClickException) -> str:
    """A click error on one line, with the command that explains more."""
    path = "netlab"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
    text = " ".join(error.format_message().split())
    return f"{text.rstrip('.')}: see {path} --help"


def complain(text: str) -> None:
    """One line on stderr."""
    from netlab.show.escape import printable

    sys.stderr.write(f"netlab: {printable(text)}\n")
    sys.stderr.flush()
