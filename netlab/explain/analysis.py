"""Turns the raw material of a recording into its seven tables: decode, then correlate.

Every view, export, API and test reads tables made here, so that two of them cannot disagree.
"""

from __future__ import annotations

from netlab.correlate.join import correlate
from netlab.decode.packets import decode
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables


def analyse(raw: RawRecording) -> Tables:
    """The seven tables and the byte ledger of a recording."""
    return correlate(raw, decode(raw))
