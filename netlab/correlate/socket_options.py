"""The setsockopt calls of a socket -> which option each one set, and to what.

The witness prints level, option and value as text, with names as far as its Python knows them; here
one option has one name. Values of four bytes are numbers, too (C's int). What a call that failed
would have set is not told. Read first: man 7 socket, man 7 ip, man 7 ipv6, man 7 udp.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from netlab.model.call import CallRecord
from netlab.model.records import dataclass

# Linux's numbers (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/udp.h) of options that
# Python does not name, or names in some versions only; and what strace calls by a longer name.
_NAMES = {
    ("SOL_SOCKET", "25"): "SO_BINDTODEVICE",
    ("SOL_SOCKET", "26"): "SO_ATTACH_FILTER",
    ("SOL_SOCKET", "27"): "SO_DETACH_FILTER",
    ("SOL_SOCKET", "37"): "SO_TIMESTAMPING",
    ("SOL_SOCKET", "65"): "SO_TIMESTAMPING",
    ("SOL_SOCKET", "SO_TIMESTAMPING_OLD"): "SO_TIMESTAMPING",
    ("SOL_SOCKET", "SO_TIMESTAMPING_NEW"): "SO_TIMESTAMPING",
    ("SOL_SOCKET", "47"): "SO_MAX_PACING_RATE",
    ("SOL_SOCKET", "50"): "SO_ATTACH_BPF",
    ("SOL_UDP", "1"): "UDP_CORK",
    ("SOL_UDP", "103"): "UDP_SEGMENT",
    ("SOL_UDP", "104"): "UDP_GRO",
    ("SOL_IP", "35"): "IP_ADD_MEMBERSHIP",
    ("SOL_IP", "36"): "IP_DROP_MEMBERSHIP",
    ("SOL_IP", "37"): "IP_UNBLOCK_SOURCE",
    ("SOL_IP", "38"): "IP_BLOCK_SOURCE",
    ("SOL_IP", "39"): "IP_ADD_SOURCE_MEMBERSHIP",
    ("SOL_IP", "40"): "IP_DROP_SOURCE_MEMBERSHIP",
    ("SOL_IP", "41"): "IP_MSFILTER",
    ("SOL_IP", "49"): "IP_MULTICAST_ALL",
    ("SOL_IPV6", "20"): "IPV6_JOIN_GROUP",
    ("SOL_IPV6", "IPV6_ADD_MEMBERSHIP"): "IPV6_JOIN_GROUP",
    ("SOL_IPV6", "21"): "IPV6_LEAVE_GROUP",
    ("SOL_IPV6", "IPV6_DROP_MEMBERSHIP"): "IPV6_LEAVE_GROUP",
    ("SOL_IPV6", "26"): "IPV6_V6ONLY",
    ("SOL_IPV6", "29"): "IPV6_MULTICAST_ALL",
}
_EITHER_FAMILY = {
    "42": "MCAST_JOIN_GROUP",
    "43": "MCAST_BLOCK_SOURCE",
    "44": "MCAST_UNBLOCK_SOURCE",
    "45": "MCAST_LEAVE_GROUP",
    "46": "MCAST_JOIN_SOURCE_GROUP",
    "47": "MCAST_LEAVE_SOURCE_GROUP",
    "48": "MCAST_MSFILTER",
}


@dataclass(frozen=True, slots=True)
class OptionSet:
    """One setsockopt that succeeded."""

    call: int
    entered_ns: int
    returned_ns: int | None
    name: str
    value: int | None  # None: bytes that are no number, or not shown
    raw: bytes  # as far as the witness shows them

    @property
    def on(self) -> bool:
        """Whether it switched something on; a value that is not known may have."""
        return self.value != 0


def options_of(numbers: Iterable[int], calls: list[CallRecord]) -> Iterator[OptionSet]:
    """What the setsockopt calls among `numbers` set, in order."""
    for number in numbers:
        record = calls[number - 1]
        if record.op != "setsockopt" or record.errno is not None:
            continue
        option = maybe_option(number, record)
        if option is not None:
            yield option


def maybe_option(number: int, record: CallRecord) -> OptionSet | None:
    """What one setsockopt set; None when its text says nothing that is understood."""
    level, _, rest = record.args.partition(", ")
    option, comma, shown = rest.partition(", ")
    if not comma:
        return None
    name = _NAMES.get((level, option), option)
    if level in ("SOL_IP", "SOL_IPV6"):
        name = _EITHER_FAMILY.get(option, name)
    value, raw = _value(shown.strip())
    return OptionSet(number, record.entered_ns, record.returned_ns, name, value, raw)


def _value(shown: str) -> tuple[int | None, bytes]:
    if shown.startswith("0x"):
        whole = not shown.endswith("...")
        try:
            raw = bytes.fromhex(shown[2:].removesuffix("..."))
        except ValueError:
            return None, b""
        number = int.from_bytes(raw, sys.byteorder, signed=True)
        return (number if whole and len(raw) == 4 else None), raw
    try:
        return int(shown), b""
    except ValueError:
        return None, b""
