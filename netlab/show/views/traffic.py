"""Tables and raw material -> who spoke, and in which protocols: frames and bytes of each.

Bytes are those on the wire, headers and all, as tshark counts them in `-z io,phs`; a frame counts
once at each level of the hierarchy that it has. What an application says is read by `messages`;
here its frames are those with payload, of a connection whose first bytes at its usual port are its.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Direction, Packet, Tables

if TYPE_CHECKING:
    from netlab.correlate.messages import DecodeAs
    from netlab.decode.applications.message import Application
    from netlab.decode.stacks import Stack

_TRANSPORTS = frozenset({"TCP", "UDP"})


@dataclass(frozen=True, slots=True)
class Protocol:
    """A header, under those that it was found in."""

    path: tuple[str, ...]  # Ethernet, IPv4, TCP
    packets: int
    bytes: int

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def depth(self) -> int:
        return len(self.path) - 1


@dataclass(frozen=True, slots=True)
class Host:
    """An address, and what came from it and went to it."""

    address: str
    sent_packets: int
    sent_bytes: int
    received_packets: int
    received_bytes: int

    @property
    def bytes(self) -> int:
        return self.sent_bytes + self.received_bytes


def protocols(
    tables: Tables, raw: RawRecording, decode_as: Sequence[DecodeAs] = ()
) -> tuple[Protocol, ...]:
    """The hierarchy, each header before those that it carried, the busiest of them first."""
    from netlab.decode.stacks import stacks  # which bulk has no use for

    spoken = _applications(tables, raw, decode_as)
    whole: dict[Stack, list[int]] = {}
    for stack, packet in zip(stacks(raw, tables.packets), tables.packets, strict=True):
        if packet.payload_len_bytes and packet.connection in spoken and stack[-1] in _TRANSPORTS:
            stack = (*stack, spoken[packet.connection])
        found = whole.get(stack)
        if found is None:
            found = whole[stack] = [0, 0]
        found[0] += 1
        found[1] += packet.origlen_bytes
    return hierarchy(whole)


def hierarchy(whole: Mapping[Stack, Sequence[int]]) -> tuple[Protocol, ...]:
    """The same of frames and bytes that were counted by stack."""
    packets: Counter[Stack] = Counter()
    amounts: Counter[Stack] = Counter()
    below: dict[Stack, set[Stack]] = defaultdict(set)
    for stack, (number, amount) in whole.items():
        for depth in range(1, len(stack) + 1):
            path = stack[:depth]
            packets[path] += number
            amounts[path] += amount
            below[path[:-1]].add(path)
    rows: list[Protocol] = []

    def add(path: Stack) -> None:
        rows.append(Protocol(path, packets[path], amounts[path]))
        for one in sorted(below[path], key=lambda child: (-packets[child], child)):
            add(one)

    for top in sorted(below[()], key=lambda path: (-packets[path], path)):
        add(top)
    return tuple(rows)


def _applications(
    tables: Tables, raw: RawRecording, decode_as: Sequence[DecodeAs]
) -> dict[int | None, str]:
    """What connections speak: as told, else by their first payload each way."""
    first: dict[tuple[int, str], bytes] = {}
    for packet, frame in zip(tables.packets, raw.frames, strict=True):
        if not packet.payload_len_bytes or packet.connection is None or packet.fragment:
            continue
        key = packet.connection, packet.direction or ""
        if key not in first and packet.payload_off is not None and packet.sport is not None:
            start = packet.payload_off
            first[key] = bytes(frame.data[start : start + packet.payload_len_bytes])
    if not first:
        return {}
    from netlab.decode.applications.registry import found_at_port

    found: dict[int | None, str] = {}
    for row in tables.connections:
        client = first.get((row.connection, Direction.C2S), b"")
        server = first.get((row.connection, Direction.S2C), b"")
        ports = (row.server_port,) if row.protocol == "tcp" else (row.client_port, row.server_port)
        if client or server:
            application = _told(row, decode_as)
            if application is None:
                application = found_at_port(row.protocol, client, server, ports)
            if application is None and row.protocol == "udp":
                # A conversation may begin with an answer: the query had other ends (RFC 6762 6).
                application = found_at_port(row.protocol, server, client, ports)
            if application is not None:
                found[row.connection] = application.title
    return found


def _told(row: Connection, decode_as: Sequence[DecodeAs]) -> Application | None:
    if not decode_as:
        return None
    from netlab.correlate.messages import told_of

    return told_of(row, decode_as)


def hosts(packets: list[Packet]) -> tuple[Host, ...]:
    """Those that the network's headers name, the innermost of tunnels, the busiest first."""
    between: dict[tuple[str | None, str | None], list[int]] = {}
    for packet in packets:
        pair = packet.src, packet.dst
        found = between.get(pair)
        if found is None:
            found = between[pair] = [0, 0]
        found[0] += 1
        found[1] += packet.origlen_bytes
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (src, dst), (number, amount) in between.items():
        if src is not None:
            rows[src][0] += number
            rows[src][1] += amount
        if dst is not None:
            rows[dst][2] += number
            rows[dst][3] += amount
    return host_rows(rows)


def host_rows(counted: Mapping[str, Sequence[int]]) -> tuple[Host, ...]:
    """The same of frames and bytes, sent and received, that were counted by address."""
    found = [Host(address, *numbers) for address, numbers in counted.items()]
    return tuple(sorted(found, key=lambda host: (-host.bytes, host.address)))
