"""`netlab trace`: any program on this machine, its calls and its packets, recorded."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlab.commands.numbers import Duration, WholeNumber
from netlab.commands.options import journal_limit_option

if TYPE_CHECKING:
    from netlab.lab.tracing.trace import TraceResult


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD ARGS...]")
@click.option(
    "-p",
    "--pid",
    "pids",
    type=WholeNumber(1),
    metavar="PID",
    multiple=True,
    help="Attach to a process that runs already, in place of CMD; several are possible.",
)
@click.option(
    "--all-traffic",
    is_flag=True,
    help="Record all that passes at this machine's interfaces, not only the program's own packets.",
)
@click.option(
    "--witness",
    type=click.Choice(["auto", "strace", "kernel", "both"]),
    default="auto",
    show_default=True,
    help="Who tells of the calls: strace (auto), or as root the kernel's tracepoints.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The recording; by default netlab-trace-DATE-TIME.pcapng here.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="As root: run CMD as this user; by default whoever called sudo, else root.",
)
@click.option(
    "--sample",
    "sample_every_ns",
    default=0,
    type=Duration(1_000_000),
    metavar="TIME",
    help="Look at the program's TCP sockets so often: `10ms`; what changed is in `states`.",
)
@journal_limit_option
@click.option(
    "--spool-limit",
    default=1 << 30,
    type=WholeNumber(1),
    show_default=True,
    metavar="BYTES",
    help="Room on disk for strace's log; once it is used, no further call is recorded.",
)
@click.option("--quiet", is_flag=True, help="Say nothing of the recording.")
@click.pass_context
def command(
    context: click.Context,
    program: tuple[str, ...],
    pids: tuple[int, ...],
    all_traffic: bool,
    witness: str,
    output: Path | None,
    user: str | None,
    sample_every_ns: int,
    journal_limit: int,
    spool_limit: int,
    quiet: bool,
) -> int:
    """Record a program's socket calls and its packets on this machine's real interfaces.

    CMD has your terminal, and its exit code is netlab's; its children, threads and the programs
    that they execute are followed. With -p processes that run already are watched until Ctrl-C, and
    go on after that. Needs strace, and the right to capture: `netlab doctor` says how to grant it.
    Without that right use `netlab lab`.
    """
    from netlab.commands.main import complain
    from netlab.commands.title import title_of
    from netlab.lab.tracing.trace import TraceOptions, run_trace
    from netlab.model.errors import UsageError

    if bool(program) == bool(pids):
        raise UsageError(
            "there is both CMD and --pid" if program else "there is nothing to trace",
            "netlab trace -- CMD ARGS, or netlab trace -p PID",
        )
    if pids and user is not None:
        raise UsageError("a process that runs already has its user", "leave --user out")
    title = title_of(context, "trace", left_out=("program", "output", "quiet"))
    options = TraceOptions(
        path=output
        if output is not None
        else Path(time.strftime("netlab-trace-%Y%m%d-%H%M%S.pcapng")),
        command=program,
        pids=pids,
        all_traffic=all_traffic,
        witness=witness,
        user=user,
        journal_limit=journal_limit,
        spool_limit_bytes=spool_limit,
        sample_every_ns=sample_every_ns,
        title=f"{title} -- {shlex.join(program)}" if program else title,
    )
    result = run_trace(options, say=complain)
    _show(result, quiet=quiet)
    return result.exit_code


def _show(result: TraceResult, *, quiet: bool) -> None:
    """What came of it, on stderr: stdout is the program's."""
    from netlab.commands.main import complain, note
    from netlab.show.views.recorded import loss_text

    raw = result.finished.raw
    if raw.losses:
        texts = dict.fromkeys(loss_text(loss) for loss in raw.losses)
        complain(f"not all was recorded: {'; '.join(texts)}")
    if quiet:
        return
    for text in result.notes:
        note(text)
    name = shlex.quote(str(result.path))
    said = f"{len(raw.frames):,} packets and {len(raw.calls):,} calls are in {name}"
    ladder = " --connection 0" if result.finished.tables.connections else ""
    complain(f"{said}: netlab inspect {name}{ladder}")
