"""Turns the raw material of a recording into its eight tables: decode, then correlate.

Every view, export, API and test reads tables made here, so that two of them cannot disagree.
"""

from __future__ import annotations

from netlab.correlate.join import correlate
from netlab.decode.packets import decode
from netlab.model.frame import departure
from netlab.model.progress import SILENT, Progress
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


def analyse(raw: RawRecording, progress: Progress = SILENT) -> Tables:
    """The eight tables and the byte ledger of a recording.

    The frames of a live recording are put into the order of time, in `raw` too, and keep their
    numbers. The ring hands frames of two processors over as it gets them; the finished form is in
    order, and what correlate says must not depend on the form.
    """
    if raw.description.form == "live":
        raw.frames.sort(key=departure)
    return correlate(raw, decode(raw, progress), progress)
