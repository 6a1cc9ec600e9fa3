"""Brings loopback up and puts its congestion control on its routes, without the `ip` program.

An ordinary user's namespace may only choose among tcp_allowed_congestion_control, and cubic is
often not there; a route's own congestion control is not limited so. Knows rtnetlink and nothing of
netlab; read man 7 rtnetlink and man 7 netdevice.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
_NLMSG_ERROR = 2
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_METRICS = 1, 4, 6, 7, 8
_RTAX_CC_ALGO = 16
_RT_TABLE_LOCAL, _RTPROT_KERNEL, _RT_SCOPE_HOST, _RTN_LOCAL = 255, 2, 254, 2


def bring_up(interface: str) -> None:
    """Set an interface's IFF_UP flag in this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = struct.pack("16sH22x", interface.encode(), 0)
        request = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("=H", request, 16)
        request = struct.pack("16sH22x", interface.encode(), flags | _IFF_UP)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, request)


def set_loopback_congestion_control(algorithm: str) -> None:
    """Make TCP over `lo`, IPv4 and IPv6, use this algorithm. Raises OSError where it cannot."""
    index = socket.if_nametoindex("lo")
    metric = _attribute(_RTAX_CC_ALGO, algorithm.encode() + b"\0")
    address = socket.inet_aton("127.0.0.1")
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as netlink:
        for destination, prefix in ((address, 32), (socket.inet_aton("127.0.0.0"), 8)):
            _ask(
                netlink,
                _RTM_NEWROUTE,
                _NLM_F_REPLACE | _NLM_F_CREATE,
                _route(socket.AF_INET, prefix, _RT_SCOPE_HOST)
                + _attribute(_RTA_DST, destination)
                + _attribute(_RTA_OIF, struct.pack("=I", index))
                + _attribute(_RTA_PREFSRC, address)
                + _attribute(_RTA_METRICS, metric),
            )
        if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
            return
        # The kernel's own route to ::1 has metric 0, which a user's cannot have, so replacing it
        # only adds a second, worse one: take the first away.
        route = (
            _route(socket.AF_INET6, 128, 0)
            + _attribute(_RTA_DST, socket.inet_pton(socket.AF_INET6, "::1"))
            + _attribute(_RTA_OIF, struct.pack("=I", index))
        )
        _ask(netlink, _RTM_DELROUTE, 0, route)
        better = _attribute(_RTA_PRIORITY, struct.pack("=I", 1))
        metrics = _attribute(_RTA_METRICS, metric)
        _ask(netlink, _RTM_NEWROUTE, _NLM_F_CREATE, route + better + metrics)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _route(family: int, prefix: int, scope: int) -> bytes:
    return struct.pack(
        "=BBBBBBBBI", family, prefix, 0, 0, _RT_TABLE_LOCAL, _RTPROT_KERNEL, scope, _RTN_LOCAL, 0
    )


def _ask(netlink: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Send one request and wait for its acknowledgement."""
    flags |= _NLM_F_REQUEST | _NLM_F_ACK
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    answer = netlink.recv(1 << 14)
    (_, kind) = struct.unpack_from("=IH", answer)
    (error,) = struct.unpack_from("=i", answer, 16)
    if kind == _NLMSG_ERROR and error:
        raise OSError(-error, os.strerror(-error))
