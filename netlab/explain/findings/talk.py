"""Findings about how a program cuts what it says into calls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median_low

from netlab.explain.findings.finding import CITED, Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.wording import name_of
from netlab.model.call import MSG_WAITALL, is_inbound, is_outbound
from netlab.model.tables import Call, Connection, Side

_MANY = 20
_SMALL_BYTES = 200
_AT_ONCE_NS = 2_000_000  # two writes this close belong together


def small_writes(scene: Scene, row: Connection) -> Iterator[Finding]:
    """A side that writes much in little pieces, one right after the other."""
    if row.protocol != "tcp":
        return
    if not any(scene.has_calls(row.connection, side) for side in Side):
        yield from _small_segments(scene, row)
        return
    for side in Side:
        writes = [call for call in _moving(scene, row, side) if is_outbound(call)]
        behind = [
            later for earlier, later in pairwise(writes)
            if earlier.returned_ns is not None
            and later.entered_ns - earlier.returned_ns < _AT_ONCE_NS
            and _size(later) < _SMALL_BYTES
        ]  # fmt: skip
        if len(behind) < _MANY:
            continue
        yield Finding(
            "small_writes", row.connection, Severity.MEDIUM,
            f"The {side} made {len(writes):,} writes of {median_low(map(_size, writes)):,} bytes in"
            f" the median, {len(behind):,} of them right behind another: each costs a system call"
            " and, with TCP_NODELAY, a segment.",
            "Gather what belongs together in one call (writev, a buffer).",
            "RFC 9293 3.7.4", (), tuple(call.call for call in behind[:CITED]),
        )  # fmt: skip


def _small_segments(scene: Scene, row: Connection) -> Iterator[Finding]:
    """The same, as frames show it where nothing held what was written: a segment a write.

    A small one behind a full one is the rest of a large write.
    """
    path = scene.path(row.connection)
    for direction, sender in path.senders.items() if path is not None else ():
        again = {resend.frame for resend in sender.resends}
        new = [one for one in sender.departed if one.segment.frame not in again]
        behind = [
            later.segment.frame for earlier, later in pairwise(new)
            if later.packet.time_ns - earlier.packet.time_ns < _AT_ONCE_NS
            and later.segment.payload_len_bytes < _SMALL_BYTES
            and earlier.segment.payload_len_bytes < sender.mss
        ]  # fmt: skip
        if len(behind) < _MANY:
            continue
        sizes = [one.segment.payload_len_bytes for one in new]
        yield Finding(
            "small_writes", row.connection, Severity.MEDIUM,
            f"The {direction.sender} sent {len(new):,} segments of {median_low(sizes):,} bytes in"
            f" the median, {len(behind):,} of them small and right behind another that was not"
            " full: its program writes in little pieces.",
            "Gather what belongs together in one call (writev, a buffer).",
            "RFC 9293 3.7.4", tuple(behind[:CITED]),
        )  # fmt: skip


def coalesced(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Reads that returned parts of several writes, where the reader had not asked by length."""
    if row.protocol != "tcp":
        return
    for side in Side:
        writes = scene.moves(row.connection, side, side.outbound)
        reads = [c for c in _moving(scene, row, side.outbound.receiver) if is_inbound(c)]
        varies = len({read.requested_bytes for read in reads}) > 1
        merged = []
        for place, read in enumerate(reads):
            first, last = writes.at(read.start or 0), writes.at((read.stop or 1) - 1)
            if first is None or last is None or first.call == last.call:
                continue
            if not _by_length(scene, reads, place, varies or read.stop == last.stop):
                merged.append((read, first, last))
        if len(writes.calls) < 2 or not merged:
            continue
        read, first, last = merged[0]
        much = "once" if len(merged) == 1 else f"{len(merged):,} times"
        yield Finding(
            "coalesced", row.connection, Severity.LOW,
            f"TCP keeps no message borders: {much} a read of the {side.outbound.receiver} returned"
            f" bytes of several writes, first {name_of(read)} of {name_of(first)} to"
            f" {name_of(last)}.",
            "Say in the stream where a message ends: a length before it, or a delimiter behind it.",
            "RFC 9293 3.9.1", (), (read.call, first.call, last.call),
        )  # fmt: skip


def _by_length(scene: Scene, reads: list[Call], place: int, fits: bool) -> bool:
    """Whether a read asked for so many bytes as it wanted, as who knows where a message ends does.

    MSG_WAITALL says so; else it was given all that it asked for, and that was the end of a write,
    or others ask for other lengths (`fits`); or those behind it asked for just what was missing,
    until there was all of it.
    """
    read = reads[place]
    if scene.record(read.call).flags & MSG_WAITALL:
        return True
    if read.requested_bytes == _size(read):
        return fits
    missing = read.requested_bytes
    for part in reads[place:]:
        if missing is None or part.requested_bytes != missing:
            return False
        missing -= _size(part)
        if not missing:
            return True
    return False


def _moving(scene: Scene, row: Connection, side: Side) -> list[Call]:
    """The calls of a side that moved bytes, in order of entry."""
    return [
        call for call in scene.of_connection(row.connection)
        if call.side == side and call.start is not None and _size(call)
    ]  # fmt: skip


def _size(call: Call) -> int:
    return (call.stop or 0) - (call.start or 0)
