"""Bytes that a program had written and its stack had not sent -> why, moment by moment.

Between two changes (a frame that left, an ACK that came, a call, an option) the sender's state is
constant: a `Moment`. `RULES` are asked in order; the first whose condition holds names the cause.
They are those of tcp_write_xmit in Linux, in its order: nothing new while a loss is repaired, the
peer's window, cork and Nagle for what is smaller than a segment, the congestion window.
Read first: RFC 896, RFC 9293 3.7.4 and 3.8.6, Minshall's form of Nagle (tcp_nagle_check).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Line
from netlab.explain.recovery import new_probe, recovery_of
from netlab.explain.scene import Path
from netlab.explain.sender import Resend, Sender, Write
from netlab.explain.wording import name_of, sized
from netlab.model.tables import Call

# An ACK that leaves later than this after the data came was delayed (Linux: 40 ms; a busy
# machine takes its time, but not as long).
_SAT_ON_NS = 2_000_000
_WORK_NS = 2_000_000  # the stack's own work, on a busy machine; what takes longer is not that
_STOP_NS = 8_000_000  # a stop by strace at the entry of a call, on a busy machine
_DELAYED_AT_LEAST_NS = 35_000_000  # TCP_DELACK_MIN is 40 ms


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
    starved: bool  # the call that writes is inside, and the stack has nothing left to send

    @property
    def small(self) -> bool:
        """What is to be sent next is less than a full segment."""
        return self.unsent < self.mss

    @property
    def wanted(self) -> int:
        return min(self.unsent, self.mss)


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


def line_rest(line: Line, holder: Holder, moment: Moment) -> None:
    """What no rule explains: the stack at work, the thread that was to hand bytes over, unknown."""
    stop_ns = min(moment.until_ns, line.stop_ns)
    if line.at_ns >= stop_ns:
        return
    if stop_ns - line.at_ns <= _WORK_NS:
        last = line.parts[-1] if line.parts else None
        if last is not None and last.cause is not Cause.PEER_APP:
            line.until(stop_ns, last.cause, last.certainty, last.frames, last.calls, last.text)
        else:
            line.until(stop_ns, Cause.COPY, Certainty.INFERRED, (), holder.calls,
                       f"in which the stack sent {holder.what}")  # fmt: skip
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
    line.unknown(stop_ns, f"in which the stack held {holder.what} for a reason that is not seen")


def _by_its_thread(moment: Moment) -> bool:
    """Whether only the writing thread can have had the next frame sent.

    Nothing is in flight; or no ACK came before it, on a veth, which has no queue that holds it.
    """
    if moment.flight == 0:
        return True
    return not moment.next_ack and moment.left is not None and moment.left.packet._wired


def _inside(call: Call, time_ns: int) -> bool:
    """Whether a call can have been inside until then."""
    until_ns = call.returned_by_ns if call.returned_by_ns is not None else call.returned_ns
    return until_ns is None or until_ns >= time_ns


def moment_of(holder: Holder, since_ns: int, until_ns: int) -> Moment:
    """The state of the sender from `since_ns` until the next change."""
    sender, path = holder.sender, holder.path
    nxt, una, edge = sender.nxt(since_ns), sender.una(since_ns), sender.edge(since_ns)
    last = sender.last_write(since_ns)
    finished_ns = sender.finished_ns
    side = sender.direction.sender
    state = path.scene.state_at(path.connection, side, until_ns, lambda s: s.snd_cwnd)
    cwnd = state.snd_cwnd if state is not None else None
    return Moment(
        since_ns=since_ns,
        until_ns=until_ns,
        unsent=max(sender.written(since_ns) - nxt, 0),
        flight=max(nxt - una, 0),
        room=None if edge is None else edge - nxt,
        mss=sender.mss,
        small_out=una < sender.small(since_ns) <= nxt,
        nodelay=sender.nodelay.at(since_ns),
        corked=sender.cork.at(since_ns),
        more=last is not None and last.more,
        finished=finished_ns is not None and finished_ns <= since_ns,
        cwnd_segments=cwnd,
        resend=_pending(path, sender, since_ns, until_ns) if nxt > una else None,
        next_ack=sender.ack_comes_first(since_ns),
        left=sender.next_departure(since_ns),
        paced=sender.paced,
        starved=nxt > una and _is_inside(sender, nxt, since_ns) and sender.starved(since_ns),
    )


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


# --- the rules


def _tell_loss(line: Line, holder: Holder, moment: Moment) -> None:
    assert moment.resend is not None
    found = recovery_of(holder.path, holder.sender, moment.resend)
    if found.cause is Cause.FAST_RETRANSMIT:
        probe = new_probe(holder.path, holder.sender, moment.since_ns, moment.resend)
        if probe is not None and probe[0] >= moment.until_ns:
            found = probe[1]
    line.until(moment.until_ns, found.cause, found.certainty, found.frames, holder.calls,
               f"{found.text}, and it kept {holder.what} waiting")  # fmt: skip


def _tell_window(line: Line, holder: Holder, moment: Moment) -> None:
    """The window is too small: for whose sake, and since when."""
    probed = (
        moment.room is not None
        and moment.room > 0
        and moment.left is not None
        and not moment.next_ack
        and moment.left.segment.payload_len_bytes < moment.wanted
    )
    latest = next(holder.sender.acks_back_from(moment.since_ns), None)
    frames = (latest.segment.frame,) if latest is not None else ()
    if probed and moment.left is not None:
        line.until(
            moment.until_ns, Cause.WINDOW_PROBE, Certainty.OBSERVED,
            (*frames, moment.left.segment.frame), holder.calls,
            f"because the peer's window had room for {moment.room} bytes of a segment of"
            f" {moment.wanted}, until the probe timer sent those (frame"
            f" {moment.left.segment.frame})",
        )  # fmt: skip
        return
    reader = _reader(holder, moment.since_ns)
    line.until(
        moment.until_ns, Cause.PEER_WINDOW,
        Certainty.OBSERVED if reader[1] else Certainty.INFERRED,
        frames, (*holder.calls, *reader[1]),
        f"because the window of the {holder.sender.direction.receiver} was closed: {reader[0]}",
    )  # fmt: skip


def _reader(holder: Holder, time_ns: int) -> tuple[str, tuple[int, ...]]:
    """What the peer's program did instead of reading, and its calls."""
    path, side = holder.path, holder.sender.direction.receiver
    reads = path.scene.reads(path.connection, side)
    place = bisect_left(reads, time_ns, key=lambda call: call.entered_ns)
    before = reads[place - 1] if place else None
    later = reads[place] if place < len(reads) else None
    if before is None and later is None:
        seen = path.scene.has_calls(path.connection, side)
        return ("its program never read" if seen else "its program did not read"), ()
    if before is not None and (before.returned_ns is None or before.returned_ns > time_ns):
        return f"its program had not read what came before {name_of(before)} took it", (
            before.call,
        )
    if before is None and later is not None:
        return f"its program first read with {name_of(later)}", (later.call,)
    if before is not None and later is not None:
        return (
            f"its program did not read between {name_of(before)} and {name_of(later)}",
            (before.call, later.call),
        )
    assert before is not None
    return f"its program read no more after {name_of(before)}", (before.call,)


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
        (row for row in sender.departures_back_from(moment.since_ns)
         if row.segment.stop == small), None,
    )  # fmt: skip
    awaited = sender.ack_of(small, moment.since_ns)
    sure = Certainty.INFERRED if moment.nodelay is None else Certainty.OBSERVED
    frames = tuple(row.segment.frame for row in (carrier, awaited) if row is not None)
    after = f"until frame {carrier.segment.frame} was acknowledged" if carrier else ""
    held = f"because Nagle held {holder.what} {after}".rstrip()
    stop_ns = moment.until_ns
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
        line.until(min(left_ns, stop_ns), Cause.DELAYED_ACK, sure, frames, holder.calls, delayed)
    line.until(stop_ns, Cause.NAGLE, sure, frames, holder.calls, held)


def sat_on(holder: Holder, carrier: Row, awaited: Row) -> tuple[int, int] | None:
    """Since when and until when a receiver sat on its ACK; None: it did not, as far as is known."""
    sender = holder.sender
    came_ns, left_ns = arrival_ns(carrier.packet), awaited.packet.time_ns
    if sender.exact:
        return (came_ns, left_ns) if left_ns - came_ns > _SAT_ON_NS else None
    rtt_ns = holder.path.scene.tables.connections[holder.path.connection].handshake_ns or 0
    came_ns = carrier.packet.time_ns + rtt_ns
    return (came_ns, left_ns) if left_ns - came_ns >= _DELAYED_AT_LEAST_NS else None


def _tell_cwnd(line: Line, holder: Holder, moment: Moment) -> None:
    known = moment.cwnd_segments is not None
    size = f" of {moment.cwnd_segments} segments" if known else ""
    full = known and moment.flight + moment.mss > (moment.cwnd_segments or 0) * moment.mss
    line.until(
        moment.until_ns, Cause.CWND, Certainty.OBSERVED if full else Certainty.INFERRED,
        (), holder.calls,
        f"because the congestion window{size} of the {holder.sender.direction.sender} was full",
    )  # fmt: skip


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
    if awaited is None:
        line.until(moment.until_ns, Cause.SEND_BUFFER, Certainty.INFERRED, (), holder.calls, text)
        return
    frames = (awaited.segment.frame,)
    stop = (awaited.segment.ack or 0) - 1
    carrier = next(
        (row for row in sender.departures_back_from(awaited.packet.time_ns)
         if row.segment.stop <= stop and reached(row.packet)), None,
    )  # fmt: skip
    sat = sat_on(holder, carrier, awaited) if carrier is not None and sender.exact else None
    if sat is not None and sat[1] - sat[0] >= _DELAYED_AT_LEAST_NS:
        came_ns, left_ns = sat
        line.until(came_ns, Cause.SEND_BUFFER, sure, frames, holder.calls, text)
        line.until(
            left_ns, Cause.DELAYED_ACK, sure, frames, holder.calls,
            "because the send buffer was full of what was sent, and the"
            f" {sender.direction.receiver} delayed its ACK",
        )  # fmt: skip
    line.until(moment.until_ns, Cause.SEND_BUFFER, sure, frames, holder.calls, text)


def _nagle_holds(m: Moment) -> bool:
    return m.small and m.unsent > 0 and m.small_out and not m.nodelay and not m.finished


def _cork_holds(m: Moment) -> bool:
    return m.small and m.unsent > 0 and not m.finished and (bool(m.corked) or m.more)


def _window_closed(m: Moment) -> bool:
    return m.room is not None and m.unsent > 0 and m.room < m.wanted


RULES: tuple[Rule, ...] = (
    Rule(Cause.RTO, lambda m: m.resend is not None, _tell_loss),
    Rule(Cause.PEER_WINDOW, _window_closed, _tell_window),
    Rule(Cause.CORK, _cork_holds, _tell_cork),
    Rule(Cause.NAGLE, _nagle_holds, _tell_nagle),
    Rule(Cause.PACING, lambda m: m.paced and m.unsent > 0 and not m.next_ack, _tell_pacing),
    Rule(Cause.SEND_BUFFER, lambda m: m.starved and m.unsent > 0, tell_full),
    Rule(Cause.CWND, lambda m: m.unsent > 0 and m.flight > 0 and m.next_ack, _tell_cwnd),
)
