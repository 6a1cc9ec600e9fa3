"""A flow as the kernels know it -> addresses, and its row of `connections`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice
from typing import Any

from netlab.correlate import kernels as k
from netlab.correlate.addresses import plain_address
from netlab.decode.addresses import ipv4_text, ipv6_text
from netlab.engine.capture import Flows
from netlab.engine.layout import layout
from netlab.model.tables import Connection

_M64 = (1 << 64) - 1
_FLOW, _TALK, _HALF = layout(k.FLOW), layout(k.TALK), layout(k.HALF)
_PORTS, _FIRST_ROW = _FLOW.place("ports"), _FLOW.place("first_row")
_STREAM, _MARKS, _CLIENT = _FLOW.place("stream"), _FLOW.place("marks"), _FLOW.place("client")
_TALK_MARKS = _TALK.place("marks")
_FIRST_NS, _LAST_NS = _TALK.place("first_ns"), _TALK.place("last_ns")
_PACKETS, _SEEN = _HALF.place("packets"), _HALF.place("seen_bytes")

STATES = (
    None, "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",
    "CLOSING", "LAST-ACK", "TIME-WAIT", "CLOSED",
)  # fmt: skip
_OPEN_KINDS = ("open", "half-close", "fin")


@dataclass(frozen=True, slots=True)
class FlowRow:
    """Where a flow's frames go from and to, and where it began."""

    index: int
    protocol: str
    ip_version: int
    ends: tuple[tuple[int, int], tuple[int, int]]  # number of the address, port
    first_row: int
    stream: int
    client: int
    is_left: bool  # for the general path

    def text(self, end: int) -> str:
        """The address of an end as the packets' columns have it."""
        return address_text(self.ends[end][0], self.ip_version)


def address_text(number: int, version: int) -> str:
    """The text of an address that is known as a number."""
    if version == 4:
        return ipv4_text(number.to_bytes(4, "big"))
    return ipv6_text(number.to_bytes(16, "big"))


def flow_rows(found: Flows) -> Iterator[FlowRow]:
    """Each flow, in order of its first frame."""
    pairs = zip(found.flows.rows(found.count), found.talks.rows(found.count), strict=True)
    for index, (flow, talk) in enumerate(pairs):
        yield _flow_row(index, flow, talk)


def _flow_row(index: int, flow: tuple[int, ...], talk: tuple[int, ...]) -> FlowRow:
    ports = flow[_PORTS]
    ends = (
        ((flow[0] & _M64) << 64 | flow[1] & _M64, ports >> 16 & 0xFFFF),
        ((flow[2] & _M64) << 64 | flow[3] & _M64, ports & 0xFFFF),
    )
    return FlowRow(
        index, "tcp" if ports >> 40 & 0xFF == k.TCP else "udp", 6 if ports >> 32 & 0xFF else 4,
        ends, flow[_FIRST_ROW], flow[_STREAM], flow[_CLIENT],
        bool((flow[_MARKS] | talk[_TALK_MARKS]) & k.LEFT),
    )  # fmt: skip


def connections(
    found: Flows, left: Collection[int], verdicts: tuple[str, ...], *, lost: bool, udp: bool
) -> Iterator[Connection]:
    """The row of each flow but those that are left; `lost`: frames may be missing.

    Without `udp` of TCP alone. Connections are numbered as the flows are.
    """
    halves = iter(found.halves.rows(2 * found.count))
    counts = found.counts.numbers(k.VERDICTS * found.count)
    pairs = zip(found.flows.rows(found.count), found.talks.rows(found.count), strict=True)
    for index, (flow, talk) in enumerate(pairs):
        both = next(halves), next(halves)
        is_tcp = flow[_PORTS] >> 40 & 0xFF == k.TCP
        if index in left or not (is_tcp or udp):
            continue
        row = _flow_row(index, flow, talk)
        if is_tcp:
            mine = counts[k.VERDICTS * index : k.VERDICTS * (index + 1)]
            yield _connection(row, talk, both, mine, verdicts, lost)
        else:
            yield _shared(row, talk, both)


def busiest_udp(found: Flows, left: Collection[int], count: int) -> list[Connection]:
    """Of the UDP flows those that moved most bytes."""
    halves = found.halves.rows(2 * found.count)
    sizes = []
    for index, flow in enumerate(found.flows.rows(found.count)):
        moved = next(halves)[_SEEN] + next(halves)[_SEEN]
        if flow[_PORTS] >> 40 & 0xFF == k.UDP and index not in left:
            sizes.append((-moved, index))
    return [_one_udp(found, index) for _, index in nsmallest(count, sizes)]


def _one_udp(found: Flows, index: int) -> Connection:
    def row_of(table: Any, at: int) -> tuple[int, ...]:
        return next(islice(table.rows(at + 1), at, None))

    talk = row_of(found.talks, index)
    row = _flow_row(index, row_of(found.flows, index), talk)
    return _shared(
        row, talk, (row_of(found.halves, 2 * index), row_of(found.halves, 2 * index + 1))
    )


def _shared(
    row: FlowRow, talk: tuple[int, ...], both: tuple[tuple[int, ...], tuple[int, ...]]
) -> Connection:
    """The columns that UDP has, too."""
    client, server = both[row.client], both[1 - row.client]
    return Connection(
        row.index, row.stream, row.protocol,
        plain_address(row.text(row.client)), row.ends[row.client][1],
        plain_address(row.text(1 - row.client)), row.ends[1 - row.client][1],
        talk[_FIRST_NS], talk[_LAST_NS], client[_PACKETS], server[_PACKETS],
        client[_SEEN], server[_SEEN],
    )  # fmt: skip


def _connection(
    row: FlowRow,
    talk_row: tuple[int, ...],
    both: tuple[tuple[int, ...], tuple[int, ...]],
    counts: list[int],
    verdicts: tuple[str, ...],
    lost: bool,
) -> Connection:
    found = _shared(row, talk_row, both)
    talk = dict(zip(_TALK.names, talk_row, strict=True))
    client = dict(zip(_HALF.names, both[row.client], strict=True))
    server = dict(zip(_HALF.names, both[1 - row.client], strict=True))
    for half, side in ((client, "client"), (server, "server")):
        marks = half["marks"]
        if marks & k.MSS_KNOWN:
            setattr(found, f"{side}_mss", half["mss"])
        if marks & k.WSCALE_KNOWN:
            setattr(found, f"{side}_wscale", half["wscale"])
        if marks & k.SENT_SYN:
            setattr(found, f"{side}_sack", bool(marks & k.SACK_OFFERED))
            setattr(found, f"{side}_timestamps", bool(marks & k.TIMESTAMPS_OFFERED))
        setattr(found, f"{side}_state", STATES[half["state"]])
    greeted = client["marks"] & k.SENT_SYN and server["marks"] & k.SENT_SYN
    if greeted and talk["marks"] & k.SHAKEN:
        found.handshake_ns = talk["shaken_ns"] - talk["began_ns"]
    found.completeness = talk["completeness"]
    by = talk["closed_by"]
    if by:
        found.closed_by = "both" if by == k.BY_BOTH else ("server", "client")[by - 1 == row.client]
    if talk["close_kind"] == k.BY_RST:
        found.close_kind = "rst"
    else:
        fins = bool(client["marks"] & k.SENT_FIN) + bool(server["marks"] & k.SENT_FIN)
        found.close_kind = _OPEN_KINDS[fins]
    if lost and found.close_kind in ("open", "half-close"):
        found.closed_by = found.close_kind = None  # a FIN may be among the lost
    if not talk["marks"] & k.UNJUDGED:
        for name, count in zip(verdicts, counts, strict=True):
            setattr(found, f"{name}_count", count)
    return found
