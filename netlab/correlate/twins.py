"""One packet, twice in a capture: captured twice, or doubled by the network?

The same IPv4 identification and the same header mean that it was sent once (a stack that sends
bytes again makes a packet anew; RFC 6864 lets the number be 0 where it means nothing, and then
nothing is said). A stack that gives all its packets one
number is told by that. Captured twice it was
- where the two differ in what a hop changes (time to live, VLAN) or in the interface: then it was
  seen at two places,
- where nearly every packet of the connection, both ways, stands twice: no network does that.
The network doubled it where the receiver says that it came twice (D-SACK). Else it is not known.
"""

from __future__ import annotations

from netlab.correlate.segments import Row
from netlab.correlate.sender import Copy, Sender
from netlab.model.tables import Verdict

_TWICE_WITHIN_NS = 10_000_000
_FEWEST = 5  # pairs
_NEARLY_ALL = 0.9


def is_same_packet(row: Row, before: Row) -> bool:
    """Whether two frames with one identification hold one packet."""
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
        self._seen_twice = 0

    def add(self, row: Row, before: Row, me: Sender) -> None:
        """`row` is the packet of `before` once more."""
        segment, first = row.segment, before.segment.frame
        segment.verdict_frames = (first,)
        late_ns = row.packet.time_ns - before.packet.time_ns
        place = _other_place(row, before)
        named = f"frame {first} once more (IP identification {row.packet.ip_id})"
        if place:
            segment.verdict = Verdict.DUPLICATED_BY_CAPTURE
            segment.verdict_reason = f"{named}, seen at another place: {place}"
            self._seen_twice += 1
        elif abs(late_ns) > _TWICE_WITHIN_NS:
            segment.verdict_reason = (
                f"{named}, {late_ns / 1_000_000:.1f} ms later: late for a packet that was doubled,"
                " and a stack that sends again numbers anew"
            )
        else:
            segment.verdict_reason = f"{named}: captured twice, or doubled by the network"
            self._open.append((row, me))
            self._seen_twice += 1
        self._remember(row, before, me)

    def doubt(self, row: Row, before: Row, me: Sender) -> None:
        """It may be; a D-SACK may yet tell."""
        self._remember(row, before, me)

    def _remember(self, row: Row, before: Row, me: Sender) -> None:
        segment = row.segment
        if segment.seg_len:
            stop = segment.seq + segment.seg_len
            me.copies.append(
                Copy(row, segment.seq, stop, row.packet.time_ns, before, twin=True)
            )  # fmt: skip

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
        pairs = self._seen_twice
        numbered = sum(1 for row in rows if row.packet.ip_id)
        if pairs < _FEWEST or 2 * pairs < numbered * _NEARLY_ALL:
            return
        for row, me in self._open:
            segment = row.segment
            if segment.verdict is None and me.ids_vary:
                segment.verdict = Verdict.DUPLICATED_BY_CAPTURE
                segment.verdict_reason = (
                    f"frame {(segment.verdict_frames or (0,))[0]} once more; {pairs} of the"
                    f" connection's {numbered - pairs} packets stand twice"
                )


def _other_place(row: Row, before: Row) -> str:
    a, b = row.packet, before.packet
    if a.interface != b.interface:
        return "on another interface"
    if a.ttl != b.ttl:
        return f"its time to live is {a.ttl}, there {b.ttl}"
    if a.vlan != b.vlan:
        return "another VLAN"
    return ""
