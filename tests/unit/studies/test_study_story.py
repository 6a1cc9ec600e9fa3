"""When a story is written anew: where another picture came of it, and not for other numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_studies import CAPTURES, MS, swept

from netlab.model.tables import Call, Fate, Packet
from netlab.studies.catalogue import catalogue
from netlab.studies.runner import Outcome
from netlab.studies.story import Kept, keep, same_picture, steps, story_text


def kept(name: str) -> Outcome:
    return Kept(CAPTURES / name).outcome(catalogue()[name])


def without_frame(outcome: Outcome, protocol: str) -> Outcome:
    """The same but for one frame."""
    run = outcome.runs[0]
    tables = run.evidence.tables
    last = [packet for packet in tables.packets if packet.protocol == protocol][-1]
    packets = [packet for packet in tables.packets if packet is not last]
    return with_tables(outcome, packets, list(tables.calls))


def with_tables(outcome: Outcome, packets: list[Packet], calls: list[Call]) -> Outcome:
    run = outcome.runs[0]
    tables = replace(run.evidence.tables, packets=packets, calls=calls)
    return replace(outcome, runs=(replace(run, evidence=replace(run.evidence, tables=tables)),))


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("datagram-boundaries", "UDP"), ("udp-refused", "ICMP"), ("arp", "ARP"), ("refused", "TCP")],
)
def test_a_frame_less_is_another_picture(name: str, protocol: str) -> None:
    assert steps(without_frame(kept(name), protocol)) != steps(kept(name))


@pytest.mark.parametrize("name", ["pipe", "unix-boundaries", "peer-death", "accept-queue"])
def test_a_call_that_ended_otherwise_is_one(name: str) -> None:
    """Also on sockets and pipes without a frame."""
    before = kept(name)
    tables = before.runs[0].evidence.tables
    at = next(n for n, call in enumerate(tables.calls) if call.connection is not None)
    calls = list(tables.calls)
    calls[at] = replace(calls[at], result=(calls[at].result or 0) + 1)
    assert steps(with_tables(before, list(tables.packets), calls)) != steps(before)


def test_other_times_are_none() -> None:
    before = kept("datagram-boundaries")
    tables = before.runs[0].evidence.tables
    packets = [replace(packet, time_ns=packet.time_ns + MS) for packet in tables.packets]
    calls = [replace(call, entered_ns=call.entered_ns + MS) for call in tables.calls]
    assert steps(with_tables(before, packets, calls)) == steps(before)


def is_ack_alone(packet: Packet) -> bool:
    return packet.tcp_flags == "ACK" and not packet.payload_len_bytes


@pytest.mark.parametrize("name", ["select", "syn-cookies", "sticky-packets"])
def test_an_ack_that_rode_alone_is_none(name: str) -> None:
    """It is a timer's tick that tells whether one does, or which program is the quicker."""
    before = kept(name)
    tables = before.runs[0].evidence.tables
    alone = [p for p in tables.packets if is_ack_alone(p) and p.fate == Fate.DELIVERED]
    assert alone
    packets = [packet for packet in tables.packets if packet not in alone]
    assert steps(with_tables(before, packets, list(tables.calls))) == steps(before)


def test_unless_the_wire_lost_it() -> None:
    before = kept("syn-cookies")
    tables = before.runs[0].evidence.tables
    packets = [
        replace(packet, fate=Fate.DELIVERED) if is_ack_alone(packet) else packet
        for packet in tables.packets
    ]
    assert steps(with_tables(before, packets, list(tables.calls))) != steps(before)


def test_which_end_closed_first_is_none_where_neither_waited_for_the_other() -> None:
    """What each of them sent is in its order all the same."""
    before = kept("select")
    tables = before.runs[0].evidence.tables
    ways = {segment.frame: segment.direction for segment in tables.segments}
    packets = sorted(tables.packets, key=lambda packet: ways[packet.frame])
    assert packets != tables.packets
    assert steps(with_tables(before, packets, list(tables.calls))) == steps(before)
    packets.reverse()
    assert steps(with_tables(before, packets, list(tables.calls))) != steps(before)


def test_two_recordings_of_connections_that_race_are_the_same() -> None:
    """Which of them is the first is no difference, where none is shown."""
    before = kept("accept-queue")
    tables = before.runs[0].evidence.tables
    last = max(packet.connection or 0 for packet in tables.packets)
    assert last > 1
    packets = [
        packet
        if packet.connection is None
        else replace(packet, connection=last - packet.connection)
        for packet in tables.packets
    ]
    assert steps(with_tables(before, packets, list(tables.calls))) == steps(before)


def test_where_it_is_chance_how_many_connections_it_takes_one_more_is_none() -> None:
    """A connection that is just as another one, and calls that were made once more for it."""
    before = kept("crash-worker")
    tables = before.runs[0].evidence.tables
    last = max(packet.connection or 0 for packet in tables.packets)
    more = [
        replace(packet, connection=last + 1) for packet in tables.packets if packet.connection == 1
    ]
    calls = [call for call in tables.calls if call.host == "client" and call.connection == 1]
    again = with_tables(before, [*tables.packets, *more], [*tables.calls, *calls])
    assert steps(again) == steps(before)
    counted = replace(before, study=replace(before.study, by_lot=False))
    assert steps(replace(again, study=counted.study)) != steps(counted)


def test_and_one_that_ends_otherwise_is_another_picture() -> None:
    before = kept("crash-worker")
    tables = before.runs[0].evidence.tables
    packets = [
        replace(packet, tcp_flags="RST") if packet.tcp_flags == "FIN ACK" else packet
        for packet in tables.packets
    ]
    assert steps(with_tables(before, packets, list(tables.calls))) != steps(before)


def test_a_recording_that_does_not_hold_any_more_gives_way(tmp_path: Path) -> None:
    """A study asks for more than it did: the same calls and frames, but not what was returned."""
    there = Kept(CAPTURES / "peer-death")
    assert keep(kept("peer-death"), there.recording, tmp_path) == "a new recording"
    assert keep(kept("peer-death"), there.recording, tmp_path) == "its story told again"
    copied = Kept(tmp_path / "peer-death").returned
    copied.write_text(copied.read_text().replace('"sysv"', '"before"'))
    assert keep(kept("peer-death"), there.recording, tmp_path) == "a new recording"
    assert copied.read_text() == there.returned.read_text()


def test_a_story_without_a_recording_stays_where_its_picture_is_the_same(tmp_path: Path) -> None:
    recording = tmp_path / "r.pcapng"
    recording.write_bytes(b"")
    assert keep(swept(50 * MS, 90 * MS), recording, tmp_path) == "a new story"
    story = tmp_path / "three-way-handshake" / "story.md"
    before = story.read_text(encoding="utf-8")
    assert "50.0 ms" in before
    # Other measured times, in another unit and of another width, and another plot.
    for times in ((51 * MS, 64 * MS), (40 * MS, 100 * MS), (40 * MS + 7, 41 * MS)):
        said = keep(swept(*times), recording, tmp_path)
        assert said == "its picture is the same, and its story stays"
        assert story.read_text(encoding="utf-8") == before
    changed = {
        "predicted": swept(50 * MS, 90 * MS, predicted=41 * MS),
        "told": swept(50 * MS, 90 * MS, prediction="One round trip of 41 ms."),
        "asked": swept(50 * MS, 90 * MS, question="How long?"),
        "seen": swept(50 * MS, 90 * MS, seen=lambda evidence: "Nobody answered."),
        "more runs": swept(50 * MS, 90 * MS, 60 * MS),
    }
    for what, outcome in changed.items():
        keep(swept(50 * MS, 90 * MS), recording, tmp_path)
        assert keep(outcome, recording, tmp_path) == "a new story", what
        assert keep(outcome, recording, tmp_path) != "a new story", what


def test_of_a_ladder_without_a_recording_the_names_are_compared() -> None:
    """Not its rows: whether a call has one or two hangs on what came while it was inside."""
    outcome = kept("sticky-packets")
    told = story_text(outcome, kept=False)
    row = next(line for line in told.splitlines() if "poll(nfds=1)" in line)
    assert same_picture(told.replace(row, f"{row}\n{row}"), outcome)
    assert not same_picture(told.replace(row, row.replace("poll(", "pselect(")), outcome)
    assert same_picture(told.replace(" Ack=", " "), outcome)  # an arrow that had no room for it
    source = outcome.runs[0].checks[0].source
    assert not same_picture(told.replace(source, "a rumour"), outcome)
    seen = outcome.runs[0].told.seen
    assert not same_picture(told.replace(seen, f"{seen} {seen}"), outcome)
