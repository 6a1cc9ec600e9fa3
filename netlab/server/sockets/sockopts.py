"""Option values -> setsockopt calls: what stands before bind, what on each connection.

A TCP connection inherits nearly all from its listener, at the handshake: set there, the first
connection has it, and none costs a call (checked in tests/live/test_server_options.py). Read first:
man 7 socket, man 7 tcp, man 7 ipv6.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netlab.server.settings.option_table import Options

TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_SIOCINQ = 0x541B  # linux/sockios.h
_LINGER = struct.Struct("ii")
RESET = _LINGER.pack(1, 0)  # close() drops what is queued and sends RST


def before_bind(sock: socket.socket, kind: str, options: Options) -> None:
    """Prepare a socket that will listen or receive datagrams. `kind` is an entrance's."""
    if sock.family == socket.AF_INET6:  # each address is an entrance of its own
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if options.rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.rcvbuf)
    if options.sndbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.sndbuf)
    if options.reuse_port and kind in ("tcp", "udp"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if kind == "tcp":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _listening(sock, options)


def _listening(sock: socket.socket, options: Options) -> None:
    """All that connections inherit, and what concerns the handshake."""
    if options.nodelay:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, options.keepalive_idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, options.keepalive_interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, options.keepalive_count)
    if options.user_timeout:
        sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(options.user_timeout * 1000)
        )
    if options.linger >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, options.linger))
    if options.notsent_lowat:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.notsent_lowat)
    if options.defer_accept:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, options.defer_accept)
    if options.fastopen:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, options.fastopen)


def on_connection(sock: socket.socket, options: Options) -> None:
    """Set what an accepted socket has not inherited: a Unix socket's buffers, TCP_QUICKACK."""
    if sock.family == socket.AF_UNIX:
        if options.rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.rcvbuf)
        if options.sndbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.sndbuf)
    elif options.quickack:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def unread_bytes(descriptor: int) -> int:
    """What waits to be received (SIOCINQ); a close() now makes the kernel send RST for it."""
    with contextlib.suppress(OSError):
        return int.from_bytes(fcntl.ioctl(descriptor, _SIOCINQ, bytes(4)), sys.byteorder)
    return 0
