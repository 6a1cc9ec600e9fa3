"""ICMP and ICMPv6: types and codes as numbers -> what they are called, and a message in words.

Must not know the packet around a message. Read first: RFC 792, RFC 1191 section 4 (the MTU in an
unreachable), RFC 4443; the names are IANA's "ICMP Parameters" and "ICMPv6 Parameters", shortened.
"""

from __future__ import annotations

from netlab.decode.addresses import ipv4_text
from netlab.model.tables import Icmp

ICMP_TYPES = {
    0: "echo reply",
    3: "destination unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    9: "router advertisement",
    10: "router solicitation",
    11: "time exceeded",
    12: "parameter problem",
    13: "timestamp request",
    14: "timestamp reply",
}
ICMP_UNREACHABLE = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network prohibited",
    10: "host prohibited",
    13: "administratively prohibited",
}
ICMPV6_TYPES = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    131: "multicast listener report",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    137: "redirect",
    143: "multicast listener report v2",
}
ICMPV6_UNREACHABLE = {
    0: "no route",
    1: "administratively prohibited",
    3: "address unreachable",
    4: "port unreachable",
    5: "source address failed policy",
    6: "reject route",
}


def message_head(version: int, kind: int, code: int, rest: int) -> tuple[Icmp, str]:
    """A message's head, and that in words: `fragmentation needed, MTU 900`.

    `rest` is the header's second half, as a number. What has no name is said by its numbers:
    `type 42 code 1`.
    """
    types, unreachable, unreachable_kind = ICMP_TYPES, ICMP_UNREACHABLE, 3
    if version == 6:
        types, unreachable, unreachable_kind = ICMPV6_TYPES, ICMPV6_UNREACHABLE, 1
    if kind not in types:
        name = f"type {kind} code {code}"
        return Icmp(kind, code, name), name
    name, details = types[kind], ""
    mtu_bytes = _mtu(version, kind, code, rest)
    if kind == unreachable_kind:
        details = "" if code in unreachable else f", code {code}"
        name = unreachable.get(code, name)
    elif name == "time exceeded" and code == 1:
        name += " in reassembly"
    elif name in ("echo request", "echo reply"):
        details = f" id={rest >> 16} seq={rest & 0xFFFF}"
    elif (version, kind) == (4, 5):
        name += f" to {ipv4_text(rest.to_bytes(4, 'big'))}"
    if mtu_bytes is not None:
        details = f", MTU {mtu_bytes}"
    return Icmp(kind, code, name, mtu_bytes), name + details


def _mtu(version: int, kind: int, code: int, rest: int) -> int | None:
    """What fits, in bytes, of what was too big; None: it says nothing of that."""
    if (version, kind) == (6, _PACKET_TOO_BIG):
        return rest
    if (version, kind, code) == (4, *_FRAGMENTATION_NEEDED):
        return rest & 0xFFFF or None  # 0: a router from before RFC 1191
    return None


_PACKET_TOO_BIG = 2  # RFC 4443 3.2
_FRAGMENTATION_NEEDED = 3, 4  # type and code: RFC 1191 section 4
