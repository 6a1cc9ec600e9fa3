"""What a user typed -> a row of the tables: `3`, `tcp.0` or `udp.1` as a connection, frame numbers.

Says in one line which numbers there are when the one asked for is not among them.
"""

from __future__ import annotations

from netlab.model.errors import UsageError
from netlab.model.tables import Call, Connection, Packet, Tables


def connection(tables: Tables, text: str) -> Connection:
    """The connection that `text` names: netlab's number, or tshark's as `tcp.0`, `udp.1`."""
    protocol, dot, number = text.rpartition(".")
    if not number.isdecimal() or not number.isascii() or (dot and protocol not in ("tcp", "udp")):
        raise UsageError(
            f"{text!r} names no connection", "a number as in --connections, or tcp.0, udp.1"
        )
    wanted = int(number)
    for item in tables.connections:
        if dot and item.protocol == protocol and item.stream == wanted:
            return item
        if not dot and item.connection == wanted:
            return item
    if dot:
        streams = [c.stream for c in tables.connections if c.protocol == protocol]
        there = [s for s in streams if s is not None]
        raise UsageError(
            f"no connection {text} in this file",
            _range_hint(there, f"{protocol} streams", f"{protocol}."),
        )
    raise UsageError(
        f"no connection {wanted} in this file",
        _range_hint([c.connection for c in tables.connections], "connections"),
    )


def packet(tables: Tables, frame: int) -> Packet:
    """The packet with this frame number."""
    for item in tables.packets:
        if item.frame == frame:
            return item
    frames = [item.frame for item in tables.packets]
    hint = _range_hint(frames, "frames")
    if tables.calls and frames and frames[0] < frame < frames[-1]:
        hint = f"that number is a call's, or unused; {hint}"
    raise UsageError(f"no packet has frame number {frame}", hint)


def call(tables: Tables, number: int) -> Call:
    """The call with this number (1-based, in order of entry)."""
    if 1 <= number <= len(tables.calls):
        return tables.calls[number - 1]
    raise UsageError(f"no call #{number} in this file", _range_hint_count(len(tables.calls)))


def _range_hint(numbers: list[int], what: str, prefix: str = "") -> str:
    if not numbers:
        return f"it has no {what}"
    first, last = min(numbers), max(numbers)
    return f"its {what} are {prefix}{first}" + (f" to {prefix}{last}" if last != first else "")


def _range_hint_count(calls: int) -> str:
    return f"its calls are #1 to #{calls}" if calls else "it has no calls"
