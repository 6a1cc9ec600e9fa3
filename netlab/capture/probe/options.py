"""The arguments of setsockopt and shutdown as text, with the names of man 2 setsockopt.

Read first: man 7 socket, man 7 tcp, man 7 ip, man 7 ipv6.
"""

from __future__ import annotations

import socket
import struct
import sys
from functools import cache

SHUTDOWN = {socket.SHUT_RD: "SHUT_RD", socket.SHUT_WR: "SHUT_WR", socket.SHUT_RDWR: "SHUT_RDWR"}
UDP_SEGMENT = 103  # linux/udp.h
_LEVELS = {
    socket.SOL_SOCKET: ("SOL_SOCKET", "SO_"),
    socket.IPPROTO_TCP: ("SOL_TCP", "TCP_"),
    socket.IPPROTO_UDP: ("SOL_UDP", "UDP_"),
    socket.IPPROTO_IP: ("SOL_IP", "IP_"),
    socket.IPPROTO_IPV6: ("SOL_IPV6", "IPV6_"),
}
# Names that Python's socket module lacks in some versions, and those with two names for a number.
_NUMBERS = {
    (socket.IPPROTO_UDP, 1): "UDP_CORK",
    (socket.IPPROTO_UDP, UDP_SEGMENT): "UDP_SEGMENT",
    (socket.IPPROTO_UDP, 104): "UDP_GRO",
    (socket.IPPROTO_TCP, 18): "TCP_USER_TIMEOUT",
    (socket.IPPROTO_TCP, 12): "TCP_QUICKACK",
    (socket.IPPROTO_TCP, 30): "TCP_FASTOPEN_CONNECT",
}
_LINGER = struct.Struct("ii")
_SHOWN_BYTES = 32


@cache
def option_name(level: int, option: int) -> str:
    """The option's name within its level, or its number."""
    known = _NUMBERS.get((level, option))
    if known is not None:
        return known
    prefix = _LEVELS.get(level, ("", "\0"))[1]
    names = (name for name in dir(socket) if name.startswith(prefix))
    found = [name for name in names if getattr(socket, name) == option]
    return min(found, default=str(option), key=len)


def setsockopt_text(level: object, option: object, value: object, length: object = None) -> str:
    """`SOL_TCP, TCP_NODELAY, 1`; bytes as hexadecimal, SO_LINGER's as its two fields."""
    if not isinstance(level, int) or not isinstance(option, int):
        return f"{level!r}, {option!r}"[:200]
    name = option_name(int(level), int(option))
    if value is None:
        shown = f"NULL, {length}"
    elif isinstance(value, int):
        shown = str(int(value))
    else:
        shown = _bytes_text(name, value)
    return f"{_LEVELS.get(level, (str(int(level)),))[0]}, {name}, {shown}"


def segment_text(ancillary: object) -> str:
    """`UDP_SEGMENT=1000` where the ancillary data of a sendmsg cut it up so, else nothing."""
    if not isinstance(ancillary, list | tuple):  # anything else may be read once only
        return ""
    try:
        for level, kind, value in ancillary:
            if (level, kind) == (socket.IPPROTO_UDP, UDP_SEGMENT):
                return f"UDP_SEGMENT={int.from_bytes(bytes(memoryview(value)), sys.byteorder)}"
    except (TypeError, ValueError):  # the call itself will say what is wrong
        pass
    return ""


def _bytes_text(name: str, value: object) -> str:
    try:
        raw = bytes(memoryview(value))  # type: ignore[arg-type]
    except TypeError:
        return f"({type(value).__name__})"
    if name == "SO_LINGER" and len(raw) == _LINGER.size:
        on, seconds = _LINGER.unpack(raw)
        return f"{{onoff={on}, linger={seconds}}}"
    return "0x" + raw[:_SHOWN_BYTES].hex() + ("..." if len(raw) > _SHOWN_BYTES else "")
