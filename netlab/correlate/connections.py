"""Flows and their tracks -> rows of `connections`: counts, handshake, options, how it ended.

States are those of `end_states`. Knows nothing of calls.
"""

from __future__ import annotations

from netlab.correlate.arrivals import sent
from netlab.correlate.end_states import Ends
from netlab.correlate.flows import Flow
from netlab.correlate.measures import add_measures
from netlab.correlate.segments import Track
from netlab.correlate.zeek import conn_of_datagrams, conn_of_track
from netlab.model.tables import Connection, Direction, Side


def connection_from_flow(flow: Flow) -> Connection:
    """The columns that TCP and UDP share; UDP has no others."""
    frames = flow.packets + [packet for packet, _ in flow.fragments]
    times = [packet.time_ns for packet in frames]
    times += [packet.arrived_ns for packet in frames if packet.arrived_ns is not None]
    (client, client_port), (server, server_port) = flow.client, flow.server
    row = Connection(
        flow.connection, flow.stream, flow.protocol, client, client_port, server, server_port,
        min(times), max(times),
    )  # fmt: skip
    frames = sent(frames)
    row.client_packets = sum(1 for packet in frames if packet.direction is Direction.C2S)
    row.server_packets = len(frames) - row.client_packets
    if flow.protocol == "udp":
        row.conn_state, row.history = conn_of_datagrams(flow)
    return row


def connection_from_track(track: Track, ends: Ends) -> Connection:
    """All that the frames of a TCP connection say about it."""
    row = connection_from_flow(track.flow)
    client, server = track.halves[Direction.C2S], track.halves[Direction.S2C]
    row.client_bytes, row.server_bytes = client.bytes_seen.total(), server.bytes_seen.total()
    row.client_mss, row.server_mss = client.mss, server.mss
    row.client_wscale, row.server_wscale = client.wscale, server.wscale
    row.client_sack, row.server_sack = client.sack, server.sack
    row.client_timestamps, row.server_timestamps = client.timestamps, server.timestamps
    row.completeness = track.completeness
    if client.syns and server.syns and track.handshake_acks:
        row.handshake_ns = track.handshake_acks[0].time_ns - client.syns[0].time_ns
    row.initial_rtt_ns = track.initial_rtt_ns
    row.client_state = ends.state[Side.CLIENT]
    row.server_state = ends.state[Side.SERVER]
    row.closed_by, row.close_kind = ends.closed_by, ends.close_kind
    for verdict, count in track.verdict_counts.items():
        setattr(row, f"{verdict}_count", count)
    for name, value in conn_of_track(track)._asdict().items():
        setattr(row, name, value)
    add_measures(row, track)
    return row
