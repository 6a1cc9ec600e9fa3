"""A captured frame -> the names of its headers, outermost first: `Ethernet`, `IPv4`, `TCP`.

For the hierarchy of protocols, over whole captures. The readers of the columns are the only ones
that know which header follows which: here they fill a packet that writes down each name on the way.
The headers of most frames follow from their columns alone, and those are not read again.
Links, networks and transports; what an ICMP error quotes is not part of the frame's own stack.
Read first: `packets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.decode.carried import VLAN_TAGS
from netlab.decode.links import LINKS, read_opaque
from netlab.decode.numbers import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    LINK_COOKED,
    LINK_COOKED_2,
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_RAW,
    LINK_RAW_BSD,
    LINK_RAW_OPENBSD,
    link_name,
)
from netlab.model.tables import Packet

if TYPE_CHECKING:
    from netlab.model.frame import Frame
    from netlab.model.recording import RawRecording

VLAN = "VLAN"
Stack = tuple[str, ...]

_RAW = frozenset({LINK_RAW, LINK_RAW_BSD, LINK_RAW_OPENBSD, LINK_IPV4, LINK_IPV6})
# Where the link's header has an EtherType.
_TYPE_AT = {LINK_ETHERNET: 12, LINK_COOKED: 14, LINK_COOKED_2: 0}
_PLAIN = {ETHERTYPE_IPV4: "IPv4", ETHERTYPE_IPV6: "IPv6", ETHERTYPE_ARP: "ARP"}
_IN_IP = " in IP"


class _Noted(Packet):
    """A packet that keeps every name that its protocol had, and a name for each tag."""

    __slots__ = ("_last", "names")

    @property
    def protocol(self) -> str | None:
        return self._last

    @protocol.setter
    def protocol(self, name: str | None) -> None:
        self._last: str | None = name
        if name is None:
            self.names: list[str] = []
        else:
            self.names.append(name)

    @property
    def vlan(self) -> int | None:
        return None

    @vlan.setter
    def vlan(self, tag: int | None) -> None:
        if tag is not None:
            self.names.append(VLAN)


def stacks(raw: RawRecording, packets: list[Packet]) -> list[Stack]:
    """The stack of each frame, in order; `packets` are the rows that decoding gives for them."""
    links = [interface.link for interface in raw.interfaces]
    known: dict[tuple[str, int, str | None, str | None], Stack] = {}
    found = []
    for frame, packet in zip(raw.frames, packets, strict=True):
        link = links[frame.interface] if 0 <= frame.interface < len(links) else None
        tags, network = _network(link, packet, frame.data)
        if network is None:
            found.append(_read(frame, link))
            continue
        key = packet.link, tags, network, packet.protocol
        stack = known.get(key)
        if stack is None:
            inner = [name for name in (network, packet.protocol) if name and name != packet.link]
            stack = known[key] = (packet.link, *[VLAN] * tags, *dict.fromkeys(inner))
        found.append(stack)
    return found


def _network(link: int | None, packet: Packet, data: bytes | memoryview) -> tuple[int, str | None]:
    """How many tags there are, and the network's header if it follows them and holds no other.

    None: that cannot be told without reading.
    """
    if packet._depth or packet.protocol is None:
        return 0, None
    if link in _RAW and packet.ip_version is not None:
        return 0, f"IPv{packet.ip_version}"
    at = _TYPE_AT.get(link or 0)
    if at is None or len(data) < 20:
        return 0, None
    tags = 0
    ethertype = data[at] << 8 | data[at + 1]
    while ethertype in VLAN_TAGS:
        tags, at = tags + 1, at + 4
        if at + 2 > len(data):
            return 0, None
        ethertype = data[at] << 8 | data[at + 1]
    name = _PLAIN.get(ethertype)
    if link != LINK_ETHERNET and packet.ip_version is None:  # not all are EtherTypes there
        return 0, None
    # A network's header that could not be read was not noted: then the link is all there is.
    return tags, "" if name is not None and packet.protocol == packet.link else name


def _read(frame: Frame, link: int | None) -> Stack:
    name = "unknown" if link is None else link_name(link)
    packet = _Noted(
        frame.number, frame.time_ns, None, "", "", name, len(frame.data), frame.origlen_bytes
    )
    read = read_opaque if link is None else LINKS.get(link, read_opaque)
    read(packet, frame.data, 0, max(len(frame.data), frame.origlen_bytes), faults.FRAME_END)
    names = [name]
    for one in packet.names:  # who names a header that it has found, and who reads it, say the same
        if one != names[-1] or one == VLAN:
            names.append(one)
    return tuple(
        one
        for at, one in enumerate(names)
        # `IPv4 in IP` is the number that the outer header gives: the inner one says it, too.
        if not (one.endswith(_IN_IP) and names[at + 1 : at + 2] == [one.removesuffix(_IN_IP)])
    )
