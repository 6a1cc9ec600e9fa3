"""The verdicts on TCP segments are those of tshark itself, on conversations that nobody would have.

Segments of some connections at a time, in a small part of the number space that often lies where it
wraps: resent, skipped, overlapping, acknowledged before they were seen, with windows that close and
open, ports that are used again, stamps that stand still or go back.
"""

from __future__ import annotations

import random
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deliberate_differences import WINDOWS, Offers, window_reason
from same_tables import assert_same_tables
from tshark_verdicts import (
    NUMBERS,
    TIMES,
    assert_same_initial_rtts,
    fields_of,
    judged_by_netlab,
    judged_by_tshark,
    shows_nothing,
)

from netlab.capture.files import read_raw
from netlab.correlate.verdicts import VERDICTS
from netlab.explain.analysis import analyse
from netlab.model.seqnum import SEQ_MODULUS, seq_add, seq_diff
from netlab.model.tables import Tables

SEGMENTS = 7_993
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
FLAGS = [ACK] * 60 + [ACK | PSH] * 3 + [ACK | FIN, FIN, RST, RST | ACK, 0, PSH, SYN | FIN]
PAUSES_NS = [
    0, 1, 1_000, 50_000, 900_000, 2_900_000, 3_100_000, 10_000_000, 19_999_999, 20_000_000,
    25_000_000, 1_000_000_000,
]  # fmt: skip
STARTS = [0, 1, SEQ_MODULUS - 1, SEQ_MODULUS - 3, 1_000, 5_000, 3_000_000_000]
STEPS = [0] * 12 + [-1, -1, -5, -5, -10, 5, 1, -2, -7]
ACK_STEPS = [0] * 10 + [-5, -1, 5, -2]
TIMESTAMPS = b"\1\1\x08\x0a" + bytes(8)
COOKIES = [  # of Fast Open: with one, with the wish for one, as it was written before RFC 7413
    b"\x22\x06abcd", b"\x22\2", b"\xfe\x0a\xf9\x89abcdef", b"\xfe\4\xf9\x89",
    b"\xfd\x08\xf9\x89abcd",
]  # fmt: skip
BROKEN = [b"\5\2\1\1", b"\5\x0bABCDEFGHI", b"\3\x09\0\0", b"\7", b"\x08\3\0\0", b"\x1e\4\0\0"]


@dataclass
class Half:
    """What one end has said so far."""

    first: int
    next: int
    ack: int = 0
    window: int = 1


class Talk:
    """A file of segments, made from a seed."""

    def __init__(self, seed: int, *, broken: bool) -> None:
        self.dice = random.Random(seed)
        self.broken = broken
        self.now_ns = 1_700_000_000 * 10**9
        self.halves: dict[tuple[int, bool], Half] = {}

    def file(self) -> bytes:
        frames = [self._frame(number) for number in range(SEGMENTS)]
        return struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1) + b"".join(frames)

    def _half(self, port: int, from_client: bool) -> Half:
        if (port, from_client) not in self.halves:
            first = self.dice.choice(STARTS)
            self.halves[port, from_client] = Half(first, first)
        return self.halves[port, from_client]

    def _frame(self, number: int) -> bytes:
        dice = self.dice
        self.now_ns += dice.choice(PAUSES_NS)
        if dice.random() < 0.01:
            self.now_ns -= dice.choice((1_000, 5_000_000))
        port = 1_000 + number // 1_999 * 10 + dice.randrange(10)
        from_client = dice.random() < 0.5
        mine, other = self._half(port, from_client), self._half(port, not from_client)
        begins = mine.next == mine.first and dice.random() < 0.5
        flags = dice.choice(FLAGS)
        if begins or dice.random() < 0.02:
            flags = SYN if from_client else SYN | ACK
            if not begins and dice.random() < 0.5:
                flags ^= ACK
        if dice.random() < 0.03:  # the ports are used again
            mine.first = seq_add(mine.first, dice.choice((0, 0, 7)))
        size = dice.choice((0, 0, 0, 1, 2, 5, 5) if not flags & SYN else (0, 0, 0, 0, 3))
        seq = mine.first if flags & SYN else seq_add(mine.next, dice.choice(STEPS))
        if dice.random() < 0.004:
            seq = 0
        if dice.random() < 0.3:
            mine.window = dice.choice((0, 1, 2, 5, 10, 20))
        if dice.random() < 0.6:
            mine.ack = seq_add(other.next, dice.choice(ACK_STEPS))
        ack = mine.ack if flags & ACK or dice.random() < 0.3 else 0
        if flags & (SYN | ACK) == SYN | ACK and dice.random() < 0.5:  # what a SYN brought, not
            ack = seq_add(other.first, dice.choice((0, 1, 1, 1)))
        end = seq_add(seq, size + bool(flags & (SYN | FIN)))
        if seq_diff(end, mine.next) > 0:
            mine.next = end
        options = self._options(flags, other)
        ports = (port, 80) if from_client else (80, port)
        words = (5 + len(options) // 4) << 4
        tcp = struct.pack(">HHIIBBHHH", *ports, seq, ack, words, flags, mine.window, 0, 0)
        return self._record(tcp + options + b"x" * size, from_client, number)

    def _options(self, flags: int, other: Half) -> bytes:
        dice = self.dice
        options = b""
        if flags & SYN:
            options += bytes((3, 3, dice.choice((0, 1, 2, 7, 14, 15)))) * (dice.random() < 0.5)
            options += bytes((2, 4, 5, 180)) * (dice.random() < 0.3)
            options += dice.choice(COOKIES) * (dice.random() < 0.3)
        else:
            options += TIMESTAMPS * (dice.random() < 0.3)
            blocks = dice.choice((0, 0, 0, 1, 2, 3 if options else 4))
            options += (b"\1\1" + bytes((5, 2 + 8 * blocks))) * bool(blocks)
            for _ in range(blocks):
                left = seq_add(other.next, dice.choice((-5, 0, 5)))
                options += struct.pack(">II", left, seq_add(left, dice.choice((0, 1, 2, 5))))
        if self.broken and dice.random() < 0.003:
            options = dice.choice(BROKEN)
        return options + bytes(-len(options) % 4)

    def _record(self, tcp: bytes, from_client: bool, number: int) -> bytes:
        ends = b"\x0a\0\0\1", b"\x0a\0\0\2"
        src, dst = ends if from_client else ends[::-1]
        total, ip_id = 20 + len(tcp), number & 0xFFFF
        ip = struct.pack(">BBHHHBBH", 0x45, 0, total, ip_id, 0, 64, 6, 0) + src + dst
        frame = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + tcp
        kept = frame
        if self.dice.random() < 0.02:  # cut off by a snap length, some of them in the options
            kept = frame[: self.dice.randrange(54, len(frame) + 1)]
        seconds, ns = divmod(self.now_ns, 10**9)
        return struct.pack("<IIII", seconds, ns, len(kept), len(frame)) + kept


def check(path: Path, seed: int, *, broken: bool) -> Counter[str]:
    """Compare on one file; what was compared, by verdict."""
    path.write_bytes(Talk(seed, broken=broken).file())
    rows = fields_of(path)
    assert len(rows) == SEGMENTS
    tables = analyse(read_raw(path))
    there, here = judged_by_tshark(rows), judged_by_netlab(tables.segments)
    cut = {packet.frame for packet in tables.packets if shows_nothing(packet)}
    assert cut
    shown = {frame: there[frame] for frame in cut if there[frame]}
    assert all(name.startswith("tfo_") for said in shown.values() for name in said)
    assert all(shown[frame].items() <= here[frame].items() for frame in shown.keys() & here.keys())
    different = [frame for frame in here if frame not in cut and here[frame] != there[frame]]
    if different:
        frame = different[0]
        raise AssertionError(f"seed {seed} frame {frame}: {here[frame]} is not {there[frame]}")
    assert len(here) == SEGMENTS if not broken else SEGMENTS // 4 < len(here) < SEGMENTS
    streams = {row.connection: str(row.stream) for row in tables.connections}
    assert [streams[s.connection] for s in tables.segments] == [row["tcp.stream"] for row in rows]
    for segment, row in zip(tables.segments, rows, strict=True):
        assert segment.seq % SEQ_MODULUS == int(row["tcp.seq"])
        assert segment.ack is None or segment.ack % SEQ_MODULUS == int(row["tcp.ack"])
    assert assert_same_initial_rtts(rows, tables.connections) > 10
    found = Counter(name for said in here.values() for name in said)
    return found + compare_windows(rows, tables, seed)


def compare_windows(rows: list[dict[str, str]], tables: Tables, seed: int) -> Counter[str]:
    """How many are the same, and how many each entry of the deliberate differences explains."""
    offers: dict[int, Offers] = defaultdict(Offers)
    found = Counter[str]()
    packets = {packet.frame: packet for packet in tables.packets}
    for segment, row in zip(tables.segments, rows, strict=True):
        packet, offered = packets[segment.frame], offers[segment.connection]
        offered.take(packet, str(segment.direction))
        mine, theirs = segment.seg_wnd_bytes, int(row["tcp.window_size"] or 0)
        reason = "same window"
        if mine != theirs:
            reason = window_reason(packet.seg_wnd_raw or 0, mine, theirs, offered)
        assert reason, f"seed {seed} frame {segment.frame}: {mine} is not {theirs}"
        found[reason] += 1
    return found


@pytest.mark.parametrize(("seed", "broken"), [(1, False), (2, False), (3, True)])
def test_verdicts_are_tsharks(seed: int, broken: bool, tmp_path: Path) -> None:
    found = check(tmp_path / "a.pcap", seed, broken=broken)
    rare = {"fast_retransmission", "zero_window_probe_ack", "tfo_ignored"}
    assert {*VERDICTS, *NUMBERS, *TIMES} - rare <= set(found)
    assert {entry.reason for entry in WINDOWS} <= set(found)
    assert found["same window"] > SEGMENTS // 2


@pytest.mark.parametrize(("seed", "broken"), [(5, False), (6, True)])
def test_the_engine_says_the_same(machine: Any, seed: int, broken: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(Talk(seed, broken=broken).file())
    whole = assert_same_tables(path, machine)
    assert whole is not None
    assert 0 < len(whole.general.frames) < SEGMENTS * 3 // 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_verdicts_are_tsharks_on_many(tmp_path: Path) -> None:
    found = Counter[str]()
    for seed in range(100, 140):
        found += check(tmp_path / "a.pcap", seed, broken=seed % 4 == 0)
    assert set(VERDICTS) <= set(found)
