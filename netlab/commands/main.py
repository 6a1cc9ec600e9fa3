"""`netlab`: finds the verb, runs it, and turns netlab's own errors into one line and an exit code.

Verbs are imported when they are called: `netlab --help` must not pay for any of them.
"""

from __future__ import annotations

import gc
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from netlab import __version__
from netlab.commands import streams
from netlab.model.errors import NetlabError

# verb -> (module, what `netlab --help` says of it). The module has a click command named `command`.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a server and a client, capture both, map calls onto packets."),
    "lab": ("lab", "Run any two programs on hosts with a wire between, recorded."),
    "trace": ("trace", "Record a program on this machine: its calls and its packets."),
    "study": ("study", "Ask a question of real sockets: predict, measure, compare."),
    "serve": ("serve", "The server core for real clients, recorded on request."),
    "status": ("status", "What a running server is doing: connections, queues, processes."),
    "inspect": ("inspect", "Show a capture: summary, connections, packets, ladder."),
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
        """Run the verb. A reader of our output that leaves (head, less) is no error: there is
        nothing more to say, and nobody to say it to. Caught here, as click makes it exit 1; and
        of Ctrl-C it makes two lines."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            streams.silence_output()
            return 0
        except KeyboardInterrupt as stop:
            raise click.Abort(*stop.args) from None
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _SHORT_LIVED:
            gc.disable()
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


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    streams.settle()
    code = run(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: there is nothing to interrupt
    gc.freeze()  # the process ends: nobody need look for garbage among a recording's many rows
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Run the command line; return the exit code (0 done, 1 check failed, 2 usage, 3 privilege,
    4 bad recording, 128 + the signal's number: interrupted)."""
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
    except MemoryError:  # where a limit forbids more; the system's own end is a signal
        complain("there is no more memory: give it more, or a part of the file (editcap -r)")
        return 1
    except (click.Abort, KeyboardInterrupt) as stop:
        complain("interrupted")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    return result if isinstance(result, int) else 0


def usage_line(error: click.ClickException) -> str:
    """A click error on one line, with the command that explains more."""
    path = "netlab"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
    text = " ".join(error.format_message().split())
    return f"{text.rstrip('.')}: see {path} --help"


def note(text: str) -> None:
    """Something to know about what was done, on stderr."""
    complain(f"note: {text}")


def complain(text: str) -> None:
    """One line on stderr."""
    from netlab.show.escape import printable

    try:
        sys.stderr.write(f"netlab: {printable(text)}\n")
        sys.stderr.flush()
    except OSError:  # a full disk: it is the exit code that tells
        streams.silence_complaints()
