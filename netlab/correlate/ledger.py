"""The two promises of the join, checked on finished tables: bytes add up, causes come first.

`ledger_mismatches` recounts from the tables alone, by other means than the join used: for each call
the bytes it moved are the bytes of its spans plus what is listed as unmatched; for each stream the
bytes in its frames are those that sends claim plus those listed, and likewise for what was read.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.flows import own_payload_bytes
from netlab.correlate.reasons import What
from netlab.model.call import ACCEPTING, is_moving
from netlab.model.clock import clock_steps
from netlab.model.ranges import RangeSet
from netlab.model.recording import RawRecording
from netlab.model.tables import Call, Packet, Role, Span, Tables, Unmatched

_MOVING = frozenset({Role.CARRIED, Role.DELIVERED, Role.LOCAL})
_NOT_MOVING = ("MSG_PEEK", "MSG_ERRQUEUE")
_Stream = tuple[int, str]  # connection, direction


def ledger_mismatches(tables: Tables) -> list[str]:
    """What does not add up, a sentence each; empty when the ledger closes."""
    if not tables.calls:
        return []
    return [*_calls(tables), *_streams(tables)]


def _moved(call: Call) -> int:
    if not is_moving(call):
        return 0
    if not call.result or call.result < 0 or any(flag in call.args for flag in _NOT_MOVING):
        return 0
    return sum(call._messages) if call._messages else call.result


def _calls(tables: Tables) -> Iterable[str]:
    spans: dict[int, list[Span]] = {}
    for span in tables.spans:
        if span.role in _MOVING:
            spans.setdefault(span.call, []).append(span)
    listed: dict[int, int] = {}
    cut: dict[int, int] = {}
    for row in tables.unmatched:
        if row.call is not None:
            book = cut if row.what == What.TRUNCATED else listed
            book[row.call] = book.get(row.call, 0) + row.bytes
    # Of several messages each may be of another connection, with offsets of its own.
    streams = {row.connection for row in tables.connections if row.protocol == "tcp"}
    for call in tables.calls:
        moved = _moved(call)
        mine = spans.get(call.call, [])
        matched = sum((span.stop or 0) - (span.start or 0) for span in mine)
        total = matched + listed.get(call.call, 0)
        name = f"{call.op} #{call.call}"
        if moved != total - cut.get(call.call, 0) and not (
            "MSG_TRUNC" in call.args and moved == total
        ):
            yield (
                f"{name} moved {moved} bytes, but {matched} are in its spans and "
                f"{listed.get(call.call, 0)} are listed as unmatched"
            )
        if len(call._messages) < 2 or call.connection in streams:
            yield from _tiles(name, call, mine)


def _tiles(name: str, call: Call, spans: list[Span]) -> Iterable[str]:
    at = call.start
    for span in sorted(spans, key=lambda s: (s.start or 0, s.stop or 0)):
        if span.start is None or span.stop is None or at is None or call.stop is None:
            yield f"{name} has a {span.role} span, but one of them has no range"
            return
        if span.start < at or span.stop > call.stop:
            yield (
                f"{name} is {call.start}..{call.stop}, but its {span.role} span "
                f"{span.start}..{span.stop} overlaps another or lies outside"
            )
        at = max(at, span.stop)


def _streams(tables: Tables) -> Iterable[str]:
    in_frames = _bytes_in_frames(tables)
    sent: dict[_Stream, RangeSet] = {}
    read: dict[_Stream, RangeSet] = {}
    unsent: dict[_Stream, RangeSet] = {}
    unread: dict[_Stream, RangeSet] = {}
    connection_of = {packet.frame: packet.connection for packet in tables.packets}
    for span in tables.spans:
        if span.frame is None or span.role not in (Role.CARRIED, Role.DELIVERED):
            continue
        book = sent if span.role == Role.CARRIED else read
        _add(book, connection_of.get(span.frame), span)
    for row in tables.unmatched:
        if row.what in (What.CARRIED_NOT_SENT, What.CARRIED_NOT_READ):
            book = unsent if row.what == What.CARRIED_NOT_SENT else unread
            _add(book, row.connection, row)
    empty = RangeSet()
    for key in in_frames.keys() | sent.keys() | read.keys() | unsent.keys() | unread.keys():
        frames = in_frames.get(key, empty)
        for word, book, rest in (("sent", sent, unsent), ("read", read, unread)):
            claimed, listed = book.get(key, empty), rest.get(key, empty)
            if any(claimed.overlaps(start, stop) for start, stop in listed):
                yield f"connection {key[0]} {key[1]}: bytes are both {word} and listed as not"
            if RangeSet([*claimed, *listed]) != frames:
                yield (
                    f"connection {key[0]} {key[1]}: frames hold {frames.total()} bytes, calls "
                    f"{word} {claimed.total()} of them and {listed.total()} are listed: "
                    f"{_difference(frames, claimed, listed)}"
                )


def _difference(frames: RangeSet, claimed: RangeSet, listed: RangeSet) -> str:
    both = RangeSet([*claimed, *listed])
    missing = [gap for start, stop in frames for gap in both.gaps(start, stop)]
    extra = [gap for start, stop in both for gap in frames.gaps(start, stop)]
    return f"missing {missing[:3]}, too many {extra[:3]}"


def _add(book: dict[_Stream, RangeSet], connection: int | None, row: Span | Unmatched) -> None:
    if connection is None or row.direction is None or row.start is None or row.stop is None:
        return
    book.setdefault((connection, row.direction), RangeSet()).add(row.start, row.stop)


def _bytes_in_frames(tables: Tables) -> dict[_Stream, RangeSet]:
    """Stream offsets (TCP) and counted payload bytes (UDP) that the captured frames hold."""
    found: dict[_Stream, RangeSet] = {}
    resets = {p.frame for p in tables.packets if p.tcp_flags and "RST" in p.tcp_flags}
    for row in tables.segments:
        probe = row.payload_len_bytes == 1 and row.start < 0
        if row.payload_len_bytes and row.frame not in resets and not probe:
            key = row.connection, row.direction
            found.setdefault(key, RangeSet()).add(row.start, row.stop)
    udp = {row.connection for row in tables.connections if row.protocol == "udp"}
    totals: dict[_Stream, int] = {}
    for packet in tables.packets:
        count = _datagram_bytes(packet) if packet.connection in udp else 0
        if count and packet.connection is not None and packet.direction is not None:
            key = packet.connection, packet.direction
            totals[key] = totals.get(key, 0) + count
    for key, total in totals.items():
        found[key] = RangeSet([(0, total)])
    return found


def _datagram_bytes(packet: Packet) -> int:
    if packet._quoted is not None or packet._copy_of is not None:
        return 0
    return own_payload_bytes(packet)


def causal_violations(tables: Tables, tolerance_ns: int = 0) -> list[str]:
    """Effects that come before their causes by more than `tolerance_ns`, a sentence each.

    No data frame before its send was entered, no recv that returned bytes before the frame that
    delivered or released the last of them, no accept before the handshake's ACK, no connect before
    the SYN-ACK. On one machine both clocks are CLOCK_REALTIME, the call's entry is read before the
    system call and its return after it, so 0 should hold unless the clock was stepped.
    """
    packets = {packet.frame: packet for packet in tables.packets}
    calls = {call.call: call for call in tables.calls}
    found = []
    awaited = _awaited(tables, calls, packets)
    for span in tables.spans:
        if span.frame is None:
            continue
        call, packet = calls[span.call], packets[span.frame]
        arrived = arrival_ns(packet)
        early = late = False
        if span.role in (Role.CARRIED, Role.SYN) and call.op not in ACCEPTING:
            early = packet.time_ns + tolerance_ns < call.entered_ns
        elif span.role in (Role.DELIVERED, Role.RELEASED):
            late = _after_return(call, arrived, tolerance_ns)
        elif span.role in (Role.HANDSHAKE_ACK, Role.SYNACK) and call.errno is None:
            awaits = awaited.get(span.call) == span.frame
            late = awaits and _after_return(call, arrived, tolerance_ns)
        if early:
            found.append(
                f"{call.op} #{call.call} was entered {call.entered_ns - packet.time_ns} ns after "
                f"its frame {span.frame} had left"
            )
        if late:
            found.append(
                f"{call.op} #{call.call} returned {arrived - (call.returned_ns or 0)} ns before "
                f"frame {span.frame}, which it needed ({span.role})"
            )
    return found


def _awaited(tables: Tables, calls: dict[int, Call], packets: dict[int, Packet]) -> dict[int, int]:
    """By connect and accept: the frame of the handshake that it waited for, the first that came.

    Where the SYN's data was taken (RFC 7413 3), accept() needs no more than the SYN.
    """
    found: dict[int, int] = {}
    opened_fast = {segment.connection for segment in tables.segments if segment.tfo_ack}
    for span in tables.spans:
        server = calls[span.call].op in ACCEPTING
        role = Role.HANDSHAKE_ACK if server else Role.SYNACK
        if span.role != role or span.frame is None:
            continue
        if server and calls[span.call].connection in opened_fast:
            continue
        best = found.get(span.call)
        came_ns = arrival_ns(packets[span.frame])
        if best is None or came_ns < arrival_ns(packets[best]):
            found[span.call] = span.frame
    return found


def _after_return(call: Call, arrived_ns: int, tolerance_ns: int) -> bool:
    bound = call.returned_by_ns if call.returned_by_ns is not None else call.returned_ns
    return bound is not None and arrived_ns > bound + tolerance_ns


def clock_notes(raw: RawRecording) -> list[str]:
    """What a reader must know of the clock during the recording, a sentence each; mostly none."""
    return [
        f"The clock was set {'forward' if step_ns > 0 else 'back'} by {abs(step_ns) / 1e6:.3f} ms "
        f"shortly before {after_ns / 1e9:.3f} s since the epoch: times before and after it do not "
        "compare."
        for after_ns, step_ns in clock_steps(raw.clock_pairs)
    ]
