"""Rows and flows -> who spoke, and in which protocols: frames and bytes of each.

Counted by kernels as the file is read, so that nothing need be kept of single packets: by number
first, by name at the end. What the kernels cannot name (the rest of what is in no connection, and
what they set aside) goes through the general path, a frame at a time. Counts are those of
`decode.stacks`, and of src and dst in the table of packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add
from typing import TYPE_CHECKING, Any

from netlab.correlate import traffic_kernels as k
from netlab.decode.numbers import LINK_COOKED, LINK_COOKED_2, LINK_ETHERNET, link_name
from netlab.engine.flow_rows import address_number, address_text
from netlab.model.frame import Frame, Interface

if TYPE_CHECKING:
    from netlab.engine.capture import Flows
    from netlab.engine.records import Stretch

# Where the network's header begins where no tag stands before it.
_NETWORK_AT = {LINK_ETHERNET: 14, LINK_COOKED: 16, LINK_COOKED_2: 20}
_TAG_BYTES = 4
_TAG = "VLAN"
_NAMES = {
    k.TCP_4: ("IPv4", "TCP"), k.TCP_6: ("IPv6", "TCP"), k.UDP_4: ("IPv4", "UDP"),
    k.UDP_6: ("IPv6", "UDP"), k.ARP: ("ARP",), k.ICMP_4: ("IPv4", "ICMP"),
    k.ICMP_6: ("IPv6", "ICMPv6"),
}  # fmt: skip
_TALLIES = 1 << 12  # for which there is room at first

Stack = tuple[str, ...]
Sums = list[int]  # of a stack frames and bytes; of a host those that it sent and got


class Traffic:
    """The counts of one capture."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine
        self._tallies = machine.table(k.TALLY, _TALLIES)
        self._totals = machine.table(k.TOTAL, 1)
        self._table = machine.table([], 2 * _TALLIES)
        self._table.fill(-1)
        self._mask = 2 * _TALLIES - 1
        self._unnamed = machine.table([], 1)
        self.stacks: dict[Stack, Sums] = {}
        self._hosts: dict[str, Sums] = {}  # that the general path read of

    def add_rows(self, there: Stretch) -> None:
        """Count rows whose bytes are at hand."""
        self._unnamed.ensure(there.last - there.first)
        self._totals.put(0, unnamed=0)
        at = there.first
        while True:
            at = self._machine.run(
                "count_rows", there.piece, there.base, there.rows, at, there.last, self._tallies,
                self._table, self._mask, self._totals, self._room, self._unnamed,
            )  # fmt: skip
            if at == there.last:
                break
            self._enlarge()
        unnamed = self._totals.get(0, "unnamed")
        if unnamed:
            links = [Interface("", link, 0) for link in there.records.links_so_far]
            places = self._unnamed.numbers(unnamed)
            self.add_frames([there.frame(index) for index in places], links)

    def add_frames(self, frames: Iterable[Frame], interfaces: Sequence[Interface]) -> None:
        """Count frames as the general path reads them."""
        ordered = sorted(frames, key=lambda frame: frame.number)
        if not ordered:
            return
        from netlab.decode.packets import decode
        from netlab.decode.stacks import stacks
        from netlab.model.recording import RawRecording

        raw = RawRecording(frames=ordered, interfaces=list(interfaces))
        packets = decode(raw)
        for stack, packet in zip(stacks(raw, packets), packets, strict=True):
            size = packet.origlen_bytes
            _add(self.stacks, stack, (1, size))
            if packet.src is not None:
                _add(self._hosts, packet.src, (1, size, 0, 0))
            if packet.dst is not None:
                _add(self._hosts, packet.dst, (0, 0, 1, size))

    def finish(self, found: Flows, interfaces: Sequence[Interface]) -> None:
        """Count the hosts of flows, and name the stacks."""
        at = 0
        while True:
            at = self._machine.run(
                "count_flows", found.flows, found.sides, at, found.count, self._tallies,
                self._table, self._mask, self._totals, self._room,
            )  # fmt: skip
            if at == found.count:
                break
            self._enlarge()
        for kind, _, code, frames, size, _, _ in self._counted():
            if kind == k.STACK:
                _add(self.stacks, _stack(code, interfaces), (frames, size))

    def hosts(self, most: int | None = None) -> tuple[dict[str, Sums], int]:
        """What each host sent and got, and how many hosts there are that are left out.

        With `most` only so many that moved most bytes, and those that moved as many as the last.
        """
        count = self._totals.get(0, "tallies")
        kinds = self._tallies.column("kind", count)
        places = [place for place, kind in enumerate(kinds) if kind != k.STACK]
        there = len(places)
        if most is not None and not self._hosts and there > most:  # a row only of those shown
            sent = self._tallies.column("sent_bytes", count)
            moved = list(map(add, sent, self._tallies.column("received_bytes", count)))
            least = sorted((moved[place] for place in places), reverse=True)[most - 1]
            places = [place for place in places if moved[place] >= least]
        found = {name: list(sums) for name, sums in self._hosts.items()}
        for version, high, low, *sums in map(self._tallies.row, places):
            _add(found, address_text(address_number(high, low), version), sums)
        return found, there - len(places)

    @property
    def _room(self) -> int:
        return (self._mask + 1) // 2

    def _counted(self) -> Iterable[tuple[int, ...]]:
        counted: Iterable[tuple[int, ...]] = self._tallies.rows(self._totals.get(0, "tallies"))
        return counted

    def _enlarge(self) -> None:
        size = 2 * (self._mask + 1)
        self._tallies.ensure(size // 2)
        self._table.close()
        self._table = self._machine.table([], size)
        self._table.fill(-1)
        self._mask = size - 1
        self._machine.run("place_tallies", self._tallies, self._table, self._mask, self._totals)


def _stack(code: int, interfaces: Sequence[Interface]) -> Stack:
    code, what = divmod(code, k.KINDS)
    index, place = divmod(code, k.PLACES)
    link = interfaces[index].link
    tags = (place - _NETWORK_AT.get(link, place)) // _TAG_BYTES
    return (link_name(link), *[_TAG] * tags, *_NAMES[what])


def _add(into: dict[Any, Sums], key: Any, sums: Sequence[int]) -> None:
    known = into.get(key)
    if known is None:
        into[key] = list(sums)
    else:
        for at, one in enumerate(sums):
            known[at] += one
