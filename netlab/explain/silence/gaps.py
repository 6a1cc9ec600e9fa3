"""The time between two frames that moved a connection on, and what is asked of it.

Who ended it had known, when its frame passed, what had passed by `vantage` earlier. Knows no calls.
"""

from __future__ import annotations

from netlab.correlate.flows import FIN, RST, SYN
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause
from netlab.explain.parts import Sense
from netlab.explain.path import Path
from netlab.explain.sender import Resend
from netlab.explain.silence.vantage import Vantage
from netlab.explain.wording import lasting
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side

LEAST_NS = 10_000_000
AT_ONCE_NS = 5_000_000  # what an ACK lets go leaves at once; a busy machine takes its time


@dataclass(frozen=True, slots=True)
class Told:
    """Why a gap was one."""

    cause: Cause
    frames: tuple[int, ...]
    text: str
    sense: Sense | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """The time between two frames that moved a connection on."""

    path: Path
    vantage: Vantage
    before: Row
    after: Row
    let_go: Row | None  # what left at once when the frame that ended it, an ACK, had come

    @property
    def length_ns(self) -> int:
        return self.after.packet.time_ns - self.before.packet.time_ns

    @property
    def frame(self) -> int:
        return self.after.segment.frame

    @property
    def side(self) -> Side:
        return self.after.direction.sender

    @property
    def is_ack(self) -> bool:
        return is_ack(self.after)

    @property
    def moves_nothing(self) -> bool:
        segment = self.after.segment
        return bool(
            self.is_ack and self.let_go is None and not self.opens
            and not segment.keep_alive and not segment.zero_window_probe
        )  # fmt: skip

    @property
    def opens(self) -> bool:
        """Whether it is an ACK that opens a closed window.

        Or one too small for a segment, where the other end shows that it had something to send.
        """
        back, segment = self.after.direction.reverse, self.after.segment
        if not self.is_ack or segment.ack is None or segment.seg_wnd_bytes is None:
            return False
        room = self.announced(back)
        sender = self.path.senders[back]
        opened = segment.ack - 1 + segment.seg_wnd_bytes - sender.nxt(self.after.packet.time_ns)
        if room is None or room <= 0:
            return room is not None and opened > 0
        return self.let_go is not None and room < sender.mss <= opened

    @property
    def rtt_ns(self) -> int:
        return sum(self.vantage.away(side) for side in Side)

    @property
    def away_ns(self) -> int:
        """How long an answer of who ended it takes at the least; 0: not known."""
        return self.vantage.away(self.side)

    @property
    def is_a_round_trip(self) -> bool:
        """Whether most of it is the way to its end and back, if that is as much as a silence."""
        return self.away_ns >= LEAST_NS // 2 and self.length_ns <= 2 * self.away_ns

    @property
    def way_text(self) -> str:
        """How much of a round trip it is."""
        if self.length_ns <= self.away_ns + self.away_ns // 4:
            return "hardly longer than the way there and back"
        return f"{lasting(self.away_ns)} of it the way there and back"

    @property
    def sees_all(self) -> bool:
        """Whether nothing that its end sends can be lost before it is captured."""
        return self.path.exact or self.vantage.is_here(self.side)

    @property
    def resend(self) -> Resend | None:
        """The frame that ended it, where that carried bytes again."""
        sender = self.path.senders[self.after.direction]
        found = next(sender.resends_back_from(self.after.packet.time_ns), None)
        return found if found is not None and found.frame == self.frame else None

    @property
    def heard(self) -> list[Row]:
        """What had come to its end, in the silence, as it sent: at once means by these."""
        sender, left_ns = self.path.senders[self.after.direction], self.after.packet.time_ns
        since_ns = max(left_ns - max(AT_ONCE_NS, self.away_ns // 4), self.before.packet.time_ns)
        return list(sender.acks_between(since_ns - 1, left_ns))

    def room(self, direction: Direction) -> int | None:
        """What the window let a sender send, as far as it knew just before the end."""
        sender, time_ns = self.path.senders[direction], self.after.packet.time_ns - 1
        edge = sender.edge(time_ns)
        return None if edge is None else edge - sender.nxt(time_ns)

    def announced(self, direction: Direction) -> int | None:
        """The same, as its receiver had last said before the end, whoever had heard that."""
        sender, time_ns = self.path.senders[direction], self.after.packet.time_ns - 1
        edge = sender.edge(time_ns + sender.away_ns)
        return None if edge is None else edge - sender.nxt(time_ns)


def is_ack(row: Row) -> bool:
    """Whether a frame is an ACK and nothing else."""
    return not row.segment.payload_len_bytes and not row.packet._flags & (SYN | FIN | RST)


def let_go(row: Row, following: Row | None) -> Row | None:
    """The frame with payload that the other end sent at once after an ACK."""
    if following is None or following.direction is row.direction:
        return None
    if not following.segment.payload_len_bytes:
        return None
    soon = following.packet.time_ns - row.packet.time_ns <= AT_ONCE_NS
    return following if soon else None
