"""A frame that came, and that the receiver's stack threw away: it had no room for it.

A window must not shrink (RFC 9293 3.8.6), and it does: SO_RCVBUF can make a buffer smaller than
what it had promised. What is on its way then comes, is not taken, and is sent again as if it were
lost. It shows in the next ACK, which covers less, with a window that ends before the frame does,
and in which copy was accepted.
Read first: tcp_data_queue and tcp_try_rmem_schedule in Linux; correlate's `streams`.
"""

from __future__ import annotations

from bisect import bisect_left

from netlab.correlate.segments import Row
from netlab.explain.path import Path
from netlab.explain.sender import Sender
from netlab.explain.wording import name_of
from netlab.model.records import dataclass
from netlab.model.tables import Call, Packet


@dataclass(frozen=True, slots=True)
class NoRoom:
    """What was thrown away, and what shows it."""

    frame: int
    ack: int  # the frame that says so
    words: str


def had_no_room(path: Path, sender: Sender, packet: Packet) -> NoRoom | None:
    """Whether a frame with payload of this sender came and found no room."""
    if not packet._wired or packet.arrived_ns is None or packet._spoilt:
        return None
    left = sender.departures_between(packet.time_ns - 1, packet.time_ns)
    mine = next((row for row in left if row.packet is packet), None)
    if mine is None or not is_thrown_away(sender, mine):
        return None
    told = _answer(path, sender, packet.arrived_ns)
    if told is None or told.segment.ack is None or told.segment.seg_wnd_bytes is None:
        return None
    ack = told.segment.ack - 1
    if ack > mine.segment.start or ack + told.segment.seg_wnd_bytes >= mine.segment.stop:
        return None
    receiver = sender.direction.receiver
    words = f"the {receiver} had no room for frame {packet.frame}"
    option = _made_smaller(path, sender, packet.arrived_ns)
    if option is not None:
        words += f" ({name_of(option)} had set its SO_RCVBUF)"
    return NoRoom(packet.frame, told.segment.frame, words)


def is_thrown_away(sender: Sender, row: Row) -> bool:
    """Whether other copies brought its bytes, all of them, and not this frame."""
    owners = [o for _, _, o in sender.stream.accepted.overlaps(row.segment.start, row.segment.stop)]
    return bool(owners) and row.segment.frame not in owners


def _answer(path: Path, sender: Sender, since_ns: int) -> Row | None:
    """The first frame with an ACK that the receiver sent from then on."""
    rows, back = path.track.rows, sender.direction.reverse
    place = bisect_left(rows, since_ns, key=lambda row: row.packet.time_ns)
    for row in rows[place : place + _MOST_LOOKED_AT]:
        if row.direction is back and row.segment.ack is not None and not row.packet._made:
            return row
    return None


_MOST_LOOKED_AT = 64


def _made_smaller(path: Path, sender: Sender, until_ns: int) -> Call | None:
    """The last setsockopt(SO_RCVBUF) of the receiver since the connection began."""
    began_ns = path.track.rows[0].packet.time_ns
    found = [
        option.call for option in path.scene.options(path.connection, sender.direction.receiver)
        if option.name == "SO_RCVBUF" and began_ns <= option.entered_ns <= until_ns
    ]  # fmt: skip
    return path.scene.call(found[-1]) if found else None


def thrown_away(path: Path, sender: Sender) -> list[NoRoom]:
    """All that came and found no room, of which bytes were sent again."""
    again = [(resend.start, resend.stop) for resend in sender.resends]
    if not again:
        return []
    low, high = min(a for a, _ in again), max(b for _, b in again)
    rows = (r for r in sender.departed if r.segment.start < high and r.segment.stop > low)
    found = (had_no_room(path, sender, row.packet) for row in rows)
    return [one for one in found if one is not None]
