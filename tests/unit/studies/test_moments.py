"""Windows around what tells a story."""

from __future__ import annotations

from made_studies import CAPTURES

from netlab.studies.catalogue import catalogue
from netlab.studies.evidence import Evidence
from netlab.studies.moments import pause, seen_by_client
from netlab.studies.story import Kept


def kept(name: str) -> Evidence:
    return Kept(CAPTURES / name).outcome(catalogue()[name]).runs[0].evidence


def test_a_pause_is_told_by_what_comes_before_it_and_what_ends_it() -> None:
    """Nagle's algorithm: one small segment, then an ACK, and the rest leaves."""
    evidence = kept("nagle")
    first, second = (frame.time_ns for frame, _ in evidence.frames("c>s", data=True))
    before, after = pause(evidence, before=1, after=0)
    times = seen_by_client(evidence)
    assert before == (times[times.index(first) - 1], first)
    acked_ns = times[times.index(second) - 1]
    assert after == (acked_ns, second)
    assert first < acked_ns < second


def test_who_never_sent_data_twice_has_no_pause() -> None:
    assert pause(kept("refused")) == []
