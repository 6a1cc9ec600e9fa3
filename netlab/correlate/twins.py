"""One packet, twice in a capture: captured twice, or doubled by the network?

The same IPv4 identification and the same header mostly mean that it was sent once; but there are
stacks that send again what they kept, number and all. None of them does so sooner than a round
trip after the first: only what comes within half of the shortest is a packet once more for certain.
Captured twice it was
- where the two differ in what a hop changes (time to live, VLAN) or in the interface: then it was
  seen at two places,
- where nearly every packet of the connection, both ways, stands twice: no network does that.
The network doubled it where the receiver says that it came twice (D-SACK). Else it is not known.
Read first: RFC 6864 (where the identification means something), RFC 2883.
"""

from __future__ import annotations

from netlab.correlate.segments import Row
from netlab.correlate.sender import Copy, Sender
from netlab.correlate.verdict_words import ms
from netlab.model.tables import Verdict

_TWICE_WITHIN_NS = 10_000_000
_FEWEST = 5  # pairs
_MOST_OPEN = 10_000
_NEARLY_ALL = 0.9


def is_same_packet(row: Row, before: Row) -> bool:
    """Whether two frames with one identification hold one packet."""
    return row.packet.ip_id == before.packet.ip_id and is_same_header(row, before)


def is_same_header(row: Row, before: Row) -> bool:
    """Whether two TCP headers are the same."""
    a, b = row.packet, before.packet
    return (
        a.seg_seq == b.seg_seq and a.seg_ack == b.seg_ack and a._flags == b._flags
        and a.payload_len_bytes == b.payload_len_bytes and a.seg_wnd_raw == b.seg_wnd_raw
        and a._options == b._options
    )  # fmt: skip


def wire_copy(row: Row) -> tuple[Verdict | None, str, tuple[int, ...] | None]:
    """What the wire made: no host sent it, and so it has no other verdict."""
    original = row.packet._copy_of
    if original is None:
        return None, "made by the wire, of which frame is not known", None
    if row.packet._fragment_more or row.packet._fragment_off:
        return None, f"a fragment: the wire cut frame {original}", (original,)
    return Verdict.DUPLICATED_BY_NETWORK, f"the wire doubled frame {original}", (original,)


class Twins:
    """The pairs of one connection."""

    def __init__(self) -> None:
        self._open: list[tuple[Row, Sender]] = []
        self._maybe: list[Row] = []
        self._once_more = 0

    def add(self, row: Row, before: Row, me: Sender) -> None:
        """`row` has the header and the identification of `before`."""
        segment, first = row.segment, before.segment.frame
        segment.verdict_frames = (first,)
        late_ns = abs(row.packet.time_ns - before.packet.time_ns)
        place = _other_place(row, before)
        named = f"frame {first} once more (IP identification {row.packet.ip_id})"
        if place:
            segment.verdict = Verdict.DUPLICATED_BY_CAPTURE
            segment.verdict_reason = f"{named}, seen at another place: {place}"
            self._once_more += 1
        elif late_ns > _TWICE_WITHIN_NS:
            segment.verdict_reason = (
                f"{named}, {ms(late_ns)} later: doubled by the network, which is late for that, or"
                " sent again by a stack that does not number anew"
            )
            if segment.seg_len:
                self.doubt(row, before, me)
                me.copies[-1].settled = True
        else:
            segment.verdict_reason = f"{named}: captured twice, or doubled by the network"
            self._open.append((row, me))
            self._once_more += 1
            if segment.seg_len and 2 * late_ns < _trip_ns(me):
                self.doubt(row, before, me)

    def doubt(self, row: Row, before: Row, me: Sender) -> None:
        """It is a packet once more: a D-SACK may yet tell who did it."""
        segment = row.segment
        stop = segment.seq + segment.seg_len
        me.copies.append(Copy(row, segment.seq, stop, row.packet.time_ns, before, twin=True))

    def maybe(self, row: Row) -> None:
        """It has the header of the one before, and no number: what others do, may tell."""
        if len(self._maybe) < _MOST_OPEN:
            self._maybe.append(row)

    def by_network(self, copy: Copy, told: str, frame: int, me: Sender) -> None:
        """The receiver said that it came a second time."""
        segment = copy.row.segment
        if segment.verdict is None and copy.first is not None and me.ids_vary:
            segment.verdict = Verdict.DUPLICATED_BY_NETWORK
            first = copy.first.segment.frame
            segment.verdict_reason = f"frame {first} once more, and {told} says that both came"
            segment.verdict_frames = (first, frame)

    def settle(self, rows: list[Row]) -> None:
        """At the end: where nearly all stand twice, the capture did it."""
        again = self._once_more
        numbered = sum(1 for row in rows if row.packet.ip_id)
        if again < _FEWEST or 2 * again < numbered * _NEARLY_ALL:
            return
        vary = any(me.ids_vary for _, me in self._open)
        for row in [row for row, _ in self._open] + self._maybe:
            segment = row.segment
            if segment.verdict is None and vary:
                segment.verdict, segment._again = Verdict.DUPLICATED_BY_CAPTURE, None
                segment.verdict_reason = (
                    f"frame {(segment.verdict_frames or (0,))[0]} once more, as {again} of the"
                    f" connection's {numbered} numbered packets are"
                )


def _trip_ns(me: Sender) -> int:
    """The shortest time in which a sender can have heard that a packet was lost."""
    trips = [ns for ns in (me.rtt_min_ns, me.ts_rtt_min_ns) if ns]
    return min(trips) + (me.near_ns or 0) if trips else 0


def _other_place(row: Row, before: Row) -> str:
    a, b = row.packet, before.packet
    if a.interface != b.interface:
        return "on another interface"
    if a.ttl != b.ttl:
        return f"its time to live is {a.ttl}, there {b.ttl}"
    if a.vlan != b.vlan:
        return "another VLAN"
    return ""
