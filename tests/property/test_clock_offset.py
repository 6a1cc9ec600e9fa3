"""Logs whose clock is off, of sockets whose ports nobody shows: what is said of it is true."""

from __future__ import annotations

from hidden_conversations import Talk, World, happened, shifted, talks
from hypothesis import event, given, settings
from hypothesis import strategies as st

from netlab.correlate.causality import Ways
from netlab.correlate.clock_difference import Difference
from netlab.correlate.clock_evidence import Clocks, Evidence
from netlab.correlate.flows import flows_from_packets
from netlab.correlate.segments import Track, track_from_flow
from netlab.correlate.sockets import trace_sockets
from netlab.model.recording import RawRecording

MS = 1_000_000
turns = st.lists(st.integers(0, 5), max_size=80)


def evidence_of(raw: RawRecording, tracks: list[Track]) -> Evidence:
    sockets = trace_sockets(raw.calls, []).all
    return Clocks(sockets, tracks, raw.calls, Ways(), whole=True).evidence()


def allows(found: Difference, added: int) -> bool:
    (one,) = found.stretches
    return (one.low_ns is None or one.low_ns <= added) and (
        one.high_ns is None or added <= one.high_ns
    )


@settings(max_examples=150)
@given(
    st.lists(talks, min_size=1, max_size=4),
    turns,
    st.booleans(),
    st.sampled_from([0, 250 * MS, -250 * MS, 90_000_000 * MS]),
)
def test_the_true_difference_is_never_left_out(
    script: list[Talk], turns: list[int], shows_peer: bool, ahead: int
) -> None:
    world = World(shows_peer)
    raw, packets = happened(world, script, turns)
    tracks = [track_from_flow(flow) for flow in flows_from_packets(packets)]
    evidence = evidence_of(shifted(raw, ahead), tracks)
    found = evidence.found
    if found is None:  # several would do: the truth is one of them, or less was covered by it
        event("several")
        return
    if not evidence.sockets:
        event("none")
        return
    named = shows_peer and any(talk.server_seen for talk in script)
    event("named" if named else "sought")
    assert allows(found, -ahead) or (ahead and found.allows_zero and not named)


def test_a_clock_that_is_off_is_known_to_a_few_steps_of_the_conversation() -> None:
    for shows_peer in (True, False):
        world = World(shows_peer)
        script = [Talk([(10, 10), (25, 40)], False, True, True, False) for _ in range(5)]
        raw, packets = happened(world, script, [])
        tracks = [track_from_flow(flow) for flow in flows_from_packets(packets)]
        found = evidence_of(shifted(raw, 250 * MS), tracks).found
        assert found is not None
        (one,) = found.stretches
        assert one.low_ns is not None
        assert one.high_ns is not None
        assert one.low_ns <= -250 * MS <= one.high_ns
        assert one.high_ns - one.low_ns <= 10_000
