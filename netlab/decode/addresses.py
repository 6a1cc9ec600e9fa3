"""Packed addresses -> the text people read: IPv4, IPv6 as RFC 5952 writes it, MAC.

Must not know where the bytes stood. The standard library's `ipaddress` costs 10 ms to import and
3 us an address; a capture has few addresses and many packets, so texts are kept in a table.
Read first: RFC 5952 section 4 (one text for each IPv6 address) and 5 (mapped IPv4).
"""

from __future__ import annotations

import struct

_GROUPS = struct.Struct("!8H")
_MAPPED = bytes(10) + b"\xff\xff"
_MOST_KEPT = 65_536  # a capture of a scan has no use for a table of all it met


def ipv4_text(packed: bytes) -> str:
    """`192.0.2.1` from 4 bytes."""
    return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}"


def ipv6_text(packed: bytes) -> str:
    """`2001:db8::1` from 16 bytes; an address that maps an IPv4 one reads `::ffff:192.0.2.1`."""
    if packed[:12] == _MAPPED:
        return f"::ffff:{ipv4_text(packed[12:])}"
    groups = _GROUPS.unpack(packed)
    start, stop = _longest_zero_run(groups)
    if stop - start < 2:  # a single zero group is written out (section 4.2.2)
        return ":".join(f"{group:x}" for group in groups)
    before = ":".join(f"{group:x}" for group in groups[:start])
    after = ":".join(f"{group:x}" for group in groups[stop:])
    return f"{before}::{after}"


def _longest_zero_run(groups: tuple[int, ...]) -> tuple[int, int]:
    best = (0, 0)
    start = 0
    for index, group in enumerate(groups):
        if group:
            start = index + 1
        elif index + 1 - start > best[1] - best[0]:  # ties: the first run (section 4.2.3)
            best = (start, index + 1)
    return best


def mac_text(packed: bytes) -> str:
    """`02:00:00:00:00:01` from any number of bytes."""
    return packed.hex(":")


class AddressTexts(dict[bytes, str]):
    """Texts by packed address: `texts[packed]`; what was seen before costs one lookup."""

    def __missing__(self, packed: bytes) -> str:
        if len(self) >= _MOST_KEPT:
            self.clear()
        text = ipv4_text(packed) if len(packed) == 4 else ipv6_text(packed)
        self[packed] = text
        return text
