"""Turns a live recording into a finished one: reads it, makes its tables, writes it with words."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from netlab.capture import recording
from netlab.capture.files import read_raw
from netlab.explain import gloss
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


class Finished(NamedTuple):
    """A finished recording as its file gives it: what the witnesses saw, and the tables."""

    raw: RawRecording
    tables: Tables


def finish_recording(path: Path) -> Finished:
    """Rewrite the live recording at `path` in its finished form.

    Raises BadRecording when it cannot be read or written; the live form then stays.
    """
    return finish_raw(path, read_raw(path))


def finish_raw(path: Path, raw: RawRecording) -> Finished:
    """The same for raw material that is already in memory."""
    tables = analyse(raw)
    recording.finish(
        path,
        raw,
        frame_comments=gloss.frame_comments(tables),
        call_messages=gloss.call_messages(tables),
        threads=gloss.frame_threads(tables),
    )
    # Frames are numbered anew between the calls of the finished file: read what was written.
    written = read_raw(path)
    return Finished(written, analyse(written))
