"""Which protocols netlab reads, and which of them a connection or a datagram speaks.

A protocol's module is imported when it is first asked for. A guess goes by content where a protocol
is sure of its own, and else by port: a port is a habit, bytes are what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from netlab.decode.applications.message import Application
from netlab.model.errors import UsageError
from netlab.model.records import dataclass

_ROOM = "netlab.decode.applications"


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a protocol is read, and what of it has to be known before that is imported."""

    module: str
    tcp: tuple[int, ...] | None = None  # the ports of its `Application`; None: not over TCP
    udp: tuple[int, ...] | None = None
    called: str = "APPLICATION"


# Asked by content in this order: the strictest first.
_WHERE = {
    "tls": _Where("tls", (443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 5061, 8443, 8883)),
    "http2": _Where("http2", ()),
    "http": _Where("http1", (80, 3128, 8000, 8008, 8080, 8888)),
    "websocket": _Where("websocket", ()),
    "postgres": _Where("postgres", (5432, 5433, 6432)),
    "mqtt": _Where("mqtt", (1883,)),
    "redis": _Where("redis", (6379, 6380, 16379, 26379)),
    "memcached": _Where("memcached", (11211,)),
    "smtp": _Where("smtp", (25, 587, 2525)),
    "ftp": _Where("ftp", (21, 2121)),
    "ssdp": _Where("ssdp", None, (1900,)),
    "dhcp": _Where("dhcp", None, (67, 68)),
    "ntp": _Where("ntp", None, (123,)),
    "dns": _Where("dns", (53,), (53,)),
    # These two look like DNS and are known by their ports.
    "mdns": _Where("dns", None, (5353,), "MDNS"),
    "llmnr": _Where("dns", (5355,), (5355,), "LLMNR"),
    "dhcpv6": _Where("dhcpv6", None, (546, 547)),
}


class _Applications(Mapping[str, Application]):
    """Name -> protocol, imported at first sight."""

    def __init__(self) -> None:
        self._known: dict[str, Application] = {}

    def __getitem__(self, name: str) -> Application:
        found = self._known.get(name)
        if found is None:
            where = _WHERE[name]
            found = getattr(import_module(f"{_ROOM}.{where.module}"), where.called)
            assert isinstance(found, Application), name
            self._known[name] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


APPLICATIONS: Mapping[str, Application] = _Applications()


@dataclass(frozen=True, slots=True)
class Guess:
    """A protocol and how it is known: told, content, or port."""

    application: Application
    how: str


def by_name(name: str) -> Application:
    """The protocol of this name. Raises UsageError for an unknown one, with the nearest."""
    if name.lower() in APPLICATIONS:
        return APPLICATIONS[name.lower()]
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), _WHERE, n=1, cutoff=0.5)
    known = ", ".join(sorted(_WHERE))
    hint = f"did you mean {close[0]}?" if close else f"the protocols are {known}"
    raise UsageError(f"no protocol {name!r}", hint)


def guess_stream(client: bytes, server: bytes, server_port: int | None) -> Guess | None:
    """What a TCP connection speaks, by the first bytes of both sides and the server's port."""
    there = {name: where.tcp for name, where in _WHERE.items() if where.tcp is not None}
    return _guess(there, client, server, (server_port,))


def guess_datagrams(client: bytes, server: bytes, ports: tuple[int | None, ...]) -> Guess | None:
    """What a UDP conversation speaks, by the first datagram of each side and both ports."""
    there = {name: where.udp for name, where in _WHERE.items() if where.udp is not None}
    return _guess(there, client, server, ports)


def found_at_port(
    transport: str, client: bytes, server: bytes, ports: tuple[int | None, ...]
) -> Application | None:
    """The protocol that is at home at one of these ports and finds its own in the first bytes.

    Less than a guess: for a look at a whole capture, which is not to import what nobody speaks.
    """
    for name, where in _WHERE.items():
        known = where.tcp if transport == "tcp" else where.udp
        if known is not None and any(port in known for port in ports):
            application = APPLICATIONS[name]
            if application.likely(client, server):
                return application
    return None


def _guess(
    there: Mapping[str, tuple[int, ...]],
    client: bytes,
    server: bytes,
    ports: tuple[int | None, ...],
) -> Guess | None:
    """Those at the port are asked first: of the others nothing may have to be imported."""
    at_port = [name for name, known in there.items() if any(port in known for port in ports)]
    for name in at_port:
        if APPLICATIONS[name].likely(client, server):
            return Guess(APPLICATIONS[name], "content and port")
    for name in there:
        if APPLICATIONS[name].likely(client, server):
            return Guess(APPLICATIONS[name], "content")
    return Guess(APPLICATIONS[at_port[0]], "port") if at_port else None
