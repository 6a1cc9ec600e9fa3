"""Numbers below the newest: was the segment overtaken, is it a packet once more, or sent anew?

What tells is what its sender wrote on it. A sender's timestamps never go back (RFC 7323 5.4), and
Linux numbers the packets of a connection one by one (IPv4): where it did so around the gap, the
identification tells. A stack that sends bytes again makes a new packet with a new number. Where
neither is there, or says nothing, neither is said here.
"""

from __future__ import annotations

from netlab.correlate.again import Finding
from netlab.correlate.segments import Row
from netlab.correlate.sender import IDS, Hole, Sender
from netlab.correlate.twins import Twins, is_same_header
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Again, Doubt, Verdict

_TWICE_WITHIN_NS = 10_000_000
_COUNTS = 4  # packets in a row, numbered upwards


def fills_gap(row: Row, hole: Hole, me: Sender) -> Finding | None:
    """Of bytes that this capture had not: late, or not known. None: they were sent again."""
    beyond = hole.beyond
    frame = beyond.segment.frame
    order, by = _order(row, hole.before, beyond)
    if order > 0:
        return None
    if order < 0:
        return Finding(
            Verdict.REORDERED, f"sent before frame {frame}, which is seen first: {by}", (frame,)
        )
    shown = me.sack_top > row.segment.seq or me.duplicate_acks > 0
    told = ", though ACKs had shown the gap" if shown else ""
    return Finding(
        None,
        f"late, or sent again after it was lost before this capture{told}: neither timestamps nor"
        " identifications tell which",
        (frame,),
        Again(doubt=Doubt.WHETHER),
    )


def _order(row: Row, before: Row | None, beyond: Row) -> tuple[int, str]:
    """Whether a segment left before (-1) or after (1) the one that skipped it, and what tells."""
    mine, theirs = _stamp(row), _stamp(beyond)
    if mine is not None and theirs is not None:
        apart = seq_diff(mine, theirs)
        if apart:
            return (-1 if apart < 0 else 1), "its timestamp is older"
    ids = row.packet.ip_id, beyond.packet.ip_id, before.packet.ip_id if before else None
    if row.packet.ip_version == 4 and ids[0] and ids[1] and ids[2]:
        between = (ids[1] - ids[2]) & 0xFFFF
        if 0 < (ids[0] - ids[2]) & 0xFFFF < between < IDS:
            return -1, "its IP identification lies between theirs"
        if 0 < (ids[0] - ids[1]) & 0xFFFF < IDS and between == 1:
            return 1, ""
    return 0, ""


def is_once_more(row: Row, first: Row, me: Sender, twins: Twins) -> Finding | None:
    """Of bytes that `first` had: whether it may be that packet. None: it was sent anew."""
    frame = first.segment.frame
    mine, theirs = _stamp(row), _stamp(first)
    if mine is not None and theirs is not None:
        if seq_diff(mine, theirs) > 0:
            return None
        if seq_diff(mine, theirs) < 0:
            return _overtaken(frame, "its timestamp is older")
        if mine == theirs and me.ts_newest is not None and seq_diff(me.ts_newest, mine) > 0:
            twins.doubt(row, first, me)
            return Finding(
                None,
                f"not sent anew: its timestamp is that of frame {frame}, and newer ones had been"
                " sent; captured twice, or doubled by the network",
                (frame,),
            )
    ids = row.packet.ip_id, first.packet.ip_id
    if row.packet.ip_version == 4 and ids[0] and ids[1] and ids[0] != ids[1]:
        if (ids[1] - ids[0]) & 0xFFFF < IDS and me.id_steps >= _COUNTS:
            return _overtaken(frame, "its IP identification is a little lower")
        return None
    if row.packet.time_ns - first.packet.time_ns > _TWICE_WITHIN_NS:  # none is doubled so late
        return None
    if is_same_header(row, first):
        twins.maybe(row)
    return Finding(
        None,
        f"sent again, or frame {frame} once more: neither timestamps nor identifications tell"
        " which",
        (frame,),
        Again(doubt=Doubt.WHETHER),
    )


def _overtaken(frame: int, by: str) -> Finding:
    return Finding(Verdict.REORDERED, f"sent before frame {frame} sent its bytes again: {by}",
                   (frame,))  # fmt: skip


def _stamp(row: Row) -> int | None:
    options = row.packet._options
    return None if options is None else options.ts_val
