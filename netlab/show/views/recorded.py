"""Raw material and tables -> what a recording says of itself: interfaces, losses, wire, ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator

from netlab.model.call import is_outbound
from netlab.model.recording import Loss, RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Call, Fate, Tables, Unmatched
from netlab.model.wire import Arrival


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


def loss_text(loss: Loss) -> str:
    """`packets: 12 frames lost, ring full`."""
    if loss.witness == "packets" and loss.count is None:  # no ring was there to count
        return f"{loss.witness}: no {loss.what} captured, {loss.reason}"
    if loss.what == "bytes":  # not known whether any
        return f"{loss.witness}: {loss.actor} may have moved bytes unseen, {loss.reason}"
    number = "some" if loss.count is None else f"{loss.count:,}"
    actor = f" of {loss.actor}" if loss.actor else ""
    return f"{loss.witness}: {number} {loss.what}{actor} lost, {loss.reason}"


def interfaces(raw: RawRecording) -> tuple[InterfaceSummary, ...]:
    """Where frames were captured, in the file's order; those that had nothing to say left out."""
    frames = Counter(frame.interface for frame in raw.frames)
    if not raw.frames and any(x.witness == "packets" and x.count is None for x in raw.losses):
        return ()  # nobody looked: there is nothing to say of what was seen
    return tuple(
        InterfaceSummary(interface.name, frames[number], interface.received, interface.dropped)
        for number, interface in enumerate(raw.interfaces)
        if frames[number] or interface.received or interface.dropped or len(raw.interfaces) == 1
    )


def wire(tables: Tables, raw: RawRecording) -> WireSummary | None:
    """What the wire between the hosts did."""
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


def ledger(tables: Tables) -> Ledger:
    """What the calls moved, and what of it has no frames."""
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


def secret_notes(raw: RawRecording) -> tuple[str, ...]:
    """That there are keys in the file: a secret to be kept, and of no use here."""
    if not raw.secrets:
        return ()
    return (f"the file holds keys ({', '.join(raw.secrets)}): netlab decrypts nothing with them",)
