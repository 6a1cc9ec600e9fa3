"""The wire's spool, without a wire: what is written is read, once, whoever dies in between."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.lab.wire.journal import JournalReader, Taken
from netlab.lab.wire.journal_writer import Journal
from netlab.model.recording import Loss
from netlab.model.wire import Arrival

SEGMENT_BYTES = 1 << 14
LEFT_NS = 1_790_000_000_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def journal(folder: int, *, segments: int = 2, limit_bytes: int = 1 << 20) -> Journal:
    return Journal(
        folder, segment_bytes=SEGMENT_BYTES, ready_segments=segments, limit_bytes=limit_bytes
    )


def pass_frame(journal: Journal, packet: int, data: bytes) -> bool:
    """Note a frame that goes on at once."""
    noted = journal.passing(packet, packet % 2, LEFT_NS + packet, LEFT_NS + packet + 7, data)
    if noted:
        journal.settled()
    return noted


def frames_of(count: int, first: int = 1) -> list[tuple[int, bytes]]:
    chosen = random.Random(count + first)
    return [(n, chosen.randbytes(chosen.randint(14, 1514))) for n in range(first, first + count)]


def test_a_frame_that_goes_on_at_once_is_read_with_its_arrival(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    pass_frame(written, 1, b"as it left")
    taken = JournalReader(tmp_path).poll()
    assert taken.frames == [(1, 1, LEFT_NS + 1, b"as it left")]
    assert taken.arrivals == [Arrival(1, "delivered", LEFT_NS + 8, 7)]


def test_each_fate_is_read_as_it_was_noted(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    for packet in (1, 2, 3, 4):
        written.frame(packet, 0, LEFT_NS, b"frame %d" % packet)
    written.leaving(1, LEFT_NS + 20, LEFT_NS + 13, "delay 13ns")
    written.settled()
    written.dropped(2, "drop c>s data 2 — ok")
    written.leaving(3, LEFT_NS + 5, LEFT_NS + 5, "corrupt c>s data 3", b"FRAME 3!")
    written.settled()
    taken = JournalReader(tmp_path).poll()
    assert [frame[0] for frame in taken.frames] == [1, 2, 3, 4]
    assert taken.arrivals == [
        Arrival(1, "delivered", LEFT_NS + 20, 7, "delay 13ns"),
        Arrival(2, "dropped", rule="drop c>s data 2 — ok"),
        Arrival(3, "changed", LEFT_NS + 5, 0, "corrupt c>s data 3", b"FRAME 3!"),
    ]


def test_a_frame_that_nobody_took_is_no_arrival(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    written.passing(1, 0, LEFT_NS, LEFT_NS, b"refused")
    written.stayed()
    written.dropped(1, "server: its queue is full")
    written.frame(2, 0, LEFT_NS, b"refused, too")
    written.leaving(2, LEFT_NS, LEFT_NS, "")
    written.taken_back()
    written.dropped(2, "server: its queue is full")
    taken = JournalReader(tmp_path).finish()
    assert [frame[0] for frame in taken.frames] == [1, 2]
    assert taken.arrivals == [
        Arrival(n, "dropped", rule="server: its queue is full") for n in (1, 2)
    ]


def test_what_was_being_sent_when_the_wire_died_is_a_frame_without_a_fate(
    tmp_path: Path, folder: int
) -> None:
    written = journal(folder)
    pass_frame(written, 1, b"one")
    written.passing(2, 0, LEFT_NS, LEFT_NS, b"two")  # here it dies
    reader = JournalReader(tmp_path)
    assert [frame[0] for frame in reader.poll().frames] == [1]
    taken = reader.finish()
    assert [frame[0] for frame in taken.frames] == [2]
    assert taken.arrivals == []


def test_an_arrival_that_never_was_does_not_come_back(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    written.frame(1, 0, LEFT_NS, b"one")
    written.leaving(1, LEFT_NS, LEFT_NS, "delay 1ms")  # here it dies
    taken = JournalReader(tmp_path).finish()
    assert [frame[0] for frame in taken.frames] == [1]
    assert taken.arrivals == []


def test_a_reader_that_keeps_up_keeps_the_spool_small(tmp_path: Path, folder: int) -> None:
    written, reader = journal(folder), JournalReader(tmp_path)
    sent = frames_of(1009)
    read = Taken()
    for packet, data in sent:
        assert pass_frame(written, packet, data)
        more = reader.poll()
        read.frames += more.frames
        read.arrivals += more.arrivals
    assert [(frame[0], frame[3]) for frame in read.frames] == sent
    assert [arrival.packet for arrival in read.arrivals] == [packet for packet, _ in sent]
    assert len(list(tmp_path.iterdir())) <= 3
    assert reader.finish() == Taken()
    assert reader.losses == []


def test_a_reader_that_comes_late_reads_everything(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    sent = frames_of(251)
    for packet, data in sent:
        assert pass_frame(written, packet, data)
    taken = JournalReader(tmp_path).finish()
    assert [(frame[0], frame[3]) for frame in taken.frames] == sent
    assert len(list(tmp_path.iterdir())) > 10


def test_a_second_reader_finds_what_the_first_did_not_say_to_have_kept(
    tmp_path: Path, folder: int
) -> None:
    written = journal(folder)
    sent = frames_of(251)
    first = JournalReader(tmp_path)
    kept: set[int] = set()
    last: set[int] = set()
    for packet, data in sent:
        pass_frame(written, packet, data)
        if packet in (101, 199):
            kept |= last
            last = {frame[0] for frame in first.poll().frames}
    # The first one died before it wrote what its last poll gave.
    second = JournalReader(tmp_path).finish()
    again = {frame[0] for frame in second.frames}
    assert kept | again == {packet for packet, _ in sent}
    assert last <= again
    assert [frame[0] for frame in second.frames] == sorted(again)


def test_reading_stops_when_its_time_is_up_and_goes_on_there(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    sent = frames_of(97)
    for packet, data in sent:
        pass_frame(written, packet, data)
    reader = JournalReader(tmp_path)
    parts = [reader.poll(within_s=0).frames]
    while parts[-1]:
        parts.append(reader.poll(within_s=0).frames)
    assert len(parts) > 3
    assert [frame[0] for part in parts for frame in part] == [packet for packet, _ in sent]


def test_without_room_frames_are_counted_and_the_rest_stays_in_order(
    tmp_path: Path, folder: int
) -> None:
    written = journal(folder, limit_bytes=3 * SEGMENT_BYTES)
    sent = frames_of(97)
    noted = [packet for packet, data in sent if pass_frame(written, packet, data)]
    assert 0 < written.lost_frames == len(sent) - len(noted)
    written.dropped(98, "x" * 4000)
    written.lost(13, 0, LEFT_NS, "x" * 4000)  # more that is in no recording
    reader = JournalReader(tmp_path)
    first = reader.poll()
    reader.poll()  # says that the first was kept: there is room again
    assert pass_frame(written, 101, b"later")
    rest = reader.finish()
    assert [frame[0] for frame in (*first.frames, *rest.frames)] == [*noted, 101]
    assert reader.losses == [
        Loss("packets", "frames", len(sent) - len(noted) + 13, "spool limit"),
        Loss("packets", "arrivals", 1, "spool limit"),
    ]


def test_what_the_sockets_lost_is_read_as_a_loss(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    written.lost(13, 1, LEFT_NS, "the wire's receive queue of client was full")
    reader = JournalReader(tmp_path)
    assert reader.poll() == Taken()
    reason = "the wire's receive queue of client was full"
    assert reader.losses == [Loss("packets", "frames", 13, reason, since_ns=LEFT_NS)]
    assert reader.dropped == {1: 13}


def test_an_empty_folder_and_a_missing_one_give_nothing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        reader = JournalReader(path)
        assert reader.poll() == Taken()
        assert reader.finish() == Taken()
        assert reader.losses == []


def test_strange_files_keep_nobody_waiting(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    pass_frame(written, 1, b"one")
    os.mkfifo(tmp_path / "wire.7")
    (tmp_path / "wire.8").write_bytes(b"short")
    (tmp_path / "wire.9").symlink_to("/dev/zero")
    (tmp_path / "wire.x").mkdir()
    assert [frame[0] for frame in JournalReader(tmp_path).finish().frames] == [1]


@pytest.mark.parametrize("seed", range(23))
def test_damage_is_a_loss_and_never_an_exception(tmp_path: Path, folder: int, seed: int) -> None:
    written = journal(folder)
    for packet, data in frames_of(97):
        pass_frame(written, packet, data)
    chosen = random.Random(seed)
    names = sorted(tmp_path.iterdir())
    for name in chosen.sample(names, 3):
        data = bytearray(name.read_bytes())
        for _ in range(13):
            data[chosen.randrange(chosen.choice((72, len(data))))] = chosen.randrange(256)
        name.write_bytes(data[: chosen.choice((len(data), len(data) // 2))])
    reader = JournalReader(tmp_path)
    taken = reader.poll()
    rest = reader.finish()
    assert len(taken.frames) + len(rest.frames) <= 97


def test_damage_is_said(tmp_path: Path, folder: int) -> None:
    written = journal(folder)
    for packet, data in frames_of(5):
        pass_frame(written, packet, data)
    with open(tmp_path / "wire.0", "r+b") as segment:
        segment.seek(72)
        segment.write(b"\xff")  # the kind of the first record
    reader = JournalReader(tmp_path)
    assert reader.finish() == Taken()
    (loss,) = reader.losses
    assert loss == Loss("packets", "frames", None, "damaged spool of the wire, at byte 72")


def test_what_finish_gave_is_there_for_whoever_has_to_begin_again(
    tmp_path: Path, folder: int
) -> None:
    it = journal(folder, segments=5)
    for packet, data in frames_of(97):
        pass_frame(it, packet, data)
    it.close()
    first = JournalReader(tmp_path).finish()
    assert len(first.frames) == 97
    assert JournalReader(tmp_path).finish() == first
