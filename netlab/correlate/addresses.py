"""Addresses as calls write them (`127.0.0.1:80`, `[::1]:80`) -> what packets carry, comparable.

An IPv6 socket that speaks IPv4 shows `::ffff:127.0.0.1` while its packets are IPv4: both become the
IPv4 address. A zone (`fe80::1%eth0`) is dropped, as no packet holds it. Knows no connections.
"""

from __future__ import annotations

from functools import lru_cache

Endpoint = tuple[str, int]  # address text, port

WILDCARDS = frozenset({"0.0.0.0", "::", "*", ""})


@lru_cache(maxsize=65_536)
def plain_address(text: str) -> str:
    """One spelling for one address."""
    text = text.partition("%")[0]
    if text.lower().startswith("::ffff:") and "." in text:
        return text[7:]
    return text.lower()


@lru_cache(maxsize=65_536)
def maybe_endpoint(text: str | None) -> Endpoint | None:
    """The address and port of an Internet address, None for anything else."""
    if not text or text.startswith("unix:"):
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        return None
    return plain_address(host.strip("[]")), int(port)


def is_wildcard(endpoint: Endpoint) -> bool:
    """True for an endpoint bound to every address of its host."""
    return endpoint[0] in WILDCARDS


def is_multicast(address: str) -> bool:
    """True when a datagram to this address may reach more than one socket."""
    if ":" in address:
        return address.startswith("ff")
    first = address.partition(".")[0]
    return (first.isdigit() and 224 <= int(first) <= 239) or address == "255.255.255.255"
