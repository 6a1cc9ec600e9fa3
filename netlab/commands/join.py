"""`netlab join CAPTURE --strace FILE...`: a capture and logs taken by hand become a recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from netlab.commands.options import journal_limit_option
from netlab.model.errors import UsageError

_NS = 1_000_000_000
_PATH = click.Path(path_type=Path, readable=False)  # what cannot be read is said by who reads it


@click.command()
@click.argument("capture", type=_PATH)
@click.argument("more", nargs=-1, type=_PATH, metavar="")
@click.option(
    "--strace",
    "logs",
    multiple=True,
    required=True,
    type=_PATH,
    metavar="FILE...",
    help="Logs of `strace -f -ttt -T -o FILE`; of -ff, FILE stands for FILE.PID.",
)
@click.option(
    "--actor",
    "actors",
    multiple=True,
    metavar="NAME",
    help="What to call the program of a log, once for each.  [default: as its file]",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="The machine of a log, once for each, if they are of several.",
)
@click.option(
    "--output", "-o", required=True, type=_PATH, metavar="RECORDING",
    help="Where to write the recording.",
)  # fmt: skip
@click.option(
    "--clock-offset",
    metavar="SECONDS",
    help="Add this to the times of the calls.  [default: what causes and effects allow, mostly 0]",
)
@journal_limit_option
@click.pass_context
def command(
    context: click.Context,
    capture: Path,
    more: tuple[Path, ...],
    logs: tuple[Path, ...],
    actors: tuple[str, ...],
    hosts: tuple[str, ...],
    output: Path,
    clock_offset: str | None,
    journal_limit: int,
) -> None:
    """Join a capture and logs of strace, taken by hand, into a recording.

    CAPTURE is a pcap or pcapng of tcpdump. For a program on a machine without netlab:

    \b
      tcpdump -i any -w server.pcap tcp port 80 &
      strace -f -ttt -T -yy -s 64 -o server.strace -p PID
      netlab join server.pcap --strace server.strace -o server.pcapng
    """
    from netlab.commands.main import note
    from netlab.commands.title import title_of
    from netlab.lab.join import JoinOrder, join_files, write_joined
    from netlab.show.escape import printable
    from netlab.show.terminal.lines import columns_of_terminal, fold
    from netlab.show.views.recorded import loss_text
    from netlab.show.views.summary import summary

    files = (*logs, *more)
    for path in (capture, *files):
        if _same(path, output):
            raise UsageError(f"{output} is read and cannot be written", "name another file with -o")
    title = title_of(
        context, "join", str(capture), "--strace", *map(str, files),
        left_out=("capture", "more", "logs", "output", "journal_limit"),
    )  # fmt: skip
    order = JoinOrder(capture, files, actors, hosts, _offset_ns(clock_offset), title, journal_limit)
    joined = join_files(order)
    write_joined(joined, output, order)
    view = summary(joined.tables, joined.raw, str(output))
    sockets = ", ".join(f"{count:,} {kind}" for kind, count in joined.sockets.items())
    told = [
        f"TCP sockets and their connections: {sockets or 'none'}",
        *joined.clocks,
        *joined.ambiguous,
        *(f"lost: {loss_text(loss)}" for loss in joined.raw.losses),
        f"bytes moved by calls: {view.ledger.moved_bytes:,}",
        *(f"{row.bytes:,} bytes {row.what}: {row.reason}" for row in view.ledger.lines),
    ]
    head = f"{output}: {_count(view.frames, 'packet')}, {_count(view.calls, 'call')}"
    width = columns_of_terminal()
    for line in (*fold(printable(head), width), *_under(told, width)):
        click.echo(line)
    for text in joined.notes:
        note(text)


def _under(texts: list[str], width: int) -> Iterator[str]:
    """The texts below a head, each set in by two columns and folded."""
    from netlab.show.escape import printable
    from netlab.show.terminal.lines import fold

    for text in texts:
        yield from (f"  {line}" for line in fold(printable(text), width - 2, "  "))


def _offset_ns(text: str | None) -> int | None:
    """A number of seconds, exactly."""
    if text is None:
        return None
    try:
        value = Decimal(text)
        if not value.is_finite() or abs(value) > 1 << 33:
            raise InvalidOperation
    except InvalidOperation:
        raise UsageError(
            f"--clock-offset {text} is no number of seconds", "say it like -0.25 or 3600"
        ) from None
    return int(value * _NS)


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
