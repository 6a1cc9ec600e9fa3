"""Spools: what was written is what is read, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.capture.probe import SpoolReader, layout
from netlab.capture.probe.journal import Journal, SocketState
from netlab.capture.probe.layout import OP
from netlab.capture.probe.writer import SpoolLimit, ThreadSpool
from netlab.model.call import CallRecord, Ready

SEGMENT = 16384
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
BYTES_32 = st.integers(0, 2**31 - 1)
NUMBER_32 = st.integers(0, 2**32 - 1)
NUMBER_64 = st.integers(0, 2**64 - 1)


def spool_in(folder: Path, **changes: object) -> ThreadSpool:
    options = {
        "host": "h", "actor": "a", "pid": 7, "tid": 8, "thread": threading.get_ident(),
        "segment_bytes": SEGMENT, "limit_bytes": 1 << 24,
    }  # fmt: skip
    return ThreadSpool(str(folder), **{**options, **changes})  # type: ignore[arg-type]


def write_call(spool: ThreadSpool, order: int, tail: bytes = b"", *, returns: bool = True) -> None:
    spool.append(layout.ENTRY, OP["send"], 1000 + order, 100, order, 0, tail)
    if returns:
        spool.append(layout.RETURN, 0, 2000 + order, 100, order, 0, b"")


def journal_in(folder: Path, **changes: object) -> Journal:
    options = {
        "host": "h", "actor": "a", "queues": "off", "tcp_info": False, "code": False,
        "segment_bytes": SEGMENT, "limit_bytes": 1 << 24, "proc_fd": None,
    }  # fmt: skip
    return Journal(folder, **{**options, **changes})  # type: ignore[arg-type]


@given(st.sampled_from(sorted(layout.KINDS)), st.integers(0, 28), st.integers(4, 1 << 20))
def test_marker_round_trip(kind: int, op: int, eighths: int) -> None:
    word = layout.marker(kind, op, eighths * 8)
    assert layout.maybe_marker(word) == (kind, op, eighths * 8)
    assert word < 1 << 64


@given(st.integers(0, 2**64 - 1))
def test_a_word_without_magic_is_no_marker(word: int) -> None:
    if word >> 40 != layout.MAGIC:
        assert layout.maybe_marker(word) is None


@pytest.mark.parametrize("length", [0, 8, 24, 33, 36])
def test_impossible_lengths_are_no_markers(length: int) -> None:
    assert layout.maybe_marker(layout.marker(layout.ENTRY, 1, length)) is None


@given(st.lists(st.tuples(st.integers(1, 30), st.binary(max_size=60))))
def test_tail_round_trip(fields: list[tuple[int, bytes]]) -> None:
    tail = b"".join(layout.tail_field(tag, value) for tag, value in fields)
    assert len(tail) % 8 == 0
    assert list(layout.tail_fields(tail)) == fields


@given(st.lists(st.tuples(st.integers(1, 30), st.binary(max_size=20)), min_size=1), st.data())
def test_a_cut_tail_gives_a_prefix(fields: list[tuple[int, bytes]], data: st.DataObject) -> None:
    tail = b"".join(layout.tail_field(tag, value) for tag, value in fields)
    cut = data.draw(st.integers(0, len(tail)))
    found = list(layout.tail_fields(tail[:cut]))
    assert found == fields[: len(found)]


@settings(deadline=None, max_examples=60)
@given(
    op=st.sampled_from([op for op in layout.OPS if op != "none"]),
    args=TEXT, address=st.none() | TEXT, note=TEXT, local=TEXT, peer=TEXT,
    fd=BYTES_32, inode=st.integers(1, 2**62), requested=st.none() | st.integers(-9, 2**61),
    result=st.none() | st.integers(-1, 2**61), code=st.sampled_from([0, 11, 32, 104]),
    ready=st.lists(st.builds(Ready, BYTES_32, st.none() | st.integers(1, 2**63), NUMBER_32),
                   max_size=9, unique_by=lambda item: item.fd),
    inodes=st.none() | st.tuples(NUMBER_64, NUMBER_64), flags=st.sampled_from([0, 2, 0x20, 0x42]),
)  # fmt: skip
def test_every_field_comes_back(
    tmp_path_factory: pytest.TempPathFactory, op: str, args: str, address: str | None, note: str,
    local: str, peer: str, fd: int, inode: int, requested: int | None, result: int | None,
    code: int, ready: list[Ready], inodes: tuple[int, int] | None, flags: int,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("spools")
    journal = journal_in(folder)
    state = SocketState(3, fd, inode, "AF_INET", "SOCK_STREAM", local, peer)
    inside = journal.enter(
        OP[op], state, requested=requested, flags=flags, args=args, address=address
    )
    assert inside is not None
    for item in ready:
        if item.inode:
            journal.hold(item.fd, item.inode)
    pairs = [(item.fd, item.events) for item in ready]
    journal.leave(
        inside, state, result, code=code, note=note, inodes=inodes, ready=pairs, returned_ns=5,
        flags=0x8,
    )  # fmt: skip
    journal.close()
    (call,) = SpoolReader(folder).poll()
    names = {0: "", 2: "MSG_PEEK", 0x20: "MSG_TRUNC", 0x42: "MSG_PEEK|MSG_DONTWAIT"}[flags]
    assert call == CallRecord(
        witness="probe", host="h", actor="a", pid=os.getpid(), tid=threading.get_native_id(),
        order=1, op=op, fd=fd, args=", ".join(part for part in (args, names, note) if part),
        entered_ns=call.entered_ns, returned_ns=5, requested_bytes=requested, result=result,
        errno={0: None, 11: "EAGAIN", 32: "EPIPE", 104: "ECONNRESET"}[code], flags=flags | 0x8,
        inode=inode, family="AF_INET", kind="SOCK_STREAM", local=local or None, peer=peer or None,
        address=address, new_inode=inodes[0] or None if inodes else None,
        peer_inode=inodes[1] or None if inodes else None, ready=tuple(ready),
    )  # fmt: skip


def test_calls_cross_segments_and_polls_without_gap(tmp_path: Path) -> None:
    spool, reader = spool_in(tmp_path), SpoolReader(tmp_path)
    orders: list[int] = []
    for order in range(1, 1500):
        write_call(spool, order, layout.tail_text(layout.TAG_ARGS, "x" * (order * 7 % 190)))
        if order % 37 == 0:
            orders += [call.order for call in reader.poll()]
    orders += [call.order for call in reader.poll()]
    assert orders == list(range(1, 1500))
    assert next(tmp_path.iterdir()).stat().st_size >= 5 * SEGMENT
    assert reader.finish() == []
    assert reader.losses == []


def test_a_call_still_inside_is_shown_at_the_end_only(tmp_path: Path) -> None:
    spool, reader = spool_in(tmp_path), SpoolReader(tmp_path)
    write_call(spool, 1)
    write_call(spool, 2, returns=False)
    assert [call.order for call in reader.poll()] == [1]
    assert reader.poll() == []
    (inside,) = reader.finish()
    assert (inside.order, inside.returned_ns, inside.result) == (2, None, None)


def test_a_file_cut_anywhere_gives_a_prefix(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    spool = spool_in(whole)
    for order in range(1, 9):
        write_call(spool, order, layout.tail_text(layout.TAG_ARGS, "argument"[:order]))
    content = next(whole.iterdir()).read_bytes()[: spool.at]
    full = SpoolReader(whole).poll()
    seen = set()
    for cut in range(len(content) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "x.spool").write_bytes(content[:cut])
        calls = SpoolReader(folder).poll()
        assert calls == full[: len(calls)]
        seen.add(len(calls))
    assert seen == set(range(9))


def test_bytes_not_yet_marked_are_not_read(tmp_path: Path) -> None:
    """A record stored up to any byte before its marker's last is no record."""
    whole = tmp_path / "whole"
    whole.mkdir()
    spool = spool_in(whole)
    write_call(spool, 1)
    at = spool.at
    write_call(spool, 2, returns=False)
    content = bytearray(next(whole.iterdir()).read_bytes())
    for stored in range(layout.HEAD_BYTES):
        torn = content[:at] + content[at : at + stored] + bytes(len(content) - at - stored)
        folder = tmp_path / str(stored)
        folder.mkdir()
        (folder / "x.spool").write_bytes(torn)
        reader = SpoolReader(folder)
        assert [call.order for call in reader.poll()] == [1]
        assert reader.finish() == []


def test_a_hole_hides_nothing_behind_it(tmp_path: Path) -> None:
    """Killed in a signal handler: the outer call's room is empty, the inner calls stand."""
    spool = spool_in(tmp_path)
    write_call(spool, 1)
    spool.at += 3 * layout.HEAD_BYTES
    write_call(spool, 2)
    reader = SpoolReader(tmp_path)
    assert [call.order for call in reader.poll()] == [1]
    assert [call.order for call in reader.finish()] == [2]
    assert reader.losses == []


def test_damage_is_a_loss_and_costs_only_what_it_hit(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    marks = []
    for order in range(1, 700):
        marks.append(spool.at)
        write_call(spool, order)
    path = next(tmp_path.iterdir())
    content = bytearray(path.read_bytes())
    at = marks[10]
    content[at : at + 32] = b"\xff" * 32
    path.write_bytes(content)
    reader = SpoolReader(tmp_path)
    calls = reader.poll() + reader.finish()
    assert {call.order for call in calls} == set(range(1, 700)) - {11}
    (loss,) = reader.losses
    assert (loss.witness, loss.what, loss.actor) == ("probe", "calls", "a")
    assert "damaged" in loss.reason


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\0" * SEGMENT])
def test_an_empty_spool_is_no_loss(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.spool").write_bytes(content)
    reader = SpoolReader(tmp_path)
    assert reader.poll() + reader.finish() == []
    assert reader.losses == []


def test_garbage_is_a_loss(tmp_path: Path) -> None:
    (tmp_path / "x.spool").write_bytes(b"not a spool at all" * 999)
    reader = SpoolReader(tmp_path)
    assert reader.poll() + reader.finish() == []
    assert len(reader.losses) == 1


def test_no_folder_is_no_calls(tmp_path: Path) -> None:
    assert SpoolReader(tmp_path / "none").poll() == []


def test_at_the_limit_returns_still_fit(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, limit_bytes=2 * SEGMENT)
    order = 0
    with contextlib.suppress(SpoolLimit):
        while True:
            order += 1
            spool.append(layout.ENTRY, OP["send"], 1, 2, order, 0, b"")
    for inside in range(order - 9, order):
        with pytest.raises(SpoolLimit):
            spool.append(layout.RETURN, 0, 2, 3, inside, 0, b"")
    with pytest.raises(SpoolLimit):
        spool.append(layout.ENTRY, OP["send"], 1, 2, order, 0, b"")
    assert len(SpoolReader(tmp_path).poll()) == 9


def test_a_roll_does_not_touch_a_file_that_took_our_descriptor(tmp_path: Path) -> None:
    """A program that closes all descriptors, and opens its own, finds them as it left them."""
    spools = tmp_path / "spools"
    spools.mkdir()
    spool = spool_in(spools)
    fd = spool._fd
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    with mine.open("rb") as file:
        os.dup2(file.fileno(), fd)
        for order in range(1, 600):
            write_call(spool, order)
        assert os.fstat(fd).st_ino == mine.stat().st_ino
    spool.retire()
    os.close(fd)
    assert mine.read_bytes() == b"precious"
    assert len(SpoolReader(spools).poll()) == 599


@pytest.mark.parametrize("size", [0, 8, 64])
def test_a_segment_size_that_cannot_be_ends_the_reading_with_a_loss(
    tmp_path: Path, size: int
) -> None:
    spool = spool_in(tmp_path)
    for order in range(1, 8):
        write_call(spool, order)
    spool.retire()
    (path,) = tmp_path.glob("*.spool")
    damaged = bytearray(path.read_bytes())
    damaged[20:24] = size.to_bytes(4, "little")
    path.write_bytes(damaged)
    reader = SpoolReader(tmp_path)
    assert reader.poll() == []
    assert reader.finish() == []
    assert [loss.reason for loss in reader.losses] == [
        f"damaged spool {path.name}: segments of {size} bytes"
    ]


def test_what_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.spool")
    os.symlink("/dev/zero", tmp_path / "2.spool")
    reader = SpoolReader(tmp_path)
    assert reader.poll() == reader.finish() == []
    assert [loss.reason.split(": ")[0] for loss in reader.losses] == [
        "damaged spool 1.spool", "damaged spool 2.spool"
    ]  # fmt: skip


def test_a_poll_with_no_time_takes_a_turn_each_time_and_loses_nothing(tmp_path: Path) -> None:
    several = [spool_in(tmp_path, tid=tid, segment_bytes=1 << 20) for tid in (1, 2, 3)]
    for spool in several:
        for order in range(1, 5001):
            write_call(spool, order)
    reader = SpoolReader(tmp_path)
    polls = 0
    found: list[CallRecord] = []
    while len(found) < 15000 and polls < 1000:
        one = reader.poll(within_s=1e-9)
        assert len(one) <= 5000
        found += one
        polls += 1
    assert 6 <= polls < 1000
    assert {(call.tid, call.order) for call in found} == {
        (tid, order) for tid in (1, 2, 3) for order in range(1, 5001)
    }
    for spool in several:
        spool.retire()


@pytest.mark.parametrize("records", [3, 200, 2000])
def test_signal_handlers_may_use_up_the_reserve_of_a_roll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    """A storm of handlers while a segment is made: they make their own, and nothing is lost."""
    spool = spool_in(tmp_path)
    plain, inside, written = os.posix_fallocate, [], iter(range(1, 1 << 20))

    def interrupted(fd: int, offset: int, length: int) -> None:
        if not inside:
            inside.append(True)
            for _ in range(records):
                write_call(spool, next(written))
        plain(fd, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", interrupted)
    count = 0
    while count < 3000:
        count = next(written)
        write_call(spool, count)
    spool.retire()
    reader = SpoolReader(tmp_path)
    calls = reader.poll() + reader.finish()
    assert inside
    assert reader.losses == []
    returned = [call.order for call in calls if call.returned_ns is not None]
    assert sorted(returned) == list(range(1, count + 1))
