"""A TCP connection without calls -> why its frames came when they did: its silences, with a cause.

A silence is a time of `LEAST_NS` or more in which no frame of the connection was captured that
moved it on. Its cause is read off the frame that ended it, and off what both ends had sent by then.
Nobody saw the programs, so all of it is inferred, and one captured at an end or between them does
not say which part of an answer's time was its way.
An ACK that let nobody send moves nothing on: the silence goes on behind it.
Read first: `held` and `recovery`, whose rules these are where the calls are known.
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.correlate.flows import FIN, RST, SYN
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Part
from netlab.explain.recovery import recovery_of
from netlab.explain.scene import Path, Scene
from netlab.explain.sender import Resend
from netlab.explain.wording import counted
from netlab.model.records import dataclass
from netlab.model.tables import Direction, Side

LEAST_NS = 10_000_000
_AT_ONCE_NS = 5_000_000  # what an ACK lets go leaves at once; a busy machine takes its time
_DELAYED_NS = 35_000_000  # TCP_DELACK_MIN of Linux is 40 ms
_DELAYED_MOST_NS = 500_000_000  # RFC 9293 3.8.6.3


def silences_of(scene: Scene, connection: int) -> list[Part]:
    """The silences of a connection, in order; none where calls tell it better, or it has none."""
    path = scene.path(connection)
    if path is None or any(scene.has_calls(connection, side) for side in Side):
        return []
    rows = [row for row in path.track.rows if not row.packet._made]
    found: list[Part] = []
    before: Row | None = None
    for place, row in enumerate(rows):
        if before is None:
            before = row
            continue
        following = rows[place + 1] if place + 1 < len(rows) else None
        gap = _Gap(path, before, row, _let_go(row, following))
        if gap.moves_nothing:
            continue
        if gap.length_ns >= LEAST_NS:
            found.append(_part(gap))
        before = row
    return found


@dataclass(frozen=True, slots=True)
class _Gap:
    """The time between two frames that moved a connection on."""

    path: Path
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
        return _is_ack(self.after)

    @property
    def moves_nothing(self) -> bool:
        segment = self.after.segment
        return bool(
            self.is_ack and self.let_go is None and not self.opens
            and not segment.keep_alive and not segment.zero_window_probe
        )  # fmt: skip

    @property
    def opens(self) -> bool:
        """Whether it is an ACK that opens a closed window."""
        back = self.after.direction.reverse
        sender = self.path.senders[back]
        edge, room = sender.edge(self.after.packet.time_ns), self.room(back)
        if not self.is_ack or edge is None or room is None or room > 0:
            return False
        return edge > sender.nxt(self.after.packet.time_ns)

    @property
    def rtt_ns(self) -> int:
        return self.path.scene.tables.connections[self.path.connection].handshake_ns or 0

    @property
    def is_a_round_trip(self) -> bool:
        """Whether it is hardly longer than the handshake's, where that was long enough to tell."""
        return self.rtt_ns >= LEAST_NS and self.length_ns <= self.rtt_ns + self.rtt_ns // 4

    @property
    def resend(self) -> Resend | None:
        """The frame that ended it, where that carried bytes again."""
        sender = self.path.senders[self.after.direction]
        found = next(sender.resends_back_from(self.after.packet.time_ns), None)
        return found if found is not None and found.frame == self.frame else None

    def room(self, direction: Direction) -> int | None:
        """What the window of this direction's receiver let its sender send, before the end."""
        sender, time_ns = self.path.senders[direction], self.after.packet.time_ns - 1
        edge = sender.edge(time_ns)
        return None if edge is None else edge - sender.nxt(time_ns)


def _is_ack(row: Row) -> bool:
    """Whether a frame is an ACK and nothing else."""
    return not row.segment.payload_len_bytes and not row.packet._flags & (SYN | FIN | RST)


def _let_go(row: Row, following: Row | None) -> Row | None:
    """The frame with payload that the other end sent at once after an ACK."""
    if following is None or following.direction is row.direction:
        return None
    if not following.segment.payload_len_bytes:
        return None
    soon = following.packet.time_ns - row.packet.time_ns <= _AT_ONCE_NS
    return following if soon else None


def _part(gap: _Gap) -> Part:
    told = next(told for rule in RULES if (told := rule(gap)) is not None)
    cause, frames, text = told
    return Part(
        gap.before.packet.time_ns, gap.after.packet.time_ns, cause, Certainty.INFERRED,
        tuple(dict.fromkeys((*frames, gap.frame))), (), text,
    )  # fmt: skip


_Told = tuple[Cause, tuple[int, ...], str] | None


def _handshake(gap: _Gap) -> _Told:
    """A SYN, or a SYN-ACK, was sent again."""
    if not gap.after.packet._flags & SYN:
        return None
    earlier = [
        p for p in gap.path.track.halves[gap.after.direction].syns
        if p.time_ns < gap.after.packet.time_ns
    ]  # fmt: skip
    answers = gap.after.direction is Direction.S2C and gap.before.direction is Direction.C2S
    if not earlier or (answers and gap.before.packet._flags & SYN):
        return Cause.NETWORK, (), "for the answer to the SYN"
    what = "SYN" if gap.after.direction is Direction.C2S else "SYN-ACK"
    last = earlier[-1].frame
    return (
        Cause.SYN_RETRY, (last,),
        f"because the {what} of frame {last} had no answer, until it was sent again"
        f" (frame {gap.frame})",
    )  # fmt: skip


def _sent_again(gap: _Gap) -> _Told:
    """Bytes were sent again: by which mechanism."""
    if gap.resend is None:
        return None
    sender = gap.path.senders[gap.after.direction]
    found = recovery_of(gap.path, sender, gap.resend)
    return found.cause, found.frames, found.text


def _closed_window(gap: _Gap) -> _Told:
    """A window was closed: a probe asked, or an ACK opened it and let bytes go."""
    segment, closed = gap.after.segment, gap.after.direction
    room = gap.room(closed)
    if gap.opens:
        closed, until = closed.reverse, "opened it"
    elif segment.zero_window_probe or (segment.keep_alive and room is not None and room <= 0):
        until = "asked whether it was"
    else:
        return None
    return (
        Cause.PEER_WINDOW, (),
        f"because the window of the {closed.receiver} was closed, until frame {gap.frame} {until}:"
        " its program did not read",
    )  # fmt: skip


def _small_window(gap: _Gap) -> _Told:
    """The window had room for less than a segment, and that was sent after all."""
    size = gap.after.segment.payload_len_bytes
    room = gap.room(gap.after.direction)
    mss = gap.path.senders[gap.after.direction].mss
    if room is None or not 0 < room < mss or size != room:
        return None
    return (
        Cause.WINDOW_PROBE, (),
        f"because the window of the {gap.after.direction.receiver} had room for {room} bytes of a"
        f" segment of {mss}, until the probe timer sent those (frame {gap.frame})",
    )  # fmt: skip


def _awaited_ack(gap: _Gap) -> _Told:
    """An ACK let bytes go: small ones, as Nagle's algorithm has it, or more than a window."""
    if not gap.is_ack or gap.let_go is None:
        return None
    held = gap.let_go
    sender = gap.path.senders[held.direction]
    stop = (gap.after.segment.ack or 0) - 1
    carrier = next(
        (row for row in sender.departures_back_from(gap.after.packet.time_ns)
         if row.segment.stop <= stop), None,
    )  # fmt: skip
    if carrier is None:
        return None
    frames = carrier.segment.frame, gap.frame, held.segment.frame
    size = counted(held.segment.payload_len_bytes, "byte")
    late_ns = gap.after.packet.time_ns - carrier.packet.time_ns - gap.rtt_ns
    if held.segment.payload_len_bytes >= sender.mss:
        return (
            Cause.CWND, frames,
            f"until frame {frames[0]} was acknowledged: what followed at once (frame {frames[2]})"
            " had waited for room",
        )  # fmt: skip
    if _DELAYED_NS <= late_ns <= _DELAYED_MOST_NS:
        return (
            Cause.DELAYED_ACK, frames,
            f"because the {gap.side} delayed its ACK of frame {frames[0]}, and {size} of the"
            f" {held.direction.sender} left only then (frame {frames[2]}), as Nagle's algorithm"
            " has it",
        )  # fmt: skip
    return (
        Cause.NAGLE, frames,
        f"because {size} of the {held.direction.sender} left only when frame {frames[0]} was"
        f" acknowledged (frame {frames[2]}), as Nagle's algorithm has it",
    )  # fmt: skip


def _in_flight(gap: _Gap) -> _Told:
    """One side sends, waits about as long as its way there and back, and sends on."""
    before, after = gap.before, gap.after
    if not after.segment.payload_len_bytes or not gap.is_a_round_trip:
        return None
    if before.direction is not after.direction:
        if before.segment.payload_len_bytes or not _is_ack(before):
            return None
        frame = before.segment.frame
        return Cause.NETWORK, (frame,), f"before the {gap.side} had heard of frame {frame}"
    if not before.segment.payload_len_bytes:
        return None
    sender, time_ns = gap.path.senders[after.direction], before.packet.time_ns
    edge = sender.edge(time_ns)
    if edge is not None and edge - sender.nxt(time_ns) < sender.mss:
        return (
            Cause.PEER_WINDOW, (before.segment.frame,),
            f"because frame {before.segment.frame} had filled the window of the"
            f" {after.direction.receiver}, and its ACK was awaited",
        )  # fmt: skip
    return (
        Cause.NETWORK, (before.segment.frame,),
        f"for the ACK of frame {before.segment.frame}, hardly longer than the round trip of the"
        " handshake",
    )  # fmt: skip


def _answer(gap: _Gap) -> _Told:
    """The first words of one side after the other's."""
    asked = gap.before
    if asked.direction is gap.after.direction or not asked.segment.payload_len_bytes:
        return None
    if not gap.after.segment.payload_len_bytes:
        return None
    frame = asked.segment.frame
    if gap.is_a_round_trip:
        return (
            Cause.NETWORK, (frame,),
            f"before the {gap.side} answered frame {frame}, hardly longer than the round trip of"
            " the handshake",
        )  # fmt: skip
    return (
        Cause.PEER_APP, (frame,), f"before the {gap.side} answered frame {frame} (its program, and"
        " the way there and back)",
    )  # fmt: skip


def _own_will(gap: _Gap) -> _Told:
    """Nothing was waited for that a frame shows."""
    if gap.after.segment.keep_alive:
        return Cause.PEER_APP, (), f"with nothing to send, until a keep-alive (frame {gap.frame})"
    did = "reset the connection" if gap.after.packet._flags & RST else "sent on"
    if gap.after.packet._flags & FIN:
        did = "ended its stream"
    return Cause.PEER_APP, (), f"before the {gap.side} {did} (frame {gap.frame})"


RULES: tuple[Callable[[_Gap], _Told], ...] = (
    _handshake, _sent_again, _closed_window, _small_window, _awaited_ack, _in_flight, _answer,
    _own_will,
)  # fmt: skip
