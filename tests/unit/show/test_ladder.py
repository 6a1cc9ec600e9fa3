"""The ladder: what stands in it, in which order, and how it looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
import show_story
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from show_story import C, S, Story, fd_in

from netlab.model.errors import UsageError
from netlab.model.tables import Direction, Role
from netlab.show.terminal.ladder import ladder_lines, print_ladder
from netlab.show.terminal.lines import plain
from netlab.show.views.ladder import MOST_LANES, ladder, limited
from netlab.show.views.marks import Ladder
from netlab.show.views.text import as_json
from netlab.show.views.words import outcomes, segment_texts, whole_texts

STORIES = ("echo", "bulk", "unix", "datagrams", "without_calls")


def view_of(story: Story) -> Ladder:
    return ladder(story.tables, story.raw, story.connection)


def drawn(story: Story, width: int = 80) -> str:
    return "".join(plain(line) + "\n" for line in ladder_lines(view_of(story), width))


@pytest.mark.parametrize("name", STORIES)
def test_pictures(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"show_ladder_{name}.txt", drawn(getattr(show_story, name)()))


def test_a_wide_terminal_gets_frame_and_call_numbers(golden: Callable[[str, str], None]) -> None:
    golden("show_ladder_echo_120.txt", drawn(show_story.echo(), 120))


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("width", [80, 99, 100, 120])
def test_no_line_is_wider_than_asked_for(name: str, width: int) -> None:
    lines = ladder_lines(view_of(getattr(show_story, name)()), width)
    assert max(cell_len(plain(line)) for line in lines) <= width


@pytest.mark.parametrize("name", STORIES)
def test_rows_are_in_the_order_of_time(name: str) -> None:
    times = [row.time_ns for row in view_of(getattr(show_story, name)()).rows]
    assert times == sorted(times)


def test_a_blocked_call_keeps_its_bar_from_entry_to_return() -> None:
    rows = view_of(show_story.echo()).rows
    opened = next(i for i, r in enumerate(rows) if r.client and r.client.op == "recv")
    closed = next(
        i for i, r in enumerate(rows) if i > opened and r.client and r.client.edge == "closes"
    )
    assert rows[opened].client == rows[opened].client
    assert all(row.client_lanes for row in rows[opened + 1 : closed])
    assert not rows[closed].client_lanes
    assert any(row.silence_ns for row in rows[opened:closed])


@pytest.mark.parametrize("width", [60, 70, 79, 80, 81, 97, 120])
def test_a_silence_keeps_a_blank_on_either_side(width: int) -> None:
    view = view_of(show_story.echo())
    quiet = next(row for row in view.rows if row.silence_ns is not None)
    for cause in ("timer", "no_client", "other_event", "fast_retransmit"):
        shown = replace(view, rows=(replace(quiet, silence_ns=71_300_000, cause=cause),))
        lines = ("".join(text for text, _ in one) for one in ladder_lines(shown, width))
        line = next(text for text in lines if "71.3 ms" in text)
        before, _, behind = line.partition("71.3 ms")
        assert " \u00b7" in before
        assert "\u00b7 " in behind, line


def test_each_frame_and_call_stands_exactly_once() -> None:
    story = show_story.echo()
    rows = view_of(story).rows
    frames = [row.wire.frame for row in rows if row.wire]
    assert frames == [packet.frame for packet in story.tables.packets]
    marks = [mark for row in rows for mark in (row.client, row.server) if mark]
    for call in story.tables.calls:
        edges = [mark.edge for mark in marks if mark.call == call.call]
        assert edges in (["whole"], ["opens", "closes"])


def test_calls_of_other_connections_stay_out() -> None:
    story = show_story.echo()
    before = drawn(story)
    story.call(C, "send", 50_000, 50_001, size=7, result=7, moved=(0, 7), connection=3)
    assert drawn(story) == before


def test_more_calls_at_once_than_lanes_are_still_all_named() -> None:
    story = Story()
    for tid in range(MOST_LANES + 2):
        story.call(S, "recv", tid, 5000 + tid, size=10, errno="EAGAIN", tid=9000 + tid)
    story.frame(Direction.C2S, 100, "ACK", 1, 1)
    text = drawn(story)
    assert view_of(story).server_lane_count == MOST_LANES
    assert text.count("recv(10)") == MOST_LANES + 2
    assert text.count("EAGAIN") == MOST_LANES + 2


def test_poll_says_what_became_ready() -> None:
    story = Story()
    story.call(S, "poll", 0, 10, result=1, ready=fd_in(5))
    assert "→ fd 5 IN" in drawn(story)
    story.tables.calls[0].args = "timeout=-1, ready=[5:IN]"
    assert "ready=" not in drawn(story)
    texts = outcomes(story.tables.calls[0], fd_in(5))
    assert texts[0] == "→ fd 5 IN"
    assert texts[-1] == "→ fd 5 …"  # what is left out is marked


def test_a_listeners_close_that_resets_its_backlog_stands_on_the_servers_side() -> None:
    """Also where one thread is client and server."""
    story = Story()
    story.call(C, "connect", 0, 10, result=0)
    close = story.call(C, "close", 20, 30, result=0, connection=None)
    story.link(close, Role.RST, story.frame(Direction.S2C, 25, "RST ACK", 1, 1))
    (line,) = [line for line in drawn(story).splitlines() if "close()" in line]
    assert line.endswith("┌ close()")


def test_a_look_at_the_queue_is_never_drawn_as_a_read() -> None:
    story = Story()
    story.call(S, "recv", 0, 10, size=2, result=2, args="MSG_PEEK")
    texts = whole_texts(story.tables.calls[0], ())
    assert [text for text in texts if "PEEK" not in text] == []
    assert texts[-1] == "recv(PEEK) = 2"


def test_what_ends_a_stream_is_the_last_thing_left_out_of_a_frames_words() -> None:
    tables = show_story.echo().tables
    segment = next(s for s in tables.segments if s.payload_len_bytes)
    packet = next(p for p in tables.packets if p.frame == segment.frame)
    seq, size = f"Seq={segment.seq}", f"Len={segment.payload_len_bytes}"
    for flags, end in (("FIN PSH ACK", "FIN"), ("RST PSH ACK", "RST")):
        texts = segment_texts(replace(packet, tcp_flags=flags), segment, "")
        assert texts[-3:] == (f"{end} {seq} {size}", f"{end} {size}", f"{end} PSH")
    plain_data = segment_texts(replace(packet, tcp_flags="PSH ACK"), segment, "")
    assert plain_data[-3:] == (f"{seq} {size}", size, "PSH")


def test_limit_keeps_head_and_tail_and_says_what_is_missing() -> None:
    whole = view_of(show_story.echo())
    cut = limited(whole, 12)
    assert len(cut.rows) == 13
    assert cut.rows[:8] == whole.rows[:8]
    assert cut.rows[9:] == whole.rows[-4:]
    assert cut.rows[8].left_out == len(whole.rows) - 12
    text = "\n".join(plain(line) for line in ladder_lines(cut, 80))
    assert f"{len(whole.rows) - 12} rows left out" in text
    assert "--limit 0" in text
    assert limited(whole, 0) is whole


def test_printing_to_a_console_interprets_no_markup_and_no_escapes() -> None:
    story = Story("unix", ("unix:[red]", None), ("unix:/\x1b[31m\u202e", None))
    story.call(C, "connect", 0, 1, args="unix:/[bold]\x1b]0;x\x07", result=0)
    out = StringIO()
    print_ladder(story.tables, story.raw, console=Console(file=out, width=80))
    assert "[red]" in out.getvalue()
    assert "\\x1b[31m\\u202e" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_an_unknown_connection_is_a_usage_error_that_names_the_range() -> None:
    story = show_story.echo()
    with pytest.raises(UsageError, match=r"no connection 4.*connections are 0"):
        print_ladder(story.tables, story.raw, connection=4)


def test_an_empty_connection_draws_its_heads_only() -> None:
    assert drawn(Story()).split() == ["ms", "127.0.0.1:40112", "127.0.0.1:7777"]


def test_json_says_the_same() -> None:
    view = view_of(show_story.echo())
    said = json.loads(as_json(view))
    assert said["client"] == view.client
    assert [row["time_ns"] for row in said["rows"]] == [row.time_ns for row in view.rows]
    assert said["rows"][0]["server"]["op"] == "epoll_wait"


@given(
    st.lists(
        st.tuples(st.sampled_from([C, S]), st.integers(0, 500), st.integers(0, 3000) | st.none(),
                  st.integers(0, 5)),
        max_size=25,
    ),
    st.lists(st.integers(0, 3000), max_size=15),
)  # fmt: skip
def test_any_overlap_of_calls_can_be_drawn(
    calls: list[tuple[object, int, int | None, int]], frames: list[int]
) -> None:
    story = Story()
    for side, at, took, tid in sorted(calls, key=lambda one: one[1]):
        end = None if took is None else at + took
        assert side in (C, S)
        story.call(side, "recv", at, end, size=1, result=1, tid=9000 + tid)  # type: ignore[arg-type]
    for at in sorted(frames):
        story.frame(Direction.C2S, at, "ACK", 1, 1)
    view = view_of(story)
    times = [row.time_ns for row in view.rows]
    assert times == sorted(times)
    marks = [mark for row in view.rows for mark in (row.client, row.server) if mark]
    for call in story.tables.calls:
        edges = [mark.edge for mark in marks if mark.call == call.call]
        assert edges in (["whole"], ["opens", "closes"])
    for row in view.rows:
        for mark, lanes in ((row.client, row.client_lanes), (row.server, row.server_lanes)):
            taken = [held.lane for held in lanes] + ([mark.lane] if mark else [])
            named = [lane for lane in taken if lane is not None]
            assert len(named) == len(set(named))
    assert max(len(plain(line)) for line in ladder_lines(view, 80)) <= 80
