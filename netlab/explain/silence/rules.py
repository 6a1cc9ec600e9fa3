"""Why a connection without calls was silent: the rules, in the order in which they are asked.

Each speaks of what the frames of one capture can show. What they cannot: a program that held its
bytes with TCP_CORK, a kernel that paced them, and a server that had not accepted yet look like one
that had nothing to say. What was lost on its way to the capture shows in what came later, or in
the numbers its sender gave its packets (`vantage`); where neither tells, nothing is said of it.
Read first: `held` and `recovery`, whose rules these are where the calls are known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from netlab.correlate.flows import FIN, RST, SYN
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause
from netlab.explain.parts import Sense
from netlab.explain.sender import Sender
from netlab.explain.silence.gaps import Gap, Told, is_ack
from netlab.explain.silence.listeners import ignored, not_accepted, syn_ignored
from netlab.explain.silence.losses import (
    filled,
    fin_again,
    given_up,
    sent_again,
    skipping,
    unseen,
)
from netlab.explain.windows import PROBE_AT_LEAST_NS, small_room
from netlab.explain.wording import counted
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Direction, Side

_DELAYED_NS = 35_000_000  # TCP_DELACK_MIN of Linux is 40 ms
_DELAYED_MOST_NS = 500_000_000  # RFC 9293 3.8.6.3
_LEAST_KEEP_ALIVE_NS = 1_000_000_000  # man 7 tcp: TCP_KEEPIDLE and TCP_KEEPINTVL are in seconds
_PROMPT_NS = 2_500_000  # what waits for room leaves as an ACK comes; by a clock (pacing), later
_TICK_NS = 1_000_000  # of a timestamp (tcp_clock_ms)
_NEAR, _CLOCKS = 16, 3  # frames looked at on each side; how many must have a timestamp


def _handshake(gap: Gap) -> Told | None:
    """A SYN, or a SYN-ACK, was sent again."""
    if not gap.after.packet._flags & SYN:
        return None
    earlier = [
        p for p in gap.path.track.halves[gap.after.direction].syns
        if p.time_ns < gap.after.packet.time_ns
    ]  # fmt: skip
    answers = gap.after.direction is Direction.S2C and gap.before.direction is Direction.C2S
    if not earlier or (answers and gap.before.packet._flags & SYN):
        return Told(Cause.NETWORK, (), "for the answer to the SYN")
    what = "SYN" if gap.after.direction is Direction.C2S else "SYN-ACK"
    last = earlier[-1].frame
    answers_sent = [
        p.frame for p in gap.path.track.halves[gap.after.direction.reverse].syns
        if earlier[-1].time_ns < p.time_ns < gap.after.packet.time_ns and not p._made
    ]  # fmt: skip
    if answers_sent:
        return Told(
            Cause.SYN_RETRY, (last, *answers_sent),
            f"because the answer to the {what} of frame {last} (frame {answers_sent[0]}) did not"
            f" come in time, until it was sent again (frame {gap.frame})",
        )  # fmt: skip
    return Told(
        Cause.SYN_RETRY, (last,),
        f"because the {what} of frame {last} had no answer, until it was sent again"
        f" (frame {gap.frame})",
    )  # fmt: skip


def _refused(gap: Gap) -> Told | None:
    """A reset answered the SYN."""
    asked = gap.before
    if not gap.after.packet._flags & RST or asked.direction is gap.after.direction:
        return None
    if asked.packet._flags & SYN == 0 or gap.path.track.halves[gap.after.direction].syns:
        return None
    frame = asked.segment.frame
    return Told(Cause.REFUSED, (frame,), f"until the {gap.side} refused the SYN of frame {frame}")


def _closed_window(gap: Gap) -> Told | None:
    """A window was closed: a probe asked, or an ACK opened it and let bytes go."""
    segment, closed = gap.after.segment, gap.after.direction
    room, what = gap.room(closed), "was closed"
    sense: Sense | None = Sense.CLOSED
    if gap.opens:
        closed, until = closed.reverse, "opened it"
        announced = gap.announced(closed) or 0
        if announced > 0:
            what = f"had room for {small_room(announced, gap.path.senders[closed].mss)}"
            sense = None
    elif segment.zero_window_probe or (segment.keep_alive and room is not None and room <= 0):
        until = "asked whether it was"
    else:
        return None
    return Told(
        Cause.PEER_WINDOW, (),
        f"because the window of the {closed.receiver} {what}, until frame {gap.frame} {until}:"
        " its program did not read", sense,
    )  # fmt: skip


def _unheard_opening(gap: Gap) -> Told | None:
    """A far end asked whether a window was closed that had been opened: it had not heard of it.

    It had filled the window, sent nothing since, and asked: one with nothing to send does not
    (TCP_KEEPIDLE is a second or more), or not so soon.
    """
    segment, direction = gap.after.segment, gap.after.direction
    asked = segment.keep_alive or segment.zero_window_probe
    if not asked or gap.sees_all or gap.length_ns >= _LEAST_KEEP_ALIVE_NS:
        return None
    nxt = gap.path.senders[direction].nxt(gap.after.packet.time_ns)
    opening: Row | None = None
    for ack in gap.path.senders[direction].acks_back_from(
        gap.after.packet.time_ns + gap.path.senders[direction].away_ns
    ):
        window = ack.segment.seg_wnd_bytes
        if ack.segment.ack is None or ack.segment.ack - 1 != nxt or window is None:
            return None
        if window == 0:
            break
        opening = ack
    else:
        return None
    if opening is None or opening.packet.time_ns > gap.after.packet.time_ns:
        return None
    frame = opening.segment.frame
    return Told(
        Cause.WINDOW_PROBE, (frame,),
        f"because the {gap.side} had not heard that its window was open (frame {frame}), until it"
        f" asked (frame {gap.frame})",
    )  # fmt: skip


def _small_window(gap: Gap) -> Told | None:
    """The window had room for less than a segment, and after a timer's time that was sent."""
    size = gap.after.segment.payload_len_bytes
    room = gap.room(gap.after.direction)
    mss = gap.path.senders[gap.after.direction].mss
    if room is None or not 0 < room < mss or size != room:
        return None
    if gap.length_ns < PROBE_AT_LEAST_NS:
        return None
    return Told(
        Cause.WINDOW_PROBE, (),
        f"because the window of the {gap.after.direction.receiver} had room for"
        f" {small_room(room, mss)}, until the probe timer sent those (frame {gap.frame})",
    )  # fmt: skip


def _awaited_ack(gap: Gap) -> Told | None:
    """An ACK let bytes go: small ones, as Nagle's algorithm has it, or more than a window.

    At the sender's end, they leave as it comes; elsewhere, when its way there and theirs back are
    over. A program may have written them just then: what is held shows in that they were small and
    behind small ones (Minshall), or in that a window was full.
    """
    acks, held = _let_go(gap)
    if not acks or held is None:
        return None
    sender = gap.path.senders[held.direction]
    knew_ns = sender.heard_ns(acks[0].packet) - 1
    una, edge_of_small = sender.una(knew_ns), sender.small(knew_ns)
    new = held.segment.start >= sender.nxt(knew_ns)
    if new and held.segment.payload_len_bytes % sender.mss and una < edge_of_small:
        covering = [ack for ack in acks if (ack.segment.ack or 0) - 1 >= edge_of_small]
        return _nagle(gap, edge_of_small, covering[0], held, knew_ns) if covering else None
    return _full(gap, acks[0], held, knew_ns)


def _let_go(gap: Gap) -> tuple[list[Row], Row | None]:
    """ACKs and nothing else, and the new bytes that their receiver sent as it had the last."""
    if gap.is_ack:
        return ([gap.after], gap.let_go) if gap.let_go is not None else ([], None)
    acks = gap.heard
    if gap.before in acks:  # it opened a window, and all of the silence is its way
        return [], None
    if not gap.after.segment.payload_len_bytes or not all(map(is_ack, acks)):
        return [], None
    mine = gap.after.packet._options
    if mine is not None and mine.ts_ecr is not None:  # else it left before that came: RFC 7323 4.3
        stamps = [ack.packet._options.ts_val for ack in acks if ack.packet._options is not None]
        if stamps and mine.ts_ecr not in stamps:
            return [], None
    return acks, gap.after


def _carrier(sender: Sender, stop: int, by_ns: int) -> Row | None:
    """The frame that an ACK up to `stop` acknowledges."""
    sent = sender.departures_back_from(by_ns)
    return next((row for row in sent if row.segment.stop <= stop), None)


def _sat_on(gap: Gap, carrier: Row, ack: Row) -> bool:
    """Whether an ACK left so much later than its frame came as a delayed one does."""
    away_ns = gap.vantage.away(ack.direction.sender)
    late_ns = ack.packet.time_ns - carrier.packet.time_ns - away_ns - _held_up_ns(gap, ack)
    return _DELAYED_NS <= late_ns <= _DELAYED_MOST_NS


def _held_up_ns(gap: Gap, ack: Row) -> int:
    """How much longer than others near it an ACK was on its way, by its sender's clock.

    TSval of Linux counts milliseconds; where those of its neighbours do not, 0: it is not known.
    """
    rows = gap.path.track.rows
    place = bisect_left(rows, ack.packet.time_ns, key=lambda row: row.packet.time_ns)
    near = [
        (row.packet.time_ns, row.packet._options.ts_val)
        for row in rows[max(place - _NEAR, 0) : place + _NEAR]
        if row.direction is ack.direction and row.packet._options is not None
        and row.packet._options.ts_val is not None
    ]  # fmt: skip
    mine = ack.packet._options.ts_val if ack.packet._options is not None else None
    if mine is None or len(near) < _CLOCKS:
        return 0
    stays = [time_ns - seq_diff(val, mine) * _TICK_NS for time_ns, val in near]
    whole_ns, ticks_ns = near[-1][0] - near[0][0], seq_diff(near[-1][1], near[0][1]) * _TICK_NS
    if abs(whole_ns - ticks_ns) > whole_ns // 10 + 2 * _TICK_NS:
        return 0
    return max(ack.packet.time_ns - min(stays) - _TICK_NS, 0)


def _nagle(gap: Gap, small: int, ack: Row, held: Row, knew_ns: int) -> Told | None:
    carrier = _carrier(gap.path.senders[held.direction], small, ack.packet.time_ns)
    if carrier is None:
        return None
    frames = carrier.segment.frame, ack.segment.frame, held.segment.frame
    size = f"{counted(held.segment.payload_len_bytes, 'byte')} of the {held.direction.sender}"
    if gap.vantage.missing.get(carrier.segment.frame):  # it repaired a loss: so may what followed
        return _full(gap, ack, held, knew_ns)
    if _sat_on(gap, carrier, ack):
        return Told(
            Cause.DELAYED_ACK, frames,
            f"because the {ack.direction.sender} delayed its ACK of frame {frames[0]}, and {size}"
            f" left only then (frame {frames[2]}), as Nagle's algorithm has it", Sense.FREES_NAGLE,
        )  # fmt: skip
    return Told(
        Cause.NAGLE, frames,
        f"because {size} left only when frame {frames[0]} was acknowledged (frame {frames[2]}), as"
        " Nagle's algorithm has it",
    )  # fmt: skip


def _full(gap: Gap, ack: Row, held: Row, knew_ns: int) -> Told | None:
    """A window was full: the peer's, or, as far as more had been out before, that of congestion."""
    sender = gap.path.senders[held.direction]
    carrier = _carrier(sender, (ack.segment.ack or 0) - 1, ack.packet.time_ns)
    if carrier is None:
        return None
    frames = carrier.segment.frame, ack.segment.frame, held.segment.frame
    edge, nxt = sender.edge(knew_ns), sender.nxt(knew_ns)
    size, start = held.segment.payload_len_bytes, held.segment.start
    advances = sender.una(knew_ns) < (ack.segment.ack or 0) - 1
    repairs = start < nxt or gap.vantage.missing.get(frames[0])
    if repairs and advances and _sat_on(gap, carrier, ack):
        return Told(
            Cause.DELAYED_ACK, frames,
            f"because the {ack.direction.sender} delayed its ACK of frame {frames[0]}, and what"
            f" was to be sent again left only then (frame {frames[2]})",
        )  # fmt: skip
    if start < nxt:
        return None
    if edge is not None and edge - nxt < min(size, sender.mss):
        return Told(
            Cause.PEER_WINDOW, frames,
            f"because the window of the {held.direction.receiver} had room for"
            f" {counted(max(edge - nxt, 0), 'byte')} more, until frame {frames[0]} was acknowledged"
            f" (frame {frames[1]})",
        )  # fmt: skip
    late_ns = held.packet.time_ns - sender.heard_ns(ack.packet)
    if size < sender.mss or not advances or late_ns > _PROMPT_NS:
        return None
    if nxt - sender.una(knew_ns) + size <= sender.most(knew_ns):
        return None
    # What waits fills the last segment up: one that left short had nothing behind it.
    last = _carrier(sender, nxt, knew_ns)
    if last is not None and last.segment.payload_len_bytes < sender.mss:
        return None
    return Told(
        Cause.CWND, frames,
        f"until frame {frames[0]} was acknowledged: what followed at once (frame {frames[2]})"
        " had waited for room",
    )  # fmt: skip


def _in_flight(gap: Gap) -> Told | None:
    """Who ended it had just heard of what it answers, or of an ACK that it needed: it is far."""
    before, after = gap.before, gap.after
    if not gap.is_a_round_trip:
        return None
    frame = before.segment.frame
    if before.direction is not after.direction:
        if is_ack(before):
            return Told(
                Cause.NETWORK, (frame,), f"before the {gap.side} had heard of frame {frame}"
            )
        verb = "answered" if after.segment.payload_len_bytes else "had heard of"
        return Told(
            Cause.NETWORK, (frame,), f"before the {gap.side} {verb} frame {frame}, {gap.way_text}"
        )  # fmt: skip
    asked = before.segment.payload_len_bytes or gap.path.is_keep_alive(before)
    if not asked or not after.segment.payload_len_bytes:
        return None
    if not gap.heard or gap.length_ns > gap.away_ns + gap.away_ns // 4:
        return None
    return Told(Cause.NETWORK, (frame,), f"for the ACK of frame {frame}, {gap.way_text}")


def _amid_much(gap: Gap) -> Told | None:
    """A full segment followed a full one, late: what is written seldom ends with a full one."""
    before, after = gap.before, gap.after
    mss = gap.path.senders[after.direction].mss
    sizes = [row.segment.payload_len_bytes for row in (before, after)]
    if before.direction is not after.direction or not all(sizes) or sizes[0] % mss:
        return None
    if sizes[1] < mss:
        return None
    return Told(
        Cause.UNKNOWN, (before.segment.frame,),
        f"between full segments of the {gap.side}: its program wrote no sooner, or its kernel"
        " spread them out (pacing)",
    )  # fmt: skip


def _unanswered_keep_alive(gap: Gap) -> Told | None:
    """A keep-alive had no answer: another followed, or the end of the connection."""
    before, after = gap.before, gap.after
    if before.direction is not after.direction or not gap.path.is_keep_alive(before):
        return None
    again = gap.path.is_keep_alive(after)
    if not again and not after.packet._flags & RST:
        return None
    frame = before.segment.frame
    answered = any(
        row.direction is not after.direction
        and before.packet.time_ns < row.packet.time_ns < after.packet.time_ns
        for row in gap.path.track.rows
    )
    if answered:
        return None
    did = "asked again" if again else "gave up"
    return Told(
        Cause.KEEPALIVE, (frame,),
        f"because the keep-alive of frame {frame} had no answer, until the {gap.side} {did}"
        f" (frame {gap.frame})",
    )  # fmt: skip


def _answer(gap: Gap) -> Told | None:
    """The first words of one side after the other's."""
    asked = gap.before
    if asked.direction is gap.after.direction or not asked.segment.payload_len_bytes:
        return None
    if not gap.after.segment.payload_len_bytes:
        return None
    frame = asked.segment.frame
    way = "" if gap.vantage.is_here(gap.side) else ", and the way there and back"
    do = "its program"
    if gap.side is Side.SERVER and gap.path.senders[Direction.S2C].nxt(asked.packet.time_ns) == 0:
        do = "its program, to accept the connection or to answer"
    return Told(
        Cause.PEER_APP, (frame,), f"before the {gap.side} answered frame {frame} ({do}{way})"
    )


def _own_will(gap: Gap) -> Told | None:
    """Nothing was waited for that a frame shows."""
    if gap.path.is_keep_alive(gap.after):
        return Told(
            Cause.PEER_APP, (), f"with nothing to send, until a keep-alive (frame {gap.frame})"
        )
    if gap.is_ack:
        return Told(
            Cause.UNKNOWN, (),
            f"before the {gap.side} sent an ACK (frame {gap.frame}), for a reason that is not seen",
        )  # fmt: skip
    did = "reset the connection" if gap.after.packet._flags & RST else "sent on"
    if gap.after.packet._flags & FIN:
        did = "ended its stream"
    return Told(Cause.PEER_APP, (), f"before the {gap.side} {did} (frame {gap.frame})")


RULES: tuple[Callable[[Gap], Told | None], ...] = (
    syn_ignored, _handshake, _refused, ignored, sent_again, fin_again, filled, _closed_window,
    _unheard_opening, _small_window, _awaited_ack, _in_flight, _unanswered_keep_alive, skipping,
    unseen, given_up, not_accepted, _answer, _amid_much, _own_will,
)  # fmt: skip
