"""Which datagrams a UDP socket lets into its queue, as far as its calls tell: no, maybe, yes.

- An IPv4 socket hears IPv4 alone. An IPv6 one hears IPv4, too, if it is bound to all addresses or
  to a mapped one, and IPV6_V6ONLY is off (man 7 ipv6); its default is a sysctl, so that without a
  call nothing is sure until a mapped address shows it.
- A multicast datagram is heard by members of its group, and, as long as IP_MULTICAST_ALL is on (it
  is at first), by any socket of the port if anybody on the machine has joined (man 7 ip). Sure is
  only a member on loopback, where the membership names the interface that the frame came by.
- A filter (SO_ATTACH_FILTER, SO_ATTACH_BPF) may drop anything, SO_BINDTODEVICE all that came by
  another interface.
- What leaves the machine does not come to it: a frame on its way out is no datagram for a socket
  here, unless two network namespaces are recorded as one.
Knows nothing of the queue's other readers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from netlab.correlate.addresses import Endpoint, is_multicast
from netlab.correlate.datagrams import Datagram
from netlab.correlate.socket_options import OptionSet, options_of
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.frame import DIRECTION_OUT
from netlab.model.records import dataclass

_FOREVER = 1 << 63
_LOOPBACK = "lo"
_LOOPBACK_INDEX = 1  # LOOPBACK_IFINDEX, the same in every network namespace
_AF_INET = 2
_JOINS = frozenset({
    "IP_ADD_MEMBERSHIP", "IPV6_JOIN_GROUP", "MCAST_JOIN_GROUP", "IP_ADD_SOURCE_MEMBERSHIP",
    "MCAST_JOIN_SOURCE_GROUP",
})  # fmt: skip
_LEAVES = frozenset({
    "IP_DROP_MEMBERSHIP", "IPV6_LEAVE_GROUP", "MCAST_LEAVE_GROUP", "IP_DROP_SOURCE_MEMBERSHIP",
    "MCAST_LEAVE_SOURCE_GROUP",
})  # fmt: skip
_BY_SOURCE = frozenset({
    "IP_ADD_SOURCE_MEMBERSHIP", "IP_BLOCK_SOURCE", "IP_MSFILTER", "MCAST_JOIN_SOURCE_GROUP",
    "MCAST_BLOCK_SOURCE", "MCAST_MSFILTER",
})  # fmt: skip
_FILTERS = frozenset({"SO_ATTACH_FILTER", "SO_ATTACH_BPF"})


class Admits(IntEnum):
    """Whether a datagram gets into a queue that has room."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(slots=True)
class _Span:
    """A stretch of time with soft edges: begun between the first two, ended between the others."""

    entered_ns: int
    since_ns: int
    until_ns: int = _FOREVER
    left_ns: int = _FOREVER

    def touches(self, at_ns: int) -> bool:
        return self.entered_ns <= at_ns <= self.left_ns

    def covers(self, at_ns: int) -> bool:
        return self.since_ns <= at_ns <= self.until_ns


@dataclass(slots=True)
class _Membership:
    group: str
    on_loopback: bool
    span: _Span


class Gate:
    """What one socket lets in, and since when."""

    def __init__(self, socket: Socket, calls: list[CallRecord]) -> None:
        self._own_calls = frozenset(socket.calls)
        self._family = socket.family
        self._v6only: bool | None = _hears_no_ipv4(socket, calls)
        self._filters: list[_Span] = []
        self._memberships: list[_Membership] = []
        self._own_groups_only: _Span | None = None
        self._by_source = False
        self.any_device = True
        self.merges = False  # UDP_GRO: one read may give several datagrams of a size
        for option in options_of(socket.calls, calls):
            self._note(option)

    def _note(self, option: OptionSet) -> None:
        name = option.name
        returned = _FOREVER if option.returned_ns is None else option.returned_ns
        self._by_source = self._by_source or name in _BY_SOURCE
        if name == "IPV6_V6ONLY":
            self._v6only = option.on
        elif name == "SO_BINDTODEVICE":
            self.any_device = False
        elif name == "UDP_GRO":
            self.merges = self.merges or option.on
        elif name in _FILTERS:
            self._filters.append(_Span(option.entered_ns, returned))
        elif name == "SO_DETACH_FILTER":
            for span in self._filters:
                span.left_ns = min(span.left_ns, returned)
        elif name in ("IP_MULTICAST_ALL", "IPV6_MULTICAST_ALL"):
            self._own_groups_only = None if option.on else _Span(option.entered_ns, returned)
        elif name in _JOINS or name in _LEAVES:
            self._member(option, returned)

    def _member(self, option: OptionSet, returned_ns: int) -> None:
        group, on_loopback = _group(option)
        if option.name in _JOINS:
            span = _Span(option.entered_ns, returned_ns)
            self._memberships.append(_Membership(group, on_loopback, span))
            return
        for membership in self._memberships:
            if membership.group == group and membership.span.until_ns == _FOREVER:
                membership.span.until_ns = option.entered_ns
                membership.span.left_ns = returned_ns
                break

    def hears(self, local: Endpoint, address: str) -> Admits:
        """By family alone: whether a socket with this local address hears what is sent there."""
        if self._family is None:
            return Admits.MAYBE
        # A mapped local address is written as the IPv4 one that it is.
        speaks_ipv6 = self._family != "AF_INET" and (":" in local[0] or local[0] in ("*", ""))
        if ":" in address:
            return Admits.YES if speaks_ipv6 else Admits.NO
        if not speaks_ipv6:
            return Admits.YES
        if self._v6only is None:
            return Admits.MAYBE
        return Admits.NO if self._v6only else Admits.YES

    def admits(self, local: Endpoint, d: Datagram, at_ns: int) -> Admits:
        """Whether the datagram, which is for this socket's port, gets in."""
        found = self.hears(local, d.dst[0])
        if found is Admits.NO:
            return found
        if is_multicast(d.dst[0]):
            found = min(found, self._as_member(d, at_ns))
        else:
            found = min(found, self._comes_here(d))
        if not self.any_device or any(span.touches(at_ns) for span in self._filters):
            found = min(found, Admits.MAYBE)
        return found

    def _as_member(self, d: Datagram, at_ns: int) -> Admits:
        mine = [m for m in self._memberships if m.group == d.dst[0]]
        if any(m.span.touches(at_ns) for m in mine):
            sure = _by_loopback(d) and not self._by_source
            if sure and any(m.on_loopback and m.span.covers(at_ns) for m in mine):
                return Admits.YES
            return Admits.MAYBE
        alone = self._own_groups_only
        return Admits.NO if alone is not None and alone.covers(at_ns) else Admits.MAYBE

    def _comes_here(self, d: Datagram) -> Admits:
        if _by_loopback(d):
            return Admits.YES
        if not self._own_calls.isdisjoint(d.sent_by):
            return Admits.NO
        leaves = any(packet._offload & 0b11 == DIRECTION_OUT for packet in d.packets)
        return Admits.MAYBE if leaves else Admits.YES


def _by_loopback(d: Datagram) -> bool:
    return d.packets[0].interface == _LOOPBACK


def _hears_no_ipv4(socket: Socket, calls: list[CallRecord]) -> bool | None:
    """False where a mapped address shows that the socket speaks IPv4, too; else not known."""
    for number in socket.calls:
        record = calls[number - 1]
        if record.errno is None:
            for text in (record.address, record.peer):
                if text is not None and text.lower().startswith("[::ffff:"):
                    return False
    return None


def _group(option: OptionSet) -> tuple[str, bool]:
    """The group that an option names, and whether it names loopback as the interface."""
    raw, name = option.raw, option.name
    if name.startswith("IPV6_"):  # struct ipv6_mreq
        return _text(raw[:16]), _index(raw[16:20]) == _LOOPBACK_INDEX
    if name.startswith("MCAST_"):  # struct group_req, group_source_req: index, then a sockaddr
        start = 12 if int.from_bytes(raw[8:10], sys.byteorder) == _AF_INET else 16
        size = 4 if start == 12 else 16
        return _text(raw[start : start + size]), _index(raw[:4]) == _LOOPBACK_INDEX
    if name.endswith("SOURCE_MEMBERSHIP"):  # struct ip_mreq_source
        return _text(raw[:4]), raw[4:5] == b"\x7f"
    index = _index(raw[8:12]) if len(raw) >= 12 else 0  # struct ip_mreqn
    return _text(raw[:4]), index == _LOOPBACK_INDEX or (not index and raw[4:5] == b"\x7f")


def _index(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder)


def _text(raw: bytes) -> str:
    if len(raw) == 4:
        return str(IPv4Address(raw))
    return str(IPv6Address(raw)) if len(raw) == 16 else ""


def may_be_for_all(address: str, senders: Sequence[bool]) -> bool:
    """Whether this may be a network's broadcast address; `senders`: SO_BROADCAST of who sent it.

    The address ends in ones, whatever the length of the network (RFC 919), and without the option
    the kernel sends nothing there (man 7 socket).
    """
    last = address.rpartition(".")[2]
    return (
        ":" not in address
        and last.isdigit()
        and int(last) & 3 == 3
        and bool(senders)
        and all(senders)
    )
