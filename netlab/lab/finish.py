"""Turns a live recording into a finished one: reads it, makes its tables, writes it with words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netlab.capture import files, recording
from netlab.capture.files import read_raw
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.ownership import remove_folder
from netlab.capture.recording import spool_folder
from netlab.capture.wired import check_arrivals, merge_wire
from netlab.explain import gloss
from netlab.explain.analysis import analyse
from netlab.lab.wire.journal import JournalReader
from netlab.model.errors import NetlabError
from netlab.model.frame import departure
from netlab.model.garbage import no_collection
from netlab.model.recording import Loss, RawRecording
from netlab.model.tables import Tables

if TYPE_CHECKING:
    from netlab.lab.recorder import Death, Recorder


class Finished(NamedTuple):
    """A finished recording as its file gives it: what the witnesses saw, and the tables."""

    raw: RawRecording
    tables: Tables


def finish_recording(path: Path, *, journal_limit: int = JOURNAL_LIMIT) -> Finished:
    """Rewrite the live recording at `path`, which ended in order, in its finished form.

    Wireshark will list `journal_limit` calls one by one. Raises BadRecording when the file cannot
    be read or written; the live form then stays.
    """
    return finish_raw(path, read_raw(path, ended=True), journal_limit=journal_limit)


@no_collection()
def finish_raw(path: Path, raw: RawRecording, *, journal_limit: int = JOURNAL_LIMIT) -> Finished:
    """The same for raw material that is already in memory."""
    raw.frames.sort(key=departure)  # as the finished file will have them
    recording.number_frames(raw, journal_limit=journal_limit)
    return finish_tables(path, raw, analyse(raw), journal_limit=journal_limit)


@no_collection()
def finish_tables(
    path: Path, raw: RawRecording, tables: Tables, *, journal_limit: int = JOURNAL_LIMIT
) -> Finished:
    """The same for raw material, frames in order and numbered, whose tables are made already."""
    recording.finish(
        path,
        raw,
        frame_comments=gloss.frame_comments(tables),
        call_messages=gloss.call_messages(tables),
        threads=gloss.frame_threads(tables),
        journal_limit=journal_limit,
    )
    finished = replace(raw.description, form="finished")
    return Finished(replace(raw, description=finished, faults=[], cut_short=False), tables)


def recover(path: Path) -> RawRecording:
    """What a killed recording left: FILE, the spools of its processes, and the wire's, merged.

    Raises as `capture.files.recover` does.
    """
    raw = files.recover(path)
    folder = spool_folder(path)
    reader = JournalReader(folder)
    taken = reader.finish()
    if not taken.frames and not taken.arrivals and not reader.losses:
        return raw
    frames, arrivals = merge_wire(raw, taken.frames, taken.arrivals)
    faults = check_arrivals(raw)
    raw.faults += faults
    raw.losses = list(dict.fromkeys([*raw.losses, *reader.losses]))
    notes = [f"recovered: {fault}" for fault in faults]
    notes.append(
        f"recovered: frames that stood in the wire's spool alone: {frames}, arrivals: {arrivals}"
    )
    raw.description = replace(raw.description, notes=(*raw.description.notes, *notes))
    return raw


def conclude(
    recorder: Recorder,
    path: Path,
    spools: Path,
    *,
    deaths: Sequence[Death] = (),
    losses: Iterable[Loss] = (),
    trouble: NetlabError | None = None,
    journal_limit: int = JOURNAL_LIMIT,
) -> Finished:
    """Take in the rest, finish the file, remove the spools.

    `trouble` is what the recorder was hindered by before. Raises it, or what hinders it now; what
    was recorded opens even so.
    """
    try:
        recorder.finish(deaths, losses)
    except NetlabError as error:
        trouble = trouble or error
    if trouble is not None:
        raise finish_on_full_disk(path, spools, trouble, journal_limit=journal_limit)
    remove_folder(spools)
    return finish_recording(path, journal_limit=journal_limit)


def finish_on_full_disk(
    path: Path, spools: Path, refusal: NetlabError, *, journal_limit: int = JOURNAL_LIMIT
) -> NetlabError:
    """Finish a recording that the disk had no room for; `refusal`, saying how that went.

    What the file lacks is read from the spools. They go once all of it stands in the file; where
    there is no room for that, both stay as they are.
    """
    try:
        raw = recover(path)
        if _holds_all(path, raw):
            remove_folder(spools)  # it makes room
        finish_raw(path, raw, journal_limit=journal_limit)
        remove_folder(spools)
    except NetlabError:
        if spools.is_dir():
            hint = f"free some space, then run `netlab recover {path}`"
            return type(refusal)(refusal.message, hint)
    return refusal


def _holds_all(path: Path, raw: RawRecording) -> bool:
    """Whether the live file has all that was recovered from it and its spools."""
    with suppress(NetlabError):
        live = read_raw(path)
        noted = {loss for loss in raw.losses if loss.witness == "probe"} <= set(live.losses)
        witnessed = (live.calls, live.inheritances, live.arrivals, len(live.frames))
        return noted and witnessed == (
            raw.calls, raw.inheritances, raw.arrivals, len(raw.frames)
        )  # fmt: skip
    return False
