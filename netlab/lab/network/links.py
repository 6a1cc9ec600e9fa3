"""Links of a network namespace: veth pairs, their addresses and neighbours, without `ip`.

Whatever takes a name means the interface of the namespace that this thread is in. Each raises
OSError with the kernel's errno. Read man 7 rtnetlink, man 7 netdevice, man 4 veth.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import TYPE_CHECKING

from netlab.lab.network.rtnetlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Rtnetlink,
    attribute,
    number,
    text,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWNEIGH = 16, 20, 28
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 31, 32
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD, _IFA_F_PERMANENT, _IFA_F_NOPREFIXROUTE = 0x02, 0x80, 0x200
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80


def bring_up(interface: str, *, quiet: bool = False) -> None:
    """Set an interface's IFF_UP flag, and with `quiet` IFF_NOARP.

    A quiet interface asks for nobody's address and announces none: no ARP, no neighbour discovery,
    no report of multicast groups; what it sends is what programs send.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = struct.pack("16sH22x", interface.encode(), 0)
        request = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("=H", request, 16)
        flags |= _IFF_UP | (_IFF_NOARP if quiet else 0)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", interface.encode(), flags))


def make_veth(
    name: str, mac: str, *, peer: str, peer_mac: str, peer_namespace: int, mtu_bytes: int
) -> None:
    """A pair of joined links: `name` here, `peer` in the namespace of the descriptor."""
    common = number(_IFLA_MTU, mtu_bytes)
    common += number(_IFLA_NUM_TX_QUEUES, 1) + number(_IFLA_NUM_RX_QUEUES, 1)
    other = (
        _link(0)
        + text(_IFLA_IFNAME, peer)
        + attribute(_IFLA_ADDRESS, mac_bytes(peer_mac))
        + number(_IFLA_NET_NS_FD, peer_namespace)
        + common
    )
    about = text(_IFLA_INFO_KIND, "veth")
    about += attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, other))
    with Rtnetlink() as netlink:
        netlink.ask(
            _RTM_NEWLINK,
            CREATE | EXCLUSIVE,
            _link(0)
            + text(_IFLA_IFNAME, name)
            + attribute(_IFLA_ADDRESS, mac_bytes(mac))
            + common
            + attribute(_IFLA_LINKINFO, about),
        )


def add_address(interface: str, address: IPv4Interface | IPv6Interface) -> None:
    """Give an interface an address: no duplicate is looked for, no route comes with it."""
    flags = _IFA_F_NODAD | _IFA_F_PERMANENT | _IFA_F_NOPREFIXROUTE
    family = _family(address)
    index = socket.if_nametoindex(interface)
    with Rtnetlink() as netlink:
        netlink.ask(
            _RTM_NEWADDR,
            CREATE | REPLACE,
            struct.pack("=BBBBI", family, address.network.prefixlen, 0, 0, index)
            + attribute(_IFA_LOCAL, address.ip.packed)
            + attribute(_IFA_ADDRESS, address.ip.packed)
            + number(_IFA_FLAGS, flags),
        )


def add_neighbour(interface: str, address: IPv4Address | IPv6Address, mac: str) -> None:
    """Write down for good which MAC an address of the link has."""
    index = socket.if_nametoindex(interface)
    with Rtnetlink() as netlink:
        netlink.ask(
            _RTM_NEWNEIGH,
            CREATE | REPLACE,
            struct.pack("=BxHiHBB", _family(address), 0, index, _NUD_PERMANENT, 0, 0)
            + attribute(_NDA_DST, address.packed)
            + attribute(_NDA_LLADDR, mac_bytes(mac)),
        )


def mac_bytes(mac: str) -> bytes:
    """`02:00:00:00:00:01` as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _link(index: int) -> bytes:
    # struct ifinfomsg: family, type, index, flags, change
    return struct.pack("=BxHiII", 0, 0, index, 0, 0)
