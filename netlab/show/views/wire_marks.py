"""Frames of a connection -> the marks of a ladder: what is written on each, and where it ends.

Where a wire was between the hosts a frame stands twice, where it left and where it arrived; whoever
lays out the rows may join the two. Pure: no widths, no colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netlab.model.tables import Connection, Direction, Fate, Packet, Role, Segment, Tables
from netlab.show.format import byte_range
from netlab.show.views import words
from netlab.show.views.copies import Copies
from netlab.show.views.marks import WireMark
from netlab.show.views.messages import completed

Passage = tuple[int, WireMark]  # time_ns since the epoch


def wire_marks(
    tables: Tables, connection: Connection, frames: Sequence[Packet]
) -> tuple[list[Passage], list[tuple[str, str]]]:
    """The frames of a connection as rows, and the footnotes that their signs need."""
    number = connection.connection
    segments = {s.frame: s for s in tables.segments if s.connection == number}
    own = {packet.frame for packet in frames}
    resent = {s.frame for s in tables.spans if s.role == Role.RESENT and s.frame in own}
    ranges = {
        s.frame: byte_range(s.start, s.stop)
        for s in tables.spans
        if s.role == Role.CARRIED and s.frame in own and s.start is not None and s.stop is not None
    }
    passages: list[Passage] = []
    largest: tuple[int, Packet] | None = None
    said = completed(tables.messages_of(number))
    copies = Copies()
    signs: set[str] = set()
    for packet in frames:
        pieces = words.pieces_on_a_real_wire(packet)
        if pieces > 1 and (largest is None or pieces > largest[0]):
            largest = (pieces, packet)
        segment = segments.get(packet.frame)
        sign = "⊕" if packet._made else copies.sign(packet, segment, packet.frame in resent)
        again = sign == "↻"
        if sign:
            signs.add(sign)
        tag = f"{sign} {f'×{pieces}' if pieces > 1 else ''}".strip()
        if segment is not None:
            texts = words.segment_texts(packet, segment, tag)
            tone = "resent" if again else _tone(packet, segment)
        else:
            texts = words.datagram_texts(packet, ranges.get(packet.frame, ""), tag)
            tone = "datagram"
        direction = packet.direction or Direction.C2S
        known = segment is not None and segment.seg_wnd_bytes is not None
        window = f"Win={segment.seg_wnd_bytes}" if segment is not None and known else ""
        mark = WireMark(
            packet.frame, direction, texts, tone, window, end=_end_of(packet), made=packet._made,
            said=said.get(packet.frame, ""),
        )  # fmt: skip
        signs |= _SIGNS_OF_ENDS.get(mark.end, set())
        passages += _passages(packet, mark)
    footnotes = [(sign, text) for sign, text in _SIGNS.items() if sign in signs]
    if largest is not None:
        footnotes.insert(0, _offload_note(*largest))
    return passages, footnotes


_SIGNS = {
    "↻": "bytes that had been sent before: resent",
    "≡": "the same packet as before, captured a second time",
    "⊕": "made by the wire: a copy, or an error message",
    "┄": "on its way: a frame has a row where it left, and one where it arrived",
    "✗": "lost on the way",
    "╳": "changed on the way, and thrown away where it arrived",
    "?": "on the wire when that was last heard of",
}
_SIGNS_OF_ENDS = {"lost": {"✗"}, "spoilt": {"╳"}, "unsure": {"?"}}


def _end_of(packet: Packet) -> str:
    """How the way of a frame ended, where it did not end well."""
    if packet.fate == Fate.DROPPED:
        return "lost"
    if packet._spoilt:
        return "spoilt"
    return "unsure" if packet._wired and packet.arrived_ns is None else ""


def _passages(packet: Packet, mark: WireMark) -> list[Passage]:
    """The rows of one frame: where it left and where it arrived, or both in one."""
    arrived_ns = packet.arrived_ns
    if arrived_ns is None:
        return [(packet.time_ns, mark)]
    if packet._made:
        return [(arrived_ns, mark)]
    leaves = replace(mark, part="leaves", end="", said="")
    return [(packet.time_ns, leaves), (arrived_ns, replace(mark, part="arrives"))]


def _offload_note(pieces: int, packet: Packet) -> tuple[str, str]:
    what, why = ("segments", "offload") if packet.tcp_flags is not None else ("fragments", "large")
    return (
        "×n",
        f"{why}: one frame here, n {what} on a 1500-byte wire"
        f" (frame {packet.frame}: Len={packet.payload_len_bytes} would be {pieces})",
    )


def _tone(packet: Packet, segment: Segment) -> str:
    flags = packet.tcp_flags or ""
    if "RST" in flags:
        return "reset"
    if "SYN" in flags or "FIN" in flags:
        return "control"
    return "data" if segment.payload_len_bytes else "ack"


def with_sign(footnotes: Sequence[tuple[str, str]], sign: str) -> list[tuple[str, str]]:
    """The footnotes with that of one sign more, in the order of the signs."""
    order = list(_SIGNS)
    found = [*footnotes, (sign, _SIGNS[sign])]
    return sorted(found, key=lambda note: order.index(note[0]) if note[0] in order else -1)
