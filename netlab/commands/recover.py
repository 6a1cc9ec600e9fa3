"""`netlab recover FILE`: puts together what a killed recording left, and says what it found."""

from __future__ import annotations

from pathlib import Path

import click

from netlab.commands.options import journal_limit_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@journal_limit_option
def command(file: Path, journal_limit: int) -> None:
    """Put together what a killed recording left.

    Merges FILE, up to its last whole block, with the calls in FILE.spools, and writes FILE in its
    finished form. The spools are deleted once FILE holds all that was in them.
    """
    from netlab.capture.files import read_raw
    from netlab.capture.ownership import remove_folder
    from netlab.capture.recording import spool_folder
    from netlab.lab.finish import finish_raw, recover
    from netlab.model.errors import BadRecording
    from netlab.show.escape import printable
    from netlab.show.views.recorded import loss_text

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
        held = (written.calls, written.stamps, written.arrivals, len(written.frames))
        if held != (raw.calls, raw.stamps, raw.arrivals, len(raw.frames)):
            raise BadRecording(
                f"{file} does not hold all that is in {folder}",
                "the spools were kept: report this",
            )
        remove_folder(folder)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
