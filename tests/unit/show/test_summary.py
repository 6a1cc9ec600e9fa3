"""The summary: its numbers, its words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import show_story
from show_story import Story

from netlab.model.clock import ClockPair
from netlab.model.recording import Loss
from netlab.model.tables import Direction
from netlab.show.terminal.connections import BUSIEST, connection_lines
from netlab.show.terminal.lines import plain
from netlab.show.terminal.summary import summary_lines
from netlab.show.views.connections import connections, end_text
from netlab.show.views.recorded import unmatched_text
from netlab.show.views.summary import summary


def drawn(story: Story) -> str:
    lines = summary_lines(summary(story.tables, story.raw, "echo.pcapng"), 80)
    return "".join(plain(line) + "\n" for line in lines)


@pytest.mark.parametrize("name", ["echo", "bulk", "unix", "without_calls"])
def test_pictures(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"show_summary_{name}.txt", drawn(getattr(show_story, name)()))


def test_numbers() -> None:
    story = show_story.echo()
    found = summary(story.tables, story.raw, "echo.pcapng")
    assert (found.frames, found.calls, found.links) == (10, 15, 16)
    one = found.connections[0]
    assert (one.name, one.client_packets, one.server_packets) == ("tcp.0", 6, 4)
    assert (one.client_bytes, one.server_bytes, one.handshake_ns) == (100, 100, 19_000)
    received = next(o for o in one.operations if (o.side, o.op) == ("server", "recv"))
    assert (received.calls, received.failed, received.errors) == (3, 1, "1 EAGAIN")
    assert (found.ledger.sent_bytes, found.ledger.received_bytes) == (200, 200)
    assert (found.ledger.moved_bytes, found.ledger.closed) == (400, True)
    assert json.loads(found.as_json())["connections"][0]["end"] == one.end


def test_an_open_ledger_lists_its_reasons() -> None:
    story = show_story.echo()
    story.unmatched("still queued", Direction.C2S, 100, 130)
    story.unmatched("still queued", Direction.C2S, 140, 150)
    found = summary(story.tables, story.raw, "echo.pcapng").ledger
    assert found.closed is False
    assert [(line.reason, line.bytes, line.rows) for line in found.lines] == [
        ("still queued", 40, 2)
    ]
    assert "40 B sent but not captured: still queued" in drawn(story)


def test_a_step_of_the_clock_is_a_note() -> None:
    story = show_story.echo()
    start_ns = 1_700_000_000_000_000_000
    story.raw.clock_pairs[:] = [
        ClockPair(start_ns + at + step, at) for at, step in ((0, 0), (10**9, 0), (2 * 10**9, 10**9))
    ]
    (note,) = set(summary(story.tables, story.raw, "echo.pcapng").notes) - set(
        story.raw.description.notes
    )
    assert "set forward by 1000.000 ms" in note
    assert "set forward by 1000.000 ms" in " ".join(drawn(story).split())


def test_an_even_clock_is_no_note() -> None:
    story = show_story.echo()
    story.raw.clock_pairs[:] = [ClockPair(10**18 + at, at) for at in range(0, 5 * 10**9, 10**9)]
    assert summary(story.tables, story.raw, "echo.pcapng").notes == story.raw.description.notes


def test_a_live_file_says_what_may_be_done_for_it() -> None:
    story = show_story.echo()
    assert "netlab recover" not in drawn(story)
    story.raw.description = replace(story.raw.description, form="live")
    assert "`netlab recover FILE` adds what is missing" in " ".join(drawn(story).split())


def test_losses_and_damage_are_always_shown() -> None:
    story = show_story.echo()
    story.raw.interfaces[0] = replace(story.raw.interfaces[0], dropped=12)
    story.raw.losses.append(Loss("probe", "calls", None, "spool limit", actor="ser\x1bver"))
    story.raw.faults.append("cut off in the middle of a block")
    text = drawn(story)
    assert "12 LOST by the ring" in text
    assert "probe: some calls of ser\\x1bver lost, spool limit" in text
    assert "cut off in the middle of a block" in text


@pytest.mark.parametrize(
    ("who", "kind", "text"),
    [
        ("server", "fin", "server closed first (FIN), client followed"),
        ("both", "fin", "both closed at once"),
        ("client", "half-close", "client closed (FIN), server did not"),
        ("client", "rst", "client reset it (RST)"),
        (None, "open", "still open"),
        (None, None, ""),
    ],
)
def test_how_it_ended(who: str | None, kind: str | None, text: str) -> None:
    row = Story().connection
    row.closed_by, row.close_kind = who, kind
    assert end_text(row).startswith(text)


@pytest.mark.parametrize(
    ("completeness", "word"), [(0x21, "refused"), (0x25, "refused"), (0x2F, "reset")]
)
def test_a_connection_that_never_was_is_refused(completeness: int, word: str) -> None:
    row = Story().connection
    row.closed_by, row.close_kind, row.completeness = "server", "rst", completeness
    assert end_text(row) == f"server {word} it (RST)"


def test_the_end_of_a_connection_is_not_known_where_frames_were_lost() -> None:
    story = show_story.echo()
    story.connection.closed_by = story.connection.close_kind = None  # as correlate leaves them
    (row,) = connections(story.tables)
    assert (row.end, row.end_word) == ("not known: frames are missing", "not known")


@pytest.mark.parametrize(
    ("what", "reason", "text"),
    [
        ("sent but not captured", "not captured: ring drop", "sent but not captured: ring drop"),
        ("read but not captured", "not captured: no packet witness",
         "read but not captured: no packet witness"),
        ("sent but not captured", "still queued", "sent but not captured: still queued"),
        ("carried but not read", "not captured: ring drop",
         "carried but not read: not captured: ring drop"),
    ],
)  # fmt: skip
def test_no_word_stands_twice(what: str, reason: str, text: str) -> None:
    assert unmatched_text(what, reason) == text


def test_without_a_packet_witness_nothing_is_said_of_an_interface() -> None:
    story = show_story.unix()
    story.raw.frames.clear()
    loss = Loss("packets", "frames", None, "no right to capture: setcap ...")
    story.raw.losses.append(loss)
    text = drawn(story)
    assert "packets: no frames captured, no right to capture: setcap ..." in text
    assert "none lost" not in text


def test_many_connections_get_a_line_each() -> None:
    story = show_story.echo()
    story.tables.connections *= 30
    text = drawn(story)
    assert "… and 24 that moved no more: netlab inspect --connections" in text
    rows = connections(story.tables)
    for width in (80, 120):
        lines = connection_lines(rows, show_story.START_NS, width)
        assert len(lines) == 31
        assert all(len(text) <= width for ((text, _),) in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_the_busiest_keep_their_rate_where_their_names_can_be_cut_in_two(width: int) -> None:
    long = "[2001:618:400:1234:5678:9abc:def0:cc70]:35995"
    base = connections(show_story.echo().tables)[0]
    rows = [
        replace(base, connection=number, client=long, server=long, bits_per_second=68_000)
        for number in range(3)
    ]
    lines = [plain(line) for line in connection_lines(rows, None, width, BUSIEST)]
    assert all(len(line) <= width for line in lines)
    assert sum("68 kbit/s" in line for line in lines) == 3
