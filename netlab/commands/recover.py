"""`netlab recover FILE`: puts together what a killed recording left, and says what it found."""

from __future__ import annotations

from pathlib import Path

import click

from netlab.commands.numbers import WholeNumber


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--journal-limit",
    default=100_000,
    type=WholeNumber(0),
    show_default=True,
    metavar="N",
    help="How many calls Wireshark shows one by one.",
)
def command(file: Path, journal_limit: int) -> None:
    """Put together what a killed recording left.

    Merges FILE, up to its last whole block, with the calls in FILE.spools, and writes FILE in its
    finished form. The spools are deleted once FILE holds all that was in them.
    """
    from netlab.capture.files import read_raw, recover
    from netlab.capture.ownership import remove_folder
    from netlab.capture.recording import spool_folder
    from netlab.lab.finish import finish_raw
    from netlab.model.errors import BadRecording
    from netlab.show.escape import printable
    from netlab.show.views.summary import loss_text

    folder = spool_folder(file)
    raw = recover(file)
    name = printable(str(file))
    if raw.description.form == "finished" and not raw.faults and not folder.is_dir():
        click.echo(f"{name} is whole: nothing to recover")
        return
    finish_raw(file, raw, journal_limit=journal_limit)
    inside = sum(call.returned_ns is None for call in raw.calls)
    click.echo(
        f"{name}: {_count(len(raw.frames), 'packet')}, {_count(len(raw.calls), 'call')}"
        + (f" ({inside} still inside when it ended)" if inside else "")
    )
    for note in raw.description.notes:
        click.echo(f"  {printable(note)}")
    for loss in raw.losses:
        click.echo(printable(f"  lost: {loss_text(loss)}"))
    if folder.is_dir():
        written = read_raw(file)
        if (written.calls, written.stamps) != (raw.calls, raw.stamps):
            raise BadRecording(
                f"{file} does not hold all calls of {folder}", "the spools were kept: report this"
            )
        remove_folder(folder)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
