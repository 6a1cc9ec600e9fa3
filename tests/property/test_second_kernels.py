"""The engine's second verdicts are the general path's, on conversations in which all goes wrong.

Segments that are lost before the capture or behind it, sent again by every cause, doubled, late,
acknowledged selectively and twice; windows that close, probes, keep-alives. With and without
timestamps, SACK and identifications, so that what tells in one connection is missing in the next.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from same_tables import assert_same_tables

from netlab.correlate import sender_record_kernels as k
from netlab.engine.whole import Whole
from netlab.model.seqnum import seq_add
from netlab.model.tables import Verdict

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SEGMENTS = 5_987
PAUSES_NS = [
    1_000, 50_000, 900_000, 900_000, 4_000_000, 9_000_000, 25_000_000, 60_000_000, 215_000_000,
    430_000_000, 900_000_000,
]  # fmt: skip
REASONS = range(k.TWIN_INTERFACE, k.MOST_TWICE + 1)


@dataclass
class Sent:
    """A segment as its header was written."""

    from_client: bool
    seq: int
    size: int
    flags: int
    ip_id: int
    stamp: int
    ack: int
    window: int
    blocks: tuple[tuple[int, int], ...] = ()
    echo: int = 0
    ttl: int = 64
    vlan: int = 0


@dataclass
class End:
    """What one end has said and heard."""

    first: int
    nxt: int = 0
    ip_id: int = 1
    acked: int = 0  # by this end, of the other
    window: int = 5_000
    heard: int = 0  # the newest stamp
    sent: list[Sent] = field(default_factory=list)
    held: list[Sent] = field(default_factory=list)  # left, and not seen yet


class Trouble:
    """A file of segments, made from a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now_ns = 1_700_000_000 * 10**9
        self.records: list[bytes] = []

    def file(self) -> bytes:
        while len(self.records) < SEGMENTS:
            _Talk(self, len(self.records)).run()
        head = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
        return head + b"".join(self.records)


class _Talk:
    """One connection."""

    def __init__(self, file: Trouble, number: int) -> None:
        dice = file.dice
        self.file, self.dice = file, dice
        self.port = 1_024 + number % 60_000
        self.version = dice.choice((4, 4, 4, 6))
        self.stamps, self.sack = dice.random() < 0.6, dice.random() < 0.7
        self.counts = dice.random() < 0.7  # identifications
        self.doubles = dice.random() < 0.1  # the capture has all twice
        self.bulk = dice.random() < 0.3  # more is sent than anything else
        self.ends = {
            side: End(dice.choice((0, 7, (1 << 32) - 9, (1 << 32) - 400, 5_000_000)))
            for side in (True, False)
        }

    def run(self) -> None:
        dice = self.dice
        self._handshake()
        steps = [
            self._new, self._new, self._new, self._acks, self._acks, self._again, self._again,
            self._twice, self._alive, self._window, self._probe, self._late, self._skips,
            self._rare, self._duplicates, self._tail, self._lone, self._recovers,
        ]  # fmt: skip
        for _ in range(dice.choice((7, 40, 150))):
            self.wait()
            step = self._new if self.bulk and dice.random() < 0.5 else dice.choice(steps)
            step(dice.random() < 0.7)

    def wait(self, most: int = len(PAUSES_NS)) -> None:
        self.file.now_ns += self.dice.choice(PAUSES_NS[:most]) + self.dice.randrange(1_000)

    # --- what happens

    def _handshake(self) -> None:
        if self.dice.random() < 0.2:
            return  # it began before the capture
        for _ in range(self.dice.choice((1, 1, 1, 2, 3))):
            self._put(self._made(True, 0, 0, SYN))
            self.wait()
        for _ in range(self.dice.choice((1, 1, 1, 2, 5))):
            self._put(self._made(False, 0, 0, SYN | ACK))
            self.wait()
            if self.dice.random() < 0.3:  # which did not come
                self._put(self._made(True, 0, 0, SYN))
                self.wait()
        for side in (True, False):
            self.ends[side].nxt = 1
            self.ends[not side].acked = 1
        if self.dice.random() < 0.2:  # the SYN once more
            self._put(self._made(True, 0, 0, SYN))
        self._put(self._made(True, 1, 0, ACK))

    def _new(self, side: bool) -> None:
        for _ in range(self.dice.choice((1, 1, 3, 8))):
            self.wait(2)
            size = self.dice.choice((1, 2, 100, 100, 100))
            self._put(self._made(side, self.ends[side].nxt, size, ACK | PSH))

    def _skips(self, side: bool) -> None:
        """Some leave that are seen late, or never."""
        for _ in range(self.dice.choice((1, 1, 2))):
            sent = self._made(side, self.ends[side].nxt, self.dice.choice((1, 100)), ACK)
            self._keep(sent)
            self.ends[side].held.append(sent)
        self._new(side)

    def _late(self, side: bool) -> None:
        held = self.ends[side].held
        if not held:
            return
        sent = held.pop(0)
        if self.dice.random() < 0.5:
            self._write(sent)
        else:
            self._put(self._made(side, self._relative(sent), sent.size, sent.flags))

    def _acks(self, side: bool) -> None:
        mine, other = self.ends[side], self.ends[not side]
        if self.dice.random() < 0.9:
            there = [self._relative(one) + one.size for one in other.sent]
            there = [at for at in there if at > mine.acked] or [mine.acked]
            mine.acked = self.dice.choice((there[0], there[-1], other.nxt, self.dice.choice(there)))
        self._ack(side, self._blocks(side))

    def _duplicates(self, side: bool) -> None:
        blocks = self._blocks(side)
        for _ in range(self.dice.choice((1, 3, 5))):
            self.wait(3)
            self._ack(side, blocks)

    def _again(self, side: bool) -> None:
        mine, acked = self.ends[side], self.ends[not side].acked
        out = [one for one in mine.sent if self._relative(one) + one.size > acked]
        old = out if out and self.dice.random() < 0.9 else mine.sent
        if not old:
            return
        one = self.dice.choice((old[0], old[0], old[-1], self.dice.choice(old)))
        self._resend(side, one)
        if self.dice.random() < 0.3:
            self.wait()
            self._resend(side, one)

    def _tail(self, side: bool) -> None:
        """Two and more are out, and the last is sent again after a while."""
        self._all_acked(side)
        self._new(side)
        self._new(side)
        self.file.now_ns += self.dice.choice((30_000_000, 120_000_000, 300_000_000))
        self._resend(side, self.ends[side].sent[-1])

    def _lone(self, side: bool) -> None:
        """One is out, and sent again, and again."""
        self._all_acked(side)
        self._put(self._made(side, self.ends[side].nxt, 100, ACK))
        pause_ns = self.dice.choice((200_000_000, 250_000_000))
        for _ in range(self.dice.choice((1, 2, 3))):
            self.file.now_ns += pause_ns
            pause_ns *= self.dice.choice((1, 2))
            self._resend(side, self.ends[side].sent[-1])

    def _recovers(self, side: bool) -> None:
        """Duplicate ACKs, and then one that stops at the next gap (RFC 6582)."""
        self._all_acked(side)
        mine, other = self.ends[side], self.ends[not side]
        begun = mine.nxt
        self._new(side)
        self._new(side)
        self.wait(3)
        for _ in range(4):
            self._ack(not side, ())
        out = [one for one in mine.sent if self._relative(one) >= begun]
        for one in out[: self.dice.choice((1, 2, 3))]:
            self.wait(3)
            self._resend(side, one)
            self.wait(4)
            other.acked = self._relative(one) + one.size
            self._ack(not side, ())

    def _twice(self, side: bool) -> None:
        mine = self.ends[side]
        if not mine.sent:
            return
        one = self.dice.choice(mine.sent[-5:])
        where = self.dice.random()
        self.file.now_ns += self.dice.choice((0, 20_000, 5_000_000, 12_000_000))
        if where < 0.2:
            one = replace(one, ttl=63)
        elif where < 0.4:
            one = replace(one, vlan=7)
        self._write(one)
        if self.dice.random() < 0.5:  # and its receiver says so
            start = one.seq
            self.wait(4)
            self._ack(not side, ((start, seq_add(start, max(one.size, 1))),))

    def _alive(self, side: bool) -> None:
        if self.dice.random() < 0.8:
            self._all_acked(side)
        self.file.now_ns += self.dice.choice((200_000_000, 2_000_000_000))
        nxt = self.ends[side].nxt
        self._put(self._made(side, nxt - 1, self.dice.choice((0, 1)), ACK))

    def _window(self, side: bool) -> None:
        mine = self.ends[side]
        mine.window = self.dice.choice((0, 0, 0, 5_000)) if mine.window else 5_000
        if self.dice.random() < 0.7:
            mine.acked = self.ends[not side].nxt
        self._ack(side, ())

    def _probe(self, side: bool) -> None:
        if self.ends[not side].window and self.dice.random() < 0.8:
            self._window(not side)
        mine = self.ends[side]
        self.wait()
        if self.dice.random() < 0.5:
            self._put(self._made(side, mine.nxt, 1, ACK))
        else:
            self.file.now_ns += 300_000_000
            self._put(self._made(side, mine.nxt - 1, 0, ACK))

    def _rare(self, side: bool) -> None:
        if self.dice.random() < 0.7:
            return
        flags = self.dice.choice((ACK | FIN, RST, SYN, SYN | ACK, 0))
        at = 0 if flags & SYN else self.ends[side].nxt
        self._put(self._made(side, at, self.dice.choice((0, 0, 5)), flags))

    def _all_acked(self, side: bool) -> None:
        self.ends[not side].acked = self.ends[side].nxt
        self.wait(6)
        self._ack(not side, ())
        self.wait(4)

    # --- as bytes

    def _ack(self, side: bool, blocks: tuple[tuple[int, int], ...]) -> None:
        self._put(replace(self._made(side, self.ends[side].nxt, 0, ACK), blocks=blocks))

    def _resend(self, side: bool, one: Sent) -> None:
        self._put(self._made(side, self._relative(one), one.size, one.flags))

    def _blocks(self, side: bool) -> tuple[tuple[int, int], ...]:
        """What it has beyond its ACK; or says that it has twice."""
        if not self.sack or self.dice.random() < 0.4:
            return ()
        mine, other = self.ends[side], self.ends[not side]
        beyond = [
            (one.seq, seq_add(one.seq, one.size))
            for one in other.sent
            if one.size and self._relative(one) > mine.acked
        ]
        found = self.dice.sample(beyond, min(len(beyond), self.dice.choice((0, 1, 2, 3))))
        before = [one for one in other.sent if one.size and self._relative(one) < mine.acked]
        if before and self.dice.random() < 0.4:
            one = self.dice.choice(before[-4:])
            found.insert(0, (one.seq, seq_add(one.seq, one.size)))
        return tuple(found[:3])

    def _relative(self, one: Sent) -> int:
        return (one.seq - self.ends[one.from_client].first) & 0xFFFFFFFF

    def _made(self, side: bool, at: int, size: int, flags: int) -> Sent:
        mine, other = self.ends[side], self.ends[not side]
        mine.ip_id = (mine.ip_id + 1) & 0xFFFF if self.counts else self.dice.choice((0, 77))
        echo = other.sent[-1].stamp if other.sent else 0
        if self.dice.random() < 0.2 and other.sent:
            echo = self.dice.choice(other.sent[-6:]).stamp
        return Sent(
            side, seq_add(mine.first, at), size, flags, mine.ip_id,
            self.file.now_ns // 1_000_000 & 0xFFFFFFFF, seq_add(other.first, mine.acked),
            mine.window, echo=echo,
        )  # fmt: skip

    def _keep(self, sent: Sent) -> None:
        mine = self.ends[sent.from_client]
        mine.nxt = max(mine.nxt, self._relative(sent) + sent.size) if sent.size else mine.nxt
        if sent.size:
            mine.sent.append(sent)
            mine.sent.sort(key=self._relative)

    def _put(self, sent: Sent) -> None:
        self._keep(sent)
        self._write(sent)
        if self.doubles:
            self.file.now_ns += 10_000
            self._write(sent)

    def _write(self, sent: Sent) -> None:
        options = b""
        if sent.flags & SYN:
            options = b"\2\4\5\xb4" + b"\4\2\1\1" * self.sack
        if self.stamps:
            options += struct.pack(">HBBII", 0x0101, 8, 10, sent.stamp, sent.echo)
        blocks = () if sent.flags & SYN else sent.blocks
        if blocks:
            options += bytes((1, 1, 5, 2 + 8 * len(blocks)))
            options += b"".join(struct.pack(">II", *block) for block in blocks)
        ports = (self.port, 80) if sent.from_client else (80, self.port)
        words = (5 + len(options) // 4) << 4
        ack = sent.ack if sent.flags & ACK else 0
        tcp = struct.pack(
            ">HHIIBBHHH", *ports, sent.seq, ack, words, sent.flags, sent.window, 0, 0
        ) + options + bytes(sent.size)  # fmt: skip
        if self.version == 4:
            ends = b"\x0a\0\0\1", b"\x0a\0\0\2"
            kind, head = 0x0800, struct.pack(
                ">BBHHHBBH", 0x45, 0, 20 + len(tcp), sent.ip_id, 0, sent.ttl, 6, 0
            )  # fmt: skip
        else:
            ends = bytes(15) + b"\1", bytes(15) + b"\2"
            kind, head = 0x86DD, struct.pack(">IHBB", 6 << 28, len(tcp), 6, sent.ttl)
        head += b"".join(ends if sent.from_client else ends[::-1])
        tag = struct.pack(">HH", 0x8100, sent.vlan) if sent.vlan else b""
        frame = b"\2\0\0\0\0\1\2\0\0\0\0\2" + tag + struct.pack(">H", kind) + head + tcp
        seconds, ns = divmod(self.file.now_ns, 10**9)
        kept = frame
        if self.dice.random() < 0.01:  # cut off, some of them in the options
            kept = frame[: self.dice.randrange(80, max(81, len(frame)))]
        self.file.records.append(struct.pack("<IIII", seconds, ns, len(kept), len(frame)) + kept)


def on_interfaces(file: bytes, names: list[str]) -> bytes:
    """The same packets as a pcapng file, each on the next of some interfaces."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack("<I", 12 + len(body))
        return struct.pack("<I", kind) + size + body + size

    made = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for name in names:
        text = name.encode()
        option = struct.pack("<HH", 2, len(text)) + text + bytes(-len(text) % 4)
        made += block(1, struct.pack("<HHI", 1, 0, 0) + option + struct.pack("<HHI", 9, 1, 9))
    at, number = 24, 0
    while at < len(file):
        seconds, ns, kept, whole = struct.unpack_from("<IIII", file, at)
        time_ns = seconds * 10**9 + ns
        head = struct.pack(
            "<IIIII", number % len(names), time_ns >> 32, time_ns & 0xFFFFFFFF, kept, whole
        )  # fmt: skip
        made += block(6, head + file[at + 16 : at + 16 + kept])
        at, number = at + 16 + kept, number + 1
    return made


def findings_of(whole: Whole) -> list[dict[str, int]]:
    """What is said of segments with more than a word."""
    assert whole.capture.second is not None
    said = whole.capture.second.said.numbers(whole.capture.count)
    table = whole.capture.second.findings
    names = [name for name, _ in k.FINDING]
    return [
        dict(zip(names, table.row(one - k.FINDINGS), strict=True))
        for one in said
        if one >= k.FINDINGS
    ]


def test_second_verdicts_where_all_goes_wrong(machine: Any, tmp_path: Path) -> None:
    path = tmp_path / "trouble.pcap"
    found = []
    for seed in range(4):
        path.write_bytes(Trouble(seed).file())
        whole = assert_same_tables(path, machine)
        assert whole is not None
        found += findings_of(whole)
    assert {one["reason"] for one in found} == set(REASONS) - {k.TWIN_INTERFACE}
    assert {one["told"] for one in found} == {
        0,
        k.BY_SACK,
        k.BY_DUPLICATES,
        k.BY_LATER,
        k.BY_PARTIAL,
    }
    assert {one["vain"] for one in found} == {
        0, k.VAIN_ACK, k.VAIN_SACK, k.VAIN_ECHO, k.VAIN_DSACK,
    }  # fmt: skip
    assert {one["taken"] for one in found} == {0, k.V_RTO, k.V_TAIL_PROBE, k.V_KEEP_ALIVE}
    assert {one["verdict"] for one in found} == {0, *range(k.V_RTO, len(Verdict) + 1)}


@pytest.mark.parametrize(("names", "apart"), [(["a", "b"], True), (["a", "a"], False)])
def test_interfaces_of_one_name_are_one_place(
    machine: Any, names: list[str], apart: bool, tmp_path: Path
) -> None:
    path = tmp_path / "trouble.pcapng"
    path.write_bytes(on_interfaces(Trouble(1).file(), names))
    whole = assert_same_tables(path, machine)
    assert whole is not None
    reasons = {one["reason"] for one in findings_of(whole)}
    assert (k.TWIN_INTERFACE in reasons) == apart


def test_lists_that_grow(machine: Any, tmp_path: Path) -> None:
    """More is out than is looked at, with holes in it that are filled anywhere."""
    file = Trouble(11)
    talk = _Talk(file, 7)
    talk.stamps, talk.version = True, 4
    mine, other = talk.ends[True], talk.ends[False]
    held = []
    for number in range(12_007):
        file.now_ns += 300_000
        sent = talk._made(True, mine.nxt, 10, ACK)
        mine.nxt += 10
        if number % 5 == 2:
            held.append(sent)
        else:
            talk._write(sent)
    file.dice.shuffle(held)
    for number, sent in enumerate(held[:1_201]):
        file.now_ns += 30_000_000
        wide = replace(sent, seq=seq_add(sent.seq, -4), size=17)  # over both its edges
        talk._write(wide if number % 3 == 0 else replace(sent, size=4 + number % 7))
        if number % 50 == 0:
            other.acked = talk._relative(sent)
            talk._ack(False, ((sent.seq, seq_add(sent.seq, 10)),))
    path = tmp_path / "lists.pcap"
    head = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + b"".join(file.records))
    whole = assert_same_tables(path, machine)
    assert whole is not None
    assert not whole.general.frames
    reasons = {one["reason"] for one in findings_of(whole)}
    assert {k.GAP_STAMP, k.GAP_UNSURE} <= reasons, reasons


def test_a_connection_of_years_is_left_to_the_general_path(machine: Any, tmp_path: Path) -> None:
    """Its times, added up, might be larger than the kernels' numbers."""
    file = Trouble(3)
    for number in (1, 2):
        talk = _Talk(file, number)
        talk._handshake()
        talk._new(True)
        if number == 2:
            file.now_ns += 3 * 366 * 86_400 * 10**9
        talk._resend(True, talk.ends[True].sent[0])
        talk._acks(False)
    path = tmp_path / "years.pcap"
    head = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + b"".join(file.records))
    whole = assert_same_tables(path, machine)
    assert whole is not None
    assert 0 < len(whole.general.frames) < whole.capture.count
