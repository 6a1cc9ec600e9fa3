"""`netlab lab`: any two programs on two hosts with a wire between, recorded."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlab.commands.numbers import Duration, FiniteNumber, WholeNumber
from netlab.commands.options import journal_limit_option

if TYPE_CHECKING:
    from netlab.lab.server_and_clients import LabResult, Standing


@click.command()
@click.option("--server", metavar="CMD", help="What runs on the host `server`.")
@click.option(
    "--client",
    "clients",
    metavar="CMD",
    multiple=True,
    help="What runs on the host `client`; with more hosts: on each, or one --client each.",
)
@click.option("--wire", metavar="RULES", help="What is between: `delay 20ms; drop s>c data 2`.")
@click.option(
    "--hosts",
    type=WholeNumber(2, 16),
    metavar="N",
    help="How many: client-1, server, client-2 ... By default one for each program.",
)
@click.option("--shell", metavar="HOST", help="Open your $SHELL on a host, in place of a client.")
@click.option(
    "--sysctl",
    "sysctls",
    metavar="HOST:NAME=VALUE",
    multiple=True,
    help="Set a kernel parameter net.* on one host.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The recording; by default netlab-lab-DATE-TIME.pcapng here.",
)
@click.option(
    "--listen-timeout",
    default=10.0,
    type=FiniteNumber(0.001, 3600),
    show_default=True,
    metavar="S",
    help="How long the server may take until it listens.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="As root: run the programs as this user, who must be able to execute them and the Python "
    "that runs netlab; by default whoever called sudo, else root.",
)
@click.option(
    "--sample",
    "sample_every_ns",
    default=0,
    type=Duration(1_000_000),
    metavar="TIME",
    help="Look at every TCP socket of the hosts so often: `10ms`; what changed is in `states`.",
)
@click.option(
    "--witness",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "strace", "kernel", "both", "none"]),
    help="Who records the calls of the programs; auto: strace if it is installed. As root also the "
    "kernel: it costs less, and tells states, resends and drops.",
)
@journal_limit_option
@click.option("--quiet", is_flag=True, help="Say nothing of the recording.")
@click.pass_context
def command(
    context: click.Context,
    server: str | None,
    clients: tuple[str, ...],
    wire: str | None,
    hosts: int | None,
    shell: str | None,
    sysctls: tuple[str, ...],
    output: Path | None,
    listen_timeout: float,
    user: str | None,
    sample_every_ns: int,
    witness: str,
    journal_limit: int,
    quiet: bool,
) -> int:
    """Run any two programs on two hosts with a wire between them, recorded.

    CMD is split into words as a shell does, and not given to one: write `sh -c '...'` for more. The
    client has your terminal and its exit code is netlab's. Without --client the hosts stay until
    Ctrl-C. Hosts know each other as `client` and `server`. Needs no privilege.

    The server may daemonise. It has no input, and what it writes is not shown, but for its last
    line where it does not come to listen or ends before it should: `sh -c 'exec CMD >log 2>&1'`
    keeps it all.
    """
    from netlab.commands.title import title_of
    from netlab.lab.network.plan import sysctl_from_text
    from netlab.lab.server_and_clients import LabOptions, run_lab
    from netlab.lab.wire.grammar import rules_from_argument

    options = LabOptions(
        path=output
        if output is not None
        else Path(time.strftime("netlab-lab-%Y%m%d-%H%M%S.pcapng")),
        server=_words("--server", server) if server is not None else (),
        clients=[_words("--client", client) for client in clients],
        hosts=hosts or 0,
        shell=shell or "",
        shell_command=(os.environ.get("SHELL") or "/bin/sh",),
        wire=rules_from_argument(wire) if wire is not None else (),
        sysctls=[sysctl_from_text(text) for text in sysctls],
        listen_within_s=listen_timeout,
        user=user,
        witness=witness,
        journal_limit=journal_limit,
        sample_every_ns=sample_every_ns,
        title=title_of(context, "lab", left_out=("output", "quiet")),
    )
    result = run_lab(options, _show_standing)
    return _show(result, quiet=quiet)


def _words(option: str, text: str) -> list[str]:
    from netlab.model.errors import UsageError

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} cannot be split into words", str(error).lower()
        ) from None
    if not words:
        raise UsageError(f"{option} has no words", "name a program")
    return words


def _show_standing(standing: Standing) -> None:
    """How to get in, while it stands."""
    from netlab.commands.main import complain

    if standing.listening:
        complain(f"the server listens on {', '.join(standing.listening)}")
    for host, pid in standing.pids.items():
        # `--wd`: into our working directory, where the programs are, and not to /.
        # As an ordinary user the namespaces are entered through the user namespace that owns them.
        owner = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        words = ["nsenter", "-t", f"{pid}", *owner, "--net", "--mount", "--uts", "--pid", "--wd"]
        complain(f"enter {host}: {shlex.join(words)}")
    complain("Ctrl-C ends the lab")


def _show(result: LabResult, *, quiet: bool) -> int:
    """What came of it, on stderr: stdout is the client's. The exit code."""
    from netlab.commands.main import complain, note
    from netlab.show.views.recorded import loss_text

    for complaint in result.complaints:
        complain(complaint)
    assert result.finished is not None
    raw = result.finished.raw
    if raw.losses:
        texts = dict.fromkeys(loss_text(loss) for loss in raw.losses)
        complain(f"not all was recorded: {'; '.join(texts)}")
    if not quiet:
        for text in result.notes:
            note(text)
        name = shlex.quote(str(result.path))
        said = f"{len(raw.frames):,} packets and {len(raw.calls):,} calls are in {name}"
        ladder = " --connection 0" if result.finished.tables.connections else ""
        complain(f"{said}: netlab inspect {name}{ladder}")
    if result.interrupted is not None:
        return 128 + result.interrupted
    return result.exit_code
