"""A sender between two changes -> its state, and what no rule about holding explains.

Between two changes (a frame that left, an ACK that came, a call, an option) what a sender's stack
knows is constant: a `Moment`. `held` says why bytes stay in one; what remains is its own work, a
thread that does not run, or unknown.
"""

from __future__ import annotations

from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.handing import TICK_NS
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.recovery import recovery_of
from netlab.explain.sender import Resend, Sender, Write
from netlab.explain.wording import name_of, sized
from netlab.model.records import dataclass, quickly_made
from netlab.model.tables import Call

_WORK_NS = 2_000_000  # the stack's own work, on a busy machine; what takes longer is not that
FIRST_CWND = 10  # segments: TCP_INIT_CWND of Linux; RFC 6928
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
    if probe is not None:
        line.until(stop_ns, Cause.CWND, Certainty.INFERRED, (probe.segment.frame,), holder.calls,
                   f"because the congestion window of the {holder.sender.direction.sender} was full"
                   f", until a tail loss probe sent frame {probe.segment.frame}")  # fmt: skip
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


def _probe_of_new_data(holder: Holder, moment: Moment) -> Row | None:
    """The next frame, if a tail loss probe sent it, which asks no congestion window (RFC 8985 7.3).

    It leaves two round trips after the last frame or ACK at the earliest, and it is one segment:
    of what waits behind it nothing leaves before the next ACK. A thread that runs again after as
    long has the rest sent as well.
    """
    sender, left = holder.sender, moment.left
    rtt_ns = holder.path.scene.tables.connections[holder.path.connection].handshake_ns
    if left is None or moment.next_ack or not sender.exact or not rtt_ns:
        return None
    if not moment.flight or moment.unsent <= left.segment.payload_len_bytes:
        return None
    if moment.cwnd_segments is None and moment.flight + moment.mss <= FIRST_CWND * moment.mss:
        return None
    before = next(sender.departures_back_from(moment.since_ns), None)
    acked = next(sender.acks_back_from(moment.since_ns), None)
    last_ns = max(
        before.packet.time_ns if before is not None else 0,
        sender.heard_ns(acked.packet) if acked is not None else 0,
    )
    left_ns = left.packet.time_ns
    if left_ns - last_ns < max(2 * rtt_ns, _WORK_NS):
        return None
    then = sender.next_departure(left_ns)
    return left if then is None or sender.acks_between(left_ns, then.packet.time_ns) else None


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
