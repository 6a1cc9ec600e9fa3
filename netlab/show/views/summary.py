"""Tables and raw material -> what a recording holds, in numbers and in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from netlab.correlate.arrivals import arrival_ns
from netlab.correlate.ledger import clock_notes
from netlab.correlate.stamps import stamp_notes
from netlab.model.call import is_inbound, is_moving, is_outbound
from netlab.model.recording import Loss, RawRecording
from netlab.model.tables import Call, Connection, Fate, Role, Side, Tables, Unmatched
from netlab.model.wire import Arrival
from netlab.show.format import address
from netlab.show.views.copies import Copies
from netlab.show.views.text import as_json


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
    resent_frames: int
    operations: tuple[Operations, ...]
    end: str  # how it ended, in words
    end_word: str  # the same in a word or two

    @property
    def is_used(self) -> bool:
        """Whether it has frames or moved bytes; programs make Unix sockets that never do."""
        frames = self.client_packets + self.server_packets
        return bool(frames or self.client_bytes or self.server_bytes)


@dataclass(frozen=True, slots=True)
class InterfaceSummary:
    """Where frames were captured, and how many got lost there."""

    name: str
    frames: int
    received: int | None
    dropped: int | None


@dataclass(frozen=True, slots=True)
class WireSummary:
    """What the wire between the hosts did, in frames."""

    sent: int  # by the hosts
    delivered: int  # as they were
    dropped: int
    changed: int
    made: int  # by the wire itself: copies, ICMP
    unknown: int  # on their way when the wire was last heard of
    late_median_ns: int | None  # how much later than the rules said it sent frames on
    late_most_ns: int | None
    rules: tuple[RuleSummary, ...]  # the busiest first


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule as written, and in the fate of how many frames it had a part."""

    rule: str
    sent: int  # of those that hosts sent
    made: int  # of those that the wire made: by this rule, or met by it


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Bytes without a partner, for one reason."""

    what: str
    reason: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Whether every byte that a call moved has its frames."""

    moved_bytes: int  # by all calls: what they sent and what they received
    sent_bytes: int  # by calls of either side
    received_bytes: int
    closed: bool | None  # None: no calls, so nothing to match
    lines: tuple[LedgerLine, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole recording."""

    path: str  # as it was named; of standard input its name
    source: str  # recording by netlab 0.1.0, or capture
    title: str
    start_ns: int | None
    stop_ns: int | None
    frames: int
    calls: int
    links: int  # rows of the map
    states: int  # samples of sockets
    stamps: int  # by the kernel, of bytes that left or were acknowledged
    frames_without_connection: int
    connections: tuple[ConnectionSummary, ...]
    interfaces: tuple[InterfaceSummary, ...]
    wire: WireSummary | None  # None: there was none
    witnesses: tuple[str, ...]
    losses: tuple[str, ...]
    ledger: Ledger
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    def as_json(self) -> str:
        """The summary as JSON text."""
        return as_json(self)


def summary(tables: Tables, raw: RawRecording, path: str) -> Summary:
    """What the recording at `path` holds."""
    described = raw.description
    ends = [arrival_ns(p) for p in tables.packets]
    ends += [c.entered_ns if c.returned_ns is None else c.returned_ns for c in tables.calls]
    source = "capture"
    if described.netlab_version:
        form = f" ({described.form})" if described.form else ""
        source = f"recording by netlab {described.netlab_version}{form}"
    return Summary(
        path=path,
        source=source,
        title=described.title,
        start_ns=start_ns(tables),
        stop_ns=max(ends, default=None),
        frames=len(tables.packets),
        calls=len(tables.calls),
        links=len(tables.spans),
        states=len(tables.states),
        stamps=len(tables.stamps),
        frames_without_connection=sum(p.connection is None for p in tables.packets),
        connections=connections(tables),
        interfaces=_interfaces(raw),
        wire=_wire(tables, raw),
        witnesses=described.witnesses,
        losses=tuple(loss_text(loss) for loss in raw.losses),
        ledger=_ledger(tables),
        notes=(
            *described.notes,
            *_form_notes(described.form),
            *clock_notes(raw),
            *stamp_notes(tables.stamps),
        ),
        faults=tuple(raw.faults),
    )


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
        _connection(row, calls[row.connection], resent[row.connection])
        for row in tables.connections
    )


def _resent(tables: Tables) -> Counter[int]:
    """How many frames of each connection brought bytes again that their sender had sent before."""
    spans = {span.frame for span in tables.spans if span.role == Role.RESENT}
    packets = {packet.frame: packet for packet in tables.packets}
    copies: dict[int, Copies] = defaultdict(Copies)
    found: Counter[int] = Counter()
    quiet = {
        row.connection
        for row in tables.connections
        if row.retransmission_count == row.out_of_order_count == 0
    }
    for segment in tables.segments:
        if segment.connection in quiet and not spans:
            continue
        packet = packets[segment.frame]
        sign = copies[segment.connection].sign(packet, segment, segment.frame in spans)
        found[segment.connection] += sign == "↻" and not packet._made
    return found


def _form_notes(form: str) -> tuple[str, ...]:
    if form != "live":
        return ()
    return (
        "this file was not finished: it is being recorded, or the recorder was killed, and then"
        " `netlab recover FILE` adds what is missing and finishes it",
    )


def connection_name(row: Connection) -> str:
    """`tcp.0`, `udp.1` as tshark numbers them; the protocol alone where it has no number."""
    return row.protocol if row.stream is None else f"{row.protocol}.{row.stream}"


_LOCAL = ("unix", "pipe", "mq", "ring")


def _end(row: Connection, side: Side, calls: list[Call]) -> str:
    """The address of an end; where it has no name (socketpair, pipe), whose it is."""
    client = side is Side.CLIENT
    shown = address(row.client, row.client_port) if client else address(row.server, row.server_port)
    if row.protocol not in _LOCAL or "/" in shown or "@" in shown:
        return shown
    moving = is_outbound if client else is_inbound  # an object without sides is written at one end
    actors = dict.fromkeys(
        call.actor
        for call in calls
        if (moving if call.side is None else is_moving)(call) and call.side in (side, None)
    )
    return " ".join(actors) or shown


def _connection(row: Connection, calls: list[Call], resent_frames: int) -> ConnectionSummary:
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
        resent_frames=resent_frames,
        operations=_operations(calls),
        end=end_text(row),
        end_word=_end_word(row),
    )


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
    if kind == "rst" and who == "server" and _is_refused(row):
        return "server refused it (RST)"
    if kind == "rst":
        return f"{who or 'one end'} reset it (RST)"
    if kind == "open":
        return "still open when the recording ended"
    return "not known: frames are missing" if _is_lost(row) else ""


def _is_refused(row: Connection) -> bool:
    """Whether each SYN got its reset, and nothing else was said."""
    said = (row.completeness or 0) & ~0x04  # tshark's bits; this one is also set by RST ACK
    return said == 0x21 and row.client_packets == row.server_packets


def _end_word(row: Connection) -> str:
    """`client FIN`: who ended a connection first, and with what."""
    if row.close_kind in ("fin", "rst"):
        return f"{row.closed_by or 'one'} {row.close_kind.upper()}"
    return row.close_kind or ("not known" if _is_lost(row) else "")


def _is_lost(row: Connection) -> bool:
    """Whether frames show the connection, and yet nobody knows of its end: some were lost."""
    return row.protocol == "tcp" and row.close_kind is None and row.first_ns is not None


def loss_text(loss: Loss) -> str:
    """`packets: 12 frames lost, ring full`."""
    if loss.witness == "packets" and loss.count is None:  # no ring was there to count
        return f"{loss.witness}: no {loss.what} captured, {loss.reason}"
    if loss.what == "bytes":  # not known whether any
        return f"{loss.witness}: {loss.actor} may have moved bytes unseen, {loss.reason}"
    number = "some" if loss.count is None else f"{loss.count:,}"
    actor = f" of {loss.actor}" if loss.actor else ""
    return f"{loss.witness}: {number} {loss.what}{actor} lost, {loss.reason}"


def _interfaces(raw: RawRecording) -> tuple[InterfaceSummary, ...]:
    frames = Counter(frame.interface for frame in raw.frames)
    if not raw.frames and any(x.witness == "packets" and x.count is None for x in raw.losses):
        return ()  # nobody looked: there is nothing to say of what was seen
    return tuple(
        InterfaceSummary(interface.name, frames[number], interface.received, interface.dropped)
        for number, interface in enumerate(raw.interfaces)
        if frames[number] or interface.received or interface.dropped or len(raw.interfaces) == 1
    )


def _wire(tables: Tables, raw: RawRecording) -> WireSummary | None:
    if not raw.wired:
        return None
    fates = Counter(p.fate for p in tables.packets if p._wired)
    late = sorted(a.late_ns for a in raw.arrivals if a.late_ns is not None)
    pairs = zip(raw.frames, tables.packets, strict=True)
    made = {frame.packet for frame, packet in pairs if packet._made}
    return WireSummary(
        sent=fates.total() - len(made),
        delivered=fates[Fate.DELIVERED],
        dropped=fates[Fate.DROPPED],
        changed=fates[Fate.CHANGED],
        made=len(made),
        unknown=fates[Fate.UNKNOWN],
        late_median_ns=late[len(late) // 2] if late else None,
        late_most_ns=late[-1] if late else None,
        rules=tuple(_rules(raw.arrivals, made)),
    )


def _rules(arrivals: Iterable[Arrival], made: Collection[int | None]) -> Iterator[RuleSummary]:
    """An arrival names all rules that had a part in it: each is counted by itself."""
    texts = Counter((arrival.rule, arrival.packet in made) for arrival in arrivals)
    counts: Counter[tuple[str, bool]] = Counter()
    for (text, is_made), number in texts.items():
        for rule in filter(None, text.split("; ")):
            counts[rule, is_made] += number
    both = {rule: counts[rule, False] + counts[rule, True] for rule, _ in counts}
    for rule in sorted(both, key=both.__getitem__, reverse=True):
        yield RuleSummary(rule, counts[rule, False], counts[rule, True])


def _ledger(tables: Tables) -> Ledger:
    sent = _moved(call for call in tables.calls if is_outbound(call))
    moved = _moved(tables.calls)
    if not tables.calls:
        return Ledger(0, 0, 0, None, ())
    grouped: dict[tuple[str, str], list[Unmatched]] = defaultdict(list)
    for row in tables.unmatched:
        grouped[row.what, row.reason].append(row)
    lines = tuple(
        LedgerLine(what, reason, sum(row.bytes for row in rows), len(rows))
        for (what, reason), rows in grouped.items()
    )
    return Ledger(moved, sent, moved - sent, not lines, lines)


def _moved(calls: Iterable[Call]) -> int:
    return sum(c.stop - c.start for c in calls if c.start is not None and c.stop is not None)


def unmatched_text(what: str, reason: str) -> str:
    """`sent but not captured: ring drop`: the reason without words that stand before it already."""
    if what.endswith("not captured"):
        reason = reason.removeprefix("not captured: ")
    return f"{what}: {reason}"
