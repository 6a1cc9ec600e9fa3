"""One byte's journey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import show_story
from playbook import Play
from show_story import C, Story

from netlab.correlate.reasons import Reason, What
from netlab.model.errors import UsageError
from netlab.model.tables import Direction, Role, Side, Stamp, Unmatched
from netlab.show.terminal.journey import journey_lines
from netlab.show.terminal.lines import plain
from netlab.show.views.journey import Journey, journey


def follow(name: str, side: Side, byte: int) -> Journey:
    story = getattr(show_story, name)()
    return journey(story.tables, story.connection, side, byte)


@pytest.mark.parametrize(
    ("name", "side", "byte"),
    [
        ("echo", Side.CLIENT, 57),
        ("echo", Side.SERVER, 0),
        ("bulk", Side.CLIENT, 70_000),
        ("unix", Side.CLIENT, 5),
        ("without_calls", Side.CLIENT, 99),
    ],
)
def test_pictures(name: str, side: Side, byte: int, golden: Callable[[str, str], None]) -> None:
    text = "".join(plain(line) + "\n" for line in journey_lines(follow(name, side, byte)))
    golden(f"show_journey_{name}_{side}.txt", text)


def test_steps_in_order_with_the_times_between() -> None:
    view = follow("echo", Side.CLIENT, 57)
    assert [step.what for step in view.steps] == [
        "written", "carried", "delivered", "acked", "returned", "reading", "read",
    ]  # fmt: skip
    assert [(step.call, step.frame) for step in view.steps][:4] == [
        (6, None), (None, 4), (None, 4), (None, 5),
    ]  # fmt: skip
    assert sum(step.since_previous_ns for step in view.steps) == view.steps[-1].since_start_ns
    assert view.unknown == ()


def test_a_resent_byte_names_both_frames() -> None:
    view = follow("bulk", Side.CLIENT, 70_000)
    frames = {step.what: step.frame for step in view.steps if step.frame}
    assert frames == {"carried": 2, "resent": 4, "delivered": 4}


def test_what_is_unknown_is_said_with_the_reason_of_the_ledger() -> None:
    view = follow("bulk", Side.CLIENT, 900_000)
    reasons = {item.what: item.reason for item in view.unknown}
    assert reasons["which frame carried it"] == "recording stopped at its limit"
    assert "which call read it" in reasons
    plain_capture = follow("without_calls", Side.CLIENT, 99)
    assert {item.reason for item in plain_capture.unknown} == {
        "the file holds no calls of this connection"
    }


@pytest.mark.parametrize("byte", [-1, 100])
def test_a_byte_beyond_the_stream_is_a_usage_error(byte: int) -> None:
    with pytest.raises(UsageError, match=r"client of connection 0 sent bytes 0\.\.100"):
        follow("echo", Side.CLIENT, byte)


def test_an_ack_before_the_byte_left_is_not_its_ack() -> None:
    story = show_story.without_calls()
    for segment in story.tables.segments:
        if segment.frame == 2:  # a SYN ACK with a wild acknowledgement
            segment.ack = 5000
    view = journey(story.tables, story.connection, Side.CLIENT, 99)
    assert [step.frame for step in view.steps if step.what == "acked"] == [5]


def test_a_byte_that_no_frame_holds_may_still_have_been_acknowledged() -> None:
    play = Play()
    play.handshake(calls=False)
    play.data("c>s", 100, 200)
    play.ack("s>c", 200)
    tables = play.tables()
    view = journey(tables, tables.connections[0], Side.CLIENT, 50)
    assert [(step.what, step.frame) for step in view.steps] == [("acked", 5)]
    assert "which frame carried it" in [one.what for one in view.unknown]
    shown = [plain(line) for line in journey_lines(replace(view, other_copies=(7,)))]
    assert "   differs  frame 7 holds another byte here than the first that has it" in shown


def cut_datagram() -> show_story.Story:
    """A datagram of 100 bytes for which a recv had room for 10."""
    story = show_story.Story("udp")
    send = story.call(Side.SERVER, "sendto", 0, 9, size=100, result=100, moved=(0, 100))
    recv = story.call(Side.CLIENT, "recv", 20, 31, size=10, result=10, moved=(0, 100))
    frame = story.frame(Direction.S2C, 4, "", length=100)
    story.link(send, Role.CARRIED, frame, (0, 100))
    story.link(recv, Role.DELIVERED, frame, (0, 100))
    row = Unmatched(0, Direction.S2C, 10, 100, 90, What.TRUNCATED, Reason.TRUNCATED, recv)
    story.tables.unmatched.append(row)
    return story


@pytest.mark.parametrize(("byte", "what"), [(9, "read"), (10, "cut off"), (99, "cut off")])
def test_a_byte_that_found_no_room_was_not_read(byte: int, what: str) -> None:
    story = cut_datagram()
    view = journey(story.tables, story.connection, Side.SERVER, byte)
    assert view.steps[-1].what == what
    assert view.steps[-1].text.endswith("returned 10, bytes 0..10 of 0..100: truncated")
    assert view.unknown == ()


def test_a_datagram_is_shown_with_its_length_and_range() -> None:
    story = cut_datagram()
    view = journey(story.tables, story.connection, Side.SERVER, 50)
    texts = [step.text for step in view.steps if step.frame]
    assert texts == ["UDP Len=100, bytes 0..100"] * 2


def test_a_byte_that_was_read_is_not_called_queued() -> None:
    story = show_story.echo()
    story.tables.spans = [s for s in story.tables.spans if s.frame != 4]
    row = Unmatched(0, Direction.C2S, 0, 100, 100, What.SENT_NOT_CAPTURED, Reason.STILL_QUEUED, 6)
    lost = Unmatched(0, Direction.C2S, 0, 100, 100, What.READ_NOT_CAPTURED, Reason.RING_DROP, 8)
    story.tables.unmatched += [row, lost]
    view = journey(story.tables, story.connection, Side.CLIENT, 57)
    assert view.steps[-1].what == "read"
    assert {item.reason for item in view.unknown} == {Reason.RING_DROP}


@pytest.mark.parametrize(
    ("what", "reason", "said"),
    [
        (What.CARRIED_NOT_READ, Reason.RESET, "     never  no call read it: reset before delivery"),
        (What.CARRIED_NOT_READ, Reason.STILL_QUEUED, "   not yet  no call read it: still queued"),
        (What.CARRIED_NOT_READ, Reason.CUT_UNKNOWN,
         "   unknown  which call read it: not known: the recording is cut short"),
        (What.SENT_NOT_CAPTURED, Reason.RESET,
         "     never  no frame carried it: reset before delivery"),
    ],
)  # fmt: skip
def test_what_never_happened_is_not_called_unknown(what: What, reason: Reason, said: str) -> None:
    story = Story()
    send = story.call(C, "send", 0, 20, size=100, result=100, moved=(0, 100))
    if what is What.CARRIED_NOT_READ:
        story.link(send, Role.CARRIED, story.frame(Direction.C2S, 5, "ACK", 1, 1, 100), (0, 100))
        story.link(send, Role.ACKED, story.frame(Direction.S2C, 6, "ACK", 1, 101), (0, 100))
    story.tables.unmatched.append(Unmatched(0, Direction.C2S, 0, 100, 100, what, reason, None))
    view = journey(story.tables, story.connection, Side.CLIENT, 50)
    _, *missing = [plain(line) for line in journey_lines(view)][-len(view.unknown) - 1 :]
    assert missing == [said]


def test_long_reasons_are_folded_at_80_columns() -> None:
    story = show_story.bulk()
    story.tables.unmatched[0] = replace(story.tables.unmatched[0], reason="so " * 40 + "it is")
    view = journey(story.tables, story.connection, Side.CLIENT, 900_000)
    text = [plain(line) for line in journey_lines(view)]
    assert max(map(len, text)) <= 80
    assert " ".join(" ".join(text).split()).count("so so") > 5


def stamped(*moments: str) -> show_story.Story:
    """The echo with its calls, and stamps in place of its frames."""
    story = show_story.echo()
    tables = story.tables
    tables.packets, tables.segments, tables.spans = [], [], []
    for at, what in zip((240_000, 242_000, 251_000), ("scheduled", "sent", "acked"), strict=True):
        if what in moments:
            tables.stamps.append(Stamp(6, 0, Direction.C2S, what, show_story.START_NS + at, 0, 100))
    return story


def test_without_frames_the_kernel_s_stamps_say_when(golden: Callable[[str, str], None]) -> None:
    story = stamped("scheduled", "sent", "acked")
    view = journey(story.tables, story.connection, Side.CLIENT, 57)
    assert [(step.what, step.call) for step in view.steps[:5]] == [
        ("written", 6), ("scheduled (kernel stamp)", 6), ("left (kernel stamp)", 6),
        ("acknowledged (kernel stamp)", 6), ("returned", 6),
    ]  # fmt: skip
    assert [item.what for item in view.unknown] == [
        "which frame carried it", "which ACK covered it", "which frame delivered it",
    ]  # fmt: skip
    text = "".join(plain(line) + "\n" for line in journey_lines(view))
    golden("show_journey_stamps_client.txt", text)


def test_a_stamp_that_did_not_come_is_unknown() -> None:
    story = stamped("sent")
    view = journey(story.tables, story.connection, Side.CLIENT, 57)
    assert "when it was acknowledged" in [item.what for item in view.unknown]
    back = journey(story.tables, story.connection, Side.SERVER, 57)  # which nobody stamped
    assert "when it was acknowledged" not in [item.what for item in back.unknown]


def test_with_frames_stamps_are_steps_beside_them(golden: Callable[[str, str], None]) -> None:
    story = show_story.echo()
    story.tables.stamps += stamped("scheduled", "sent", "acked").tables.stamps
    view = journey(story.tables, story.connection, Side.CLIENT, 57)
    assert view.unknown == ()
    text = "".join(plain(line) + "\n" for line in journey_lines(view))
    golden("show_journey_stamps_and_frames_client.txt", text)
