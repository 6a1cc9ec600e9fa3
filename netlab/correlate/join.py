"""A recording's packets and call records -> its tables.

First the frames by themselves (`join_frames`), then, where there are any, the calls (`join_calls`).
A capture from elsewhere has none: how they are joined is then not even imported, a fifth of the
time that `inspect` of a small capture takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.correlate.join_frames import FrameJoin
from netlab.model.garbage import no_collection
from netlab.model.progress import SILENT, Progress
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet, Tables

if TYPE_CHECKING:
    from netlab.correlate.segments import Track
    from netlab.correlate.sockets import Socket


def correlate(raw: RawRecording, packets: list[Packet], progress: Progress = SILENT) -> Tables:
    """Join frames and calls; fills connection and direction of `packets` in passing."""
    return correlate_sockets(raw, packets, progress)[0]


def correlate_sockets(
    raw: RawRecording, packets: list[Packet], progress: Progress = SILENT
) -> tuple[Tables, list[Socket], list[Track]]:
    """The same, with what the calls were made on and the TCP connections as frames tell them."""
    records = sorted(raw.calls, key=lambda r: (r.entered_ns, r.host, r.pid, r.tid, r.order))
    with no_collection():
        frames = FrameJoin(raw, packets, progress)
        if not records and not raw.samples and not raw.kernel_events:
            return frames.tables, [], frames.tracks
        from netlab.correlate.join_calls import CallJoin

        progress.step("joining calls")
        work = CallJoin(frames, records)
        tables = work.run()
        return tables, work.sockets, frames.tracks
