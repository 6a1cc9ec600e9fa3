"""A peer's window smaller than what is to be sent -> for whose sake it is, and since when.

Its program does not read; or it has read, and what says so is on its way, or was lost: then only
the probe timer asks again. What fits into the rest of a window leaves at once, or by that timer.
Read first: RFC 9293 3.8.6, tcp_snd_wnd_test and tcp_write_wakeup in Linux.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.moments import Holder, Moment
from netlab.explain.parts import Line, Sense
from netlab.explain.sender import Sender
from netlab.explain.stopped import stop_between
from netlab.explain.wording import counted, name_of
from netlab.model.tables import Call

_SOON_NS = 1_000_000_000  # no frame of a window that opens is on its way for longer
PROBE_AT_LEAST_NS = 180_000_000  # the probe timer is an RTO, which is 200 ms at least


def window_holds(moment: Moment) -> bool:
    """Whether the window is what keeps the next segment: what fits is not sent at once."""
    if moment.room is None or not moment.unsent or moment.room >= moment.wanted:
        return False
    if not _sends_what_fits(moment) or moment.left is None:
        return True
    return moment.left.packet.time_ns - moment.since_ns >= PROBE_AT_LEAST_NS


def flight_fills(sender: Sender, time_ns: int, said_ns: int) -> bool:
    """Whether what is in flight makes a window small: the ACK of it makes way, whatever is read.

    `said_ns`: up to when what its receiver said counts. It has not closed it, nor taken all.
    """
    last = next(sender.acks_back_from(said_ns), None)
    if last is None or last.segment.ack is None or last.segment.seg_wnd_bytes == 0:
        return False
    return last.segment.ack - 1 < sender.nxt(time_ns)


def small_room(room: int, wanted: int) -> str:
    """`1,024 bytes of a segment of 1,448`."""
    return f"{counted(room, 'byte')} of a segment of {wanted:,}"


def tell_window(line: Line, holder: Holder, moment: Moment) -> None:
    """Up to the end of the moment."""
    receiver = holder.sender.direction.receiver
    latest = next(holder.sender.acks_back_from(moment.since_ns), None)
    frames = (latest.segment.frame,) if latest is not None else ()
    if _sends_what_fits(moment) and moment.left is not None:
        line.until(
            moment.until_ns, Cause.WINDOW_PROBE, Certainty.OBSERVED,
            (*frames, moment.left.segment.frame), holder.calls,
            f"because the peer's window had room for {small_room(moment.room or 0, moment.wanted)},"
            f" until the probe timer sent those (frame {moment.left.segment.frame})",
        )  # fmt: skip
        return
    said, cited = _reader(holder, moment.since_ns, moment.until_ns)
    closed = f"because the window of the {receiver} was closed"
    opens, lost = _opens(holder, moment.since_ns), _lost_update(holder, moment)
    closed_ns, sure = moment.until_ns, bool(cited)
    reads = _inside(_reads_around(holder, moment.since_ns)[0], moment.since_ns)
    fills = reads and flight_fills(holder.sender, moment.since_ns, moment.since_ns)
    sense = Sense.FULL if fills else None
    if lost is not None:
        closed_ns, sure = lost.packet.time_ns, False
    elif opens is not None:
        closed_ns = min(max(opens.packet.time_ns, moment.since_ns), closed_ns)
    line.until(
        closed_ns, Cause.PEER_WINDOW, Certainty.OBSERVED if sure else Certainty.INFERRED,
        frames, (*holder.calls, *cited), f"{closed}: {said}", sense,
    )  # fmt: skip
    if lost is not None:
        line.until(
            moment.until_ns, Cause.WINDOW_PROBE, Certainty.INFERRED,
            (*frames, lost.segment.frame), holder.calls,
            f"because the {receiver} had opened its window and frame {lost.segment.frame} that said"
            " so was lost: only the probe timer would ask again",
        )  # fmt: skip
    elif opens is not None:
        line.until(
            moment.until_ns, Cause.PEER_WINDOW, Certainty.OBSERVED,
            (*frames, opens.segment.frame), holder.calls,
            f"{closed}, and what opened it was on its way (frame {opens.segment.frame})", sense,
        )  # fmt: skip


def _sends_what_fits(moment: Moment) -> bool:
    """Whether the next frame takes the rest of the window, and no ACK lets it go."""
    left = moment.left
    return (
        bool(moment.room)
        and left is not None
        and not moment.next_ack
        and left.segment.payload_len_bytes < moment.wanted
    )


def _lost_update(holder: Holder, moment: Moment) -> Row | None:
    """The last ACK to leave by then, if it had a larger window and was lost."""
    sender, rows = holder.sender, holder.path.track.rows
    edge = sender.edge(moment.since_ns)
    if not sender.exact or edge is None:
        return None
    place = bisect_left(rows, moment.until_ns, key=_left_ns)
    while place:  # back to the last of the receiver's that had come, no farther
        place -= 1
        row = rows[place]
        packet, segment = row.packet, row.segment
        if row.direction is sender.direction:
            continue
        if reached(packet) and arrival_ns(packet) >= moment.until_ns:
            continue
        if reached(packet) or segment.ack is None or segment.seg_wnd_bytes is None:
            return None
        if packet._wired and segment.ack - 1 + segment.seg_wnd_bytes > edge:
            return row
    return None


def _left_ns(row: Row) -> int:
    return row.packet.time_ns


def _opens(holder: Holder, since_ns: int) -> Row | None:
    """The ACK that moved the right edge of the window; None: none came, or when it left is hidden.

    Once it has left the reader has done its part.
    """
    sender = holder.sender
    edge = sender.edge(since_ns)
    if not sender.exact or edge is None:
        return None
    following = sender.acks_between(since_ns, since_ns + _SOON_NS)
    known = ((row, sender.edge(sender.heard_ns(row.packet)) or 0) for row in following)
    return next((row for row, later in known if later > edge), None)


def _reader(holder: Holder, time_ns: int, until_ns: int) -> tuple[str, tuple[int, ...]]:
    """What the peer's program did instead of reading, and its calls."""
    said, cited = _reads(holder, time_ns)
    scene = holder.path.scene
    stop = stop_between(scene, scene.call(cited[-1]), time_ns, until_ns) if cited else None
    if stop is None:
        return said, cited
    return f"{said}, and {stop.args} had stopped it ({name_of(stop)})", (*cited, stop.call)


def _reads(holder: Holder, time_ns: int) -> tuple[str, tuple[int, ...]]:
    """The same of its reads."""
    path, side = holder.path, holder.sender.direction.receiver
    before, later = _reads_around(holder, time_ns)
    if before is None and later is None:
        seen = path.scene.has_calls(path.connection, side)
        return ("its program never read" if seen else "its program did not read"), ()
    if before is not None and _inside(before, time_ns):
        return f"what had been sent filled it, while its program was inside {name_of(before)}", ()
    if before is None and later is not None:
        return f"its program first read with {name_of(later)}", (later.call,)
    if before is not None and later is not None:
        return (
            f"its program did not read between {name_of(before)} and {name_of(later)}",
            (before.call, later.call),
        )
    assert before is not None
    return f"its program read no more after {name_of(before)}", (before.call,)


def _reads_around(holder: Holder, time_ns: int) -> tuple[Call | None, Call | None]:
    """The last read that its peer's program had entered by then, and the first after that."""
    path = holder.path
    reads = path.scene.reads(path.connection, holder.sender.direction.receiver)
    place = bisect_right(reads, time_ns, key=lambda call: call.entered_ns)
    return reads[place - 1] if place else None, reads[place] if place < len(reads) else None


def _inside(read: Call | None, time_ns: int) -> bool:
    return read is not None and (read.returned_ns is None or read.returned_ns > time_ns)
