"""What a wire did with a packet -> words: in a recording's comments and in every view alike.

Only ASCII, because some builds of tshark escape the rest. Pure; frame numbers are never mentioned.
"""

from __future__ import annotations

from netlab.model.tables import Fate, Packet

_LATE_NS = 100_000  # worth a word: a wire on a busy machine is later than that now and then


def way_text(packet: Packet) -> str:
    """Its way in one sentence: `arrived 20.013 ms later at server`; nothing without a wire."""
    if not packet._wired:
        return ""
    arrival = packet._arrival
    rule = arrival.rule if arrival is not None else ""
    made = f"made by the wire{_of(rule)}; " if packet._made else ""
    if packet.fate == Fate.DROPPED:
        return f"{made}dropped by the wire{_of('' if made else rule)}"
    if packet.arrived_ns is None:
        return f"{made}on the wire when that was last heard of"
    at = f" at {packet._to}" if packet._to else ""
    arrived = f"arrived {flight_text(packet.arrived_ns - packet.time_ns)} later{at}"
    late_ns = arrival.late_ns if arrival is not None else None
    if late_ns is not None and late_ns >= _LATE_NS and late_ns < packet.arrived_ns - packet.time_ns:
        arrived += f", {flight_text(late_ns)} of it the wire's own lateness"
    if packet._whole_ns is not None:
        last = flight_text(packet._whole_ns - packet.time_ns)
        return f"cut into fragments by the wire{_of(rule)}; the last arrived {last} later{at}"
    if packet.fate == Fate.CHANGED:
        text = f"changed on the wire{_of(rule)}; {arrived}"
        return f"{text}; its receiver threw it away" if packet._spoilt else text
    return made + arrived + ("" if made else _of(rule))


def _of(rule: str) -> str:
    return f": {rule}" if rule else ""


def flight_text(ns: int) -> str:
    """A time on the wire: `48 us`, `20.013 ms`, `3.000 s`."""
    if abs(ns) < 1_000_000:
        return f"{ns / 1000:.0f} us"
    if abs(ns) < 1_000_000_000:
        return f"{ns / 1e6:.3f} ms"
    return f"{ns / 1e9:.3f} s"


def changed_bytes(left: bytes, arrived: bytes) -> list[tuple[int, bytes, bytes]]:
    """Where two frames differ, run by run: (offset, as it left, as it arrived)."""
    runs: list[tuple[int, bytes, bytes]] = []
    start = None
    length = max(len(left), len(arrived))
    for at in range(length + 1):
        differs = at < length and left[at : at + 1] != arrived[at : at + 1]
        if differs and start is None:
            start = at
        elif not differs and start is not None:
            runs.append((start, left[start:at], arrived[start:at]))
            start = None
    return runs
