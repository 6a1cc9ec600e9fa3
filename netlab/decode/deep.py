"""A frame -> what scapy makes of it, line by line: the deep look at protocols netlab does not read.

The one file that imports scapy, and only when asked. The lines hold captured text: escape them
before a terminal. Read first: scapy's `Packet.show`.
"""

from __future__ import annotations

import logging
from typing import Any

from netlab.decode import numbers


def deep(data: bytes, link: int) -> list[str]:
    """The lines of scapy's `show()`, starting at the link header; a note when scapy cannot.

    `link` is the LINKTYPE_ number. Never raises, whatever the bytes.
    """
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # it warns of routes it does not need
    try:
        layer = _first_layer(data, link)
        if layer is None:
            return [f"scapy was not asked: no layer for {numbers.link_name(link)} frames"]
        text: str = layer(data).show(dump=True)
    except Exception as fault:  # hostile bytes raise anything in there; the look is a courtesy
        return [f"scapy gave up: {type(fault).__name__}"]
    return text.splitlines()


def _first_layer(data: bytes, link: int) -> Any:
    from scapy.layers import inet, inet6, l2

    version = data[0] >> 4 if data else 0
    raw_ip = inet6.IPv6 if version == 6 else inet.IP
    return {
        numbers.LINK_ETHERNET: l2.Ether,
        numbers.LINK_COOKED: l2.CookedLinux,
        numbers.LINK_COOKED_2: l2.CookedLinuxV2,
        numbers.LINK_NULL: l2.Loopback,
        numbers.LINK_LOOP: l2.Loopback,
        numbers.LINK_IPV4: inet.IP,
        numbers.LINK_IPV6: inet6.IPv6,
        numbers.LINK_RAW: raw_ip,
        numbers.LINK_RAW_BSD: raw_ip,
        numbers.LINK_RAW_OPENBSD: raw_ip,
    }.get(link)
