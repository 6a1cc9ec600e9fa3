"""What strace writes for sockets and their addresses -> netlab's words for them.

Names behind descriptors (-y: `socket:[12]`; -yy: `TCP:[127.0.0.1:80->127.0.0.1:4000]`), structs
sockaddr, message flags and events. Read first: man 1 strace (-y, -yy), man 7 ip, man 7 unix.
"""

from __future__ import annotations

import re
from functools import lru_cache

from netlab.capture.strace.values import (
    Applied,
    Changed,
    Group,
    Text,
    Value,
    number_from,
    unescaped,
)
from netlab.model import call as model
from netlab.model.records import dataclass

# The families whose calls are recorded; netlink and packet sockets are not the program's traffic.
FAMILIES = frozenset({"AF_INET", "AF_INET6", "AF_UNIX"})
_KINDS = ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET", "SOCK_RAW")
_PROTOCOLS = {
    "TCP": ("AF_INET", "SOCK_STREAM"),
    "TCPv6": ("AF_INET6", "SOCK_STREAM"),
    "MPTCP": ("AF_INET", "SOCK_STREAM"),
    "UDP": ("AF_INET", "SOCK_DGRAM"),
    "UDPv6": ("AF_INET6", "SOCK_DGRAM"),
    "UDPLITE": ("AF_INET", "SOCK_DGRAM"),
    "UDPLITEv6": ("AF_INET6", "SOCK_DGRAM"),
    "UNIX": ("AF_UNIX", None),
    "UNIX-STREAM": ("AF_UNIX", "SOCK_STREAM"),
    "UNIX-DGRAM": ("AF_UNIX", "SOCK_DGRAM"),
    "UNIX-SEQPACKET": ("AF_UNIX", "SOCK_SEQPACKET"),
}
_NAME = re.compile(r"([A-Za-z0-9_-]+):\[(.*)\]$", re.DOTALL)
_INODE = re.compile(r"(\d+)$")
_UNIX = re.compile(r'(\d+)(?:->(\d+))?(?:,(@)?"((?:[^"\\]|\\.)*)"(?:\.\.\.)?)?$', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a descriptor's name says of what is behind it."""

    what: str  # socket, epoll, other
    inode: int | None = None
    family: str | None = None
    kind: str | None = None
    local: str | None = None
    peer: str | None = None
    peer_inode: int | None = None


OTHER = Shown("other")


@lru_cache(maxsize=16_384)
def shown_by(name: str) -> Shown:
    """The meaning of a name; anything that is not a socket's or an epoll's is `other`."""
    match = _NAME.match(name)
    if match is None or name.startswith("/"):
        return OTHER
    protocol, inside = match.groups()
    if protocol == "socket":
        return Shown("socket", int(inside)) if _INODE.match(inside) else OTHER
    if protocol == "anon_inode":
        return Shown("epoll") if inside == "eventpoll" else OTHER
    known = _PROTOCOLS.get(protocol)
    if known is None:
        return OTHER
    family, kind = known
    if family == "AF_UNIX":
        unix = _UNIX.match(inside)
        if unix is None:
            return OTHER
        inode, peer, abstract, path = unix.groups()
        local = None if path is None else unix_text(unescaped(path), bool(abstract))
        return Shown("socket", int(inode), family, kind, local, None, int(peer) if peer else None)
    if _INODE.match(inside):
        return Shown("socket", int(inside), family, kind)
    local, arrow, peer = inside.partition("->")
    return Shown("socket", None, family, kind, local or None, peer if arrow else None)


def unix_text(name: bytes, abstract: bool) -> str:
    """`unix:/path`, `unix:@name`, `unix:`."""
    text = name.decode("utf-8", "backslashreplace")
    if abstract or text.startswith("\0"):
        return "unix:@" + text.removeprefix("\0")
    return "unix:" + text.rstrip("\0")


def address_of(value: Value | None) -> str | None:
    """The text of a struct sockaddr, or None where there is none (NULL, a pointer)."""
    if isinstance(value, Changed):
        value = value.after
    if not isinstance(value, Group):
        return None
    fields = value.fields
    family = fields.get("sa_family")
    if family in ("AF_UNIX", "AF_LOCAL"):
        path = fields.get("sun_path")
        return unix_text(path.data, path.abstract) if isinstance(path, Text) else "unix:"
    if family == "AF_INET":
        host = _host(fields.get("sin_addr"))
        return f"{host}:{_port(fields.get('sin_port'))}" if host is not None else None
    if family == "AF_INET6":
        host = next((h for h in map(_host, _candidates(value)) if h is not None), None)
        if host is None:
            return None
        scope = fields.get("sin6_scope_id")
        zone = _zone(scope)
        return f"[{host}{zone}]:{_port(fields.get('sin6_port'))}"
    return None


def family_of(value: Value | None) -> str | None:
    """AF_INET, AF_INET6 or AF_UNIX, of a struct sockaddr."""
    if isinstance(value, Changed):
        value = value.after
    if isinstance(value, Group):
        family = value.fields.get("sa_family")
        if family in FAMILIES:
            return str(family)
        if family == "AF_LOCAL":
            return "AF_UNIX"
    return None


def _candidates(address: Group) -> list[Value]:
    """`sin6_addr=inet_pton(...)`, or only the call, which names the field itself."""
    named = address.fields.get("sin6_addr")
    return [*([named] if named is not None else []), *address.items]


def _host(value: Value | None) -> str | None:
    """The address in `inet_addr("1.2.3.4")` or `inet_pton(AF_INET6, "::1", &sin6_addr)`."""
    if not isinstance(value, Applied) or value.name not in ("inet_addr", "inet_pton"):
        return None
    for item in value.arguments.items:
        if isinstance(item, Text):
            return item.data.decode("latin-1")
    return None


def _port(value: Value | None) -> int:
    if isinstance(value, Applied) and value.arguments.items:
        return number_from(value.arguments.items[0]) or 0
    return number_from(value) or 0


def _zone(scope: Value | None) -> str:
    if isinstance(scope, Applied) and scope.arguments.items:  # if_nametoindex("eth0")
        name = scope.arguments.items[0]
        return f"%{name.data.decode('latin-1')}" if isinstance(name, Text) else ""
    number = number_from(scope)
    return f"%{number}" if number else ""


def kind_of(word: Value | None) -> tuple[str | None, bool]:
    """`SOCK_STREAM|SOCK_CLOEXEC` -> the kind, and whether it is closed on exec."""
    names = word.split("|") if isinstance(word, str) else []
    found = next((name for name in names if name in _KINDS), None)
    return found, "SOCK_CLOEXEC" in names


MESSAGE_FLAGS = {
    **{name: bit for bit, name in model.MSG_NAMES.items()},
    "MSG_DONTROUTE": 0x4,
    "MSG_PROBE": 0x10,
    "MSG_EOR": 0x80,
    "MSG_FIN": 0x200,
    "MSG_SYN": 0x400,
    "MSG_CONFIRM": 0x800,
    "MSG_RST": 0x1000,
    "MSG_WAITFORONE": 0x10000,
    "MSG_SENDPAGE_NOTLAST": 0x20000,
    "MSG_BATCH": 0x40000,
    "MSG_ZEROCOPY": 0x4000000,
    "MSG_FASTOPEN": 0x20000000,
    "MSG_CMSG_CLOEXEC": 0x40000000,
}
_EVENTS = {
    **{f"POLL{name}": bit for bit, name in model.POLL_NAMES.items()},
    **{f"EPOLL{name}": bit for bit, name in model.POLL_NAMES.items()},
    "POLLRDNORM": 0x40, "EPOLLRDNORM": 0x40,
    "POLLRDBAND": 0x80, "EPOLLRDBAND": 0x80,
    "POLLWRNORM": 0x100, "EPOLLWRNORM": 0x100,
    "POLLWRBAND": 0x200, "EPOLLWRBAND": 0x200,
    "POLLMSG": 0x400, "EPOLLMSG": 0x400,
    "EPOLLEXCLUSIVE": 1 << 28,
    "EPOLLWAKEUP": 1 << 29,
    "EPOLLONESHOT": 1 << 30,
    "EPOLLET": model.EPOLLET,
}  # fmt: skip


def flags_from(word: Value | None) -> int:
    """The number of `MSG_PEEK|MSG_DONTWAIT|0x100`."""
    return _flags_of(word) if isinstance(word, str) else 0


def events_from(word: Value | None) -> int:
    """The number of `POLLIN|POLLHUP` or `EPOLLIN|EPOLLET`."""
    return _events_of(word) if isinstance(word, str) else 0


def _sum(word: Value | None, names: dict[str, int]) -> int:
    if not isinstance(word, str):
        return 0
    total = 0
    for name in word.split("|"):
        total |= names.get(name) or number_from(name) or 0
    return total


_flags_of = lru_cache(maxsize=1024)(lambda word: _sum(word, MESSAGE_FLAGS))
_events_of = lru_cache(maxsize=1024)(lambda word: _sum(word, _EVENTS))


@lru_cache(maxsize=1024)
def flags_text(flags: int) -> str:
    """`MSG_PEEK|MSG_DONTWAIT`, or nothing."""
    names = []
    for name, bit in MESSAGE_FLAGS.items():
        if flags & bit:
            names.append(name)
            flags &= ~bit
    if flags:
        names.append(hex(flags))
    return "|".join(names)
