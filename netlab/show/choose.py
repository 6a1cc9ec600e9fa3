"""What a user typed -> a row of the tables: `3`, `tcp.0` or `udp.1` as a connection, frame numbers.

Says in one line which numbers there are when the one asked for is not among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized

from netlab.model.errors import UsageError
from netlab.model.tables import Call, Connection, Packet, Tables


def connection(tables: Tables, text: str) -> Connection:
    """The connection that `text` names: netlab's number, or tshark's as `tcp.0`, `udp.1`."""
    protocol, wanted = _named(text)
    for item in tables.connections:
        if protocol and item.protocol == protocol and item.stream == wanted:
            return item
        if not protocol and item.connection == wanted:
            return item
    if protocol:
        streams = [c.stream for c in tables.connections if c.protocol == protocol]
        raise _no_stream(text, protocol, [s for s in streams if s is not None])
    raise _no_connection(wanted, [c.connection for c in tables.connections])


def number_of(text: str, streams: Iterable[tuple[str, int, int]], count: int) -> int:
    """The number of the connection that `text` names, among `count`; streams are protocol, stream
    and connection."""
    protocol, wanted = _named(text)
    if not protocol:
        if wanted < count:
            return wanted
        raise _no_connection(wanted, [0, count - 1] if count else [])
    there = []
    for name, stream, number in streams:
        if name == protocol:
            if stream == wanted:
                return number
            there.append(stream)
    raise _no_stream(text, protocol, there)


def _named(text: str) -> tuple[str, int]:
    """Protocol (empty: netlab's number) and number."""
    protocol, dot, number = text.rpartition(".")
    if not number.isdecimal() or not number.isascii() or (dot and protocol not in ("tcp", "udp")):
        raise UsageError(
            f"{text!r} names no connection", "a number as in --connections, or tcp.0, udp.1"
        )
    return protocol, int(number)


def _no_stream(text: str, protocol: str, there: list[int]) -> UsageError:
    return UsageError(
        f"no connection {text} in this file",
        _range_hint(there, f"{protocol} streams", f"{protocol}."),
    )


def _no_connection(wanted: int, there: list[int]) -> UsageError:
    return UsageError(f"no connection {wanted} in this file", _range_hint(there, "connections"))


def packet(tables: Tables, frame: int) -> Packet:
    """The packet with this frame number."""
    for item in tables.packets:
        if item.frame == frame:
            return item
    frames = [item.frame for item in tables.packets]
    first, last = (frames[0], frames[-1]) if frames else (0, 0)
    raise no_packet(frame, first, last, tables.calls)


def no_packet(frame: int, first: int, last: int, others: Sized) -> UsageError:
    """That no packet has this number; `others`: what else takes numbers."""
    hint = _range_hint([first, last] if last else [], "frames")
    if others and first < frame < last:
        hint = f"that number is a call's, or unused; {hint}"
    return UsageError(f"no packet has frame number {frame}", hint)


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
