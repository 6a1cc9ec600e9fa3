"""Bytes that a program had written and its stack had not sent -> why, moment by moment.

`RULES` are asked of each moment, in order; the first whose condition holds names the cause.
They are those of tcp_write_xmit in Linux, in its order: nothing new while a loss is repaired, the
peer's window, cork and Nagle for what is smaller than a segment, what already lies in the host's
own queue (autocorking, which comes before them and holds with them), the congestion window.
Read first: RFC 896, RFC 9293 3.7.4 and 3.8.6, Minshall's form of Nagle (tcp_nagle_check).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.handing import TICK_NS
from netlab.explain.moments import FIRST_CWND, Holder, Moment, line_rest, moment_of
from netlab.explain.parts import Line, Sense
from netlab.explain.recovery import new_probe, recovery_of
from netlab.explain.sender import Sender
from netlab.explain.windows import tell_window, window_holds
from netlab.explain.wire_queue import tell_standing
from netlab.model.records import dataclass
from netlab.model.tables import Packet

# An ACK that leaves later than this after the data came was delayed (Linux: 40 ms; a busy
# machine takes its time, but not as long).
_SAT_ON_NS = 2_000_000
DELAYED_AT_LEAST_NS = 35_000_000  # TCP_DELACK_MIN is 40 ms


@dataclass(frozen=True, slots=True)
class Rule:
    """Why bytes are held: when it speaks, and what it says."""

    cause: Cause
    condition: Callable[[Moment], bool]
    tell: Callable[[Line, Holder, Moment], None]


def tell_held(line: Line, holder: Holder, until_ns: int) -> None:
    """Why the bytes were not sent up to `until_ns`."""
    sender = holder.sender
    while not line.done and line.at_ns < until_ns:
        since_ns = line.at_ns
        changes = sender.moments(since_ns, until_ns)
        for stop_ns in [*changes, until_ns]:
            if line.done or stop_ns <= line.at_ns:
                continue
            moment = moment_of(holder, line.at_ns, stop_ns)
            rule = next((rule for rule in RULES if rule.condition(moment)), None)
            if rule is not None:
                rule.tell(line, holder, moment)
            line_rest(line, holder, moment)


# --- the rules


def _tell_loss(line: Line, holder: Holder, moment: Moment) -> None:
    assert moment.resend is not None
    found = recovery_of(holder.path, holder.sender, moment.resend)
    probe = new_probe(holder.path, holder.sender, moment.since_ns, moment.resend)
    if probe is not None and probe[0] >= moment.until_ns:
        found = probe[1]
    line.until(moment.until_ns, found.cause, found.certainty, found.frames, holder.calls,
               f"{found.text}, and it kept {holder.what} waiting")  # fmt: skip


def _tell_cork(line: Line, holder: Holder, moment: Moment) -> None:
    what = "TCP_CORK" if moment.corked else "MSG_MORE"
    line.until(
        moment.until_ns, Cause.CORK,
        Certainty.OBSERVED if moment.corked else Certainty.INFERRED, (), holder.calls,
        f"because {what} held {holder.what}",
    )  # fmt: skip


def _tell_nagle(line: Line, holder: Holder, moment: Moment) -> None:
    """Split at the ACK that was awaited: on its way there, sat on by the receiver, on its way."""
    sender = holder.sender
    small = sender.small(moment.since_ns)
    carrier = next(
        (row for row in sender.sent_back_from(moment.since_ns)
         if row.segment.stop == small), None,
    )  # fmt: skip
    awaited = sender.ack_of(small, moment.since_ns)
    sure = Certainty.INFERRED if moment.nodelay is None else Certainty.OBSERVED
    frames = tuple(row.segment.frame for row in (carrier, awaited) if row is not None)
    after = f"until frame {carrier.segment.frame} was acknowledged" if carrier else ""
    held = f"because Nagle held {holder.what} {after}".rstrip()
    stop_ns = moment.until_ns
    probe = _probe_that_ended_it(moment)
    if probe is not None:
        until = f", until a tail loss probe sent it (frame {probe.segment.frame})"
        cited = (carrier, probe) if carrier is not None else (probe,)
        line.until(
            stop_ns, Cause.NAGLE, Certainty.INFERRED, tuple(row.segment.frame for row in cited),
            holder.calls,
            f"because Nagle held {holder.what}"
            + (f" while frame {carrier.segment.frame} was not acknowledged" if carrier else "")
            + until,
        )  # fmt: skip
        return
    if carrier is None or awaited is None or not reached(carrier.packet):
        line.until(stop_ns, Cause.NAGLE, sure, frames, holder.calls, held)
        return
    receiver = sender.direction.receiver
    delayed = (
        f"because Nagle held {holder.what} until the ACK that the {receiver} delayed"
        f" (frame {awaited.segment.frame})"
    )
    sure = sure if sender.exact else Certainty.INFERRED
    sat = sat_on(holder, carrier, awaited)
    if sat is not None:
        came_ns, left_ns = sat
        line.until(min(came_ns, stop_ns), Cause.NAGLE, sure, frames, holder.calls, held)
        line.until(min(left_ns, stop_ns), Cause.DELAYED_ACK, sure, frames, holder.calls, delayed,
                   Sense.FREES_NAGLE)  # fmt: skip
    line.until(stop_ns, Cause.NAGLE, sure, frames, holder.calls, held)


def _probe_that_ended_it(moment: Moment) -> Row | None:
    """The frame that took what Nagle held, long after and with no ACK before it: a timer sent it.

    With new data to send, a tail loss probe sends that (RFC 8985 7.3), and asks Nagle nothing.
    """
    left = moment.left
    if left is None or moment.next_ack or left.packet.time_ns > moment.until_ns:
        return None
    return left if left.packet.time_ns - moment.since_ns >= _SAT_ON_NS else None


def sat_on(holder: Holder, carrier: Row, awaited: Row) -> tuple[int, int] | None:
    """Since when and until when a receiver sat on its ACK; None: it did not, as far as is known."""
    sender = holder.sender
    answerer = holder.path.senders[sender.direction.reverse]
    came_ns, left_ns = arrival_ns(carrier.packet), answerer.given_of(awaited.packet)
    if sender.exact:
        return (came_ns, left_ns) if left_ns - came_ns > _SAT_ON_NS else None
    rtt_ns = holder.path.scene.tables.connections[holder.path.connection].handshake_ns or 0
    came_ns = carrier.packet.time_ns + rtt_ns
    return (came_ns, left_ns) if left_ns - came_ns >= DELAYED_AT_LEAST_NS else None


def _delayed(holder: Holder, moment: Moment, awaited: Row, *, since_first: bool
             ) -> tuple[int, int] | None:  # fmt: skip
    """Since when all that an ACK covers had come, and when it left, if a timer kept it until then.

    The timer runs since the first segment came of which no ACK has told, unless one told of that
    which was lost; without `since_first` it must have run since the last.
    """
    sender = holder.sender
    if not sender.exact:
        return None
    una, stop = sender.una(moment.since_ns), (awaited.segment.ack or 0) - 1
    left_ns = holder.path.senders[sender.direction.reverse].given_of(awaited.packet)
    came_ns = first_ns = None
    least_ns = _SAT_ON_NS if since_first else DELAYED_AT_LEAST_NS
    for row in sender.departures_back_from(awaited.packet.time_ns):
        if row.segment.stop <= una:
            break
        if row.segment.stop > stop or not reached(row.packet):
            continue
        first_ns = arrival_ns(row.packet)
        came_ns = first_ns if came_ns is None else came_ns
        if left_ns - came_ns < least_ns:
            return None
    if came_ns is None or first_ns is None or left_ns - first_ns < DELAYED_AT_LEAST_NS:
        return None
    if not since_first:
        return came_ns, left_ns
    rows = holder.path.track.rows
    for row in rows[bisect_right(rows, first_ns, key=_left_ns) :]:
        if row.packet.time_ns >= awaited.packet.time_ns:
            break
        if row.direction is not sender.direction and (row.segment.ack or 0) - 1 > una:
            return None  # another told before, and was lost
    return came_ns, left_ns


def _left_ns(row: Row) -> int:
    return row.packet.time_ns


def _tell_autocork(line: Line, holder: Holder, moment: Moment) -> None:
    """Observed where all that is assumed is in the recording, and timestamps show both frames: the
    one in the queue, and that TCP kept the other until then and, as nothing went on before, let it
    go then."""
    sender, queued, left = holder.sender, moment.queued, moment.left
    assert queued is not None
    bounds, slack_ns = sender.handing.bounds, 2 * TICK_NS
    given = bounds.get(queued.segment.frame)
    sent = bounds.get(left.segment.frame) if left is not None else None
    proven = (
        sent is not None
        and given is not None
        and sent[0] >= moment.until_ns - slack_ns
        and given[1] <= moment.since_ns + slack_ns
    )
    write = sender.write_of(sender.nxt(moment.since_ns))
    since_ns = write.call.entered_ns if write is not None else moment.since_ns
    alone = sent is not None and not sender.went_on(since_ns, sent[0] - slack_ns)
    known = sender.autocorking and moment.nodelay is not None and moment.room is not None
    certain = proven and alone and known and moment.small
    sure = Certainty.OBSERVED if certain else Certainty.INFERRED
    side = sender.direction.sender
    text = (
        f"because autocorking held {holder.what} while frame {queued.segment.frame} lay in the"
        f" queue of the {side}'s own link"
    )
    frames = [queued.segment.frame]
    if proven and left is not None:
        frames.append(left.segment.frame)
        text += f" (by its timestamp TCP let frame {left.segment.frame} go no earlier)"
    if not sender.autocorking:
        text += ", if net.ipv4.tcp_autocorking is on there"
    line.until(moment.until_ns, Cause.AUTOCORK, sure, tuple(frames), holder.calls, text)


def _tell_enough_queued(line: Line, holder: Holder, moment: Moment) -> None:
    """TCP gives the queue no more of a socket than a few frames, or a millisecond's worth."""
    assert moment.queued is not None
    line.until(
        moment.until_ns, Cause.WIRE_QUEUE, Certainty.INFERRED, (moment.queued.segment.frame,),
        holder.calls,
        f"because enough of the same connection lay in the queue of the"
        f" {holder.sender.direction.sender}'s own link",
    )  # fmt: skip


def tell_own_queue(line: Line, sender: Sender, packet: Packet) -> None:
    """From when TCP gave a frame away until it left the queue of its host's own link."""
    if packet.frame in sender.handing.given_ns:
        line.until(
            packet.time_ns, Cause.WIRE_QUEUE, Certainty.INFERRED, (packet.frame,), (),
            f"in the queue of the {sender.direction.sender}'s own link (frame {packet.frame}: by"
            " its timestamp TCP had let it go)",
        )  # fmt: skip


def _tell_cwnd(line: Line, holder: Holder, moment: Moment) -> None:
    known = moment.cwnd_segments is not None
    size = f" of {moment.cwnd_segments} segments" if known else ""
    full = known and moment.flight + moment.mss > (moment.cwnd_segments or 0) * moment.mss
    sure = Certainty.OBSERVED if full else Certainty.INFERRED
    what = f"the congestion window{size} of the {holder.sender.direction.sender}"
    tell_standing(line, holder, moment, what, sure)
    awaited = holder.sender.ack_of(holder.sender.una(moment.since_ns) + 1, moment.since_ns)
    delayed = None
    if awaited is not None:
        delayed = _delayed(holder, moment, awaited, since_first=True)
    if awaited is not None and delayed is not None and (full or not moment.small):
        came_ns, left_ns = delayed
        line.until(min(came_ns, moment.until_ns), Cause.CWND, sure, (), holder.calls,
                   f"because {what} was full")  # fmt: skip
        line.until(
            min(left_ns, moment.until_ns), Cause.DELAYED_ACK, Certainty.INFERRED,
            (awaited.segment.frame,), holder.calls,
            f"because {what} was full, and the {holder.sender.direction.receiver} delayed its ACK"
            f" (frame {awaited.segment.frame})", Sense.FREES_CWND,
        )  # fmt: skip
    line.until(moment.until_ns, Cause.CWND, sure, (), holder.calls, f"because {what} was full")


def _tell_pacing(line: Line, holder: Holder, moment: Moment) -> None:
    line.until(
        moment.until_ns, Cause.PACING, Certainty.INFERRED, (), holder.calls,
        f"because the {holder.sender.direction.sender} spread its segments out (pacing)",
    )  # fmt: skip


def tell_full(line: Line, holder: Holder, moment: Moment) -> None:
    """All that the buffer had room for was sent: an ACK was awaited, and no more."""
    sender = holder.sender
    awaited = sender.ack_of(sender.una(moment.since_ns) + 1, moment.since_ns)
    sure = Certainty.OBSERVED if sender.exact and not moment.unsent else Certainty.INFERRED
    text = "because the send buffer was full of what was sent and not acknowledged"
    tell_standing(line, holder, moment, "the send buffer", sure)
    if awaited is None:
        line.until(moment.until_ns, Cause.SEND_BUFFER, Certainty.INFERRED, (), holder.calls, text)
        return
    frames = (awaited.segment.frame,)
    delayed = _delayed(holder, moment, awaited, since_first=False)
    if delayed is not None:
        came_ns, left_ns = delayed
        line.until(came_ns, Cause.SEND_BUFFER, sure, frames, holder.calls, text)
        line.until(
            left_ns, Cause.DELAYED_ACK, sure, frames, holder.calls,
            "because the send buffer was full of what was sent, and the"
            f" {sender.direction.receiver} delayed its ACK", Sense.FREES_BUFFER,
        )  # fmt: skip
    line.until(moment.until_ns, Cause.SEND_BUFFER, sure, frames, holder.calls, text)


def _nagle_holds(m: Moment) -> bool:
    return m.small and m.unsent > 0 and m.small_out and not m.nodelay and not m.finished


def _cork_holds(m: Moment) -> bool:
    return m.small and m.unsent > 0 and not m.finished and (bool(m.corked) or m.more)


def _cwnd_has_room(m: Moment) -> bool:
    """The congestion window is not known, and less is out than even a new connection may send."""
    return m.cwnd_segments is None and m.flight + m.mss <= FIRST_CWND * m.mss


def _paced_out(m: Moment) -> bool:
    """The next frame leaves by the clock: at once with no ACK, and long after any that comes."""
    return m.paced and m.unsent > 0 and (m.spaced or not m.next_ack)


def _autocork_holds(m: Moment) -> bool:
    return m.autocorked and m.unsent > 0 and not m.finished and _segments_have_room(m)


def _enough_is_queued(m: Moment) -> bool:
    return m.queued is not None and m.unsent > 0 and not m.next_ack


def _segments_have_room(m: Moment) -> bool:
    """Whether the congestion window was not full: one more segment was allowed."""
    if m.cwnd_segments is not None:
        return m.segments_out < m.cwnd_segments
    return m.segments_out < FIRST_CWND or not m.next_ack


RULES: tuple[Rule, ...] = (
    Rule(Cause.RTO, lambda m: m.resend is not None, _tell_loss),
    Rule(Cause.PEER_WINDOW, window_holds, tell_window),
    Rule(Cause.CORK, _cork_holds, _tell_cork),
    Rule(Cause.NAGLE, _nagle_holds, _tell_nagle),
    Rule(Cause.AUTOCORK, _autocork_holds, _tell_autocork),
    Rule(Cause.PACING, _paced_out, _tell_pacing),
    Rule(Cause.SEND_BUFFER, lambda m: m.starved and m.unsent > 0 and m.next_ack, tell_full),
    Rule(Cause.WIRE_QUEUE, _enough_is_queued, _tell_enough_queued),
    Rule(Cause.PACING, lambda m: m.paced and m.unsent > 0 and _cwnd_has_room(m), _tell_pacing),
    Rule(Cause.CWND, lambda m: m.unsent > 0 and m.flight > 0 and m.next_ack, _tell_cwnd),
)
