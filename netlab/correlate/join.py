"""A recording's packets and call records -> its tables: the order in which the room works.

flows -> tracks (segments, connections) -> where there are calls, `call_join`. Every step is in its
own module; here they are only put together. Nothing is guessed: what is not known is None, or a row
of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from netlab.correlate.connections import connection_from_flow, connection_from_track
from netlab.correlate.datagrams import Datagram, datagrams_from_flows
from netlab.correlate.end_states import Ends
from netlab.correlate.flows import Flow, flows_from_packets
from netlab.correlate.kernels_known import all_probe_first, ends_are_known
from netlab.correlate.missing import missing_frames
from netlab.correlate.releases import Release
from netlab.correlate.second_verdicts import judge_again
from netlab.correlate.segments import Track, track_from_flow
from netlab.correlate.verdicts import judge
from netlab.model.call import CallRecord
from netlab.model.garbage import no_collection
from netlab.model.progress import SILENT, Progress
from netlab.model.recording import RawRecording
from netlab.model.tables import Connection, Direction, Packet, Tables

if TYPE_CHECKING:
    from netlab.correlate.sockets import Socket


def correlate(
    raw: RawRecording,
    packets: list[Packet],
    progress: Progress = SILENT,
    release: Release = Release.V4_0,
) -> Tables:
    """Join frames and calls; fills connection and direction of `packets` in passing.

    `release`: the tshark whose verdicts its columns hold.
    """
    return correlate_sockets(raw, packets, progress, release)[0]


def correlate_sockets(
    raw: RawRecording,
    packets: list[Packet],
    progress: Progress = SILENT,
    release: Release = Release.V4_0,
) -> tuple[Tables, list[Socket], list[Track]]:
    """The same, with what the calls were made on and the TCP connections as frames tell them."""
    records = sorted(raw.calls, key=lambda r: (r.entered_ns, r.host, r.pid, r.tid, r.order))
    with no_collection():
        work = _Correlation(raw, packets, records, progress, release)
        tables = work.run()
        return tables, work.sockets, work.tracks


class _Correlation:
    """The steps, and what one hands to the next."""

    def __init__(
        self,
        raw: RawRecording,
        packets: list[Packet],
        records: list[CallRecord],
        progress: Progress,
        release: Release,
    ) -> None:
        self.raw, self.packets, self.progress = raw, packets, progress
        self.release = release
        self.records = records
        self.tables = Tables(packets=packets)
        self.place = _place_of(packets)
        self.missing = missing_frames(raw)
        self.ring_lost = self.missing is not None
        self.sockets: list[Socket] = []
        self.tracks: list[Track] = []

    def run(self) -> Tables:
        flows = flows_from_packets(self.progress.over("finding connections", self.packets))
        self.tracks = tracks = self._tracks(flows)
        self.tables.connections = self._connections(flows, tracks)
        datagrams = datagrams_from_flows(flows)
        self._count_datagram_bytes(datagrams)
        if self.records or self.raw.samples or self.raw.kernel_events:
            # Half of what this room is, and of the time that importing it takes.
            from netlab.correlate.call_join import CallJoin

            self.progress.step("joining calls")
            join = CallJoin(self.raw, self.tables, self.records, self.place, self.missing)
            join.run(flows, tracks, datagrams)
            self.sockets = join.sockets
        return self.tables

    def _tracks(self, flows: list[Flow]) -> list[Track]:
        tcp = [flow for flow in flows if flow.protocol == "tcp"]
        tracks = [track_from_flow(flow) for flow in self.progress.over("following streams", tcp)]
        probing = all_probe_first(self.raw.description.hosts)
        for track in self.progress.over("judging segments", tracks):
            judge(track, self.release)
            known = probing and ends_are_known(track)
            judge_again(track, probes_first=known, ring_lost=self.ring_lost)
        rows = [row.segment for track in tracks for row in track.rows]
        rows.sort(key=lambda segment: self.place(segment.frame))
        self.tables.segments = rows
        return tracks

    def _connections(self, flows: list[Flow], tracks: list[Track]) -> list[Connection]:
        by_flow = {track.flow.connection: track for track in tracks}
        found = []
        for flow in flows:
            track = by_flow.get(flow.connection)
            if track is None:
                found.append(connection_from_flow(flow))
            else:
                ends = Ends(track)
                self.tables.end_states += ends.changes
                found.append(connection_from_track(track, ends))
            if self.ring_lost and found[-1].close_kind in ("open", "half-close"):
                found[-1].closed_by = found[-1].close_kind = None  # a FIN may be among the lost
        return found

    def _count_datagram_bytes(self, datagrams: list[Datagram]) -> None:
        for datagram in datagrams:
            row = self.tables.connections[datagram.flow.connection]
            if datagram.direction is Direction.C2S:
                row.client_bytes = max(row.client_bytes, datagram.stop)
            else:
                row.server_bytes = max(row.server_bytes, datagram.stop)


def _place_of(packets: list[Packet]) -> Callable[[int], int]:
    """Where a frame stands among the packets, for sorting; mostly its number says it."""
    if all(a.frame < b.frame for a, b in pairwise(packets)):
        return lambda frame: frame
    return {packet.frame: place for place, packet in enumerate(packets)}.__getitem__
