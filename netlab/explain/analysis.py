"""Turns the raw material of a recording into its nine tables: decode, then correlate.

Every view, export, API and test reads tables made here, so that two of them cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from netlab.capture.spare import PACKET_BYTES, check_room
from netlab.correlate.join import correlate
from netlab.correlate.releases import Release
from netlab.decode.packets import decode
from netlab.model.frame import departure
from netlab.model.progress import SILENT, Progress
from netlab.model.recording import RawRecording
from netlab.model.tables import Message, Tables, Wait

if TYPE_CHECKING:
    from netlab.correlate.messages import DecodeAs

_FEW = 20_000  # packets: for so many there is room


def analyse(
    raw: RawRecording,
    decode_as: Sequence[DecodeAs] = (),
    *,
    progress: Progress = SILENT,
    release: Release = Release.V4_0,
) -> Tables:
    """The nine tables and the byte ledger of a recording.

    The tables of waits and of messages are made when they are first asked for; `decode_as` says for
    the latter what protocol is spoken at a port. `release`: the tshark whose verdicts are given.

    The frames of a live recording are put into the order of time, in `raw` too, and keep their
    numbers. The ring hands frames of two processors over as it gets them; the finished form is in
    order, and what correlate says must not depend on the form.
    """
    if raw.description.form == "live":
        raw.frames.sort(key=departure)
    if len(raw.frames) > _FEW:
        check_room(
            PACKET_BYTES * len(raw.frames), f"{len(raw.frames):,} packets",
            "more memory reads them, or a part of the file (editcap -r); of a pcap or pcapng file"
            " on disk, one packet or one connection is shown without that",
        )  # fmt: skip
    tables = correlate(raw, decode(raw, progress), progress, release)
    read_later(tables, raw, decode_as)
    return tables


def read_later(tables: Tables, raw: RawRecording, decode_as: Sequence[DecodeAs] = ()) -> None:
    """Let the tables of waits and of messages be made once somebody asks for them."""
    tables._read_waits = partial(_waits, tables, raw)
    tables._read_messages = partial(_messages, tables, raw, tuple(decode_as))


def _waits(tables: Tables, raw: RawRecording) -> list[Wait]:
    from netlab.explain.waits import waits

    return waits(tables, raw)


def _messages(
    tables: Tables, raw: RawRecording, decode_as: Sequence[DecodeAs], only: int | None
) -> list[Message]:
    from netlab.correlate.messages import messages

    return messages(tables, raw, decode_as, only)
