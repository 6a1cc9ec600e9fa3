"""What a kernel's own words settle, and what they do not."""

from __future__ import annotations

import pytest
from playbook import Play

from netlab.correlate.join import correlate_sockets
from netlab.correlate.kernel_verdicts import settle_by_kernel
from netlab.model.kernel_event import Tracepoint
from netlab.model.tables import Again, Doubt, FrameNote, Segment, Side, State, Verdict

MS = 1_000_000


def lone_resend() -> tuple[Play, int]:
    """A segment that a timer or a probe sent again; and when."""
    play = Play()
    play.syn()
    play.now_ns += 5 * MS
    play.synack(), play.ack("c>s", 0)
    play.data("c>s", 0, 1000)
    play.now_ns += MS
    play.ack("s>c", 1000)
    play.data("c>s", 1000, 2000)
    play.now_ns += 215 * MS
    play.data("c>s", 1000, 2000)
    return play, play.now_ns


def settled(play: Play, looks: list[tuple[int, str]], *notes: FrameNote) -> Segment:
    _, _, tracks = correlate_sockets(play.raw, play.packets)
    states = [
        State(at, "client", 0, Side.CLIENT, "ESTABLISHED", ca_state=name) for at, name in looks
    ]
    settle_by_kernel(tracks, states, notes)
    return tracks[0].rows[7 - 1].segment


@pytest.mark.parametrize(
    ("ca_state", "verdict"),
    [
        ("loss", Verdict.RTO),
        ("open", Verdict.TAIL_LOSS_PROBE),
        ("recovery", None),  # neither a time-out nor a probe leads there
    ],
)
def test_the_state_after_it_tells_a_time_out_from_a_probe(
    ca_state: str, verdict: Verdict | None
) -> None:
    play, at = lone_resend()
    before = settled(play, [(at - MS, "open")])  # that was before
    assert before.verdict is None
    assert before._again == Again(doubt=Doubt.TIMER_OR_PROBE)
    segment = settled(play, [(at - MS, "open"), (at + MS, ca_state)])
    assert segment.verdict == verdict
    if verdict is not None:
        assert (segment.verdict_reason or "").startswith(
            f"its kernel's congestion control was in {ca_state}; sent again by"
        )
        assert segment._again is None


def test_a_look_after_something_came_or_left_tells_nothing() -> None:
    for what in ("came", "left"):
        play, _ = lone_resend()
        play.now_ns += MS
        if what == "came":
            play.ack("s>c", 2000)
        else:
            play.data("c>s", 2000, 3000)
        assert settled(play, [(play.now_ns + MS, "loss")]).verdict is None


def test_the_kernel_tells_that_a_segment_was_sent_again() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 1000)
    play.data("c>s", 1000, 2000)
    play.packets[-1].ip_id = 0
    play.data("c>s", 2000, 3000)
    play.data("c>s", 1000, 2000)
    play.packets[-1].ip_id = 0
    note = FrameNote(play.packets[-1].frame, "client", Tracepoint.RETRANSMIT)
    assert "once more" in (settled(play, []).verdict_reason or "")
    told = settled(play, [], note)
    assert told.verdict is None
    assert told.verdict_reason == (
        "sent again, why is not known: the kernel of client told of it (tcp_retransmit_skb)"
    )
    assert told._again == Again(doubt=Doubt.WHY)


@pytest.mark.parametrize(
    ("ca_state", "verdict"),
    [("loss", Verdict.RTO), ("recovery", Verdict.FAST_RETRANSMIT), ("open", None)],
)
def test_of_what_is_only_known_to_be_sent_again_the_state_tells_why(
    ca_state: str, verdict: Verdict | None
) -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 1000)
    play.data("c>s", 1000, 2000)
    play.packets[-1].ip_id = 0
    play.data("c>s", 2000, 3000)
    play.data("c>s", 1000, 2000)
    play.packets[-1].ip_id = 0
    note = FrameNote(play.packets[-1].frame, "client", Tracepoint.RETRANSMIT)
    look = [(play.now_ns + MS, ca_state)]
    assert settled(play, look).verdict is None  # it may not have been sent again
    assert settled(play, look, note).verdict == verdict
