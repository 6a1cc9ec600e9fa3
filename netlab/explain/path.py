"""A TCP connection with frames -> its streams, what its senders knew, and where it was captured."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from netlab.correlate.segments import Row, Track
from netlab.correlate.streams import Reads, stream_from_track
from netlab.explain.handing import hand_over
from netlab.explain.sender import Sender, sender_of
from netlab.explain.silence.vantage import Vantage, vantage_of
from netlab.model.tables import Direction, Verdict

if TYPE_CHECKING:
    from netlab.explain.scene import Scene


class Path:
    """Made by a scene, when its connection is first asked for."""

    def __init__(self, scene: Scene, track: Track) -> None:
        self.scene, self.track = scene, track
        self.connection = track.flow.connection
        self.exact = scene.is_exact(track)
        self._vantage: Vantage | None = None
        self.senders: dict[Direction, Sender] = {}
        for direction in Direction:
            stream = stream_from_track(track, direction, self._reads(direction))
            side = direction.sender
            sender = sender_of(
                track, direction, stream, scene.writes(self.connection, side), exact=self.exact,
                away_ns=0 if self.exact else self.vantage.shift(side),
            )  # fmt: skip
            sender.nodelay = scene.switch(self.connection, side, "TCP_NODELAY")
            sender.cork = scene.switch(self.connection, side, "TCP_CORK")
            sender.paced = scene.paces(self.connection, side)
            sender.autocorking = scene.autocorks(self.connection, side)
            sender.finished_ns = scene.finished_ns(self.connection, side)
            self.senders[direction] = sender
        if self.exact and scene.is_steady and not track.flow.to_itself:
            for sender in self.senders.values():
                if not sender.paced and scene.has_calls(self.connection, sender.direction.sender):
                    other = self.senders[sender.direction.reverse]
                    hand_over(track.rows, sender, other, scene.packets)

    @property
    def vantage(self) -> Vantage:
        """Where the capture stands between its ends."""
        if self._vantage is None:
            self._vantage = vantage_of(self.track)
        return self._vantage

    def is_keep_alive(self, row: Row) -> bool:
        """Whether a frame is a keep-alive, and not a byte that its sender sends again.

        Both look alike, but a kernel asks only where all that it sent is acknowledged
        (tcp_keepalive_timer in Linux); an ACK that was captured may not have reached it.
        """
        segment = row.segment
        if not segment.keep_alive or row.direction is None:
            return False
        if segment.verdict == Verdict.ZERO_WINDOW_PROBE:
            return False
        sender, now_ns = self.senders[row.direction], row.packet.time_ns
        if sender.una(now_ns) < sender.nxt(now_ns):
            return False
        if not segment.payload_len_bytes or segment.verdict == Verdict.KEEP_ALIVE:
            return True
        return all(one.frame != segment.frame for one in sender.resends)

    def _reads(self, direction: Direction) -> Reads:
        moves = self.scene.moves(self.connection, direction.receiver, direction)
        ends = sorted(
            (call.returned_by_ns or call.returned_ns, call.stop)
            for call in moves.calls
            if call.returned_ns is not None and call.stop is not None
        )
        times = [returned for returned, _ in ends]

        def until(time_ns: int | None) -> int:
            place = len(times) if time_ns is None else bisect_right(times, time_ns)
            return ends[place - 1][1] or 0 if place else 0

        return until
