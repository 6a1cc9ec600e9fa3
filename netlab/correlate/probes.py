"""A segment below all that was sent, of one byte or none: a keep-alive, or a probe of the window?

Both have the number before the first that is not acknowledged, and bring nothing; a stack without
that form probes a closed window with its next byte. tshark takes any byte there for a keep-alive.
So it is one only if all before it was acknowledged, as its sender knew: bytes that are out are
sent again by a timer, as one byte, too, if that is all there was.
Read first: RFC 9293 3.8.4 and 3.8.6.1, RFC 1122 4.2.3.6, Linux tcp_xmit_probe_skb.
"""

from __future__ import annotations

from netlab.correlate.again import Finding
from netlab.correlate.flows import FIN, SYN
from netlab.correlate.segments import Row
from netlab.correlate.sender import Sender
from netlab.correlate.verdict_words import ms
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Verdict

_LEAST_NS = 190_000_000  # no probe follows sooner on what was sent


def maybe_probe(me: Sender, other: Sender, row: Row, now_ns: int) -> Finding | None:
    """What a segment of at most one byte is, if it is one of these."""
    segment, packet = row.segment, row.packet
    if packet._flags & (SYN | FIN) or me.nxt is None:
        return None
    closed = me.window == 0
    if segment.seq == me.nxt and segment.payload_len_bytes == 1 and closed:
        heard = _heard_of_turn(me, row, now_ns)
        if me.una < me.nxt or heard is False:
            return None
        if heard is None:
            return _not_known(me, "new data")
        return Finding(
            Verdict.ZERO_WINDOW_PROBE,
            f"one byte beyond the window, which frame {me.window_frame} had closed",
            _frames(me.window_frame),
        )
    if segment.seq != me.nxt - 1 or me.una != me.nxt:
        return None
    if me.newest is None or (now_ns - me.newest_ns < _LEAST_NS):
        return None  # an ACK that was overtaken has such a number, too
    waited = ms(now_ns - me.newest_ns)
    if segment.payload_len_bytes and me.newest.segment.seg_len == 1 and not _knew(me, row):
        return Finding(
            None,
            f"sent again, or a keep-alive: all that frame {me.newest.segment.frame} brought was"
            f" this byte, and whether its sender had heard frame {me.una_frame} is not known",
            _frames(me.newest.segment.frame, me.una_frame),
        )
    heard = _heard_of_turn(me, row, now_ns)
    if heard is None:
        return _not_known(me, "a keep-alive")
    if closed and heard:
        return Finding(
            Verdict.ZERO_WINDOW_PROBE,
            f"nothing is out, and the window has been closed since frame {me.window_frame}",
            _frames(me.window_frame),
        )
    if not heard and not closed and me.turn is not None:
        return Finding(
            Verdict.ZERO_WINDOW_PROBE,
            f"nothing is out, and its sender had not heard yet that frame {me.turn.frame} opened"
            " the window",
            _frames(me.turn.frame),
        )
    return Finding(
        Verdict.KEEP_ALIVE,
        f"nothing is out, and nothing was sent for {waited}",
        _frames(me.newest.segment.frame, me.una_frame),
    )


def _not_known(me: Sender, else_what: str) -> Finding:
    how = "closed" if me.window == 0 else "opened"
    frame = me.turn.frame if me.turn else None
    return Finding(
        None,
        f"{else_what}, or a probe of a closed window: frame {frame} {how} it, and whether its"
        " sender had heard that is not known",
        _frames(frame),
    )


def _heard_of_turn(me: Sender, row: Row, now_ns: int) -> bool | None:
    """Whether its sender had heard that the window closed, or opened, when it sent this.

    A capture at the other end sees the news leave, and may see what was sent before it came. None:
    not known.
    """
    turn = me.turn
    if turn is None or me.near_ns == 0:
        return True
    echo = row.packet._options.ts_ecr if row.packet._options is not None else None
    if echo and turn.stamp is not None:
        later = seq_diff(echo, turn.stamp)
        if later:
            return later > 0
        return True if turn.is_first else None
    if me.newest_ns > turn.time_ns:  # it has sent more since
        return True
    trips_ns = 2 * (me.near_ns or 0) + _LEAST_NS
    return True if me.window == 0 and now_ns - turn.time_ns > trips_ns else None


def _knew(me: Sender, row: Row) -> bool:
    """Whether its sender had heard the ACK of all: it stands there, or echoes that ACK's time."""
    if me.near_ns == 0:
        return True
    echo = row.packet._options.ts_ecr if row.packet._options is not None else None
    return bool(echo and me.una_ts is not None and seq_diff(echo, me.una_ts) >= 0)


def _frames(*numbers: int | None) -> tuple[int, ...]:
    return tuple(dict.fromkeys(n for n in numbers if n is not None))
