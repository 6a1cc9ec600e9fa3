"""`netlab run [SCENARIO]`: runs a server and a client, records both, and shows what came of it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlab.commands.numbers import Duration, FiniteNumber, WholeNumber
from netlab.commands.options import journal_limit_option

if TYPE_CHECKING:
    from netlab.lab.options import Progress, RunResult
    from netlab.lab.wire.rules import Rule
    from netlab.model.recording import Loss

_MOST_UDP_BYTES = {False: 65_507, True: 65_487}  # what an IPv4 packet, or an IPv6 one, has room for


@click.command()
@click.argument("scenario", default="echo")
@click.option(
    "--messages",
    default=3,
    type=WholeNumber(1, 10_000_000),
    show_default=True,
    metavar="N",
    help="How many messages each client sends.",
)
@click.option(
    "--size",
    type=WholeNumber(1, 1 << 26),
    metavar="BYTES",
    help="Length of a message; 100, but chargen 20000, stuck 4 MiB, http the whole file.",
)
@click.option(
    "--think",
    default=0.0,
    type=FiniteNumber(0, 3_600_000),
    metavar="MS",
    help="Time between an answer and the next message.",
)
@click.option("--nodelay", is_flag=True, help="Set TCP_NODELAY on both ends.")
@click.option(
    "--recv-size",
    default=1 << 16,
    type=WholeNumber(1, 1 << 26),
    show_default=True,
    metavar="BYTES",
    help="How much the client asks for in a recv.",
)
@click.option(
    "--clients",
    type=WholeNumber(1, 256),
    metavar="N",
    help="How many clients, each a process; 1, but chat 3.",
)
@click.option(
    "--mode",
    default="single",
    type=click.Choice(["single", "threads", "base", "process"]),
    show_default=True,
    help="Which processes and threads the server is.",
)
@click.option("--workers", type=WholeNumber(1, 64), metavar="N", help="Worker processes.")
@click.option("--tasks", type=WholeNumber(0, 64), metavar="N", help="Task worker processes.")
@click.option(
    "--poller",
    type=click.Choice(["epoll", "edge", "poll", "select"]),
    help="What the server waits with.",
)
@click.option(
    "--ipc",
    type=click.Choice(["seqpacket", "dgram", "stream", "pipe", "posix_mq", "sysv_mq", "ring"]),
    help="What carries messages between the server's processes.",
)
@click.option("--ipv6", is_flag=True, help="Use IPv6 instead of IPv4.")
@click.option("--udp", is_flag=True, help="Datagrams instead of a TCP connection.")
@click.option(
    "--port",
    default=7777,
    type=WholeNumber(1, 65535),
    show_default=True,
    metavar="PORT",
    help="Where the server listens.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The recording; by default netlab-SCENARIO-DATE-TIME.pcapng here.",
)
@click.option(
    "--queues",
    default="calls",
    type=click.Choice(["calls", "events", "off"]),
    show_default=True,
    help="When to read the lengths of the socket's queues: around all calls, or only where one"
    " would block, timed out or closes.",
)
@click.option("--tcp-info", is_flag=True, help="Read TCP_INFO before and after each call.")
@click.option(
    "--stamps",
    metavar="WHO",
    multiple=True,
    help="Let the kernel stamp when the last byte of each send is queued, sent and acknowledged:"
    " of server, client, client-2 or all.",
)
@click.option(
    "--sample",
    "sample_every_ns",
    default=0,
    type=Duration(1_000_000),
    metavar="TIME",
    help="In a lab: look at every TCP socket of the hosts so often, `10ms`.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="As root: run the programs as this user; by default whoever called sudo.",
)
@journal_limit_option
@click.option(
    "--spool-limit",
    default=1 << 30,
    type=WholeNumber(1 << 16),
    show_default=True,
    metavar="BYTES",
    help="Room on disk for the calls' spools, and as much for the wire's; once it is used, no"
    " further call, or packet, is recorded.",
)
@click.option(
    "--lab/--loopback",
    "lab",
    default=None,
    help="Two hosts with a wire between (the default where this machine allows it), or one host:"
    " loopback.",
)
@click.option("--wire", metavar="RULES", help="What is between the hosts: `delay 20ms`.")
@click.option(
    "--sysctl",
    "sysctls",
    metavar="HOST:NAME=VALUE",
    multiple=True,
    help="Set a kernel parameter net.* on client or server.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but the recording's path.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def command(
    context: click.Context,
    scenario: str,
    messages: int,
    size: int | None,
    think: float,
    nodelay: bool,
    recv_size: int,
    clients: int | None,
    mode: str,
    workers: int | None,
    tasks: int | None,
    poller: str | None,
    ipc: str | None,
    ipv6: bool,
    udp: bool,
    port: int,
    output: Path | None,
    queues: str,
    tcp_info: bool,
    stamps: tuple[str, ...],
    sample_every_ns: int,
    user: str | None,
    journal_limit: int,
    spool_limit: int,
    lab: bool | None,
    wire: str | None,
    sysctls: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a server and a client, capture both, and map every call onto its packets.

    SCENARIO is echo (the default), upper, discard, chargen, daytime, slow, stuck, bad, rpc, http,
    websocket or chat: what the server does; the client of the same name speaks to it. Both run as
    you and need no privilege: on two hosts of their own with a wire between, `client` and `server`,
    or on one, over its loopback, where the machine refuses that or --loopback asks for it.
    """  # fmt: skip
    from netlab.commands.title import title_of
    from netlab.lab.network.plan import sysctl_from_text
    from netlab.lab.options import RunOptions
    from netlab.lab.scenarios import SCENARIOS
    from netlab.lab.session import run_scenario
    from netlab.model.errors import UsageError
    from netlab.server.handlers.optional import needed

    if scenario not in SCENARIOS:
        raise UsageError(f"there is no scenario {scenario!r}", f"there is {', '.join(SCENARIOS)}")
    if udp and not SCENARIOS[scenario].udp:
        raise UsageError(f"{scenario} is about a stream", "leave out --udp")
    for package in SCENARIOS[scenario].packages:
        needed(package, scenario)
    size = SCENARIOS[scenario].size_bytes if size is None else size
    if udp and size > _MOST_UDP_BYTES[ipv6]:
        raise UsageError(
            f"a datagram of {size} bytes does not fit", f"at most --size {_MOST_UDP_BYTES[ipv6]}"
        )
    if wire or sysctls:
        if lab is False:
            raise UsageError(
                "there is no wire and no second host on loopback", "leave --loopback out"
            )
        lab = True
    if sample_every_ns:
        if lab is False:
            raise UsageError(
                "--sample looks at the sockets of a lab's hosts",
                "leave --loopback out; --tcp-info reads TCP_INFO around each call",
            )
        lab = True
    if udp and nodelay:
        raise UsageError("--nodelay is an option of TCP", "leave it out, or --udp")
    if udp and stamps:
        raise UsageError("--stamps is about bytes of TCP", "leave it out, or --udp")
    options = RunOptions(
        path=output
        if output is not None
        else Path(time.strftime(f"netlab-{scenario}-%Y%m%d-%H%M%S.pcapng")),
        scenario=scenario,
        server_options=_server_options(mode, workers, tasks, poller, ipc),
        messages=messages,
        size_bytes=size,
        think_ms=think,
        nodelay=nodelay,
        recv_size_bytes=recv_size,
        clients=SCENARIOS[scenario].clients if clients is None else clients,
        ipv6=ipv6,
        udp=udp,
        port=port,
        queues=queues,
        tcp_info=tcp_info,
        user=user,
        journal_limit=journal_limit,
        spool_limit_bytes=spool_limit,
        lab=lab,
        wire=_rules(wire),
        sysctls=[sysctl_from_text(text) for text in sysctls],
        stamps=stamps,
        sample_every_ns=sample_every_ns,
        title=title_of(
            context, "run", scenario, left_out=("scenario", "output", "quiet", "as_json")
        ),
    )
    with _progress_shown(hidden=quiet or as_json) as on_progress:
        result = run_scenario(options, on_progress)
    _warn_of_losses(result)
    if result.interrupted is not None:
        _say_what_was_kept(result)
        return 128 + result.interrupted
    if as_json:
        click.echo(_as_json(result))
    elif quiet:
        click.echo(_shown(result.path))
    else:
        _show(result)
    return 0


def _rules(wire: str | None) -> Sequence[Rule]:
    if wire is None:
        return ()
    from netlab.lab.wire.grammar import rules_from_argument

    return rules_from_argument(wire)


def _server_options(
    mode: str, workers: int | None, tasks: int | None, poller: str | None, ipc: str | None
) -> dict[str, str]:
    """Those that were given, as text, checked together before anything is started."""
    from netlab.server.settings.options import options_from, value_from_text

    asked = {"mode": mode, "workers": workers, "tasks": tasks, "poller": poller, "ipc": ipc}
    given = {name: str(value) for name, value in asked.items() if value is not None}
    options_from(**{name: value_from_text(name, text) for name, text in given.items()})
    return given


@contextmanager
def _progress_shown(*, hidden: bool) -> Iterator[Callable[[Progress], None]]:
    """A line on a terminal's stderr that says how far the run is; nothing where there is none."""
    if hidden or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting", spinner="dots") as status:

        def show(progress: Progress) -> None:
            words = [progress.phase]
            if progress.messages_wanted:
                words.append(f"{progress.messages:,} of {progress.messages_wanted:,} messages")
            if progress.frames:
                words.append(f"{progress.frames:,} packets, {progress.calls:,} calls")
            status.update(", ".join(words))

        yield show


def _as_json(result: RunResult) -> str:
    """The summary with all notes of the run."""
    from dataclasses import replace

    from netlab.show.views.summary import summary

    view = summary(result.tables, result.raw, str(result.path))
    return replace(view, notes=tuple(dict.fromkeys([*view.notes, *result.notes]))).as_json()


def _show(result: RunResult) -> None:
    """Ladder, summary, notes, and where to go from here."""
    from netlab.show.escape import printable
    from netlab.show.terminal.ladder import print_ladder
    from netlab.show.terminal.summary import print_summary

    name = _shown(result.path)
    others = len(result.tables.connections) - 1
    print_ladder(result.tables, result.raw)
    if others > 0:
        click.echo(
            f"\nThe other {others}: netlab inspect {name} --connection 1"
            + (f" ... {others}" if others > 1 else "")
        )
    click.echo()
    print_summary(result.tables, result.raw, path=result.path)
    for note in result.notes:
        if note not in result.raw.description.notes:
            click.echo(f"note: {printable(note)}")
    click.echo(f"\nRecording: {name}")
    click.echo(f"  wireshark {name}       calls between the packets (or tshark -r)")
    click.echo(f"  netlab inspect {name}  summary, packets, ladders")
    click.echo(f"  netlab why {name}      where the time went, and what to change")


def _warn_of_losses(result: RunResult) -> None:
    """One line on stderr when something is missing; the summary has the rest."""
    from netlab.commands.main import complain
    from netlab.show.views.recorded import loss_text

    losses = result.raw.losses
    if losses:
        advice = "more room: --spool-limit BYTES" if _at_the_limit(losses) else ""
        texts = dict.fromkeys(map(loss_text, losses))
        complain("not all was recorded: " + "; ".join([*texts, *filter(None, [advice])]))


def _at_the_limit(losses: Iterable[Loss]) -> bool:
    return any(loss.witness == "probe" and "spool limit" in loss.reason for loss in losses)


def _say_what_was_kept(result: RunResult) -> None:
    from netlab.commands.main import complain

    frames, calls = len(result.raw.frames), len(result.raw.calls)
    complain(f"interrupted: {frames:,} packets and {calls:,} calls are kept in {result.path}")


def _shown(path: Path) -> str:
    """A path as it can be typed again in a shell, with nothing that a terminal would obey."""
    from netlab.show.escape import printable

    return printable(shlex.quote(str(path)))
