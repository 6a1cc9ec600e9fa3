"""Which network interfaces see the traffic of an address: what a server listens on -> names.

What processes of this machine say to each other goes over loopback, whatever the address; from
elsewhere it comes in by the interface that has the address. Read man 7 netdevice (SIOCGIFCONF).
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK = "lo"
_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40  # struct ifreq on 64 bits: 16 of name, then a sockaddr_in, then padding
_MOST_ADDRESSES = 256
_ETHERNET_TYPES = ("1", "772")  # ARPHRD_ETHER, ARPHRD_LOOPBACK: what the ring can read


def interfaces_for(hosts: Iterable[str]) -> list[str]:
    """The interfaces that packets to these addresses (numbers) use, loopback first."""
    found = [LOOPBACK]
    known = addresses()
    for host in hosts:
        address = ipaddress.ip_address(host.partition("%")[0])
        for name, theirs in known:
            wanted = address.is_unspecified or theirs == address
            if wanted and name not in found and is_ethernet(name):
                found.append(name)
    return found


def addresses() -> list[tuple[str, Address]]:
    """Every (interface, address) of this network namespace."""
    return [*_ipv4_addresses(), *_ipv6_addresses()]


def is_ethernet(name: str, folder: Path = Path("/sys/class/net")) -> bool:
    """Whether its frames have Ethernet headers, as all frames of one recording must."""
    try:
        return (folder / name / "type").read_text().strip() in _ETHERNET_TYPES
    except OSError:  # no such file in this sandbox: let the ring say
        return True


def _ipv4_addresses() -> list[tuple[str, Address]]:
    room = array.array("B", bytes(_MOST_ADDRESSES * _IFREQ_BYTES))
    request = struct.pack("@iP", len(room), room.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        (used,) = struct.unpack_from("@i", fcntl.ioctl(sock, _SIOCGIFCONF, request))
    found: list[tuple[str, Address]] = []
    for at in range(0, used, _IFREQ_BYTES):
        label = bytes(room[at : at + 16]).split(b"\0")[0].decode()
        # A second address of an interface may be labelled eth0:1.
        name = label.partition(":")[0]
        found.append((name, ipaddress.IPv4Address(room[at + 20 : at + 24].tobytes())))
    return found


def _ipv6_addresses() -> list[tuple[str, Address]]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:  # IPv6 is switched off
        return []
    rows = [line.split() for line in lines]
    return [(row[5], ipaddress.IPv6Address(int(row[0], 16))) for row in rows]
