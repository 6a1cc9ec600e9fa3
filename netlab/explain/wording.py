"""Names of calls and sizes, as they stand in the sentences about waits. Only ASCII."""

from __future__ import annotations

from netlab.model.tables import Call, Fate, Packet


def name_of(call: Call) -> str:
    """`client send #12`: the side where that says who it is, else the actor."""
    return f"{who(call)} {call.op} #{call.call}"


def who(call: Call) -> str:
    """The side that made a call; its actor, where the ends are no client and no server."""
    return call.actor if call._roleless or call.side is None else call.side


def process_text(call: Call) -> str:
    """`server (pid 21883)`: who made a call."""
    return f"{call.actor} (pid {call.pid})"


def lost_text(packet: Packet) -> str:
    """`frame 31 was dropped by the wire (drop s>c data 2)`; empty: not known."""
    fate = fate_text(packet)
    return f"frame {packet.frame} {fate}" if fate else ""


def fate_text(packet: Packet) -> str:
    """What the wire did to a frame that did not come, as said behind its name; empty: not known."""
    if packet.fate != Fate.DROPPED and not packet._spoilt:
        return ""
    how = "spoilt on the wire" if packet._spoilt else "dropped by the wire"
    return f"was {how}{rule_text(packet)}"


def rule_text(packet: Packet) -> str:
    """` (drop s>c data 2)`: by which rule of the wire; empty: not known."""
    return f" ({packet._arrival.rule})" if packet._arrival and packet._arrival.rule else ""


def sized(call: Call) -> str:
    """`64 bytes`, `1 byte`."""
    count = (call.stop - call.start) if call.stop is not None and call.start is not None else None
    if count is None:
        count = call.result if call.result is not None and call.result >= 0 else 0
    return f"{count:,} byte{'' if count == 1 else 's'}"


def lasting(ns: int) -> str:
    """A length of time in ASCII: `812 us`, `40.1 ms`, `1.002 s`."""
    if ns < 1_000_000:
        return f"{ns / 1000:.0f} us"
    return f"{ns / 1e6:.1f} ms" if ns < 1_000_000_000 else f"{ns / 1e9:.3f} s"


def counted(number: int, one: str) -> str:
    """`1 byte`, `312 bytes`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def more_such(count: int) -> str:
    """Behind the text of one of several waits: ` (and in 3 more such waits)`; empty for one."""
    return f" (and in {counted(count - 1, 'more such wait')})" if count > 1 else ""
