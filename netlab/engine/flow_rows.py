"""A flow as the kernels know it -> addresses, and its row of `connections`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    talk_marks = _TALK.place("marks")
    pairs = zip(found.flows.rows(found.count), found.talks.rows(found.count), strict=True)
    for index, (flow, talk) in enumerate(pairs):
        ports = flow[_PORTS]
        ends = (
            ((flow[0] & _M64) << 64 | flow[1] & _M64, ports >> 16 & 0xFFFF),
            ((flow[2] & _M64) << 64 | flow[3] & _M64, ports & 0xFFFF),
        )
        yield FlowRow(
            index, "tcp" if ports >> 40 & 0xFF == k.TCP else "udp", 6 if ports >> 32 & 0xFF else 4,
            ends, flow[_FIRST_ROW], flow[_STREAM], flow[_CLIENT],
            bool((flow[_MARKS] | talk[talk_marks]) & k.LEFT),
        )  # fmt: skip


def connections(
    found: Flows, rows: list[FlowRow], verdicts: tuple[str, ...], *, lost: bool
) -> Iterator[tuple[FlowRow, Connection]]:
    """The row of each flow but those that were left; `lost`: frames may be missing."""
    talks = iter(found.talks.rows(found.count))
    halves = iter(found.halves.rows(2 * found.count))
    counts = found.counts.numbers(k.VERDICTS * found.count)
    for row in rows:
        talk, both = next(talks), (next(halves), next(halves))
        if row.is_left:
            continue
        if row.protocol == "udp":
            yield row, _shared(row, talk, both)
        else:
            mine = counts[k.VERDICTS * row.index : k.VERDICTS * (row.index + 1)]
            yield row, _connection(row, talk, both, mine, verdicts, lost)


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
