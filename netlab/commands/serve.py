"""`netlab serve`: the server core for real clients, recorded on request."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netlab.commands.numbers import WholeNumber
from netlab.server.handlers import HANDLERS
from netlab.server.handlers.settings import CHARGEN_LIMIT_BYTES, PAUSES_S
from netlab.server.settings.option_kinds import Choice, Flag, Function, OneOf, Seconds, Whole
from netlab.server.settings.option_table import GROUPS, OPTIONS, Option
from netlab.server.settings.option_text import value_text

if TYPE_CHECKING:
    from netlab.lab.recorded_server import RecordOptions
    from netlab.lab.serving import ServeOrders
    from netlab.server.server import Server
    from netlab.server.settings.option_table import Options
    from netlab.server.sockets.entrance import Place

F = TypeVar("F", bound=Callable[..., Any])


class ServeCommand(click.Command):
    """Lists the server's options by their groups, as the table has them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options first."""
        named = {parameter.name: parameter for parameter in self.params}
        table = {option.name for option in OPTIONS}
        own = [record for name, parameter in named.items() if name not in table
               if (record := parameter.get_help_record(ctx)) is not None]  # fmt: skip
        with formatter.section("Options"):
            formatter.write_dl(own, col_max=24)
        with formatter.section("Handlers"):
            formatter.write_dl([(each.name, each.teaches) for each in HANDLERS.values()])
        for group in GROUPS:
            rows = [
                record
                for option in OPTIONS
                if option.group == group and option.name in named
                if (record := named[option.name].get_help_record(ctx)) is not None
            ]
            with formatter.section(f"Server: {group}"):
                formatter.write_dl(rows, col_max=24)


def option_flags(command: F) -> F:
    """A flag for every option of the table that can be typed; Swoole's names are for --set."""
    for option in reversed(OPTIONS):
        if not isinstance(option.kind, Function):
            command = _flag(option)(command)
    return command


def _flag(option: Option) -> Callable[[F], F]:
    name = "--" + option.name.replace("_", "-")
    if isinstance(option.kind, Flag):
        return click.option(
            f"{name}/--no-{name[2:]}", option.name, default=None, help=_help(option)
        )
    return click.option(name, option.name, metavar=_metavar(option), help=_help(option))


def _metavar(option: Option) -> str:
    if isinstance(option.kind, Choice | OneOf):
        return "WORD"
    if isinstance(option.kind, Seconds) or option.unit == "seconds":
        return "SECONDS"
    if isinstance(option.kind, Whole):
        return "BYTES" if option.unit == "bytes" else "N"
    return "TEXT"


def _help(option: Option) -> str:
    """Meaning, choices, default, the kernel's names, Swoole's."""
    parts = [f"{option.unit} {option.text}".strip()]
    if isinstance(option.kind, Choice):
        parts.append(f"one of {', '.join(option.kind.choices)}")
    parts.append(f"default {option.derived or value_text(option.default)}")
    if option.kernel:
        parts.append(f"kernel: {option.kernel}")
    if option.swoole:
        parts.append("Swoole: " + ", ".join(alias.name for alias in option.swoole))
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


@click.command("serve", cls=ServeCommand)
@click.option(
    "--handler",
    metavar="NAME",
    default="echo",
    show_default=True,
    help="What the server does; see Handlers.",
)
@click.option(
    "--listen",
    "-l",
    metavar="ADDRESS",
    multiple=True,
    help="Where: 7777, 0.0.0.0:80, [::1]:80, udp:127.0.0.1:53, /path, @name, "
    "unix_dgram:/path. Several are possible. Default 127.0.0.1:7777.",
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Record packets and calls of all its processes.",
)
@click.option(
    "--queues",
    type=click.Choice(["calls", "events", "off"]),
    default="events",
    show_default=True,
    help="With --record: when to read the lengths of the queues: around all calls, or only where"
    " one would block, timed out or closes.",
)
@click.option(
    "--stamps",
    metavar="PORT",
    multiple=True,
    type=WholeNumber(1, 65535),
    help="With --record: let the kernel stamp when the last byte of each send is queued, sent and"
    " acknowledged, on connections of this port. Where there is no right to capture: of all.",
)
@click.option(
    "--journal-limit",
    default=100_000,
    type=WholeNumber(0),
    show_default=True,
    metavar="N",
    help="With --record: how many calls Wireshark shows one by one.",
)
@click.option(
    "--spool-limit",
    default=1 << 30,
    type=WholeNumber(1 << 16),
    show_default=True,
    metavar="BYTES",
    help="With --record: room on disk for the calls' spools.",
)
@click.option(
    "--folder",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, exists=True),
    help="http: whose files it serves.",
)
@click.option(
    "--limit",
    default=CHARGEN_LIMIT_BYTES,
    type=WholeNumber(1),
    show_default=True,
    metavar="BYTES",
    help="chargen: how much each client gets.",
)
@click.option(
    "--pauses",
    default=",".join(f"{pause:g}" for pause in PAUSES_S),
    show_default=True,
    metavar="SECONDS,...",
    help="slow: the pause before each piece of an answer.",
)
@click.option(
    "--set",
    "-s",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="An option by netlab's name or Swoole's: --set worker_num=4.",
)
@click.option("--quiet", is_flag=True, help="Say only what goes wrong.")
@option_flags
@click.pass_context
def command(
    context: click.Context,
    /,
    handler: str,
    listen: tuple[str, ...],
    record: Path | None,
    queues: str,
    stamps: tuple[int, ...],
    journal_limit: int,
    spool_limit: int,
    folder: str,
    limit: int,
    pauses: str,
    pairs: tuple[str, ...],
    quiet: bool,
    **options: str | bool | None,
) -> int:
    """Serve until stopped: the server core alone, for real clients.

    Exit code 0 after an orderly stop, 1 a forced one, 2 when options or an address are wrong, 3
    when workers cannot start.
    """  # fmt: skip
    from netlab.lab.recorded_server import RecordOptions
    from netlab.lab.serving import DEFAULT_HOST, DEFAULT_PORT, ServeOrders

    orders = ServeOrders(
        handler=handler,
        listen=listen or (f"{DEFAULT_HOST}:{DEFAULT_PORT}",),
        options=dict(_given(options, pairs)),
        folder=folder,
        limit_bytes=limit,
        pauses_s=_pauses(pauses),
    )
    if record is None:
        return _serve(orders, quiet=quiet)
    how = RecordOptions(
        record,
        queues,
        journal_limit,
        spool_limit,
        _title(context),
        frozenset(stamps) if stamps else False,
    )
    return _serve_recorded(orders, how, quiet=quiet)


def _given(
    options: dict[str, str | bool | None], pairs: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """What was asked for, as text; the status page is on unless it was switched off."""
    from netlab.model.errors import UsageError

    yield "status", "yes"
    for name, value in options.items():
        if value is not None:
            yield name, value if isinstance(value, str) else ("yes" if value else "no")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair} has no value", "write --set NAME=VALUE")
        yield name.strip(), text.strip()


def _pauses(text: str) -> tuple[float, ...]:
    from netlab.model.errors import UsageError

    try:
        found = tuple(Seconds().check(float(part)) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--pauses {text}", "numbers of seconds: --pauses 0.1,0.5,2") from None
    return found


def _serve(orders: ServeOrders, *, quiet: bool) -> int:
    """In this process."""
    from netlab.lab.serving import make_server

    server = make_server(orders)
    places = server.open()
    if not quiet:
        server.on("start", lambda server: _print_page(orders, server, places))
    return server.start()


def _print_page(orders: ServeOrders, server: Server, places: Sequence[Place]) -> None:
    from netlab.commands.main import complain
    from netlab.model.errors import NetlabError

    try:
        for line in page(orders, server.options, list(map(str, places)), os.getpid()):
            click.echo(line)
    except NetlabError as error:  # nobody reads it: that is no reason not to serve
        complain(str(error))


def page(
    orders: ServeOrders, options: Options, places: Sequence[str], pid: int, *notes: str
) -> list[str]:
    """What is printed at start."""
    from netlab.server.settings.effective import effective, facts_of_this_machine
    from netlab.server.settings.start_page import start_lines
    from netlab.show.escape import printable

    rows = effective(options, facts_of_this_machine())
    what = f"{orders.handler}: {HANDLERS[orders.handler].teaches}"
    unsaid = {"framing", "mode", "status", *HANDLERS[orders.handler].options} - set(orders.options)
    notes = (*notes, *_status_note(options, places))
    return [
        printable(line) for line in start_lines(what, options, rows, places, pid, unsaid, notes)
    ]


def _status_note(options: Options, places: Sequence[str]) -> list[str]:
    ports = [place.rpartition(":")[2] for place in places if place.startswith(("tcp:", "udp:"))]
    return [f"netlab status {ports[0] if ports else 0} says what it does"] * options.status


def _serve_recorded(orders: ServeOrders, how: RecordOptions, *, quiet: bool) -> int:
    """In another process, with this one as the recorder."""
    from netlab.commands.main import complain
    from netlab.lab.recorded_server import RecordedServer

    recorded = RecordedServer(orders, how)

    def started(pid: int, places: Sequence[str]) -> None:
        notes = recorded.notes
        if not quiet:
            for line in page(orders, recorded.options, places, pid, *notes):
                click.echo(line)
        elif recorded.missing:
            complain(recorded.missing)

    status = recorded.run(started)
    if not quiet:
        click.echo(f"\n{recorded.summary}")
        click.echo(f"  netlab inspect {shlex.quote(str(how.path))}")
    return status


def _title(context: click.Context) -> str:
    """The command as it was typed."""
    return shlex.join(["netlab", *sys.argv[1:]])
