"""A TCP connection -> what was measured of it and counted on it, one fact a line, both sides.

The same numbers stand in the columns of `connections`; here they have words. What a side sent, how
long it took to be acknowledged, how much was out, what the other's window let it send, what it
waited for most of the time, how many segments of each kind there were, and how it began and ended.
"""

from __future__ import annotations

from netlab.correlate.verdict_names import VERDICTS
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Verdict
from netlab.show.format import address, bit_rate, byte_count, byte_size, duration, scale_text


@dataclass(frozen=True, slots=True)
class Fact:
    """A line: of both sides, or (without a server's) of the connection. Empty: not known."""

    name: str
    client: str
    server: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """A connection in numbers."""

    connection: int
    protocol: str
    client: str
    server: str
    facts: tuple[Fact, ...]


def facts(row: Connection) -> Facts:
    """All that is known of it; what nothing is known of, has no line."""
    found = [*_whole(row), *_sides(row), *_kinds(row)]
    return Facts(
        row.connection, row.protocol, address(row.client, row.client_port),
        address(row.server, row.server_port),
        tuple(one for one in found if one.client or one.server),
    )  # fmt: skip


def _whole(row: Connection) -> list[Fact]:
    began = [row.handshake_kind or ""]
    if row.handshake_ns is not None:
        began.append(f"{duration(row.handshake_ns)} to the ACK that completed it")
    ended = row.close_kind or ""
    if ended and row.closed_by:
        ended += f", by {row.closed_by}" if row.closed_by == "both" else f", by the {row.closed_by}"
    zeek = " ".join(filter(None, (row.conn_state, row.history)))
    idle = "" if row.idle_max_ns is None else duration(row.idle_max_ns)
    lasted = ""
    if row.first_ns is not None and row.last_ns is not None:
        lasted = duration(row.last_ns - row.first_ns)
    return [
        Fact("handshake", ", ".join(filter(None, began))),
        Fact("closed", ended),
        Fact("state", row.client_state or "", row.server_state or ""),
        Fact("Zeek", zeek),
        Fact("lasted", lasted),
        Fact("longest silence", idle),
    ]


def _sides(row: Connection) -> list[Fact]:
    def both(name: str, *columns: str) -> Fact:
        client, server = (
            _text(columns, [getattr(row, f"{side}_{column}") for column in columns])
            for side in ("client", "server")
        )
        return Fact(name, client, server)

    return [
        both("frames", "packets"),
        both("bytes captured", "bytes"),
        both("bytes missing", "missed_bytes"),
        both("round trip", "rtt_min_ns", "rtt_mean_ns"),
        both("  smoothed ±", "rtt_smoothed_ns", "rtt_variation_ns"),
        both("  by timestamps", "ts_rtt_min_ns", "ts_rtt_mean_ns"),
        both("most in flight", "flight_max_bytes"),
        both("offered window", "window_min_bytes", "window_max_bytes"),
        both("  up to byte", "window_edge"),
        both("  scale offered", "wscale"),  # in use where both ends did (RFC 7323 2.2)
        both("throughput", "throughput_bytes_per_s"),
        both("goodput", "goodput_bytes_per_s"),
        *(Fact(f"{side} limited", _limit(row, side)) for side in ("client", "server")),
    ]


def _limit(row: Connection, side: str) -> str:
    by, reason = getattr(row, f"{side}_limited_by"), getattr(row, f"{side}_limited_reason")
    return f"by {by.replace('_', ' ')}: {reason}" if by and by != "unknown" else reason or ""


def _text(columns: tuple[str, ...], values: list[int | None]) -> str:
    """The values of one side in words; empty where one is not known."""
    texts = []
    for column, value in zip(columns, values, strict=True):
        if value is None or (column == "missed_bytes" and not value):
            return ""
        if column.endswith("_ns"):
            texts.append(duration(value))
        elif column.endswith("bytes_per_s"):
            texts.append(bit_rate(8 * value))
        elif column == "wscale":
            texts.append(scale_text(value))
        elif column.startswith("window_m"):
            texts.append(byte_size(value))
        elif column.endswith("bytes"):
            texts.append(byte_count(value))
        else:
            texts.append(f"{value:,}")
    if columns[0].endswith("rtt_min_ns"):
        return f"least {texts[0]}, mean {texts[1]}"
    if columns[0] == "window_min_bytes" and texts[0] == texts[1]:
        return texts[0]
    return (" ± " if columns[0] == "rtt_smoothed_ns" else " to ").join(texts)


def _kinds(row: Connection) -> list[Fact]:
    """How many segments of each kind, by netlab and by tshark."""
    mine = [(kind, getattr(row, f"{kind}_frames")) for kind in (*Verdict, "unsure")]
    theirs = [(name, getattr(row, f"{name}_count")) for name in VERDICTS]
    return [
        Fact(who, ", ".join(f"{count:,} {name}" for name, count in counts if count))
        for who, counts in (("netlab", mine), ("tshark", theirs))
    ]
