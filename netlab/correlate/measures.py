"""What was measured while a connection's segments were judged -> columns of `connections`.

The columns of a side are about what that side *sent*: its round trips are from when a frame of it
was seen to its ACK (of a capture that stands in the middle, that part of the way; with a wire, from
its departure to the ACK's arrival), by timestamps from when one was seen to its echo.
Read first: RFC 6298 section 2 (smoothed, variation), RFC 7323 4, RFC 2647 3.17 (goodput).
"""

from __future__ import annotations

from itertools import pairwise

from netlab.correlate.flows import ACK, RST, SYN
from netlab.correlate.segments import Track
from netlab.correlate.sender import Sender
from netlab.model.tables import Connection, Direction, Verdict

_S = 1_000_000_000
_SHARES = (
    ("application", "all was acknowledged, and the next byte came later"),
    ("peer_window", "the peer's window had no room for a segment"),
    ("loss", "what was lost was being sent again"),
)


def add_measures(row: Connection, track: Track) -> None:
    """Fill the columns of a TCP connection; of one whose segments were not judged, none."""
    row.handshake_kind = _handshake(track)
    times = [r.packet.time_ns for r in track.rows]
    row.idle_max_ns = max((b - a for a, b in pairwise(times)), default=None)
    if not track.senders:
        return
    count_verdicts(row, track)
    for name, direction in (("client", Direction.C2S), ("server", Direction.S2C)):
        peer = track.senders[direction.reverse]
        _side(row, name, track.senders[direction], peer, track.half(direction).bytes_seen.total())


def count_verdicts(row: Connection, track: Track) -> None:
    """How many segments have which verdict."""
    counts = dict.fromkeys(Verdict, 0)
    unsure = 0
    for one in track.rows:
        verdict = one.segment.verdict
        if verdict is not None:
            counts[Verdict(verdict)] += 1
        elif one.segment.verdict_reason is not None:
            unsure += 1
    for kind, count in counts.items():
        setattr(row, f"{kind}_frames", count)
    row.unsure_frames = unsure


def _side(row: Connection, name: str, me: Sender, peer: Sender, unique_bytes: int) -> None:
    def put(column: str, value: object) -> None:
        setattr(row, f"{name}_{column}", value)

    if me.rtt_count:
        put("rtt_min_ns", me.rtt_min_ns)
        put("rtt_mean_ns", me.rtt_sum_ns // me.rtt_count)
        put("rtt_smoothed_ns", me.srtt_ns)
        put("rtt_variation_ns", me.rttvar_ns)
    if me.ts_rtt_count:
        put("ts_rtt_min_ns", me.ts_rtt_min_ns)
        put("ts_rtt_mean_ns", me.ts_rtt_sum_ns // me.ts_rtt_count)
    if me.una_frame is not None and (me.flight_most or not me.payload_bytes):
        put("flight_max_bytes", me.flight_most)
    if peer.window_most is not None:  # the peer heard them: they are this side's
        put("window_min_bytes", peer.window_least)
        put("window_max_bytes", peer.window_most)
        put("window_edge", peer.window_edge)
    if me.first_data_ns is None:
        return
    whole_ns = max(me.una_ns, me.last_data_ns) - me.first_data_ns
    if whole_ns > 0:
        put("throughput_bytes_per_s", me.payload_bytes * _S // whole_ns)
        put("goodput_bytes_per_s", unique_bytes * _S // whole_ns)
    limited, reason = _limits(me)
    put("limited_by", limited)
    put("limited_reason", reason)


def _limits(me: Sender) -> tuple[str | None, str | None]:
    """What a sender waited for most of the time between its first and its last data."""
    whole_ns = me.last_data_ns - (me.first_data_ns or 0)
    if whole_ns <= me.srtt_ns + (me.near_ns or 0):
        return None, None  # all left at once, or in one round trip: nothing held it up
    known = me.near_ns is not None
    spent = (me.idle_ns if known else 0, me.closed_ns, me.losing_ns)
    for (name, why), ns in zip(_SHARES, spent, strict=True):
        if 2 * ns > whole_ns:
            return name, f"{ns * 100 // whole_ns} % of {whole_ns / _S:.3f} s: {why}"
    shares = ", ".join(
        f"{name} {ns * 100 // whole_ns} %" for (name, _), ns in zip(_SHARES, spent, strict=True)
    )
    rest = "in the rest bytes were out and the window had room: congestion window, or no more data"
    if not known:
        rest = "how far the sender is from this capture is not known, and so not when it was idle"
    return "unknown", f"none for most of {whole_ns / _S:.3f} s ({shares}); {rest}"


def _handshake(track: Track) -> str | None:
    """How a connection began, as far as its frames show."""
    client, server = track.half(Direction.C2S), track.half(Direction.S2C)
    if not client.syns and not server.syns:
        return None
    if any(not packet._flags & ACK for packet in server.syns):
        return "simultaneous"
    if not client.syns:
        return "synack only"
    if not server.syns:
        refused = any(packet._flags & (RST | ACK) == RST | ACK for packet in server.resets)
        heard = any(r.direction is Direction.S2C and not r.packet._flags & RST for r in track.rows)
        return "refused" if refused else "not all captured" if heard else "unanswered"
    early = max((p.payload_len_bytes or 0 for p in client.syns), default=0)
    acked = max(
        (r.segment.ack or 0 for r in track.rows
         if r.direction is Direction.S2C and r.packet._flags & SYN), default=0,
    )  # fmt: skip
    if early and acked > 1:
        return "fast_open"
    return "full" if track.handshake_acks else "half"
