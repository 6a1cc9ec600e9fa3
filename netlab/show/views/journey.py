"""Tables -> one byte's journey: from the call that wrote it to the call that read it.

The map (spans) says it where calls are known; in a capture without calls the segments do, and what
they cannot say is listed with the reason. Nothing is guessed.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.reasons import Reason, What
from netlab.explain.ways import flight_text, way_text
from netlab.explain.wording import name_of
from netlab.model.errors import UsageError
from netlab.model.records import dataclass
from netlab.model.stamp import Moment
from netlab.model.tables import (
    Call,
    Connection,
    Direction,
    Packet,
    Role,
    Segment,
    Side,
    Span,
    Stamp,
    Tables,
)
from netlab.show.format import address, byte_range

# Equal times: what must have come first.
_LEAVING = (Role.CARRIED, Role.RESENT)
_ARRIVING = (Role.DELIVERED, Role.RELEASED, Role.DUPLICATE)
_ORDER = (
    "reading", "scheduled (kernel stamp)", "left (kernel stamp)", "carried", "resent", "arrived",
    "delivered", "released", "duplicate", "acked", "acknowledged (kernel stamp)", "read", "cut off",
)  # fmt: skip
# What the kernel's stamps tell of a byte.
_STAMPED = {
    Moment.SCHEDULED: "scheduled (kernel stamp)",
    Moment.SENT: "left (kernel stamp)",
    Moment.ACKED: "acknowledged (kernel stamp)",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to the byte."""

    time_ns: int  # since the epoch
    since_start_ns: int  # since the first step
    since_previous_ns: int
    what: str  # written, returned, carried, resent, delivered, left (kernel stamp), acked, ...
    call: int | None
    frame: int | None
    text: str


_AT_THE_READER = (What.CARRIED_NOT_READ, What.SENT_NOT_READ)
# Reasons of the ledger that leave nothing open.
_VERDICTS: dict[str, str] = {
    Reason.RESET: "never",
    Reason.CLOSED_UNREAD: "never",
    Reason.REFUSED: "never",
    Reason.DATAGRAM_DROPPED: "never",
    Reason.LOST: "never",
    Reason.STILL_QUEUED: "not yet",
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A step that is not in the recording, and why."""

    what: str
    reason: str
    verdict: str = "unknown"  # or what is known for sure: never, not yet


@dataclass(frozen=True, slots=True)
class Journey:
    """A byte of a stream and all that is known of its way."""

    connection: int
    protocol: str
    client: str
    server: str
    side: str  # that wrote it
    direction: str
    byte: int
    stream_bytes: int  # how far this stream is known to go
    steps: tuple[Step, ...]
    unknown: tuple[Unknown, ...]
    other_copies: tuple[int, ...] = ()  # frames that hold another byte there than the first one


def journey(tables: Tables, connection: Connection, side: Side, byte: int) -> Journey:
    """The journey of byte `byte` that `side` wrote. Raises UsageError beyond the stream."""
    direction = side.outbound
    number = connection.connection
    length = stream_bytes(tables, number, direction)
    if not 0 <= byte < length:
        there = f"bytes {byte_range(0, length)}" if length else "no bytes"
        raise UsageError(
            f"byte {byte} is not in this stream",
            f"the {side} of connection {number} sent {there}",
        )
    writer = _mover(tables, number, direction, byte, side)
    reader = _mover(tables, number, direction, byte, direction.receiver)
    found = [
        *_of_writer(tables, connection, direction, byte, writer),
        *_of_reader(tables, byte, reader),
    ]
    found += _of_wire(tables, found)
    found += _of_kernel(tables, number, direction, byte)
    found.sort(key=lambda raw: (raw.time_ns, _rank(raw.what)))
    return Journey(
        connection=number,
        protocol=connection.protocol,
        client=address(connection.client, connection.client_port),
        server=address(connection.server, connection.server_port),
        side=side,
        direction=direction,
        byte=byte,
        stream_bytes=length,
        steps=_timed(found),
        unknown=_unknown(tables, connection, direction, byte, found),
    )


def stream_bytes(tables: Tables, connection: int, direction: Direction) -> int:
    """How far a stream is known to go: the last byte that a frame or call shows."""
    stops = [
        segment.stop
        for segment in tables.segments
        if segment.connection == connection
        and segment.direction == direction
        and segment.payload_len_bytes
    ]
    stops += [
        call.stop
        for call in tables.calls
        if call.connection == connection and call.direction == direction and call.stop is not None
    ]
    return max(stops, default=0)


@dataclass(frozen=True, slots=True)
class _Found:
    time_ns: int
    what: str
    call: int | None
    frame: int | None
    text: str


def _mover(
    tables: Tables, connection: int, direction: Direction, byte: int, side: Side
) -> Call | None:
    """The call of `side` that moved the byte."""
    for call in tables.calls:
        ours = call.connection == connection and call.side == side and call.direction == direction
        start, stop = call.start, call.stop
        if ours and start is not None and stop is not None and start <= byte < stop:
            return call
    return None


def _of_writer(
    tables: Tables, connection: Connection, direction: Direction, byte: int, writer: Call | None
) -> list[_Found]:
    if writer is None:
        return _of_segments(tables, connection, direction, byte)
    found = _call_steps(writer, "written", "entered")
    roles = {Role.CARRIED, Role.RESENT, Role.ACKED}
    linked = [s for s in tables.spans if s.call == writer.call and s.role in roles]
    found += [_frame_step(tables, span) for span in linked if _holds(span, byte)]
    return found


def _of_wire(tables: Tables, found: list[_Found]) -> list[_Found]:
    """Where a wire says it: when each copy of the byte arrived, if no call of the reader does."""
    told = {step.frame for step in found if step.what in _ARRIVING}
    packets = {packet.frame: packet for packet in tables.packets}
    steps = []
    for step in found:
        packet = packets.get(step.frame or 0)
        if step.what not in _LEAVING or packet is None or packet.frame in told:
            continue
        if packet._wired and packet.arrived_ns is not None:
            steps.append(_Found(packet.arrived_ns, "arrived", None, packet.frame, _at_end(packet)))
    return steps


def _at_end(packet: Packet) -> str:
    where = f"at {packet._to}" if packet._to else "at the other end"
    return f"{where}, changed, and was thrown away" if packet._spoilt else where


def _of_kernel(tables: Tables, connection: int, direction: Direction, byte: int) -> list[_Found]:
    """The kernel's own stamps, where it was asked for them."""
    found: list[_Found] = []
    for moment, what in _STAMPED.items():
        stamp = _first_stamp(tables, connection, direction, byte, moment)
        if stamp is not None:
            span = byte_range(stamp.start or 0, stamp.stop or 0)
            found.append(_Found(stamp.time_ns, what, stamp.call, None, f"bytes {span} by then"))
    return found


def _first_stamp(
    tables: Tables, connection: int, direction: Direction, byte: int, moment: Moment
) -> Stamp | None:
    for stamp in tables.stamps:
        ours = stamp.connection == connection and stamp.direction == direction
        if ours and stamp.what == moment and stamp.stop is not None and byte < stamp.stop:
            return stamp
    return None


def _of_reader(tables: Tables, byte: int, reader: Call | None) -> list[_Found]:
    if reader is None:
        return []
    roles = {Role.DELIVERED, Role.RELEASED, Role.DUPLICATE}
    linked = [s for s in tables.spans if s.call == reader.call and s.role in roles]
    found = [_frame_step(tables, span) for span in linked if _holds(span, byte)]
    kept = _kept_until(tables, reader)
    return found + _call_steps(reader, "read" if byte < kept else "cut off", "reading", kept)


def _kept_until(tables: Tables, reader: Call) -> int:
    """Where the part of a message ends for which the call that took it had room."""
    cut = [
        row.start
        for row in tables.unmatched
        if row.call == reader.call and row.what == What.TRUNCATED and row.start is not None
    ]
    return min(cut, default=reader.stop or 0)


def _of_segments(
    tables: Tables, connection: Connection, direction: Direction, byte: int
) -> list[_Found]:
    """Without a call that wrote the byte: what the segments alone show."""
    own = [s for s in tables.segments if s.connection == connection.connection]
    copies = [s for s in own if s.direction == direction and s.start <= byte < s.stop]
    packets = {packet.frame: packet for packet in tables.packets}
    copies = [s for s in copies if not packets[s.frame]._made]
    found = []
    for s, what in zip(copies, ["carried"] + ["resent"] * len(copies), strict=False):
        packet = packets[s.frame]
        text = _segment_text(s) + _way(packet, arrives=False)
        found.append(_Found(packet.time_ns, what, None, s.frame, text))
    # Acknowledged once Ack, the next sequence number expected, lies beyond the byte's own.
    acks = (
        s
        for s in own
        if s.direction == direction.reverse
        and s.ack is not None
        and s.ack > byte + 1
        and reached(packets[s.frame])
        and (not copies or packets[s.frame].time_ns >= packets[copies[0].frame].time_ns)
    )
    first = next(iter(sorted(acks, key=lambda s: arrival_ns(packets[s.frame]))), None)
    if first is not None:
        packet = packets[first.frame]
        text = f"Ack={first.ack}{_way(packet, arrives=True)}"
        found.append(_Found(arrival_ns(packet), "acked", None, first.frame, text))
    return found


def _segment_text(segment: Segment) -> str:
    return (
        f"Seq={segment.seq} Len={segment.payload_len_bytes},"
        f" bytes {byte_range(segment.start, segment.stop)}"
    )


def _holds(span: Span, byte: int) -> bool:
    return span.start is not None and span.stop is not None and span.start <= byte < span.stop


def _call_steps(call: Call, moved: str, before: str, kept: int | None = None) -> list[_Found]:
    """A call's entry and return; what a writer does at entry, a reader does at return.

    `kept`: where what a reader had room for ends.
    """
    name = name_of(call)
    start, stop = call.start or 0, call.stop or 0
    moved_range = byte_range(start, stop)
    if kept is not None and kept < stop:
        moved_range = f"{byte_range(start, kept)} of {moved_range}: truncated"
    writes = moved == "written"
    entered = _Found(
        call.entered_ns, moved if writes else before, call.call, None,
        f"{name} entered" + (f", bytes {moved_range}" if writes else ""),
    )  # fmt: skip
    if call.returned_ns is None:
        return [entered]
    result = call.result if call.errno is None else f"{call.result}, then {call.errno}"
    returned = _Found(
        call.returned_ns, "returned" if writes else moved, call.call, None,
        f"{name} returned {result}" + ("" if writes else f", bytes {moved_range}"),
    )  # fmt: skip
    return [entered, returned]


def _frame_step(tables: Tables, span: Span) -> _Found:
    packet = next(p for p in tables.packets if p.frame == span.frame)
    arrives = span.role == Role.ACKED or span.role in _ARRIVING
    time_ns = arrival_ns(packet) if arrives else packet.time_ns
    segment = next((s for s in tables.segments if s.frame == span.frame), None)
    if segment is None:
        text = _datagram_text(packet, span)
    elif span.role == Role.ACKED:
        text = f"Ack={segment.ack}"
    else:
        text = _segment_text(segment)
    return _Found(time_ns, span.role, None, span.frame, text + _way(packet, arrives=arrives))


def _way(packet: Packet, *, arrives: bool) -> str:
    """What a wire did with the frame of a step: where it went, or what kept it."""
    if not packet._wired:
        return ""
    if packet.arrived_ns is None or packet._made or not arrives:
        lost = packet.arrived_ns is None
        return f"; {way_text(packet)}" if lost or packet._made else ""
    return f"; it had left {flight_text(packet.arrived_ns - packet.time_ns)} before"


def _datagram_text(packet: Packet, span: Span) -> str:
    """`UDP Len=100, bytes 0..100`, `UDP fragment 0+1480 more, bytes 0..1472`."""
    text = packet.protocol or packet.link
    if packet.fragment:
        text += f" fragment {packet.fragment}"
    elif packet.payload_len_bytes is not None:
        text += f" Len={packet.payload_len_bytes}"
    return f"{text}, bytes {byte_range(span.start or 0, span.stop or 0)}"


def _rank(what: str) -> int:
    return _ORDER.index(what) if what in _ORDER else -1 if what == "written" else len(_ORDER)


def _timed(found: list[_Found]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for at in found:
        start = found[0].time_ns
        previous = steps[-1].time_ns if steps else start
        steps.append(
            Step(
                at.time_ns, at.time_ns - start, at.time_ns - previous,
                at.what, at.call, at.frame, at.text,
            )
        )  # fmt: skip
    return tuple(steps)


def _unknown(
    tables: Tables, connection: Connection, direction: Direction, byte: int, found: list[_Found]
) -> tuple[Unknown, ...]:
    """The steps that a whole journey has and this one has not."""
    seen = {step.what for step in found}
    arrived = bool(seen & {"read", "cut off", "acked"})
    reasons = {
        row.what: row.reason
        for row in tables.unmatched
        if row.connection == connection.connection
        and row.direction == direction
        and row.start is not None
        and row.stop is not None
        and row.start <= byte < row.stop
        # Nor can it wait to leave, if it arrived.
        and not (arrived and row.reason == Reason.STILL_QUEUED and row.what not in _AT_THE_READER)
    }
    no_calls = not any(c.connection == connection.connection for c in tables.calls)
    on_wire = connection.protocol in ("tcp", "udp")
    missing: list[Unknown] = []

    def miss(what: str, step: str, ledger: tuple[str, ...], otherwise: str) -> None:
        if step not in seen:
            given = next(
                (reasons[w] for words in ledger for w in reasons if w.startswith(words)), None
            )
            verdict = _VERDICTS.get(given or "", "unknown")
            missing.append(Unknown(what, given or otherwise, verdict))

    calls_silent = "the file holds no calls of this connection" if no_calls else ""
    miss("which call wrote it", "written", ("carried but not sent",),
         calls_silent or "no recorded call wrote it")  # fmt: skip
    if on_wire:
        miss("which frame carried it", "carried", ("sent", "read but"),
             "no captured frame holds it")  # fmt: skip
    if any(item.verdict != "unknown" for item in missing):
        return tuple(missing)  # it never left: nobody can have read it
    if connection.protocol == "tcp":
        miss("which ACK covered it", "acked", (), "no captured ACK does")
    if any(s.connection == connection.connection and s.direction == direction
           for s in tables.stamps) and "acked" not in seen:  # fmt: skip
        miss("when it was acknowledged", _STAMPED[Moment.ACKED], (),
             "the kernel's stamp had not come when the socket was last looked at")  # fmt: skip
    if "cut off" not in seen:
        miss("which call read it", "read", ("carried but not read", "sent but not read"),
             calls_silent or "no recorded call read it")  # fmt: skip
    if on_wire and "read" in seen:
        miss("which frame delivered it", "delivered", ("read",), "no captured frame did")
    return tuple(missing)
