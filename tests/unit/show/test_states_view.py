"""What was sampled of a connection: numbers, courses, rows, and the picture of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import show_story
from hypothesis import given, settings
from hypothesis import strategies as st
from show_story import START_NS, Story

from netlab.model.tables import Side, State
from netlab.show.terminal.lines import plain
from netlab.show.terminal.states import states_lines
from netlab.show.views.states import PARTS, StateRow, StatesView, _parts, limited, states_view
from netlab.show.views.text import as_json

MS = 1_000_000


def sampled(*samples: tuple[int, Side, dict[str, Any]]) -> Story:
    """The echo, with samples at so many ms after its first frame."""
    story = show_story.echo()
    for at_ms, side, numbers in samples:
        row = State(START_NS + at_ms * MS, f"{side}", 0, side, "ESTABLISHED", witness="sock_diag")
        story.tables.states.append(replace(row, **numbers))
    return story


def view_of(story: Story) -> StatesView:
    return states_view(story.tables, story.connection)


def drawn(story: Story, limit: int = 0) -> str:
    lines = states_lines(limited(view_of(story), limit), 80)
    return "".join(plain(line) + "\n" for line in lines)


def since(view: StatesView, row: StateRow) -> int:
    """At how many ms of the story."""
    return (view.start_ns + row.time_ns - START_NS) // MS


def sender(cwnd: int, outq: int, notsent: int, **more: Any) -> dict[str, Any]:
    return {
        "snd_cwnd": cwnd, "outq_bytes": outq, "notsent_bytes": notsent, "inq_bytes": 0,
        "snd_wnd_bytes": 65_160, "srtt_ns": 20_831_000, "rto_ns": 224 * MS, "ca_state": "open",
        "busy_ns": 40 * MS, "rwnd_limited_ns": 0, "sndbuf_limited_ns": 0, **more,
    }  # fmt: skip


def upload() -> Story:
    """A client sends 300 kB: slow start, a loss, the end; the server reads late."""
    client, server = Side.CLIENT, Side.SERVER
    return sampled(
        (0, client, {"state": "SYN-SENT", "snd_cwnd": 10}),
        (20, client, sender(10, 46_336, 31_856)),
        (41, client, sender(20, 66_608, 37_648)),
        (41, server, {**sender(10, 0, 0), "inq_bytes": 14_480}),
        (62, client, sender(40, 175_208, 117_288)),
        (83, client, sender(80, 300_000, 190_000, busy_ns=83 * MS, rwnd_limited_ns=12 * MS)),
        (83, server, {**sender(10, 0, 0), "inq_bytes": 102_808}),
        (104, client, sender(56, 200_000, 118_912, ca_state="recovery", ssthresh=56)),
        (125, client, sender(56, 100_000, 20_000, ssthresh=56)),
        (146, client, sender(57, 0, 0, ssthresh=56)),
        (146, server, sender(10, 0, 0)),
        (150, client, sender(57, 0, 0, state="FIN-WAIT-1", busy_ns=104 * MS,
                             rwnd_limited_ns=16 * MS, sndbuf_limited_ns=4 * MS)),
    )  # fmt: skip


def test_the_picture(golden: Callable[[str, str], None]) -> None:
    golden("show_states_upload.txt", drawn(upload()))


def test_eighty_columns_are_enough_for_the_largest_numbers() -> None:
    huge = 999_999_999_999
    story = sampled(
        (0, Side.CLIENT, sender(1, 0, 0)),
        (99_000, Side.CLIENT, sender(99_999, huge, huge, srtt_ns=huge, state="SYN-RECEIVED",
                                     snd_wnd_bytes=huge, inq_bytes=huge, ca_state="recovery")),
    )  # fmt: skip
    assert max(map(len, drawn(story).splitlines())) <= 80


def test_long_addresses_take_a_line_more() -> None:
    story = upload()
    for row in story.tables.connections:
        row.client = row.server = "2001:db8:1234:5678:9abc:def0:1234:5678"
    text = drawn(story)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("connection 0  [2001:db8:1234:5678:9abc:def0:1234:5678]:40112 →\n")


def test_numbers_of_both_ends() -> None:
    view = view_of(upload())
    assert [(end.side, end.samples, end.host) for end in view.ends] == [
        ("client", 9, "client"), ("server", 3, "server"),
    ]  # fmt: skip
    client, server = view.ends
    courses = {course.what: (course.least, course.most) for course in client.courses}
    assert courses["cwnd"] == (10, 80)
    assert courses["in flight"] == (0, 110_000)
    assert courses["unsent"] == (0, 190_000)
    assert {c.what: c.most for c in server.courses}["unread"] == 102_808
    assert client.limits is not None
    assert (client.limits.busy_ns, client.limits.sndbuf_limited_ns) == (104 * MS, 4 * MS)
    assert [row.in_flight_bytes for row in client.rows[:3]] == [None, 14_480, 28_960]
    assert [since(view, row) for row in client.rows[:2]] == [0, 20]


def test_json_says_the_same() -> None:
    view = view_of(upload())
    found = json.loads(as_json(view))
    assert found["ends"][0]["rows"][1]["in_flight_bytes"] == 14_480
    assert found["ends"][0]["courses"][0]["parts"] == list(view.ends[0].courses[0].parts)


def test_the_first_and_last_rows_are_kept_and_the_rest_is_counted() -> None:
    view = limited(view_of(upload()), 6)
    client, server = view.ends
    times = [since(view, row) for row in client.rows if not row.left_out]
    assert times == [0, 20, 41, 62, 146, 150]
    assert [row.left_out for row in client.rows if row.left_out] == [3]
    assert len(server.rows) == 3
    assert "⋮  3 more samples: --limit 0 shows all" in drawn(upload(), 6)


def test_without_samples_it_says_how_to_get_some() -> None:
    text = drawn(show_story.echo())
    assert "no state was sampled" in text
    assert "--sample 10ms" in text


def test_what_a_witness_never_tells_of_makes_no_gap_in_what_another_one_said() -> None:
    event = {"snd_cwnd": 12, "witness": "kernel"}
    story = sampled(
        (0, Side.CLIENT, sender(10, 500, 0)),
        (50, Side.CLIENT, event),
        (100, Side.CLIENT, sender(14, 0, 0)),
    )
    (end,) = view_of(story).ends
    cwnd, in_flight, *_ = end.courses
    assert (cwnd.parts[0], cwnd.parts[PARTS // 2]) == (10, 12)
    assert in_flight.parts[PARTS // 2] == 500
    assert end.witnesses == ("sock_diag", "kernel")


def test_one_sample_is_a_course_too() -> None:
    story = sampled((5, Side.CLIENT, sender(10, 0, 0)))
    (end,) = view_of(story).ends
    assert end.first_ns == end.last_ns
    assert end.courses[0].parts[0] == 10


def test_samples_of_other_connections_are_not_ours() -> None:
    story = upload()
    story.tables.states.append(State(START_NS, "client", 7, Side.CLIENT, "LISTEN"))
    story.tables.states.append(State(START_NS, "client", None, None, "LISTEN"))
    assert [end.samples for end in view_of(story).ends] == [9, 3]


# -- courses ---------------------------------------------------------------------------------------


def test_a_value_holds_until_the_next_one() -> None:
    parts = _parts([(0, 5), (500, 9), (1000, 1)], 0, 1000)
    half = PARTS // 2
    assert parts == [5] * half + [9] * half  # the last one's moment has no part of its own


def test_what_is_not_known_is_a_gap() -> None:
    parts = _parts([(0, 5), (250, None), (750, 3)], 0, 1000)
    quarter = PARTS // 4
    assert parts == [5] * quarter + [None] * 2 * quarter + [3] + [None] * (quarter - 1)


TIMES = st.lists(st.integers(0, 5000), min_size=1, max_size=30, unique=True).map(sorted)


@settings(max_examples=40)
@given(TIMES, st.data())
def test_no_peak_is_lost_and_none_invented(times: list[int], data: st.DataObject) -> None:
    values = [data.draw(st.none() | st.integers(0, 99)) for _ in times]
    parts = _parts(list(zip(times, values, strict=True)), times[0], times[-1])
    known = {value for value in values if value is not None}
    shown = {part for part in parts if part is not None}
    assert len(parts) == PARTS
    assert shown <= known
    assert max(shown, default=None) == max(known, default=None)


@pytest.mark.parametrize("limit", range(1, 12))
def test_a_limit_is_kept_to(limit: int) -> None:
    (client, _) = limited(view_of(upload()), limit).ends
    assert len([row for row in client.rows if not row.left_out]) == min(limit, 9)
    assert sum(row.left_out or 1 for row in client.rows) == 9
