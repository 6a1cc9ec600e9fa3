"""Flows and their tracks -> rows of `connections`: counts, handshake, options, how it ended.

States are those of RFC 9293 figure 5 as far as the packets show them: a capture at one place, read
in order. The columns that count verdicts stay null here. Knows nothing of calls.
"""

from __future__ import annotations

from netlab.correlate.flows import ACK, FIN, RST, SYN, Flow
from netlab.correlate.segments import Track
from netlab.model.tables import Connection, Direction, Side


def connection_from_flow(flow: Flow) -> Connection:
    """The columns that TCP and UDP share; UDP has no others."""
    times = [packet.time_ns for packet in flow.packets]
    times += [packet.time_ns for packet, _ in flow.fragments]
    (client, client_port), (server, server_port) = flow.client, flow.server
    row = Connection(
        flow.connection, flow.stream, flow.protocol, client, client_port, server, server_port,
        min(times), max(times),
    )  # fmt: skip
    frames = flow.packets + [packet for packet, _ in flow.fragments]
    row.client_packets = sum(1 for packet in frames if packet.direction is Direction.C2S)
    row.server_packets = len(frames) - row.client_packets
    return row


def connection_from_track(track: Track) -> Connection:
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
    ends = _Ends(track)
    row.client_state = ends.state[Side.CLIENT]
    row.server_state = ends.state[Side.SERVER]
    row.closed_by, row.close_kind = ends.closed_by, ends.close_kind
    return row


class _Ends:
    """Both ends' states after every frame of a track."""

    def __init__(self, track: Track) -> None:
        self.state: dict[Side, str | None] = {Side.CLIENT: None, Side.SERVER: None}
        self.closed_by: str | None = None
        self.close_kind: str | None = None
        self._fin_end: dict[Side, int] = {}  # relative ack that covers the FIN
        self._highest_ack = 0  # of any frame
        self._acked: set[Side] = set()  # ends whose FIN was acknowledged
        for row in track.rows:
            self._frame(row.direction.sender, row.packet._flags, row.segment.seq,
                        row.segment.seg_len, row.segment.ack)  # fmt: skip
        if track.flow.to_itself and self.close_kind is None:
            self._with_itself()
        elif self.close_kind is None:
            self.close_kind = ("open", "half-close", "fin")[len(self._fin_end)]

    def _frame(self, sender: Side, flags: int, seq: int, seg_len: int, ack: int | None) -> None:
        receiver = Side.SERVER if sender is Side.CLIENT else Side.CLIENT
        if flags & RST:
            self._reset(sender)
            return
        self._highest_ack = max(self._highest_ack, ack or 0)
        if flags & SYN:
            if flags & ACK:
                self._set(sender, "SYN-RECEIVED", (None, "SYN-SENT", "LISTEN"))
                self._set(receiver, "ESTABLISHED", (None, "SYN-SENT"))
            else:
                self._set(sender, "SYN-SENT", (None,))
            return
        for side in (sender, receiver):  # data or ACK of a connection that was there before
            self._set(side, "ESTABLISHED", (None, "SYN-RECEIVED"))
        if ack is not None and ack >= self._fin_end.get(receiver, ack + 1):
            self._fin_acked(receiver)
        if flags & FIN and sender not in self._fin_end:
            self._fin(sender, receiver, seq + seg_len, ack)

    def _with_itself(self) -> None:
        """One end: its FIN comes back to it (CLOSING), and so does the ACK of it (TIME-WAIT)."""
        end = self._fin_end.get(Side.CLIENT)
        self.close_kind = "open" if end is None else "fin"
        if end is not None:
            self.closed_by = "both"
            acked = self._highest_ack >= end
            self.state[Side.CLIENT] = "TIME-WAIT" if acked else "CLOSING"
        self.state[Side.SERVER] = self.state[Side.CLIENT]

    def _set(self, side: Side, state: str, instead_of: tuple[str | None, ...]) -> None:
        if self.state[side] in instead_of:
            self.state[side] = state

    def _fin(self, sender: Side, receiver: Side, end: int, ack: int | None) -> None:
        self._fin_end[sender] = end
        if receiver not in self._fin_end:
            self.closed_by = str(sender)
        elif ack is None or ack < self._fin_end[receiver]:
            self.closed_by = "both"  # sent before the other's FIN was taken in
            if self.state[sender] == "CLOSE-WAIT":
                self.state[sender] = "CLOSING"  # the other's FIN comes to it in FIN-WAIT-1
        moves = {"ESTABLISHED": "FIN-WAIT-1", "CLOSE-WAIT": "LAST-ACK"}
        self.state[sender] = moves.get(self.state[sender] or "", self.state[sender])
        moves = {"ESTABLISHED": "CLOSE-WAIT", "FIN-WAIT-1": "CLOSING", "FIN-WAIT-2": "TIME-WAIT"}
        self.state[receiver] = moves.get(self.state[receiver] or "", self.state[receiver])

    def _fin_acked(self, side: Side) -> None:
        self._acked.add(side)
        moves = {"FIN-WAIT-1": "FIN-WAIT-2", "CLOSING": "TIME-WAIT", "LAST-ACK": "CLOSED"}
        self.state[side] = moves.get(self.state[side] or "", self.state[side])

    def _reset(self, sender: Side) -> None:
        if len(self._acked) == 2 or self.close_kind == "rst":
            return  # it had ended already
        self.closed_by, self.close_kind = str(sender), "rst"
        self.state = {Side.CLIENT: "CLOSED", Side.SERVER: "CLOSED"}
