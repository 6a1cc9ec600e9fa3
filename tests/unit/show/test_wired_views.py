"""Views of a recording with a wire: ladder, packet, list, journey, summary, and one end's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len
from wired_recordings import MS, WireStory, ethernet, flip, lossy, lossy_recording, tcp_frame

from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.explain.ways import changed_bytes, flight_text, way_text
from netlab.model.errors import UsageError
from netlab.model.frame import DIRECTION_IN, DIRECTION_OUT
from netlab.model.recording import RawRecording
from netlab.model.tables import Role, Side, Tables
from netlab.show.at_end import seen_at
from netlab.show.terminal.journey import journey_lines
from netlab.show.terminal.ladder import ladder_lines
from netlab.show.terminal.lines import Line, plain
from netlab.show.terminal.packets import list_lines
from netlab.show.terminal.packets import packet_lines as lines_of_packet
from netlab.show.terminal.summary import summary_lines
from netlab.show.views.journey import journey
from netlab.show.views.ladder import ladder
from netlab.show.views.packets import packet_lines, packet_view
from netlab.show.views.summary import summary
from netlab.show.views.text import as_json


def text(lines: list[Line]) -> str:
    return "".join(plain(line) + "\n" for line in lines)


def drawn(raw: RawRecording, width: int = 80) -> str:
    tables = analyse(raw)
    return text(ladder_lines(ladder(tables, raw, tables.connections[0]), width))


def with_calls() -> tuple[Tables, RawRecording]:
    raw = lossy_recording()
    return analyse(raw), raw


def test_the_story_is_one_that_could_have_happened() -> None:
    tables, _ = with_calls()
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    assert {span.role for span in tables.spans} >= {
        Role.CARRIED, Role.RESENT, Role.ACKED, Role.DELIVERED, Role.RELEASED, Role.DUPLICATE,
    }  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("calls", [True, False])
def test_ladders(calls: bool, width: int, golden: Callable[[str, str], None]) -> None:
    raw = lossy_recording() if calls else lossy().raw()
    shown = drawn(raw, width)
    assert max(cell_len(line) for line in shown.splitlines()) <= width
    golden(f"show_ladder_wire{'_calls' if calls else ''}_{width}.txt", shown)


def test_a_frame_that_arrives_at_once_takes_one_row() -> None:
    story = WireStory()
    story.tcp("client", "S", 0, 0, delay_ns=MS - 1)
    story.tcp("server", "SA", 0, 1, delay_ns=MS)
    rows = [line for line in drawn(story.raw()).splitlines() if "SYN" in line]
    assert [("┄" in row, "▶" in row or "◀" in row) for row in rows] == [
        (False, True), (True, False), (True, True),
    ]  # fmt: skip


def test_a_frame_during_whose_way_something_happened_takes_two_rows() -> None:
    story = WireStory()
    story.tcp("client", "S", 0, 0, delay_ns=MS + 1)
    story.tcp("client", "S", 0, 0, delay_ns=10)
    rows = [line for line in drawn(story.raw()).splitlines() if "SYN" in line]
    # The second left before the first arrived, and that arrived before the second did.
    assert ["▶" in row for row in rows] == [False, False, True, True]


def test_signs_are_explained_where_they_stand_and_only_there() -> None:
    story = WireStory()
    story.handshake()
    assert "✗" not in drawn(story.raw())
    story.tcp("client", "PA", 1, 1, b"x", dropped="drop c>s data 1")
    notes = drawn(story.raw()).partition("\n\n")[2]
    assert "✗  lost on the way" in notes
    assert "╳" not in notes
    assert "⊕" not in notes


def test_one_packet_says_what_the_wire_did_with_it(golden: Callable[[str, str], None]) -> None:
    tables, raw = with_calls()
    shown = [
        text(lines_of_packet(packet_view(tables, raw, tables.packets[n], deep=False), 80, 2))
        for n in (3, 5, 6, 7, 8, 11)
    ]
    heads = [one.partition("\nEthernet")[0] for one in shown]
    golden("show_packet_wire.txt", "\n\n".join(heads))


def test_the_packet_as_json_has_departure_arrival_fate_and_rule() -> None:
    tables, raw = with_calls()
    found = json.loads(as_json(packet_view(tables, raw, tables.packets[8], deep=False)))["way"]
    assert found == {
        "sender": "server", "receiver": "client",
        "arrived_ns": tables.packets[8].arrived_ns, "took_ns": 20 * MS, "late_ns": 13_000,
        "fate": "changed", "rule": "corrupt s>c data 3",
        "text": "changed on the wire: corrupt s>c data 3; arrived 20.000 ms later at client;"
        " its receiver threw it away",
        "spoilt": True, "changed": [[100, "61", "9e"]],
    }  # fmt: skip


def test_the_list_of_packets_names_what_is_not_usual() -> None:
    tables, raw = with_calls()
    rows = text(list_lines(packet_lines(tables, raw, None), 0, 120)).splitlines()[1:]
    words = ("[dropped]", "[made by the wire]", "[changed]")
    assert [[word for word in words if word in row] for row in rows] == [
        [], [], [], [], [], ["[dropped]"], [], ["[made by the wire]"], ["[changed]"], [], [], [],
    ]  # fmt: skip


def too_big() -> WireStory:
    """Data that does not fit, and the wire's answer: the next link takes 900 bytes."""
    story = WireStory()
    story.handshake()
    lost = story.tcp("client", "A", 1, 1, b"x" * 1000, dropped="mtu 900")
    error = b"\x03\x04\0\0\0\0\x03\x84" + story.frames[lost - 1][3][14:562]
    story.send("wire", ethernet("server", 1, error, 2, 7), rule="mtu 900", delay_ns=0)
    return story


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (120, "ICMP fragmentation needed, MTU 900 Len=548 ⊕"),
        (80, "ICMP fragmentation needed, MTU 900 Len=548 ⊕"),
        (60, "ICMP fragmentation needed, MTU 900 Len=548 ⊕"),
        (52, "ICMP fragmentation needed, MTU 900 ⊕"),
        (44, "fragmentation needed, MTU 900 ⊕"),
    ],
)
def test_a_ladder_says_what_icmp_says(width: int, said: str) -> None:
    rows = [line for line in drawn(too_big().raw(), width).splitlines() if "⊕ ─" in line]
    assert [f"◀─ {said} ─" in row for row in rows] == [True]


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (120, "fragmentation needed, MTU 900 Len=548 [made by the wire]"),
        (104, "fragmentation needed, MTU 900 [made by the wire]"),
        (90, "fragmentation needed [by the wire]"),
        (80, "fragmentation needed"),
        (70, "fragmentation n…"),
    ],
)
def test_the_list_of_packets_says_what_icmp_says(width: int, said: str) -> None:
    raw = too_big().raw()
    tables = analyse(raw)
    rows = text(list_lines(packet_lines(tables, raw, None), 0, width)).splitlines()
    assert rows[-1].rstrip().endswith(f"  {said}")
    view = packet_view(tables, raw, tables.packets[-1], deep=False)
    assert view.info == "fragmentation needed, MTU 900 Len=548 [made by the wire]"


def test_a_narrow_list_of_packets_names_fates_in_full() -> None:
    tables, raw = with_calls()
    shown = text(list_lines(packet_lines(tables, raw, None), 0, 80))
    for words in ("[dropped]", "[by the wire]", "[changed]"):
        assert words in shown
    assert "…" not in shown


@pytest.mark.parametrize("byte", [3, 600])
def test_journeys(byte: int, golden: Callable[[str, str], None]) -> None:
    tables, _ = with_calls()
    view = journey(tables, tables.connections[0], Side.SERVER, byte)
    golden(f"show_journey_wire_{byte}.txt", text(journey_lines(view)))


def test_a_journey_without_calls_has_the_arrivals() -> None:
    tables = analyse(lossy().raw())
    view = journey(tables, tables.connections[0], Side.SERVER, 3)
    assert [(step.what, step.frame) for step in view.steps] == [
        ("carried", 6), ("resent", 9), ("resent", 10), ("arrived", 9), ("arrived", 10),
        ("acked", 11),
    ]  # fmt: skip


def test_the_summary_counts_what_the_wire_did(golden: Callable[[str, str], None]) -> None:
    tables, raw = with_calls()
    found = summary(tables, raw, "a.pcapng")
    wire = found.wire
    assert wire is not None
    assert (wire.sent, wire.made, wire.dropped, wire.changed, wire.unknown) == (11, 1, 1, 1, 1)
    assert wire.delivered == 12 - 3
    assert (wire.late_median_ns, wire.late_most_ns) == (13_000, 1_300_000)
    golden("show_summary_wire.txt", text(summary_lines(found, 80)))
    without_calls = lossy().raw()
    shown = text(summary_lines(summary(analyse(without_calls), without_calls, "a.pcapng"), 80))
    assert "5 →   6 ←, 2 resent" in shown  # nor is the wire's copy among them


def test_each_rule_that_had_a_part_is_counted_by_itself() -> None:
    story = WireStory()
    first = story.tcp("client", "S", 0, 0, rule="delay 20ms")
    story.copy(first, rule="duplicate c>s syn 1; delay 20ms")
    story.tcp("client", "S", 0, 0, rule="reorder 5% seed 1 by 3; delay 20ms")
    raw = story.raw()
    raw.frames[:] = [replace(frame, number=frame.number + 7) for frame in raw.frames]  # calls too
    shown = text(summary_lines(summary(analyse(raw), raw, "a.pcapng"), 80))
    assert [line.split(None, 1)[1] for line in shown.splitlines() if line.startswith("rule")] == [
        "delay 20ms: 2 frames, 1 made by the wire",
        "duplicate c>s syn 1: 1 made by the wire",
        "reorder 5% seed 1 by 3: 1 frame",
    ]


@pytest.mark.parametrize(
    ("dropped", "said"),
    [(7, "frames, 7 LOST by the wire's ring"), (None, "frames, losses not known")],
)
def test_what_a_host_lost_before_the_wire_is_said_of_it(dropped: int | None, said: str) -> None:
    tables, raw = with_calls()
    raw.interfaces[0] = replace(raw.interfaces[0], dropped=dropped)
    raw.interfaces[1] = replace(raw.interfaces[1], dropped=0)
    shown = " ".join(text(summary_lines(summary(tables, raw, "a.pcapng"), 80)).split())
    assert said in shown.split("; server:")[0]
    assert "frames, none lost" in shown.split("; server:")[1]


def test_many_rules_are_counted_not_listed() -> None:
    story = WireStory()
    for number in range(29):
        story.tcp("client", "S", 0, 0, dropped=f"drop c>s syn {number}")
    raw = story.raw()
    shown = text(summary_lines(summary(analyse(raw), raw, "a.pcapng"), 80))
    assert "… and 17 more" in shown


def test_rules_are_shown_escaped() -> None:
    story = WireStory()
    story.tcp("client", "S", 0, 0, dropped="drop \x1b[31m")
    raw = story.raw()
    tables = analyse(raw)
    view = packet_view(tables, raw, tables.packets[0], deep=False)
    for lines in (
        summary_lines(summary(tables, raw, "a.pcapng"), 80),
        lines_of_packet(view, 80, 2),
    ):
        assert "\x1b" not in text(lines)
        assert "\\x1b" in text(lines)


# --- words


@pytest.mark.parametrize(
    ("ns", "said"),
    [(0, "0 us"), (48_400, "48 us"), (20_013_000, "20.013 ms"), (3_000_000_000, "3.000 s")],
)
def test_times_on_the_wire(ns: int, said: str) -> None:
    assert flight_text(ns) == said


def test_words_are_ascii_and_name_no_host_that_is_not_known() -> None:
    tables = analyse(lossy().raw())
    for packet in tables.packets:
        assert way_text(packet).isascii()
        packet._to = None
    assert way_text(tables.packets[0]) == "arrived 20.000 ms later"


def test_lateness_is_named_only_where_it_is_not_all_there_was() -> None:
    story = WireStory()
    story.tcp("client", "S", 0, 0, delay_ns=300_000, late_ns=300_000)
    story.tcp("client", "S", 0, 0, delay_ns=300_000, late_ns=120_000)
    story.tcp("client", "S", 0, 0, delay_ns=300_000, late_ns=90_000)
    said = [way_text(packet) for packet in analyse(story.raw()).packets]
    assert ["lateness" in one for one in said] == [False, True, False]


def test_where_two_frames_differ() -> None:
    assert changed_bytes(b"abcdef", b"abXYef") == [(2, b"cd", b"XY")]
    assert changed_bytes(b"abc", b"abcd") == [(3, b"", b"d")]
    assert changed_bytes(b"abc", b"xbz") == [(0, b"a", b"x"), (2, b"c", b"z")]
    assert changed_bytes(b"abc", b"abc") == []


# --- what one end saw


def test_an_end_sees_what_it_sent_and_what_came() -> None:
    raw = lossy().raw()
    story = lossy()
    seen = seen_at(raw, "client")
    sent = [(t, data) for _, interface, t, data in story.frames if interface == 0]
    fates = {arrival.packet: arrival for arrival in story.arrivals}
    came = [
        (fates[packet].arrived_ns, fates[packet].changed or data)
        for packet, interface, _, data in story.frames
        if interface != 0 and packet in fates and fates[packet].arrived_ns is not None
    ]
    expected = sorted([*sent, *came], key=lambda item: item[0] or 0)
    assert [(f.time_ns, bytes(f.data)) for f in seen.frames] == expected
    assert [f.number for f in seen.frames] == list(range(1, len(expected) + 1))
    assert [one.name for one in seen.interfaces] == ["client"]
    assert [f.flags for f in seen.frames][:2] == [DIRECTION_OUT, DIRECTION_IN]
    assert not seen.wired
    assert flip(tcp_frame("server", "PA", 1, 101, b"a" * 500, 90), 100) in [
        bytes(f.data) for f in seen.frames
    ]


def test_what_was_dropped_only_its_sender_saw() -> None:
    raw = lossy().raw()
    lost = bytes(raw.frames[5].data)
    assert lost in [bytes(f.data) for f in seen_at(raw, "server").frames]
    assert lost not in [bytes(f.data) for f in seen_at(raw, "client").frames]


def test_an_unknown_host_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'wire'.*the hosts are client, server"):
        seen_at(lossy().raw(), "wire")


def test_without_a_wire_no_end_can_be_told() -> None:
    with pytest.raises(UsageError, match="--at needs"):
        seen_at(RawRecording(interfaces=lossy().raw().interfaces), "client")
