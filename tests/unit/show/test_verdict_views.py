"""What the views say of a segment where netlab and tshark differ, and where they do not."""

from __future__ import annotations

from playbook import Play

from netlab.model.frame import Frame
from netlab.model.tables import Segment
from netlab.show.views.connections import connections
from netlab.show.views.packets import info
from netlab.show.views.verdicts import VerdictView, verdict_view
from netlab.show.views.words import segment_texts

MS = 1_000_000


def recovery() -> Play:
    """Two holes: tshark calls what fills the second out of order."""
    play = Play()
    play.syn()
    play.now_ns += 5 * MS
    play.synack(), play.ack("c>s", 0)
    play.data("c>s", 0, 1000)
    play.now_ns += MS
    play.ack("s>c", 1000)
    for start in range(1000, 6000, 1000):
        play.data("c>s", start, start + 1000)
    play.now_ns += MS
    blocks = ((2000, 3000), (4000, 6000))
    play.ack("s>c", 1000, options=play.sack_option("c>s", *blocks))
    play.data("c>s", 1000, 2000)
    play.data("c>s", 3000, 4000)
    return play


def last(play: Play) -> Segment:
    return play.tables().segments[-1]


def test_both_opinions_with_the_reason_and_the_evidence() -> None:
    view = verdict_view(last(recovery()))
    assert view == VerdictView(
        tshark="out-of-order",
        netlab="fast retransmit",
        reason="SACK 4000..6000 showed the gap 3000..4000",
        frames=(11,),
        agree=False,
    )


def test_plain_segments_have_none() -> None:
    tables = recovery().tables()
    assert [verdict_view(segment) for segment in tables.segments[:10]] == [None] * 10
    assert verdict_view(None) is None


def test_they_agree_where_tshark_has_no_word_for_the_cause() -> None:
    play = Play(sack=False)
    play.handshake(calls=False)
    play.data("c>s", 0, 1000)
    play.now_ns += 250 * MS
    play.data("c>s", 0, 1000)
    view = verdict_view(last(play))
    assert view is not None
    assert (view.tshark, view.netlab, view.agree) == ("retransmission", "RTO", True)


def test_what_is_not_certain_is_said_so() -> None:
    play = Play(sack=False)
    play.handshake(calls=False)
    for start in range(0, 3000, 1000):
        play.data("c>s", start, start + 1000)
    play.ack("s>c", 0), play.ack("s>c", 0)
    play.data("c>s", 0, 1000)
    view = verdict_view(last(play))
    assert view is not None
    assert (view.tshark, view.netlab, view.agree) == ("fast retransmission", "not certain", False)


def test_a_line_of_a_packet_and_of_a_ladder_has_the_word_and_not_tshark_s_guess() -> None:
    play = recovery()
    segment, packet = last(play), play.packets[-1]
    assert info(packet, segment, Frame(13, 0, 0, b"", 0)).endswith("[fast retransmit]")
    assert segment_texts(packet, segment, "")[0].endswith("fast retransmit")
    assert "out of order" not in segment_texts(packet, segment, "")[0]
    assert "doubled" not in segment_texts(packet, segment, "⊕")[0]


def test_a_connection_counts_them() -> None:
    (row,) = connections(recovery().tables())
    assert row.verdicts == "2 fast retransmit"
    (quiet,) = connections(begun().tables())
    assert quiet.verdicts == ""


def begun() -> Play:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 0, 1000)
    return play
