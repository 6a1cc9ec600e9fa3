"""What strace printed of each call beside what the frames of its spans hold.

The log is read here by a few expressions of its own, not by netlab's reader, and frames by dpkt: if
both read something wrong, it is not the same thing. The log must have been written with `-f -yy
-xx` and strings as long as they come: then no text has a quote or a bracket in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import dpkt

from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.tables import Call, Role, Side, Tables

_LINE = re.compile(rb"(\d+) +\d+\.\d+ (.*)")
_RESUMED = re.compile(rb"<\.\.\. \w+ resumed>(.*)")
_UNFINISHED = b"<unfinished ...>"
_CALL = re.compile(rb"(\w+)\((.*)\) += (\d+)(?:<.*>)?(?: \(.*\))? <[\d.]+>$")
_SOCKET = re.compile(rb"\d+<(TCP|UDP)(?:v6)?:\[([^>]*(?:->[^>]*)?)\]>")
_TEXT = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_VECTOR_TEXT = re.compile(rb'iov_base="((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_MANY_BYTES = re.compile(rb", msg_len=(\d+)\}")

_WRITES = frozenset({"write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile"})
_READS = frozenset({"read", "readv", "recvfrom", "recvmsg", "recvmmsg"})
_MOVING = _WRITES | _READS | {"splice"}
_VECTORS = frozenset({"writev", "readv", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg"})
_MOVES_NOTHING = re.compile(rb"MSG_PEEK|MSG_ERRQUEUE")


@dataclass(frozen=True, slots=True)
class Printed:
    """A call that moved bytes on a network, as the log has it.

    `ends`: addresses of the socket and of its peer, where both are shown; `data`: None where no
    content is.
    """

    line: int
    tid: int
    op: str
    bytes: int
    ends: list[str] | None
    outbound: bool
    data: bytes | None


def printed(log: Path) -> list[Printed]:
    """The calls that moved bytes on a network, in the order in which they began."""
    inside: dict[bytes, tuple[bytes, int]] = {}
    found = []
    for number, line in enumerate(log.read_bytes().split(b"\n"), 1):
        if (match := _LINE.match(line)) is None:
            continue
        tid, text = match.groups()
        begun = number
        if text.endswith(_UNFINISHED):
            inside[tid] = text[: -len(_UNFINISHED)].rstrip(), number
            continue
        if (resumed := _RESUMED.match(text)) is not None:
            before, begun = inside.pop(tid)
            text = before + resumed[1]
        if (call := _CALL.match(text)) is not None:
            op, arguments, result = call[1].decode(), call[2], int(call[3])
            if op in _MOVING and result and not _MOVES_NOTHING.search(arguments):
                found += _on_a_network(begun, int(tid), op, arguments, result)
    return sorted(found, key=lambda one: one.line)


def _on_a_network(line: int, tid: int, op: str, arguments: bytes, result: int) -> Iterable[Printed]:
    outbound = op in _WRITES
    socket = _SOCKET.match(arguments)
    if op == "splice" and socket is None:  # from where, its offset, to where
        socket, outbound = _SOCKET.match(arguments.split(b", ")[2]), True
    if socket is None:
        return
    if op in ("sendmmsg", "recvmmsg"):
        result = sum(int(length) for length in _MANY_BYTES.findall(arguments))
    ends = [_address(end) for end in socket[2].split(b"->")]
    data = None if op in ("sendfile", "splice") else _data(op, arguments, result)
    yield Printed(line, tid, op, result, ends if len(ends) == 2 else None, outbound, data)


def _data(op: str, arguments: bytes, count: int) -> bytes:
    texts = (_VECTOR_TEXT if op in _VECTORS else _TEXT).findall(arguments)
    chosen = texts if op in _VECTORS else texts[:1]
    assert not any(cut for _, cut in chosen), "the log has shortened strings"
    return b"".join(bytes.fromhex(text.replace(b"\\x", b"").decode()) for text, _ in chosen)[:count]


def _address(text: bytes) -> str:
    """As a recording has it: what came by IPv4 to a socket for both is IPv4."""
    return re.sub(r"^\[::ffff:([\d.]+)\]", r"\1", text.decode())


@dataclass
class Compared:
    """How much was compared: of calls whose content was printed, and of those (sendfile, splice)
    whose content only the calls of the other end show. `different`: a sentence each."""

    calls: int = 0
    printed_bytes: int = 0
    silent_bytes: int = 0
    different: list[str] = field(default_factory=list)


def compare(raw: RawRecording, tables: Tables, logs: Iterable[Path]) -> Compared:
    """Every call of the logs with its row in the recording and the frames of its spans."""
    found = Compared()
    pairs = list(_pairs(tables, logs, found.different))
    frames = _Frames(raw.frames, tables)
    texts = {True: _Texts(), False: _Texts()}  # of those that send, of those that receive
    for one, row in pairs:
        found.calls += 1
        found.different += _other_ends(one, row, tables)
        if one.data is not None:
            texts[one.outbound].add(row, one.data)
    for one, row in pairs:
        for start, stop, held in frames.of(row):
            if one.data is not None and row.start is not None:
                said = one.data[start - row.start : stop - row.start]
                found.printed_bytes += stop - start
            else:
                said = texts[not one.outbound].between(row, start, stop)
                found.silent_bytes += stop - start
            if said != held:
                found.different.append(f"{_name(one, row)}: {start}..{stop} differ from a frame")
    return found


def _name(one: Printed, row: Call) -> str:
    return f"{row.op} #{row.call} of {row.actor}, line {one.line}"


def _pairs(
    tables: Tables, logs: Iterable[Path], different: list[str]
) -> Iterator[tuple[Printed, Call]]:
    """Of each thread the calls of the log and of the recording, in their order."""
    rows: dict[int, list[Call]] = defaultdict(list)
    networks = {c.connection for c in tables.connections if c.protocol in ("tcp", "udp")}
    for call in tables.calls:
        moved = call.op in _MOVING and (call.result or 0) > 0
        if moved and call.connection in networks and not _MOVES_NOTHING.search(call.args.encode()):
            rows[call.tid].append(call)
    said: dict[int, list[Printed]] = defaultdict(list)
    for log in logs:
        for one in printed(log):
            said[one.tid].append(one)
    for tid in said.keys() | rows.keys():
        for one, row in zip_longest(said.get(tid, ()), rows.get(tid, ())):
            if one is None or row is None or (one.op, one.bytes) != (row.op, _bytes(row)):
                different.append(f"thread {tid}: {one} in the log is {row} in the recording")
                break
            yield one, row


def _bytes(row: Call) -> int:
    if row.op in ("sendmmsg", "recvmmsg") and row.start is not None and row.stop is not None:
        return row.stop - row.start
    return row.result or 0


def _other_ends(one: Printed, row: Call, tables: Tables) -> Iterator[str]:
    """Whether the call is on another connection or in another direction than strace says."""
    assert row.connection is not None
    connection = tables.connections[row.connection]
    ends = [
        f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        for address, port in (
            (connection.client, connection.client_port),
            (connection.server, connection.server_port),
        )
    ]
    if row.side == Side.SERVER:
        ends.reverse()
    if one.ends is not None and one.ends != ends:
        yield f"{_name(one, row)}: on {one.ends} in the log, on {ends} in the recording"
    if row.side is not None and row.direction is not None:
        outbound = Side(row.side).outbound == row.direction
        if one.outbound != outbound:
            yield f"{_name(one, row)}: the other direction"


class _Frames:
    """The payload of frames, at the place in their stream that their own numbers say.

    A datagram has no such number: its bytes begin where those before it of the same call end.
    """

    def __init__(self, frames: list[Frame], tables: Tables) -> None:
        self._pieces = dict(_pieces(frames))
        self._ranges: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for span in tables.spans:
            if span.role not in (Role.CARRIED, Role.DELIVERED) or span.start == span.stop:
                continue
            assert span.frame is not None
            assert span.start is not None
            assert span.stop is not None
            self._ranges[span.call].append((span.frame, span.start, span.stop))

    def of(self, row: Call) -> Iterator[tuple[int, int, bytes]]:
        """The ranges of a call's spans, each with what its frame holds there."""
        for frame, start, stop in self._ranges[row.call]:
            at, payload = self._pieces[frame]
            at = start if at is None else at
            yield start, stop, payload[max(0, start - at) : max(0, stop - at)]


def _pieces(frames: list[Frame]) -> Iterator[tuple[int, tuple[int | None, bytes]]]:
    """By frame: where in its stream its payload begins, and the payload."""
    starts: dict[tuple[bytes, int, bytes, int], int] = {}
    for frame in sorted(frames, key=lambda frame: frame.time_ns):
        packet = dpkt.ethernet.Ethernet(bytes(frame.data)).data
        segment = getattr(packet, "data", None)
        if isinstance(segment, dpkt.udp.UDP):
            yield frame.number, (None, segment.data)
        if not isinstance(segment, dpkt.tcp.TCP):
            continue
        stream = packet.src, segment.sport, packet.dst, segment.dport
        if segment.flags & dpkt.tcp.TH_SYN:
            starts[stream] = segment.seq + 1
        if segment.data:
            yield frame.number, ((segment.seq - starts[stream]) & 0xFFFFFFFF, segment.data)


class _Texts:
    """What calls printed, by connection and direction."""

    def __init__(self) -> None:
        self._texts: dict[tuple[int | None, str | None], dict[int, bytes]] = defaultdict(dict)
        self._starts: dict[tuple[int | None, str | None], list[int]] = {}

    def add(self, row: Call, data: bytes) -> None:
        if row.start is not None:
            self._texts[row.connection, row.direction][row.start] = data

    def between(self, row: Call, start: int, stop: int) -> bytes | None:
        """None where not all of it was printed."""
        key = row.connection, row.direction
        texts = self._texts[key]
        if key not in self._starts:
            self._starts[key] = sorted(texts)
        starts = self._starts[key]
        found = b""
        for index in range(bisect_right(starts, start) - 1, len(starts)):
            at = start + len(found)
            if index < 0 or at >= stop or not starts[index] <= at:
                break
            found += texts[starts[index]][at - starts[index] :]
        return found[: stop - start] if len(found) >= stop - start else None
