"""A flow as the kernels know it -> addresses, and its row of `connections`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from netlab.correlate import kernels as k
from netlab.correlate.addresses import plain_address
from netlab.decode.addresses import ipv4_text, ipv6_text
from netlab.engine.layout import layout
from netlab.model.records import dataclass
from netlab.model.tables import Connection

if TYPE_CHECKING:
    from netlab.engine.capture import Flows

Numbers = tuple[int, ...]

_M64 = (1 << 64) - 1
_FLOW, _TALK = layout(k.FLOW), layout(k.TALK)
_SIDE, _HALF = layout(k.SIDE), layout(k.HALF)
_PORTS, _FIRST_ROW = _FLOW.place("ports"), _FLOW.place("first_row")
_STREAM, _MARKS, _CLIENT = _FLOW.place("stream"), _FLOW.place("marks"), _FLOW.place("client")
_TALK_MARKS = _TALK.place("marks")
_FIRST_NS, _LAST_NS = _TALK.place("first_ns"), _TALK.place("last_ns")
_BEGAN, _SHAKEN = _TALK.place("began_ns"), _TALK.place("shaken_ns")
_CLOSED_BY, _CLOSE_KIND = _TALK.place("closed_by"), _TALK.place("close_kind")
_INITIAL_RTT = _TALK.place("rtt_ns")
_COMPLETENESS = _TALK.place("completeness")
_HALF_MARKS, _STATE = _HALF.place("marks"), _HALF.place("state")
_MSS, _WSCALE = _HALF.place("mss"), _HALF.place("wscale")
_PACKETS, _SEEN = _SIDE.place("packets"), _SIDE.place("seen_bytes")

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


def address_number(high: int, low: int) -> int:
    """An address from its halves, which have a sign in the kernels' records."""
    return (high & _M64) << 64 | low & _M64


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
        (address_number(flow[0], flow[1]), ports >> 16 & 0xFFFF),
        (address_number(flow[2], flow[3]), ports & 0xFFFF),
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
    for index, ports in enumerate(found.flows.column("ports", found.count)):
        if index not in left and (udp or ports >> 40 & 0xFF == k.TCP):
            yield connection(found, index, verdicts, lost=lost)


def connection(found: Flows, index: int, verdicts: tuple[str, ...], *, lost: bool) -> Connection:
    """The row of one flow."""
    talk = found.talks.row(index)
    row = _flow_row(index, found.flows.row(index), talk)
    shared = _shared(row, talk, (found.sides.row(2 * index), found.sides.row(2 * index + 1)))
    if row.protocol == "udp":
        return shared
    both = found.halves.row(2 * row.stream), found.halves.row(2 * row.stream + 1)
    counts = found.counts.numbers(k.VERDICTS, k.VERDICTS * row.stream)
    return _connection(shared, row, talk, both, counts, verdicts, lost)


def _shared(row: FlowRow, talk: Numbers, sides: tuple[Numbers, Numbers]) -> Connection:
    """The columns that UDP has, too."""
    client, server = sides[row.client], sides[1 - row.client]
    return Connection(
        row.index, row.stream, row.protocol,
        plain_address(row.text(row.client)), row.ends[row.client][1],
        plain_address(row.text(1 - row.client)), row.ends[1 - row.client][1],
        talk[_FIRST_NS], talk[_LAST_NS], client[_PACKETS], server[_PACKETS],
        client[_SEEN], server[_SEEN],
    )  # fmt: skip


def _connection(
    found: Connection,
    row: FlowRow,
    talk: Numbers,
    both: tuple[Numbers, Numbers],
    counts: list[int],
    verdicts: tuple[str, ...],
    lost: bool,
) -> Connection:
    client, server = both[row.client], both[1 - row.client]
    mine, other = client[_HALF_MARKS], server[_HALF_MARKS]
    marks = talk[_TALK_MARKS]
    if mine & k.MSS_KNOWN:
        found.client_mss = client[_MSS]
    if other & k.MSS_KNOWN:
        found.server_mss = server[_MSS]
    if mine & k.WSCALE_KNOWN:
        found.client_wscale = client[_WSCALE]
    if other & k.WSCALE_KNOWN:
        found.server_wscale = server[_WSCALE]
    if mine & k.SENT_SYN:
        found.client_sack = bool(mine & k.SACK_OFFERED)
        found.client_timestamps = bool(mine & k.TIMESTAMPS_OFFERED)
    if other & k.SENT_SYN:
        found.server_sack = bool(other & k.SACK_OFFERED)
        found.server_timestamps = bool(other & k.TIMESTAMPS_OFFERED)
    found.client_state, found.server_state = STATES[client[_STATE]], STATES[server[_STATE]]
    if mine & other & k.SENT_SYN and marks & k.SHAKEN:
        found.handshake_ns = talk[_SHAKEN] - talk[_BEGAN]
    found.initial_rtt_ns = talk[_INITIAL_RTT] or None
    found.completeness = talk[_COMPLETENESS]
    by = talk[_CLOSED_BY]
    if by:
        found.closed_by = "both" if by == k.BY_BOTH else ("server", "client")[by - 1 == row.client]
    if talk[_CLOSE_KIND] == k.BY_RST:
        found.close_kind = "rst"
    else:
        found.close_kind = _OPEN_KINDS[bool(mine & k.SENT_FIN) + bool(other & k.SENT_FIN)]
    if lost and found.close_kind in ("open", "half-close"):
        found.closed_by = found.close_kind = None  # a FIN may be among the lost
    if not marks & k.UNJUDGED:
        for name, count in zip(verdicts, counts, strict=True):
            setattr(found, f"{name}_count", count)
    return found
