"""The words that a recording carries into Wireshark: a line for each call, comments for frames.

A call's line reads like strace with its number, stream range and duration behind it:
`client send #12 (5, 100) = 100, bytes 0..100, 21 us`. A frame's comment says which calls it belongs
to. Frame numbers are never mentioned: the words are made before the finished file is numbered.
Only ASCII, because some builds of tshark escape the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from netlab.explain.ways import way_text
from netlab.model.call import arguments_text, is_inbound
from netlab.model.kernel_event import Tracepoint
from netlab.model.records import dataclass
from netlab.model.tables import Call, Direction, FrameNote, Role, Side, Span, Tables

# What a frame is to a call, in words; the call's name and the bytes follow. Where the frame's
# sender matters there are two: for a call of the side that sent the frame, and for one of the other
# side.
_ROLE_WORDS: dict[str, tuple[str, str]] = {
    Role.CARRIED: ("carries", "carries"),
    Role.RESENT: ("resends", "resends"),
    Role.ACKED: ("acknowledges", "acknowledges"),
    Role.DELIVERED: ("read by", "read by"),
    Role.RELEASED: ("made readable to", "made readable to"),
    Role.DUPLICATE: ("brings nothing new to", "brings nothing new to"),
    Role.ACK_SENT: ("sent by", "sent by"),
    Role.SYN: ("SYN of", "SYN accepted by"),
    Role.SYNACK: ("SYN-ACK for", "SYN-ACK awaited by"),
    Role.HANDSHAKE_ACK: ("last ACK of", "completes the handshake for"),
    Role.FIN: ("FIN of", "FIN seen by"),
    Role.RST: ("reset by", "reset that ended"),
    Role.WINDOW: ("announces the space freed by", "announces the space freed by"),
    Role.WAKEUP: ("wakes", "wakes"),
    Role.ICMP: ("error for", "error for"),
}
_SENDERS: dict[str, Side] = {direction: direction.sender for direction in Direction}
# A datagram of a chatty server may wake and be read by many; more than this helps nobody.
_MOST_COMMENTS = 24


def duration_text(ns: int) -> str:
    """A duration in ASCII for a line that tshark prints: `21 us`, `40.1 ms`, `1.002 s`."""
    if ns < 1_000_000:
        return f"{ns / 1000:.0f} us"
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns / 1e9:.3f} s"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else the recording says that the line of a call may need."""

    ended: frozenset[tuple[str, int]] = frozenset()  # hosts and pids whose end is recorded
    streams: frozenset[int] = frozenset()  # connections in which a recv of nothing is the end


def surroundings(tables: Tables) -> Surroundings:
    """What the lines of this recording's calls need."""
    return Surroundings(
        frozenset((call.host, call.pid) for call in tables.calls if call.op == "exit"),
        frozenset(c.connection for c in tables.connections if c.protocol in ("tcp", "pipe")),
    )


def call_message(call: Call, around: Surroundings) -> str:
    """The line of a call."""
    arguments = arguments_text(call.op, call.fd, call.requested_bytes, call.args)
    return (
        f"{call.actor} {call.op} #{call.call} ({arguments})"
        f" = {outcome(call)}{_end_text(call, around)}{_range_text(call.start, call.stop)}"
        f"{_took(call, around)}"
    )


def outcome(call: Call) -> str:
    """What the call returned: its result, `-1 EAGAIN`, or `?` while it is still inside."""
    if call.returned_ns is None:
        return "?"
    if call.errno is not None:
        moved = "" if not call.result or call.result < 0 else f" after {call.result}"
        return f"-1 {call.errno}{moved}"
    return "0" if call.result is None else str(call.result)


def _range_text(start: int | None, stop: int | None) -> str:
    if start is None or stop is None or start == stop:
        return ""
    return f", bytes {start}..{stop}"


def _end_text(call: Call, around: Surroundings) -> str:
    """Says of a recv that returned nothing, though it asked for something, that this is the end."""
    nothing = is_inbound(call) and call.result == 0 and call.errno is None
    asked = call.requested_bytes != 0 and call.start is None
    return ", end of stream" if nothing and asked and call.connection in around.streams else ""


def _took(call: Call, around: Surroundings) -> str:
    if call.returned_ns is None:
        if call.op == "exit":
            return _bound(call)
        whose = "process" if (call.host, call.pid) in around.ended else "recording"
        return f", still inside when the {whose} ended"
    return f", {duration_text(call.returned_ns - call.entered_ns)}"


def _bound(call: Call) -> str:
    """Of an end that nobody saw begin, the time in which it lies."""
    if call.returned_by_ns is None or call.returned_by_ns <= call.entered_ns:
        return ""
    return f", at some time in the next {duration_text(call.returned_by_ns - call.entered_ns)}"


def call_messages(tables: Tables) -> dict[int, str]:
    """The line of each call, by index into the recording's calls (which are in order of entry)."""
    around = surroundings(tables)
    return {call.call - 1: call_message(call, around) for call in tables.calls}


def frame_comments(tables: Tables) -> dict[int, list[str]]:
    """For each frame: what a wire did with it, and what it is to which call, a line each."""
    by_frame: dict[int, list[Span]] = defaultdict(list)
    for span in tables.spans:
        if span.frame is not None:
            by_frame[span.frame].append(span)
    called = {call.call: call for call in tables.calls}
    comments = {
        frame: _bounded([_span_text(span, called.__getitem__) for span in spans])
        for frame, spans in by_frame.items()
    }
    for note in tables.notes:
        comments.setdefault(note.frame, []).append(note_text(note))
    for packet in tables.packets:
        way = way_text(packet)
        if way:
            comments[packet.frame] = [way, *comments.get(packet.frame, ())]
    return comments


_NOTES = {
    Tracepoint.RETRANSMIT: "sent again",
    Tracepoint.RETRANSMIT_SYNACK: "sent again",
    Tracepoint.SEND_RESET: "sent as a reset",
    Tracepoint.RECEIVE_RESET: "taken as a reset",
    Tracepoint.DROP: "dropped",
}


def note_text(note: FrameNote) -> str:
    """What a kernel said of a frame: `the kernel of server says: dropped, TCP_OVERWINDOW`."""
    said = next((words for what, words in _NOTES.items() if what == note.what), note.what)
    reason = f", {note.reason}" if note.reason else ""
    return f"the kernel of {note.host} says: {said}{reason}"


def _span_text(span: Span, called: Callable[[int], Call]) -> str:
    call = called(span.call)
    own, other = _ROLE_WORDS.get(span.role, (span.role, span.role))
    words = own if _sent_by_its_side(span, call) else other
    return f"{words} {call.actor} {call.op} #{call.call}{_range_text(span.start, span.stop)}"


def _sent_by_its_side(span: Span, call: Call) -> bool:
    """Whether the end that made the call is the end that sent the frame."""
    return span.direction is not None and _SENDERS[span.direction] == call.side


def _bounded(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MOST_COMMENTS:
        return list(lines)
    left_out = len(lines) - _MOST_COMMENTS + 1
    return [*lines[: _MOST_COMMENTS - 1], f"and {left_out} more links to calls"]


def frame_threads(tables: Tables) -> Mapping[int, tuple[int, int]]:
    """Process and thread of a frame, where one call's entry surely sent it.

    A frame that left while its call was inside was sent by that thread; one that left later was
    sent by the kernel on some timer or ACK, and is nobody's.
    """
    stamps = {packet.frame: packet.time_ns for packet in tables.packets}
    called = {call.call: call for call in tables.calls}
    senders: dict[int, tuple[int, int]] = {}
    for span in tables.spans:
        if span.role not in (Role.CARRIED, Role.SYN, Role.FIN) or span.frame is None:
            continue
        call = called[span.call]
        end = call.returned_ns
        if not _sent_by_its_side(span, call):
            continue  # a recv that a FIN ended, an accept that a SYN led to: they waited
        if end is not None and call.entered_ns <= stamps[span.frame] <= end:
            senders.setdefault(span.frame, (call.pid, call.tid))
    return senders
