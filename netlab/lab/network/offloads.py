"""Switches a link's offloads off, and reads back that they are: ethtool without the program.

With them on, what a sender hands to its link is not what a network would carry: frames of up to
64 KiB, and checksums left to hardware that a veth pair does not have. A wire that passes such a
frame on by a packet socket passes it with the wrong checksum, and every SYN is lost. Read
linux/ethtool.h and man 7 netdevice.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_GLINK = 0x0A
# What it is called, ETHTOOL_G..., ETHTOOL_S...; the checksum first: the kernel then takes
# scatter-gather and TSO away by itself.
_OFFLOADS = (
    ("tx-checksum", 0x16, 0x17),
    ("scatter-gather", 0x18, 0x19),
    ("tso", 0x1E, 0x1F),
    ("gso", 0x23, 0x24),
    ("gro", 0x2B, 0x2C),
)


def switch_off(interface: str) -> None:
    """No offload of this interface from now on. Raises OSError where one stays on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        for _, _, setting in _OFFLOADS:
            _ethtool(sock, interface, setting, 0)
    still_on = [name for name, value in read(interface).items() if value]
    if still_on:
        raise OSError(f"{interface}: {', '.join(still_on)} cannot be switched off")


def read(interface: str) -> dict[str, bool]:
    """Whether each offload of an interface is on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        return {name: bool(_ethtool(sock, interface, getting, 0)) for name, getting, _ in _OFFLOADS}


def has_link(sock: socket.socket, interface: str) -> bool:
    """Whether both ends of this link are up at this moment. Raises OSError when it is gone.

    IFF_RUNNING tells the same up to a second late: the kernel updates it by a worker of its own.
    """
    return bool(_ethtool(sock, interface, _GLINK, 0))


def _ethtool(sock: socket.socket, interface: str, command: int, value: int) -> int:
    # struct ethtool_value, which the request points at: it must live until the call is done.
    data = array.array("I", (command, value))
    address, _ = data.buffer_info()
    fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("@16sP16x", interface.encode(), address))
    return data[1]
