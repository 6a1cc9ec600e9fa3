"""What was sent again, and its receiver had it: three ways in which it says so.

- its ACKs: bytes that were acknowledged, selectively or not, before the copy came to it;
- D-SACK (RFC 2883): bytes came a second time. It speaks of the latest copy before it: whichever
  copies came, the latest was not needed;
- timestamps (Eifel, RFC 3522): the ACK that first acknowledges a copy's first byte echoes the
  segment that filled that place (RFC 7323 4.3); if that is older than the copy, it was another.
  Only if all before the copy had been acknowledged: a delayed ACK echoes the first of several.
"""

from __future__ import annotations

from netlab.correlate.flows import SYN
from netlab.correlate.segments import Row
from netlab.correlate.sender import Copy, Sender
from netlab.correlate.twins import Twins
from netlab.correlate.verdict_words import byte_text
from netlab.model.ranges import RangeSet
from netlab.model.seqnum import seq_diff
from netlab.model.tables import Again, Segment, Verdict

_HOW = {
    Verdict.RTO: "by the timer: ",
    Verdict.FAST_RETRANSMIT: "as a fast retransmission: ",
    Verdict.TAIL_LOSS_PROBE: "as a tail loss probe: ",
}


def sent_by(segment: Segment) -> Verdict | None:
    """Which mechanism sent a segment again, in vain or not; None: it is not known."""
    if segment.verdict in _HOW:
        return Verdict(segment.verdict)
    if segment.verdict != Verdict.SPURIOUS:
        return None
    return segment._again.by if segment._again is not None else None


def had_it(copy: Copy, me: Sender, *, wired: bool) -> None:
    """The copy comes to its receiver: had that acknowledged all of it?"""
    ack, frame = (me.said, me.said_frame) if wired else (me.una, me.una_frame)
    sacked = me.said_sacked if wired else me.sacked
    if copy.stop <= ack:
        _in_vain(copy, f"frame {frame} had acknowledged all it brings before it came", frame)
    elif sacked.covers(max(copy.start, ack), copy.stop):
        told = "all it brings had been selectively acknowledged before it came"
        _in_vain(copy, told, me.sack_frame)


def echo_told(row: Row, me: Sender, ts_ecr: int) -> None:
    """An ACK for `me` that acknowledges something new echoes this timestamp."""
    if (row.segment.ack or 0) <= me.una:
        return
    for copy in me.copies:
        if copy.twin or not copy.start <= me.una < copy.stop:
            continue
        options = copy.row.packet._options
        if options is None or options.ts_val is None or seq_diff(ts_ecr, options.ts_val) >= 0:
            continue
        me.not_lost(copy)
        if copy.settled:
            continue
        frame = row.segment.frame
        _in_vain(
            copy,
            f"the ACK of frame {frame} echoes a timestamp from before it was sent: an earlier copy"
            " had come",
            frame,
        )


def duplicate_told(row: Row, me: Sender, twins: Twins) -> None:
    """A D-SACK for `me` names bytes that came a second time."""
    for start, stop in me.duplicate_told(row):
        told = RangeSet([(start, stop)])
        text = f"D-SACK {byte_text(start, stop)} of frame {row.segment.frame}"
        for copy in reversed(me.copies):
            if copy.start >= copy.stop or not told.covers(copy.start, copy.stop):
                continue
            told.remove(copy.start, copy.stop)
            if not copy.twin:
                me.not_lost(copy)
            if copy.settled:
                continue
            if copy.twin:
                twins.by_network(copy, text, row.segment.frame, me)
                copy.settled = True
            else:
                _in_vain(copy, f"{text} says that it came a second time", row.segment.frame)


def _in_vain(copy: Copy, why: str, frame: int | None) -> None:
    segment = copy.row.segment
    copy.settled = True
    if copy.row.packet._flags & SYN and segment.verdict is not Verdict.RTO:
        return  # what else makes a SYN be sent again is not known
    by = sent_by(segment)
    how = f"sent again {_HOW[by]}" if by is not None else ""
    timeout = segment._again.timeout_frame if segment._again is not None else None
    segment._again = Again(by, timeout, why)
    segment.verdict_reason = f"{why}; {how}{segment.verdict_reason}"
    segment.verdict = Verdict.SPURIOUS
    frames = (*((frame,) if frame is not None else ()), *(segment.verdict_frames or ()))
    segment.verdict_frames = tuple(dict.fromkeys(frames)) or None
