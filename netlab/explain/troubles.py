"""A recording -> what looks wrong in it: a line each, how often, and where first.

What a look at the whole can tell: damage, losses of the capture itself, connections that failed,
bytes sent again, windows closed, packets that cannot be read. It names symptoms; causes are for
others. A capture without any of them has no troubles, and that is an answer, too.
Read first: "TCP Analysis" in the Wireshark User's Guide, RFC 9293 3.5.3 (resets), RFC 815.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from operator import attrgetter

from netlab.correlate.flows import RST, SYN
from netlab.decode import faults
from netlab.explain.incomplete import Fragments
from netlab.model.ranges import RangeSet
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Connection, Packet, Segment, Tables, Verdict

SERIOUS, BAD, MINOR = 3, 2, 1

MOST_SUMS = (
    50_000  # frames whose checksums are looked at: a look costs as much as reading the frame
)
_TWICE_WITHIN_NS = 10_000_000  # Linux resends after 200 ms at the earliest but for probes
_KINDS_OF_FAULTS = 4  # are told apart


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that looks wrong."""

    kind: str  # a word for programs: resent, refused, ...
    weight: int  # 3: the recording or a connection failed; 2: it suffered; 1: worth knowing
    count: int
    text: str  # in words, with the number
    frame: int | None  # the first that shows it
    connection: int | None = None  # of that frame


def troubles(tables: Tables, raw: RawRecording) -> list[Trouble]:
    """What looks wrong, the most serious first."""
    seen = _Look()
    for packet in tables.packets:
        seen.take(packet)
    twice = _captured_twice(tables, raw)
    twice |= {s.frame for s in tables.segments if s.verdict == Verdict.DUPLICATED_BY_CAPTURE}
    found = [
        *of_the_capture(raw),
        *_of_packets(seen, twice),
        *_of_connections(tables, seen),
        *_of_segments(tables, twice),
        *_of_sums(tables, raw),
    ]
    connections = {packet.frame: packet.connection for packet in tables.packets} if found else {}
    found = [_with_connection(one, connections.get(one.frame or 0)) for one in found]
    return sorted(found, key=lambda one: (-one.weight, -one.count))


def _with_connection(one: Trouble, connection: int | None) -> Trouble:
    return Trouble(one.kind, one.weight, one.count, one.text, one.frame, connection)


class _Group:
    """How often something was, and where first."""

    __slots__ = ("count", "frame")

    def __init__(self) -> None:
        self.count = 0
        self.frame: int | None = None

    def add(self, frame: int | None) -> None:
        if self.frame is None:
            self.frame = frame
        self.count += 1


class _Look:
    """One look at each packet, in the order of the file."""

    def __init__(self) -> None:
        self.cut = _Group()
        self.backwards = _Group()
        self.back_ns = 0  # the longest step
        self.faults: dict[tuple[str, str], _Group] = defaultdict(_Group)
        self.errors: dict[str, _Group] = defaultdict(_Group)
        self.resets: dict[int, int] = {}  # connection -> first frame
        self.syns: dict[int, int] = {}
        self.fragments = Fragments()
        self._latest_ns: int | None = None

    def take(self, packet: Packet) -> None:
        time_ns = packet.time_ns
        if self._latest_ns is not None and time_ns < self._latest_ns:
            self.backwards.add(packet.frame)
            self.back_ns = max(self.back_ns, self._latest_ns - time_ns)
        self._latest_ns = time_ns
        if packet.caplen_bytes < packet.origlen_bytes:
            self.cut.add(packet.frame)
        if packet.fault_layer is not None and packet.fault_limited_by not in _NO_FAULTS:
            self.faults[packet.fault_layer, packet.fault_limited_by or ""].add(packet.frame)
        if packet._quoted is not None and packet._icmp is not None:
            self.errors[packet._icmp.name].add(packet.frame)
        if packet._flags & (RST | SYN) and packet.connection is not None:
            first = self.resets if packet._flags & RST else self.syns
            first.setdefault(packet.connection, packet.frame)
        if packet.fragment is not None and not packet._made:
            self.fragments.take(packet)


# The capture kept less; another fragment has the rest; errors quote beginnings: nothing is wrong.
_NO_FAULTS = frozenset({faults.SNAPLEN, faults.FRAGMENT, faults.QUOTE})


def of_the_capture(raw: RawRecording) -> Iterator[Trouble]:
    """Damage of the file, and what the capture lost."""
    for text in raw.faults:
        yield Trouble("damage", SERIOUS, 1, f"the file is damaged: {text}", None)
    for one in raw.interfaces:
        if one.dropped:
            name = f" on {one.name}" if one.name else ""
            text = f"{_count(one.dropped, 'frame')} lost by the capture itself{name}"
            yield Trouble("ring_drop", SERIOUS, one.dropped, text, None)


def _of_packets(seen: _Look, twice: set[int]) -> Iterator[Trouble]:
    groups = sorted(seen.faults.items(), key=lambda item: -item[1].count)
    for (layer, limit), group in groups[:_KINDS_OF_FAULTS]:
        text = f"{_count(group.count, 'packet')} malformed: {layer} ({limit})"
        yield Trouble("malformed", SERIOUS, group.count, text, group.frame)
    rest = [group for _, group in groups[_KINDS_OF_FAULTS:]]
    if rest:
        number = sum(group.count for group in rest)
        text = f"{_count(number, 'packet')} malformed in other ways"
        frame = min(group.frame for group in rest if group.frame is not None)
        yield Trouble("malformed", SERIOUS, number, text, frame)
    for name, group in seen.errors.items():
        text = f"{_count(group.count, 'ICMP error')}: {name}"
        yield Trouble("icmp", BAD, group.count, text, group.frame)
    left, first = seen.fragments.incomplete()
    if left:
        text = f"{_count(left, 'fragmented packet')} never completed"
        yield Trouble("incomplete", BAD, left, text, first)
    if seen.backwards.count:
        milliseconds = seen.back_ns / 1_000_000
        text = (
            f"the clock goes backwards {_times(seen.backwards.count)},"
            f" by up to {milliseconds:,.3f} ms"
        )
        yield Trouble("clock", BAD, seen.backwards.count, text, seen.backwards.frame)
    if twice:
        text = f"{_count(len(twice), 'frame')} captured twice"
        yield Trouble("captured_twice", MINOR, len(twice), text, min(twice))
    if seen.cut.count:
        text = f"{_count(seen.cut.count, 'frame')} cut by the snap length: not all bytes are here"
        yield Trouble("snaplen", MINOR, seen.cut.count, text, seen.cut.frame)


def is_refused(row: Connection) -> bool:
    """Whether each SYN got its reset, and nothing else was said."""
    said = (row.completeness or 0) & ~0x04  # tshark's bits; this one is also set by RST ACK
    return said == 0x21 and row.client_packets == row.server_packets


def is_unanswered(row: Connection) -> bool:
    """Whether there are SYNs, and nothing came back."""
    return bool(row.completeness) and row.completeness == 0x01 and not row.server_packets


def _of_connections(tables: Tables, seen: _Look) -> Iterator[Trouble]:
    refused, unanswered, reset = _Group(), _Group(), _Group()
    for row in tables.connections:
        number = row.connection
        if row.protocol != "tcp":
            continue
        if row.close_kind == "rst":
            (refused if is_refused(row) else reset).add(seen.resets.get(number))
        elif is_unanswered(row):
            unanswered.add(seen.syns.get(number))
    for kind, group in (("refused", refused), ("unanswered", unanswered), ("reset", reset)):
        if group.count:
            yield failed_connections(kind, group.count, group.frame)


def failed_connections(kind: str, count: int, frame: int | None = None) -> Trouble:
    """So many connections were refused, never answered, or reset."""
    weight, text = _FAILED[kind]
    return Trouble(kind, weight, count, f"{_count(count, 'connection')} {text}", frame)


# Verdicts of segments: column, weight, and what is said of one and of several.
_VERDICTS = (
    ("ack_lost_segment", SERIOUS, "ACK of bytes that are not here: the capture lost frames",
     "ACKs of bytes that are not here: the capture lost frames"),
    ("lost_segment", BAD, "gap: a segment before it is not here",
     "gaps: the segment before is not here"),
    ("zero_window", BAD, "zero window: a receiver had no room left",
     "zero windows: a receiver had no room left"),
    ("window_full", MINOR, "segment that filled its receiver's window",
     "segments that filled their receiver's window"),
    ("out_of_order", MINOR, "segment out of order", "segments out of order"),
    ("duplicate_ack", MINOR, "duplicate ACK", "duplicate ACKs"),
    ("reused_ports", MINOR, "connection on ports that another had",
     "connections on ports that others had"),
)  # fmt: skip
# Connections that failed: kind, weight, what is said of them.
_FAILED = {
    "refused": (SERIOUS, "refused: a reset answered the SYN"),
    "unanswered": (SERIOUS, "never answered: SYN, and nothing back"),
    "reset": (BAD, "ended by a reset (RST)"),
}
# What tshark says where netlab, if it looked at each segment, may know better: it is said whose.
_TSHARKS = {
    "retransmission": ("segment that tshark calls a retransmission",
                       "segments that tshark calls retransmissions"),
    "out_of_order": ("segment that tshark calls out of order",
                     "segments that tshark calls out of order"),
}  # fmt: skip
_RESENT = ("retransmission", "fast_retransmission", "spurious_retransmission")
# netlab's own verdicts, where there is one: why something was sent again, and what only looks so.
_WHY_AGAIN: dict[str | None, str] = {
    Verdict.RTO: "by timeout",
    Verdict.FAST_RETRANSMIT: "fast",
    Verdict.TAIL_LOSS_PROBE: "as a probe",
    Verdict.SPURIOUS: "in vain",
}
_NOT_AGAIN = frozenset(Verdict) - frozenset(_WHY_AGAIN)
_PROBES = frozenset({Verdict.KEEP_ALIVE, Verdict.ZERO_WINDOW_PROBE})


def _of_segments(tables: Tables, twice: set[int]) -> Iterator[Trouble]:
    names = (*_RESENT, *(name for name, *_ in _VERDICTS))
    counts = [f"{name}_count" for name in names]
    suspects = {
        row.connection for row in tables.connections if any(getattr(row, count) for count in counts)
    }
    if not suspects:
        return
    groups = {name: _Group() for name, *_ in _VERDICTS}
    verdicts_of = attrgetter(*groups)
    resent, again_for_tshark, sent = _Group(), _Group(), 0
    why: Counter[str] = Counter()
    seen: dict[tuple[int, str], RangeSet] = defaultdict(RangeSet)
    for segment in tables.segments:
        sent += segment.seg_len > 0
        if segment.retransmission:
            again_for_tshark.add(segment.frame)
        if segment.connection not in suspects or segment.frame in twice:
            continue
        had = seen[segment.connection, segment.direction]
        again = _is_resent(segment, bool(had.overlaps(segment.start, segment.stop)))
        if segment.verdict not in _PROBES:
            had.add(segment.start, segment.stop)
        if again:
            resent.add(segment.frame)
            why[_WHY_AGAIN.get(segment.verdict, "")] += 1
        told = verdicts_of(segment)
        if True not in told:  # as most
            continue
        for (name, group), is_told in zip(groups.items(), told, strict=True):
            if is_told and not (again and name == "out_of_order"):
                group.add(segment.frame)
    if resent.count:
        share = 100 * resent.count / max(sent, 1)
        known = [f"{number:,} {word}" for word, number in why.most_common() if word]
        text = f"{_count(resent.count, 'segment')} resent, {share:.1f} % of those with content"
        if known and why[""]:
            known.append(f"{why['']:,} for no known reason")
        text += f": {', '.join(known)}" if known else ""
        yield Trouble("resent", BAD, resent.count, text, resent.frame)
    if again_for_tshark.count != resent.count:
        yield from _retransmissions(MINOR, again_for_tshark.count, again_for_tshark.frame)
    for name, weight, one, several in _VERDICTS:
        group = groups[name]
        if group.count:
            text = _number(group.count, one, several)
            yield Trouble(name, weight, group.count, text, group.frame)


def tsharks(counts: Mapping[str, int]) -> Iterator[Trouble]:
    """What tshark's verdicts alone tell, of how many segments got each."""
    yield from _retransmissions(BAD, counts["retransmission"], None)
    for name, weight, *texts in _VERDICTS:
        if counts[name]:
            one, several = _TSHARKS.get(name, texts)
            yield Trouble(name, weight, counts[name], _number(counts[name], one, several), None)


def _retransmissions(weight: int, count: int, frame: int | None) -> Iterator[Trouble]:
    if count:
        text = _number(count, *_TSHARKS["retransmission"])
        yield Trouble("retransmission", weight, count, text, frame)


def _is_resent(segment: Segment, had: bool) -> bool:
    """Whether its sender sent it before; `had`: bytes of it have been seen.

    netlab's verdict knows more than tshark's, where it knows anything.
    """
    if segment.verdict in _WHY_AGAIN:
        return True
    again = had or any(getattr(segment, name) for name in _RESENT)
    return again and segment.verdict not in _NOT_AGAIN


def _of_sums(tables: Tables, raw: RawRecording) -> Iterator[Trouble]:
    from netlab.decode.sums import check_sums  # with all that reads frames, which bulk does not

    sums = check_sums(raw, tables.packets, MOST_SUMS)
    for protocol, frames in sums.wrong.items():
        text = f"{_count(len(frames), f'wrong {protocol} checksum')}, not by offload"
        if sums.frames < len(tables.packets):
            text += f" (of the first {sums.frames:,} frames)"
        yield Trouble("checksum", SERIOUS, len(frames), text, frames[0])


def _captured_twice(tables: Tables, raw: RawRecording) -> set[int]:
    """Frames that are, byte for byte, one that was captured just before.

    Of IPv4 packets only, whose identification a packet that is sent again has anew (RFC 6864).
    """
    found: set[int] = set()
    seen: dict[tuple[object, ...], tuple[int, bytes | memoryview]] = {}
    for frame, packet in zip(raw.frames, tables.packets, strict=True):
        if not packet.ip_id or packet.ip_version != 4 or packet._made:
            continue
        key = packet.src, packet.dst, packet.ip_id, packet.sport, packet.seg_seq, packet.fragment
        before = seen.get(key)
        if before is not None and 0 <= packet.time_ns - before[0] < _TWICE_WITHIN_NS:
            if before[1] == frame.data:
                found.add(packet.frame)
        else:
            seen[key] = packet.time_ns, frame.data
    return found


def _count(number: int, one: str) -> str:
    return _number(number, one, f"{one}s")


def _number(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
