"""Which protocols netlab reads, and which of them a connection or a datagram speaks.

A protocol's module is imported when it is first asked for. A guess goes by content where a protocol
is sure of its own, and else by port: a port is a habit, bytes are what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from netlab.decode.applications.message import Application
from netlab.model.errors import UsageError

_ROOM = "netlab.decode.applications"
# Name -> module and what it is called there. Asked by content in this order: the strictest first.
_WHERE = {
    "tls": ("tls", "APPLICATION"),
    "http2": ("http2", "APPLICATION"),
    "http": ("http1", "APPLICATION"),
    "websocket": ("websocket", "APPLICATION"),
    "postgres": ("postgres", "APPLICATION"),
    "mqtt": ("mqtt", "APPLICATION"),
    "redis": ("redis", "APPLICATION"),
    "smtp": ("smtp", "APPLICATION"),
    "ftp": ("ftp", "APPLICATION"),
    "ssdp": ("ssdp", "APPLICATION"),
    "dhcp": ("dhcp", "APPLICATION"),
    "ntp": ("ntp", "APPLICATION"),
    "dns": ("dns", "APPLICATION"),
    "mdns": ("dns", "MDNS"),  # these two look like DNS and are known by their ports
    "llmnr": ("dns", "LLMNR"),
    "dhcpv6": ("dhcpv6", "APPLICATION"),
}


class _Applications(Mapping[str, Application]):
    """Name -> protocol, imported at first sight."""

    def __init__(self) -> None:
        self._known: dict[str, Application] = {}

    def __getitem__(self, name: str) -> Application:
        found = self._known.get(name)
        if found is None:
            module, called = _WHERE[name]
            found = getattr(import_module(f"{_ROOM}.{module}"), called)
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
    close = get_close_matches(name.lower(), _WHERE, n=1, cutoff=0.5)
    known = ", ".join(sorted(_WHERE))
    hint = f"did you mean {close[0]}?" if close else f"the protocols are {known}"
    raise UsageError(f"no protocol {name!r}", hint)


def guess_stream(client: bytes, server: bytes, server_port: int | None) -> Guess | None:
    """What a TCP connection speaks, by the first bytes of both sides and the server's port."""
    streams = [one for one in APPLICATIONS.values() if one.conversation is not None]
    return _guess(streams, client, server, [a for a in streams if server_port in a.tcp_ports])


def guess_datagrams(client: bytes, server: bytes, ports: tuple[int | None, ...]) -> Guess | None:
    """What a UDP conversation speaks, by the first datagram of each side and both ports."""
    talks = [one for one in APPLICATIONS.values() if one.datagram is not None]
    return _guess(talks, client, server, [a for a in talks if not a.udp_ports.isdisjoint(ports)])


def _guess(
    those: list[Application], client: bytes, server: bytes, at_port: list[Application]
) -> Guess | None:
    for application in at_port:
        if application.likely(client, server):
            return Guess(application, "content and port")
    for application in those:
        if application.likely(client, server):
            return Guess(application, "content")
    return Guess(at_port[0], "port") if at_port else None
