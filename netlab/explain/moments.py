"""A sender between two changes -> its state, and what no rule about holding explains.

Between two changes (a frame that left, an ACK that came, a call, an option) what a sender's stack
knows is constant: a `Moment`. `held` says why bytes stay in one; what remains is its own work, a
thread that does not run, or unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.handing import TICK_NS
from netlab.explain.parts import Line, Sense
from netlab.explain.path import Path
from netlab.explain.recovery import recovery_of
from netlab.explain.sender import Resend, Sender, Write
from netlab.explain.wording import name_of, sized
from netlab.model.records import dataclass, quickly_made
from netlab.model.tables import Call

_WORK_NS = 2_000_000  # the stack's own work, on a busy machine; what takes longer is not that
FIRST_CWND = 10  # segments: TCP_INIT_CWND of Linux; RFC 6928
_KEPT_OF = 3  # tcp_tso_win_divisor of Linux
_AT_ONCE_NS = 500_000  # the frames of one packet leave so soon one after the other
_STOP_NS = 8_000_000  # a stop by strace at the entry of a call, on a busy machine


@quickly_made
@dataclass(frozen=True, slots=True)
class Moment:
    """What a sender's stack knew between two changes."""

    since_ns: int
    until_ns: int
    unsent: int  # bytes written, not sent
    flight: int  # bytes sent, not acknowledged
    room: int | None  # bytes that the peer's window allows beyond; None: not known
    mss: int
    small_out: bool  # a segment smaller than an MSS is not acknowledged
    nodelay: bool | None
    corked: bool | None
    more: bool  # the last write said MSG_MORE
    finished: bool
    cwnd_segments: int | None  # as the kernel told, not long before
    resend: Resend | None  # what will be sent again, of what was in flight
    next_ack: bool  # an ACK comes before a frame leaves
    left: Row | None  # the next frame that leaves
    paced: bool  # the sender's socket or host paces
    spaced: bool  # it is paced, and no ACK came just before the next frame
    starved: bool  # the call that writes is inside, and the stack has nothing left to send
    queued: Row | None  # the first of its frames in the queue of the host's own link
    segments_out: int  # where there is one: frames sent, not acknowledged
    autocorked: bool  # it was there when the next byte was written, and nothing came or went since

    @property
    def small(self) -> bool:
        """What is to be sent next is less than a full segment."""
        return self.unsent < self.mss

    @property
    def wanted(self) -> int:
        return min(self.unsent, self.mss)


@quickly_made
@dataclass(frozen=True, slots=True)
class Holder:
    """Whose bytes, and how they are called."""

    path: Path
    sender: Sender
    write: Write | None

    @property
    def what(self) -> str:
        """`client send #12 (64 bytes)`."""
        if self.write is None:
            return "bytes"
        call = self.write.call
        return f"{name_of(call)} ({sized(call)})"

    @property
    def calls(self) -> tuple[int, ...]:
        return (self.write.call.call,) if self.write is not None else ()


def line_rest(line: Line, holder: Holder, moment: Moment) -> None:
    """What no rule explains: the stack at work, the thread that was to hand bytes over, unknown."""
    stop_ns = min(moment.until_ns, line.stop_ns)
    if line.at_ns >= stop_ns:
        return
    if stop_ns - line.at_ns <= _WORK_NS:
        last = line.parts[-1] if line.parts else None
        if last is not None and last.cause is not Cause.PEER_APP:
            line.go_on(stop_ns)
        else:
            line.until(stop_ns, Cause.COPY, Certainty.INFERRED, (), holder.calls,
                       f"in which the stack sent {holder.what}")  # fmt: skip
        return
    probe = _probe_of_new_data(holder, moment)
    if probe:
        _tell_probe(line, holder, stop_ns, probe)
        return
    write = holder.write
    if write is not None and _by_its_thread(moment) and _inside(write.call, stop_ns):
        if write.call.witness.startswith("strace") and stop_ns - line.at_ns <= _STOP_NS:
            line.until(stop_ns, Cause.WITNESS, Certainty.INFERRED, (), holder.calls,
                       f"stopped by strace inside {holder.what}")  # fmt: skip
            return
        line.until(stop_ns, Cause.SCHEDULER, Certainty.INFERRED, (), holder.calls,
                   f"in which the thread inside {holder.what} did not run")  # fmt: skip
        return
    option = _option_inside(holder, line.at_ns, stop_ns)
    if option is not None:
        traced = option.witness.startswith("strace") and stop_ns - line.at_ns <= _STOP_NS
        cause, text = (
            (Cause.WITNESS, f"stopped by strace inside {name_of(option)}")
            if traced
            else (Cause.SCHEDULER, f"in which the thread inside {name_of(option)} did not run")
        )
        line.until(stop_ns, cause, Certainty.INFERRED, (), (option.call,), text)
        return
    line.unknown(stop_ns, f"in which the stack held {holder.what} for a reason that is not seen")


def _option_inside(holder: Holder, since_ns: int, until_ns: int) -> Call | None:
    """The setsockopt that lets bytes go (TCP_CORK 0, TCP_NODELAY 1), if it was inside just then."""
    path, side = holder.path, holder.sender.direction.sender
    for option in path.scene.options(path.connection, side):
        if option.name not in ("TCP_CORK", "TCP_NODELAY") or option.entered_ns > since_ns:
            continue
        call = path.scene.call(option.call)
        if _inside(call, until_ns):
            return call
    return None


def _tell_probe(line: Line, holder: Holder, stop_ns: int, probe: Sequence[Row]) -> None:
    """Up to a probe: which window had no room, or so little that the stack kept it."""
    sender = holder.sender
    first, last = probe[0].segment.frame, probe[-1].segment.frame
    sent = f"frame {first}" if first == last else f"frames {first} to {last}"
    by_peer = _to_the_edge(sender, line.at_ns, probe)
    side = sender.direction.sender
    whose = f"the window of the {sender.direction.receiver}" if by_peer else \
            f"the congestion window of the {side}"  # fmt: skip
    cause = Cause.PEER_WINDOW if by_peer else Cause.CWND
    sense = Sense.FULL if by_peer else None
    frames = tuple(dict.fromkeys((first, last)))
    text = (
        f"because less than a third of {whose} was free, and the {side}'s stack waits for an ACK"
        f" before it uses so little, until a tail loss probe sent {sent}"
    )
    kept = _ack_kept(holder, line.at_ns, probe[0])
    if kept is not None:
        came_ns, ack = kept
        line.until(min(came_ns, stop_ns), cause, Certainty.INFERRED, frames, holder.calls, text,
                   sense)  # fmt: skip
        line.until(
            stop_ns, Cause.DELAYED_ACK, Certainty.INFERRED,
            (*frames, ack.segment.frame), holder.calls,
            f"because {whose} had no more room to use, and the {sender.direction.receiver} delayed"
            f" its ACK of all that had come, until a tail loss probe asked for it ({sent})",
            Sense.FREES_CWND if not by_peer else None,
        )  # fmt: skip
    line.until(stop_ns, cause, Certainty.INFERRED, frames, holder.calls, text, sense)


def _ack_kept(holder: Holder, since_ns: int, probe: Row) -> tuple[int, Row] | None:
    """Since when all that was in flight lay at its receiver, which acknowledged it only once the
    probe came, and with which frame; None: some of it was lost or late, or the ACK left before.
    """
    sender = holder.sender
    start = probe.segment.start
    awaited = sender.ack_of(start, since_ns)
    una = sender.una(since_ns)
    if awaited is None or not sender.exact:
        return None
    flight = []
    for row in sender.departures_back_from(since_ns):
        if row.segment.stop <= una:
            break
        flight.append(row.packet)
    left_ns = holder.path.senders[sender.direction.reverse].given_of(awaited.packet)
    if not flight or not all(map(reached, (*flight, probe.packet))):
        return None
    came_ns = max(map(arrival_ns, flight))
    asked_ns = arrival_ns(probe.packet)
    kept = asked_ns - came_ns > _WORK_NS and asked_ns <= left_ns
    return (came_ns, awaited) if kept and came_ns < probe.packet.time_ns else None


def _probe_of_new_data(holder: Holder, moment: Moment) -> Sequence[Row]:
    """The next frames, if a tail loss probe sent them; none: something else did.

    It leaves two round trips after the last frame or ACK, and 2 ms, at the earliest (RFC 8985 7.2;
    TCP_TIMEOUT_MIN_US in Linux), and of what waits behind it nothing leaves before the next ACK. A
    thread that runs again after as long has the rest sent as well.

    There is something left for it where a window is full, which it does not ask (the congestion
    window), or where less than a third of the smaller one has room: tcp_write_xmit keeps that until
    an ACK makes it more (tcp_tso_should_defer, tcp_tso_win_divisor), which sets no timer, and a
    probe does not. It is one packet, of as many segments as there is room for. Seen on Linux 6.18:
    28 of 30 segments out and 55,024 bytes not sent (TCP_INFO), 2 more segments 7 ms later, and
    nothing behind them until the next ACK.
    """
    sender, left = holder.sender, moment.left
    if left is None or moment.next_ack or not sender.exact or not moment.flight:
        return ()
    left_ns, start = left.packet.time_ns, left.segment.start
    if start is None or start < sender.nxt(moment.since_ns):
        return ()
    acked = sender.acks_between(left_ns, left_ns + _AT_ONCE_NS)
    until_ns = sender.heard_ns(acked[0].packet) if acked else left_ns + _AT_ONCE_NS
    probe = sender.departures_between(left_ns - 1, until_ns)
    size = (probe[-1].segment.stop or start) - start
    out = moment.flight + size
    if moment.unsent <= size or (len(probe) > 1 and out < _KEPT_OF * size):
        return ()
    if not _to_the_edge(sender, moment.since_ns, probe) and not _fills_cwnd(moment, out):
        return ()
    before = next(sender.departures_back_from(moment.since_ns), None)
    heard = next(sender.acks_back_from(moment.since_ns), None)
    last_ns = max(
        before.packet.time_ns if before is not None else 0,
        sender.heard_ns(heard.packet) if heard is not None else 0,
    )
    rtts_ns = [holder.path.scene.tables.connections[holder.path.connection].handshake_ns]
    if heard is not None:  # that of the handshake is none where a SYN was sent again
        rtts_ns.append(heard.segment.ack_rtt_ns)
    known_ns = [rtt_ns for rtt_ns in rtts_ns if rtt_ns]
    if not known_ns or left_ns - last_ns < 2 * min(known_ns) + _WORK_NS:
        return ()
    stop_ns = probe[-1].packet.time_ns
    then = sender.next_departure(stop_ns)
    return probe if then is None or sender.acks_between(stop_ns, then.packet.time_ns) else ()


def _to_the_edge(sender: Sender, since_ns: int, probe: Sequence[Row]) -> bool:
    """Whether these frames took all that the peer's window had room for."""
    edge = sender.edge(since_ns)
    return edge is not None and edge - (probe[-1].segment.stop or 0) < sender.mss


def _fills_cwnd(moment: Moment, out: int) -> bool:
    """Whether so much in flight can be all that the congestion window allows."""
    if moment.cwnd_segments is None:
        return out >= FIRST_CWND * moment.mss
    return out + moment.mss > moment.cwnd_segments * moment.mss


def _by_its_thread(moment: Moment) -> bool:
    """Whether the writing thread had the next frame sent, where no timer did (asked before).

    Nothing is in flight; or no ACK came before it, and nothing was queued, or it went over a veth,
    which has no queue that holds it.
    """
    if moment.flight == 0 or (moment.starved and not moment.next_ack):
        return True
    return not moment.next_ack and moment.left is not None and moment.left.packet._wired


def _inside(call: Call, time_ns: int) -> bool:
    """Whether a call can have been inside until then."""
    until_ns = call.returned_by_ns if call.returned_by_ns is not None else call.returned_ns
    return until_ns is None or until_ns >= time_ns


def moment_of(holder: Holder, since_ns: int, until_ns: int) -> Moment:
    """The state of the sender from `since_ns` until the next change."""
    sender, path = holder.sender, holder.path
    known = sender.known(since_ns)
    nxt, una, edge, last = known.nxt, known.una, known.edge, known.last_write
    unsent = max(known.written - nxt, 0)
    finished_ns = sender.finished_ns
    queued = sender.in_queue(since_ns)
    side = sender.direction.sender
    state = path.scene.state_at(path.connection, side, until_ns, lambda s: s.snd_cwnd)
    cwnd = state.snd_cwnd if state is not None else None
    return Moment(
        since_ns=since_ns,
        until_ns=until_ns,
        unsent=unsent,
        flight=max(nxt - una, 0),
        room=None if edge is None else edge - nxt,
        mss=sender.mss,
        small_out=una < known.small <= nxt,
        nodelay=sender.nodelay.at(since_ns),
        corked=sender.cork.at(since_ns),
        more=last is not None and last.more,
        finished=finished_ns is not None and finished_ns <= since_ns,
        cwnd_segments=cwnd,
        resend=_pending(path, sender, since_ns, until_ns) if nxt > una else None,
        next_ack=known.next_ack,
        left=known.next_departure,
        paced=sender.paced,
        spaced=sender.paced and sender.is_spaced(since_ns),
        starved=unsent > 0
        and nxt > una
        and _is_inside(sender, nxt, since_ns)
        and sender.starved(since_ns),
        segments_out=sender.segments_out(since_ns) if queued else 0,
        queued=queued[0] if queued else None,
        autocorked=bool(queued) and _autocorked(sender, queued[0], nxt, since_ns),
    )


def _autocorked(sender: Sender, queued: Row, nxt: int, since_ns: int) -> bool:
    """Whether the write of the next byte found a frame in the host's queue, and it still is there.

    The first packet that leaves lets the bytes go (tcp_wfree), and so does any that comes in
    (tcp_data_snd_check).
    """
    write = sender.write_of(nxt)
    if write is None or sender.autocorking is False:
        return False
    written_ns = write.call.entered_ns
    there = sender.given_of(queued.packet) <= written_ns + 2 * TICK_NS
    return there and written_ns <= since_ns and not sender.let_go(written_ns, since_ns)


def _is_inside(sender: Sender, nxt: int, since_ns: int) -> bool:
    """Whether the call that wrote the next byte to be sent was inside then."""
    write = sender.write_of(nxt)
    if write is None or write.call.entered_ns > since_ns:
        return False
    return write.call.returned_ns is None or write.call.returned_ns > since_ns


def _pending(path: Path, sender: Sender, since_ns: int, until_ns: int) -> Resend | None:
    """What will be sent again of what was in flight, if it was lost."""
    resend = sender.next_resend(since_ns, until_ns)
    if resend is None or not recovery_of(path, sender, resend).lost:
        return None
    return resend
