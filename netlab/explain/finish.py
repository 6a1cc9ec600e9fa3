"""Turns a live recording into a finished one: reads it, makes its tables, writes it with words."""

from __future__ import annotations

from pathlib import Path

from netlab.capture import recording
from netlab.capture.files import read_raw
from netlab.explain import gloss
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


def finish_recording(path: Path) -> Tables:
    """Rewrite the live recording at `path` in its finished form; return the tables as the finished
    file gives them. Raises BadRecording when it cannot be read or written; the live form stays."""
    return finish_raw(path, read_raw(path))


def finish_raw(path: Path, raw: RawRecording) -> Tables:
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
    return analyse(read_raw(path))
