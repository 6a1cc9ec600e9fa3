"""Routes that carry their own congestion control, on loopback and on a host's link.

An ordinary user's namespace may only choose among tcp_allowed_congestion_control, and cubic is
often not there; a route's own congestion control is not limited so. It holds for the connections
that go out by the route and for those that come in and are answered by it. Read man 7 rtnetlink.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from netlab.lab.network.rtnetlink import CREATE, REPLACE, Rtnetlink, attribute, number, text

if TYPE_CHECKING:
    from ipaddress import IPv4Interface, IPv6Interface

_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_METRICS = 1, 4, 6, 7, 8
_RTAX_CC_ALGO = 16
_TABLE_MAIN, _TABLE_LOCAL, _PROTO_KERNEL = 254, 255, 2
_SCOPE_HOST, _SCOPE_LINK, _SCOPE_UNIVERSE = 254, 253, 0
_UNICAST, _LOCAL = 1, 2


def has_ipv6() -> bool:
    """Whether this network namespace has IPv6 at all."""
    return socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")


def set_loopback_congestion_control(algorithm: str) -> None:
    """Make TCP over `lo`, IPv4 and IPv6, use this algorithm. Raises OSError where it cannot."""
    index = socket.if_nametoindex("lo")
    metrics = _congestion_control(algorithm)
    address = socket.inet_aton("127.0.0.1")
    with Rtnetlink() as netlink:
        for destination, prefix in ((address, 32), (socket.inet_aton("127.0.0.0"), 8)):
            _replace_local(netlink, destination, prefix, address, index, metrics)
        if not has_ipv6():
            return
        # The kernel's own route to ::1 has metric 0, which a user's cannot have, so replacing it
        # only adds a second, worse one: take the first away.
        route = (
            _route(socket.AF_INET6, 128, _TABLE_LOCAL, _SCOPE_UNIVERSE, _LOCAL)
            + attribute(_RTA_DST, socket.inet_pton(socket.AF_INET6, "::1"))
            + number(_RTA_OIF, index)
        )
        netlink.ask(_RTM_DELROUTE, 0, route)
        netlink.ask(_RTM_NEWROUTE, CREATE, route + number(_RTA_PRIORITY, 1) + metrics)


def add_link_route(interface: str, address: IPv4Interface | IPv6Interface, algorithm: str) -> None:
    """Reach the subnet of `address` by this interface with this congestion control; "" leaves
    that to the sysctl. Raises OSError."""
    index = socket.if_nametoindex(interface)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    network = address.network
    metrics = _congestion_control(algorithm) if algorithm else b""
    scope = _SCOPE_LINK if address.version == 4 else _SCOPE_UNIVERSE
    with Rtnetlink() as netlink:
        netlink.ask(
            _RTM_NEWROUTE,
            CREATE | REPLACE,
            _route(family, network.prefixlen, _TABLE_MAIN, scope, _UNICAST)
            + attribute(_RTA_DST, network.network_address.packed)
            + number(_RTA_OIF, index)
            + attribute(_RTA_PREFSRC, address.ip.packed)
            + metrics,
        )
        if address.version == 4 and algorithm:
            # To itself a host speaks over lo, by the route of its own address.
            own = address.ip.packed
            _replace_local(netlink, own, 32, own, index, metrics)


def _replace_local(
    netlink: Rtnetlink, destination: bytes, prefix: int, source: bytes, index: int, metrics: bytes
) -> None:
    netlink.ask(
        _RTM_NEWROUTE,
        REPLACE | CREATE,
        _route(socket.AF_INET, prefix, _TABLE_LOCAL, _SCOPE_HOST, _LOCAL)
        + attribute(_RTA_DST, destination)
        + number(_RTA_OIF, index)
        + attribute(_RTA_PREFSRC, source)
        + metrics,
    )


def _congestion_control(algorithm: str) -> bytes:
    return attribute(_RTA_METRICS, text(_RTAX_CC_ALGO, algorithm))


def _route(family: int, prefix: int, table: int, scope: int, kind: int) -> bytes:
    return struct.pack("=BBBBBBBBI", family, prefix, 0, 0, table, _PROTO_KERNEL, scope, kind, 0)
