"""A peer's window smaller than what is to be sent -> for whose sake it is, and since when.

Its program does not read; or it has read, and what says so is on its way, or was lost: then only
the probe timer asks again. What fits into the rest of a window leaves at once, or by that timer.
Read first: RFC 9293 3.8.6, tcp_snd_wnd_test and tcp_write_wakeup in Linux.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.low_water import unread
from netlab.explain.moments import Holder, Moment
from netlab.explain.parts import Line, Sense
from netlab.explain.sender import Sender
from netlab.explain.stopped import stop_between
from netlab.explain.wording import counted, fate_text, name_of
from netlab.model.records import dataclass
from netlab.model.tables import Call, Side

_SOON_NS = 1_000_000_000  # no frame of a window that opens is on its way for longer
_WAITS_NS = 2_000_000  # a read that takes no longer did not wait, on a busy machine
_MADE_ROOM_NS = 2_000_000  # from a read to the frame that tells of the room it made
_LAY_NS = 10_000_000  # what lies for less was read at once, on a busy machine
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
    closed = f"because the window of the {receiver} was closed"
    opens, lost = _opens(holder, moment.since_ns), _lost_update(holder, moment)
    closed_ns = moment.until_ns
    if lost is not None:
        closed_ns = lost.packet.time_ns
    elif opens is not None:
        closed_ns = min(max(opens.packet.time_ns, moment.since_ns), closed_ns)
    fills = flight_fills(holder.sender, moment.since_ns, moment.since_ns)
    sense = None
    for spell in _spells(holder, moment.since_ns, closed_ns):
        if fills and not spell.reads and _had_read_all(holder, spell):
            spell = replace(spell, reads=True, within=())
        said, cited = _reader(holder, spell)
        sure = Certainty.OBSERVED if cited and lost is None else Certainty.INFERRED
        sense = Sense.FULL if fills and spell.reads else None
        line.until(spell.until_ns, Cause.PEER_WINDOW, sure, frames, (*holder.calls, *cited),
                   f"{closed}: {said}", sense)  # fmt: skip
    if lost is not None:
        line.until(
            moment.until_ns, Cause.WINDOW_PROBE, Certainty.INFERRED,
            (*frames, lost.segment.frame), holder.calls,
            f"because the {receiver} had opened its window and frame {lost.segment.frame} that said"
            f" so {fate_text(lost.packet) or 'was lost'}: only the probe timer would ask again",
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


@dataclass(frozen=True, slots=True)
class _Spell:
    """A time in which the peer's program did one thing: it was in its reads, or it was not."""

    since_ns: int
    until_ns: int
    reads: bool  # it was inside them for the most part
    within: tuple[Call, ...] = ()  # the reads inside which it was at some time, in order


def _spells(holder: Holder, since_ns: int, until_ns: int) -> Iterator[_Spell]:
    """The time of a window that is small, split where the peer's program began to wait in a read,
    or had waited."""
    at_ns, passed, passed_ns = since_ns, list[Call](), 0
    least_ns = min(_WAITS_NS, (until_ns - since_ns) // 2)
    for read in _reads_between(holder, since_ns, until_ns):
        start_ns = max(read.entered_ns, at_ns)
        stop_ns = min(read.returned_ns or until_ns, until_ns)
        if stop_ns - start_ns < least_ns:
            passed.append(read)
            passed_ns += stop_ns - start_ns
            continue
        if start_ns > at_ns:
            yield _Spell(at_ns, start_ns, 2 * passed_ns > start_ns - at_ns, tuple(passed))
        yield _Spell(start_ns, stop_ns, True, (read,))
        at_ns, passed, passed_ns = stop_ns, [], 0
    if at_ns < until_ns or at_ns == since_ns:
        yield _Spell(at_ns, until_ns, 2 * passed_ns > until_ns - at_ns, tuple(passed))


def _had_read_all(holder: Holder, spell: _Spell) -> bool:
    """Whether nothing lay unread in a spell, but for a moment: so who waits in epoll_wait reads."""
    scene, direction = holder.path.scene, holder.sender.direction
    side, since_ns = Side(direction.receiver), spell.since_ns
    byte = unread(scene, holder.path.connection, side, since_ns, since_ns + 1)
    frame = holder.sender.stream.ready.at(byte) if byte is not None else None
    if byte is None or (frame is None and holder.sender.stream.carried.at(byte) is not None):
        return False  # it is not known, or came out of order
    came_ns = arrival_ns(scene.packets[frame]) if frame is not None else spell.until_ns
    lay_ns = spell.until_ns - max(came_ns, since_ns)
    return lay_ns < min(_LAY_NS, (spell.until_ns - since_ns) // 2)


def _reader(holder: Holder, spell: _Spell) -> tuple[str, tuple[int, ...]]:
    """What the peer's program did instead of reading, and its calls."""
    if spell.reads and not spell.within:
        return "what had been sent filled it, and its program had read all that had come", ()
    if spell.reads:
        first, last = spell.within[0], spell.within[-1]
        where = f"was inside {name_of(first)}" if first is last else \
                f"read on from {name_of(first)} to {name_of(last)}"  # fmt: skip
        return f"what had been sent filled it, while its program {where}", ()
    said, cited = _reads(holder, spell)
    scene = holder.path.scene
    stop = (
        stop_between(scene, scene.call(cited[-1]), spell.since_ns, spell.until_ns)
        if cited
        else None
    )
    if stop is None:
        return said, cited
    return f"{said}, and {stop.args} had stopped it ({name_of(stop)})", (*cited, stop.call)


def _reads(holder: Holder, spell: _Spell) -> tuple[str, tuple[int, ...]]:
    """The same of its reads.

    Those that end no more than a moment after the spell, or in it, made the room.
    """
    path, side = holder.path, holder.sender.direction.receiver
    reads = path.scene.reads(path.connection, side)
    place = bisect_right(reads, spell.since_ns, key=_entered_ns)
    before = reads[place - 1] if place else None
    inside = [read for read in spell.within if read is not before]
    if inside and spell.until_ns - inside[-1].entered_ns < _MADE_ROOM_NS:
        later: Call | None = inside.pop()
    else:
        after = place + len(inside)
        later = reads[after] if after < len(reads) else None
    if before is None and later is None and not inside:
        seen = path.scene.has_calls(path.connection, side)
        return ("its program never read" if seen else "its program did not read"), ()
    if inside:
        return _too_little(before, inside, later)
    if before is None and later is not None:
        return f"its program first read with {name_of(later)}", (later.call,)
    if before is not None and later is not None:
        return (
            f"its program did not read between {name_of(before)} and {name_of(later)}",
            (before.call, later.call),
        )
    assert before is not None
    return f"its program read no more after {name_of(before)}", (before.call,)


def _too_little(
    before: Call | None, inside: list[Call], later: Call | None
) -> tuple[str, tuple[int, ...]]:
    """Of reads that made too little room to tell of (tcp_cleanup_rbuf, __tcp_select_window)."""
    read = sum(max(call.result or 0, 0) for call in inside)
    first = inside[0] if before is None else before
    last = inside[-1] if later is None else later
    many = f" with {len(inside)} calls" if len(inside) > 1 else ""
    between = f"between {name_of(first)} and {name_of(last)}" if first is not last else \
              f"with {name_of(first)}"  # fmt: skip
    if before is None and first is not last:
        between = f"from {name_of(first)} on, until {name_of(last)}"
    if later is None and before is not None:
        between = f"after {name_of(before)}"
    cited = tuple(dict.fromkeys((first.call, last.call)))
    return f"its program read no more than {counted(read, 'byte')}{many} {between}", cited


def _reads_between(holder: Holder, since_ns: int, until_ns: int) -> Iterator[Call]:
    """The reads inside which the peer's program was after `since_ns` and before `until_ns`."""
    reads = holder.path.scene.reads(holder.path.connection, holder.sender.direction.receiver)
    place = max(bisect_right(reads, since_ns, key=_entered_ns) - 1, 0)
    for read in (reads[at] for at in range(place, len(reads))):
        if read.entered_ns >= until_ns and read.entered_ns > since_ns:
            return
        if read.returned_ns is None or read.returned_ns > since_ns:
            yield read


def _entered_ns(read: Call) -> int:
    return read.entered_ns
