"""Tables -> the connections of a recording: ends, times, amounts, calls, and how each ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from netlab.explain.troubles import is_refused
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Role, Side, Tables
from netlab.show.views.copies import Copies
from netlab.show.views.ends import end_address, is_named, users
from netlab.show.views.verdicts import counted


@dataclass(frozen=True, slots=True)
class Operations:
    """How often one side called an operation."""

    side: str
    op: str
    calls: int
    failed: int
    errors: str  # `2 EAGAIN, 1 EPIPE`


@dataclass(frozen=True, slots=True)
class ConnectionSummary:
    """One connection."""

    connection: int
    name: str  # tcp.0, udp.1; just `unix` where there is no stream number
    client: str
    server: str
    first_ns: int | None
    last_ns: int | None
    handshake_ns: int | None
    client_packets: int
    server_packets: int
    client_bytes: int
    server_bytes: int
    bits_per_second: int | None  # of payload, both ways, from first frame to last; None: at once
    resent_frames: int | None  # that brought bytes again; None: no look was had at each
    retransmissions: int | None  # segments that tshark calls so
    verdicts: str  # `2 fast retransmit, 1 spurious`: of its segments, where they are no plain ones
    limits: tuple[str, ...]  # what kept each side from sending faster, where that is known
    operations: tuple[Operations, ...]
    end: str  # how it ended, in words
    end_word: str  # the same in a word or two

    @property
    def is_used(self) -> bool:
        """Whether it has frames or moved bytes; programs make Unix sockets that never do."""
        frames = self.client_packets + self.server_packets
        return bool(frames or self.client_bytes or self.server_bytes)


def start_ns(tables: Tables) -> int | None:
    """When a recording begins: its first frame or the entry of its first call."""
    stamps = [p.time_ns for p in tables.packets[:1]] + [c.entered_ns for c in tables.calls[:1]]
    return min(stamps, default=None)


def connections(tables: Tables) -> tuple[ConnectionSummary, ...]:
    """The connections of a recording, in order of their first frame."""
    calls: dict[int, list[Call]] = defaultdict(list)
    for call in tables.calls:
        if call.connection is not None:
            calls[call.connection].append(call)
    resent = _resent(tables)
    return tuple(
        connection_summary(row, calls[row.connection], resent[row.connection])
        for row in tables.connections
    )


def _resent(tables: Tables) -> Counter[int]:
    """How many frames of each connection brought bytes again that their sender had sent before."""
    spans = {span.frame for span in tables.spans if span.role == Role.RESENT}
    packets = {packet.frame: packet for packet in tables.packets}
    copies: dict[int, Copies] = defaultdict(Copies)
    found: Counter[int] = Counter()
    quiet = {row.connection for row in tables.connections if brought_all_once(row)}
    for segment in tables.segments:
        if segment.connection in quiet and not spans:
            continue
        packet = packets[segment.frame]
        sign = copies[segment.connection].sign(packet, segment, segment.frame in spans)
        found[segment.connection] += sign == "↻" and not packet._made
    return found


def brought_all_once(row: Connection) -> bool:
    """Whether tshark's verdicts say already that none of its frames brought bytes again."""
    return row.protocol != "tcp" or row.retransmission_count == row.out_of_order_count == 0


def connection_name(row: Connection) -> str:
    """`tcp.0`, `udp.1` as tshark numbers them; the protocol alone where it has no number."""
    return row.protocol if row.stream is None else f"{row.protocol}.{row.stream}"


def _end(row: Connection, side: Side, calls: list[Call]) -> str:
    """The address of an end; where it has no name (socketpair, pipe), whose it is."""
    actors = () if is_named(row, side) else dict.fromkeys(c.actor for c in users(side, calls))
    return " ".join(actors) or end_address(row, side)


def connection_summary(
    row: Connection, calls: list[Call], resent_frames: int | None
) -> ConnectionSummary:
    """A connection with the calls that were made on it."""
    return ConnectionSummary(
        connection=row.connection,
        name=connection_name(row),
        client=_end(row, Side.CLIENT, calls),
        server=_end(row, Side.SERVER, calls),
        first_ns=row.first_ns,
        last_ns=row.last_ns,
        handshake_ns=row.handshake_ns,
        client_packets=row.client_packets,
        server_packets=row.server_packets,
        client_bytes=row.client_bytes,
        server_bytes=row.server_bytes,
        bits_per_second=_rate(row),
        resent_frames=resent_frames,
        retransmissions=row.retransmission_count,
        verdicts=counted(row),
        limits=_limits(row),
        operations=_operations(calls),
        end=end_text(row),
        end_word=_end_word(row),
    )


def _limits(row: Connection) -> tuple[str, ...]:
    """`client by the peer's window: 71 % of 3.200 s: ...`; that it was idle, is usual."""
    found: list[str] = []
    if (row.last_ns or 0) - (row.first_ns or 0) < _WORTH_A_WORD_NS:
        return ()
    for side in Side:
        cause = getattr(row, f"{side}_limited_by")
        if cause in _LIMITS:
            found.append(f"{side} by {_LIMITS[cause]}: {getattr(row, f'{side}_limited_reason')}")
    return tuple(found)


_WORTH_A_WORD_NS = 100_000_000
_LIMITS = {"peer_window": "the peer's window", "loss": "loss", "own_buffer": "its own buffer"}


def _rate(row: Connection) -> int | None:
    if row.first_ns is None or row.last_ns is None or row.last_ns <= row.first_ns:
        return None
    bits = 8 * (row.client_bytes + row.server_bytes)
    return bits * 1_000_000_000 // (row.last_ns - row.first_ns)


def _operations(calls: Iterable[Call]) -> tuple[Operations, ...]:
    made: Counter[tuple[str, str]] = Counter()
    failed: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for call in calls:
        key = (call.side or "unknown", call.op)
        made[key] += 1
        if call.errno is not None:
            failed[key][call.errno] += 1
    order = ("client", "server", "unknown")
    keys = sorted(made, key=lambda key: order.index(key[0]))
    return tuple(
        Operations(*key, made[key], failed[key].total(), _errors(failed[key])) for key in keys
    )


def _errors(errors: Counter[str]) -> str:
    return ", ".join(f"{times:,} {name}" for name, times in errors.most_common())


def end_text(row: Connection) -> str:
    """How a connection ended, in words."""
    who, kind = row.closed_by, row.close_kind
    other = {"client": "server", "server": "client"}.get(who or "", "the other")
    if kind == "fin":
        if who == "both":
            return "both closed at once (FIN from each before the other's arrived)"
        return f"{who or 'one end'} closed first (FIN), {other} followed"
    if kind == "half-close":
        return f"{who or 'one end'} closed (FIN), {other} did not before the recording ended"
    if kind == "rst" and who == "server" and is_refused(row):
        return "server refused it (RST)"
    if kind == "rst":
        return f"{who or 'one end'} reset it (RST)"
    if kind == "open":
        return "still open when the recording ended"
    return "not known: frames are missing" if _is_lost(row) else ""


def _end_word(row: Connection) -> str:
    """`client FIN`: who ended a connection first, and with what."""
    if row.close_kind in ("fin", "rst"):
        return f"{row.closed_by or 'one'} {row.close_kind.upper()}"
    return row.close_kind or ("not known" if _is_lost(row) else "")


def _is_lost(row: Connection) -> bool:
    """Whether frames show the connection, and yet nobody knows of its end: some were lost."""
    return row.protocol == "tcp" and row.close_kind is None and row.first_ns is not None
