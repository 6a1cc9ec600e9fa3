"""A segment -> what tshark and netlab say of it, side by side, and by what netlab knows.

Where the two say the same, one word is enough; where not, the reason says why. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netlab.model.records import dataclass
from netlab.model.tables import Connection, Segment, Verdict

WORDS = {
    Verdict.RTO: "RTO",
    Verdict.FAST_RETRANSMIT: "fast retransmit",
    Verdict.TAIL_LOSS_PROBE: "tail loss probe",
    Verdict.SPURIOUS: "spurious",
    Verdict.REORDERED: "reordered",
    Verdict.DUPLICATED_BY_CAPTURE: "captured twice",
    Verdict.DUPLICATED_BY_NETWORK: "doubled by network",
    Verdict.KEEP_ALIVE: "keep-alive",
    Verdict.ZERO_WINDOW_PROBE: "window probe",
}
# tshark's verdicts about what a segment is, as Wireshark writes them; the first that is given.
_TSHARK = {
    "spurious_retransmission": "spurious retransmission",
    "fast_retransmission": "fast retransmission",
    "retransmission": "retransmission",
    "out_of_order": "out-of-order",
    "zero_window_probe": "zero window probe",
    "keep_alive": "keep-alive",
}
_SAME = {
    "spurious retransmission": {Verdict.SPURIOUS},
    "fast retransmission": {Verdict.FAST_RETRANSMIT},
    "retransmission": {Verdict.RTO, Verdict.TAIL_LOSS_PROBE},  # it has no words for the cause
    "out-of-order": {Verdict.REORDERED},
    "zero window probe": {Verdict.ZERO_WINDOW_PROBE},
    "keep-alive": {Verdict.KEEP_ALIVE},
}


@dataclass(frozen=True, slots=True)
class VerdictView:
    """Both opinions on a segment; empty: none."""

    tshark: str
    netlab: str  # `fast retransmit`, `not certain`
    reason: str
    frames: tuple[int, ...]  # that show it
    agree: bool  # they say the same, as far as each has words


def word(segment: Segment | None) -> str:
    """netlab's verdict in a word or two, where it is more than new data or an ACK.

    tshark's of a segment that netlab did not judge: one of a large capture, read in bulk.
    """
    if segment is None:
        return ""
    if segment.verdict is None:
        return _by_tshark(segment) if segment.verdict_reason is None else ""
    return WORDS.get(Verdict(segment.verdict), "")


def _by_tshark(segment: Segment) -> str:
    return next((text for name, text in _TSHARK.items() if getattr(segment, name)), "")


def verdict_view(segment: Segment | None) -> VerdictView | None:
    """What is said of a segment; None where both say that it is nothing unusual."""
    if segment is None:
        return None
    theirs = _by_tshark(segment)
    mine = word(segment)
    if not mine and segment.verdict is None and segment.verdict_reason is not None:
        mine = "not certain"
    if not mine and theirs:
        mine = "new data" if segment.verdict == Verdict.NEW_DATA else ""
    if not mine and not theirs:
        return None
    # Who is not certain contradicts nobody who says nothing.
    agree = segment.verdict in _SAME[theirs] if theirs else mine in ("new data", "not certain")
    return VerdictView(
        theirs, mine, segment.verdict_reason or "", segment.verdict_frames or (), agree
    )


def counted(row: Connection) -> str:
    """`2 fast retransmit, 1 spurious, 1 not certain`: of a connection, the commonest first."""
    found: Counter[str] = Counter()
    for verdict, text in WORDS.items():
        found[text] = getattr(row, f"{verdict}_frames") or 0
    return ", ".join(_texts(found.most_common(), row.unsure_frames or 0))


def _texts(found: Iterable[tuple[str, int]], unsure: int) -> list[str]:
    texts = [f"{count:,} {text}" for text, count in found if count]
    return [*texts, f"{unsure:,} not certain"] if unsure else texts
