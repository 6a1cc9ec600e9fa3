"""A recording's packets -> its connections and segments, before any call is looked at.

flows -> tracks (segments, verdicts, states of both ends) -> connections. Every step is in its own
module; here they are only put together.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from netlab.correlate.connections import connection_from_flow, connection_from_track
from netlab.correlate.datagrams import Datagram, datagrams_from_flows
from netlab.correlate.end_states import Ends
from netlab.correlate.flows import Flow, flows_from_packets
from netlab.correlate.kernels_known import all_probe_first, ends_are_known
from netlab.correlate.missing import missing_frames
from netlab.correlate.second_verdicts import judge_again
from netlab.correlate.segments import Track, track_from_flow
from netlab.correlate.verdicts import judge
from netlab.model.progress import Progress
from netlab.model.recording import RawRecording
from netlab.model.tables import Connection, Direction, Packet, Tables


class FrameJoin:
    """What the frames say by themselves; tables without calls."""

    def __init__(self, raw: RawRecording, packets: list[Packet], progress: Progress) -> None:
        self.raw, self.packets, self.progress = raw, packets, progress
        self.tables = Tables(packets=packets)
        self.place = _place_of(packets)
        self.missing = missing_frames(raw)
        self.ring_lost = self.missing is not None
        self.flows = flows_from_packets(progress.over("finding connections", packets))
        self.tracks = self._tracks(self.flows)
        self.tables.connections = self._connections(self.flows, self.tracks)
        self.datagrams = datagrams_from_flows(self.flows)
        self._count_datagram_bytes(self.datagrams)

    def _tracks(self, flows: list[Flow]) -> list[Track]:
        tcp = [flow for flow in flows if flow.protocol == "tcp"]
        tracks = [track_from_flow(flow) for flow in self.progress.over("following streams", tcp)]
        probing = all_probe_first(self.raw.description.hosts)
        for track in self.progress.over("judging segments", tracks):
            judge(track)
            judge_again(track, probes_first=probing and ends_are_known(track))
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
