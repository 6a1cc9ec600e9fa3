"""One direction of a TCP connection -> what its sender had written, sent, and was allowed to send.

Departures count when TCP gave them away, which is when they left unless they lay in a queue of the
host's own (`handing`), ACKs when they came: that is what the sender's stack knew. Knows of calls
only what wrote bytes, and which options held when.
Read first: RFC 9293 3.4 (SND.UNA, SND.NXT, SND.WND), tcp_minshall_update in Linux.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import accumulate, zip_longest

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.flows import RST, SYN
from netlab.correlate.segments import Row, Track
from netlab.correlate.streams import Stream
from netlab.explain.causes import Cause, Certainty
from netlab.explain.handing import Handing
from netlab.explain.switch import Switch
from netlab.model.records import dataclass, quickly_made
from netlab.model.tables import Call, Direction, Packet

_TIMESTAMPS_BYTES = 12  # RFC 7323 appendix A: the option with its padding


@quickly_made
@dataclass(frozen=True, slots=True)
class Write:
    """A call that gave bytes to the stack."""

    call: Call
    stop: int
    more: bool  # MSG_MORE


@quickly_made
@dataclass(frozen=True, slots=True)
class Known:
    """What a sender's stack knew at one moment: as the methods of `Sender` so called say."""

    nxt: int
    una: int
    edge: int | None
    small: int
    written: int
    last_write: Write | None
    next_departure: Row | None
    next_ack: bool  # the next thing after that moment is an ACK, and not a frame that is sent


@dataclass(frozen=True, slots=True)
class Resend:
    """A frame that carried bytes again."""

    time_ns: int
    frame: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """Why a frame was sent again."""

    cause: Cause
    certainty: Certainty
    frames: tuple[int, ...]
    text: str
    lost: bool = True  # what it repairs was lost, or may have been


@dataclass(slots=True)
class Sender:
    """The timeline of one direction's sender."""

    direction: Direction
    stream: Stream
    mss: int
    exact: bool  # frames have both times: when they left and when they came
    away_ns: int = 0  # how much later than captured an ACK was known, by when frames were captured
    nodelay: Switch = field(default_factory=Switch)
    cork: Switch = field(default_factory=Switch)
    departed: list[Row] = field(default_factory=list)  # with payload, in order
    acks: list[Row] = field(default_factory=list)  # that came, in order of arrival
    writes: list[Write] = field(default_factory=list)
    resends: list[Resend] = field(default_factory=list)
    paced: bool = False  # the socket asked for pacing, or its congestion control paces
    recoveries: dict[int, Recovery] = field(default_factory=dict)  # by frame, once judged
    finished_ns: int | None = None  # shutdown or close: Nagle lets the rest go with the FIN
    autocorking: bool | None = None  # net.ipv4.tcp_autocorking of its host; None: not known
    handing: Handing = field(default_factory=Handing)
    _left_ns: list[int] = field(default_factory=list)
    _freed_ns: list[int] = field(default_factory=list)  # a packet left its host whole
    _given_ns: list[int] = field(default_factory=list)  # to the host's queue, mostly the same
    _nxt: list[int] = field(default_factory=list)
    _small: list[int] = field(default_factory=list)  # where the last small segment ends
    _acks_ns: list[int] = field(default_factory=list)
    _una: list[int] = field(default_factory=list)
    _edge: list[int | None] = field(default_factory=list)
    _written_ns: list[int] = field(default_factory=list)
    _written: list[int] = field(default_factory=list)
    _resent_ns: list[int] = field(default_factory=list)
    _most: list[int] = field(default_factory=list)  # in flight since the last repair or pause
    _released: dict[int, int] | None = None

    def heard_ns(self, packet: Packet) -> int:
        """When it knew of an ACK, on the clock by which its own frames left."""
        return arrival_ns(packet) + self.away_ns

    def nxt(self, time_ns: int) -> int:
        """One past the last byte that TCP had sent by then, that moment included."""
        place = bisect_right(self._given_ns, time_ns)
        return self._nxt[place - 1] if place else 0

    def una(self, time_ns: int) -> int:
        """The first byte that was not acknowledged, as the sender knew then."""
        place = bisect_right(self._acks_ns, time_ns)
        return self._una[place - 1] if place else 0

    def edge(self, time_ns: int) -> int | None:
        """The right edge of the peer's window, as the sender knew it then."""
        place = bisect_right(self._acks_ns, time_ns)
        return self._edge[place - 1] if place else None

    def small(self, time_ns: int) -> int:
        """Where the last segment smaller than an MSS that was sent by then ends (SND.SML)."""
        place = bisect_right(self._given_ns, time_ns)
        return self._small[place - 1] if place else 0

    def most(self, time_ns: int) -> int:
        """The most bytes in flight by then, since the last repair or pause: cwnd was no less."""
        place = bisect_right(self._given_ns, time_ns)
        return self._most[place - 1] if place else 0

    def known(self, time_ns: int) -> Known:
        """All of that with three binary searches."""
        given_ns, acks_ns = self._given_ns, self._acks_ns
        left, came = bisect_right(given_ns, time_ns), bisect_right(acks_ns, time_ns)
        wrote = bisect_right(self._written_ns, time_ns)
        more = left < len(given_ns)
        return Known(
            self._nxt[left - 1] if left else 0,
            self._una[came - 1] if came else 0,
            self._edge[came - 1] if came else None,
            self._small[left - 1] if left else 0,
            self._written[wrote - 1] if wrote else 0,
            self.writes[wrote - 1] if wrote else None,
            self.departed[left] if more else None,
            came < len(acks_ns) and (not more or acks_ns[came] <= given_ns[left]),
        )

    def starved(self, since_ns: int) -> bool:
        """Whether nothing was there to send from then until the next frame left.

        With room in the peer's window and less in flight than there had been before, it was silent
        after an ACK: what was queued would have left with that.
        """
        left = bisect_right(self._given_ns, since_ns)
        until_ns = self._given_ns[left] if left < len(self.departed) else None
        nxt, most = self.nxt(since_ns), self.most(since_ns)
        for place in range(max(bisect_right(self._acks_ns, since_ns) - 1, 0), len(self.acks)):
            came_ns = max(self._acks_ns[place], since_ns)
            if until_ns is not None and came_ns + _SILENT_NS > until_ns:
                return False
            edge = self._edge[place]
            room = edge is not None and edge - nxt >= self.mss
            if room and nxt - self._una[place] + 2 * self.mss <= most:
                return True
        return False

    def written(self, time_ns: int) -> int:
        """One past the last byte of the calls entered by then."""
        place = bisect_right(self._written_ns, time_ns)
        return self._written[place - 1] if place else 0

    def first_released(self, frame: int) -> int | None:
        """The first byte that this frame made readable; None: it made none."""
        if self._released is None:
            self._released = {}
            for start, _, brought in self.stream.ready:
                if brought is not None:
                    self._released.setdefault(brought, start)
        return self._released.get(frame)

    def last_write(self, time_ns: int) -> Write | None:
        """The latest call that wrote by then."""
        place = bisect_right(self._written_ns, time_ns)
        return self.writes[place - 1] if place else None

    def write_of(self, offset: int) -> Write | None:
        """The call that wrote this byte, if all are known in order."""
        place = bisect_right(self._written, offset)
        return self.writes[place] if place < len(self.writes) else None

    def writes_since(self, offset: int, time_ns: int) -> int:
        """How many calls entered by then wrote bytes from `offset` on."""
        place = bisect_right(self._written_ns, time_ns)
        return place - bisect_right(self._written, offset, 0, place)

    def moments(self, since_ns: int, until_ns: int) -> list[int]:
        """When something changed in between, in order."""
        found = set(self.nodelay.between(since_ns, until_ns))
        found.update(self.cork.between(since_ns, until_ns))
        for times in (self._given_ns, self._left_ns, self._acks_ns, self._written_ns):
            first = bisect_right(times, since_ns)
            if first < len(times) and times[first] < until_ns:
                found.update(times[first : bisect_left(times, until_ns, first)])
        if self.finished_ns is not None and since_ns < self.finished_ns < until_ns:
            found.add(self.finished_ns)
        return sorted(found)

    def next_departure(self, time_ns: int) -> Row | None:
        """The first frame that was sent after that moment."""
        left = bisect_right(self._given_ns, time_ns)
        return self.departed[left] if left < len(self.departed) else None

    def given_of(self, packet: Packet) -> int:
        """When TCP gave a frame of its own to the host's queue: when it left, if there is none."""
        return self.handing.given_ns.get(packet.frame, packet.time_ns)

    def in_queue(self, time_ns: int) -> Sequence[Row]:
        """The frames with payload that were in the host's own queue then, in order."""
        if not self.handing.given_ns:
            return ()
        left, given = (bisect_right(times, time_ns) for times in (self._left_ns, self._given_ns))
        return self.departed[left:given]

    def segments_out(self, time_ns: int) -> int:
        """How many frames TCP had sent by then whose bytes were not acknowledged."""
        acked = bisect_right(self._nxt, self.una(time_ns))
        return max(bisect_right(self._given_ns, time_ns) - acked, 0)

    def went_on(self, since_ns: int, until_ns: int) -> bool:
        """Whether a frame of the socket left its host, or one came, after that and by then."""
        return _any(self._left_ns, since_ns, until_ns) or _any(self._acks_ns, since_ns, until_ns)

    def let_go(self, since_ns: int, until_ns: int) -> bool:
        """Whether that freed a packet of the socket, or brought it an ACK.

        TCP gives away several segments as one packet, which is freed with the last of them
        (tcp_gso_segment): full ones with the timestamp of the next do not count.
        """
        return _any(self._freed_ns, since_ns, until_ns) or _any(self._acks_ns, since_ns, until_ns)

    def releases(self) -> list[int]:
        """When, in order, a frame with payload left, or one came from the other end."""
        return sorted((*self._left_ns, *self._acks_ns))

    def hand(self, handing: Handing) -> None:
        """Take in when the frames were given to the host's queue."""
        self.handing = handing
        given_ns = map(self.given_of, (row.packet for row in self.departed))
        self._given_ns = list(accumulate(given_ns, max))
        pairs = zip_longest(self.departed, self.departed[1:])
        self._freed_ns = [row.packet.time_ns for row, then in pairs if not self._joined(row, then)]
        _fill_most(self)

    def _joined(self, row: Row, then: Row | None) -> bool:
        """Whether the frame may have been one packet with the next when TCP gave it away."""
        one, other = (r.packet._options if r is not None else None for r in (row, then))
        same = one is not None and other is not None and one.ts_val == other.ts_val
        return same and row.segment.payload_len_bytes % self.mss == 0

    def departures_between(self, since_ns: int, until_ns: int) -> Sequence[Row]:
        """The frames with payload that left after `since_ns`, up to and with `until_ns`."""
        times = self._left_ns
        return self.departed[bisect_right(times, since_ns) : bisect_right(times, until_ns)]

    def is_spaced(self, time_ns: int) -> bool:
        """Whether the next frame leaves with no ACK just before it: something else lets it go."""
        row = self.next_departure(time_ns)
        if row is None:
            return False
        left_ns = self.given_of(row.packet)
        return not self.acks_between(left_ns - _SILENT_NS, left_ns)

    def acks_between(self, since_ns: int, until_ns: int) -> Sequence[Row]:
        """The ACKs that came after `since_ns`, up to and with `until_ns`."""
        low, high = bisect_right(self._acks_ns, since_ns), bisect_right(self._acks_ns, until_ns)
        return self.acks[low:high]

    def acks_back_from(self, time_ns: int) -> Iterator[Row]:
        """The ACKs that had come by then, the latest first."""
        for place in range(bisect_right(self._acks_ns, time_ns) - 1, -1, -1):
            yield self.acks[place]

    def departures_back_from(self, time_ns: int) -> Iterator[Row]:
        """The frames with payload that had left by then, the latest first."""
        for place in range(bisect_right(self._left_ns, time_ns) - 1, -1, -1):
            yield self.departed[place]

    def sent_back_from(self, time_ns: int) -> Iterator[Row]:
        """The frames with payload that TCP had sent by then, the latest first."""
        for place in range(bisect_right(self._given_ns, time_ns) - 1, -1, -1):
            yield self.departed[place]

    def resends_back_from(self, time_ns: int) -> Iterator[Resend]:
        """The frames with bytes sent again that had left by then, the latest first."""
        for place in range(bisect_right(self._resent_ns, time_ns) - 1, -1, -1):
            yield self.resends[place]

    def ack_of(self, offset: int, since_ns: int) -> Row | None:
        """The first ACK after `since_ns` that covers the bytes before `offset`."""
        for place in range(bisect_right(self._acks_ns, since_ns), len(self.acks)):
            if self._una[place] >= offset:
                return self.acks[place]
        return None

    def next_resend(self, since_ns: int, until_ns: int) -> Resend | None:
        """The first frame after `since_ns` that carried again what was in flight then."""
        una, nxt = self.una(since_ns), self.nxt(since_ns)
        for place in range(bisect_right(self._resent_ns, since_ns), len(self.resends)):
            resend = self.resends[place]
            if resend.time_ns > until_ns and self.una(resend.time_ns) > una:
                break  # what was awaited came without
            if resend.stop > una and resend.start < nxt:
                return resend
            if place - bisect_right(self._resent_ns, since_ns) > _MOST_LOOKED_AT:
                break
        return None

    def resends_between(self, since_ns: int, until_ns: int) -> Sequence[Resend]:
        """Those after `since_ns`, up to and with `until_ns`."""
        times = self._resent_ns
        return self.resends[bisect_right(times, since_ns) : bisect_right(times, until_ns)]


_MOST_LOOKED_AT = 64
_PAUSE_NS = 200_000_000  # no RTO is less; after one of silence cwnd begins anew (RFC 5681 4.1)
_SILENT_NS = 1_000_000  # a stack sends at once what an ACK lets go; a busy machine takes its time


def sender_of(
    track: Track,
    direction: Direction,
    stream: Stream,
    writes: list[Write],
    *,
    exact: bool,
    away_ns: int = 0,
) -> Sender:
    """The timeline of the end that sends in this direction, `away_ns` from the capture and back."""
    mss = segment_size(track, direction)
    found = Sender(direction, stream, mss, exact, away_ns, writes=writes)
    small = nxt = 0
    for row in track.rows:
        segment = row.segment
        if row.direction is direction:
            if row.probe or row.packet._made or segment.start == segment.stop:
                continue
            if segment.stop > nxt:
                if segment.payload_len_bytes % found.mss:
                    small = segment.stop
                nxt = segment.stop
            found.departed.append(row)
            found._left_ns.append(row.packet.time_ns)
            found._nxt.append(nxt)
            found._small.append(small)
        elif segment.ack is not None and reached(row.packet) and not row.packet._flags & RST:
            found.acks.append(row)
    found._given_ns = found._freed_ns = found._left_ns
    _fill_acks(found)
    _fill_most(found)
    found._written_ns = [write.call.entered_ns for write in writes]
    found._written = list(accumulate((write.stop for write in writes), max))
    times = {row.segment.frame: row.packet.time_ns for row in found.departed}
    again: dict[int, tuple[int, int]] = {}
    for piece in stream.resent:
        start, stop = again.get(piece.frame, (piece.start, piece.stop))
        again[piece.frame] = min(start, piece.start), max(stop, piece.stop)
    found.resends = sorted(
        (Resend(times[f], f, *again[f]) for f in again if f in times), key=lambda r: r.time_ns
    )
    found._resent_ns = [resend.time_ns for resend in found.resends]
    return found


def _any(times: list[int], since_ns: int, until_ns: int) -> bool:
    return bisect_right(times, since_ns) < bisect_right(times, until_ns)


def _fill_acks(found: Sender) -> None:
    found.acks.sort(key=lambda row: arrival_ns(row.packet))
    una, edge = 0, None
    for row in found.acks:
        ack = (row.segment.ack or 0) - 1
        window = row.segment.seg_wnd_bytes
        if ack >= una:
            una = ack
            if window is not None and not row.packet._flags & SYN:
                edge = ack + window
            elif row.packet._flags & SYN and row.packet.seg_wnd_raw is not None:
                edge = max(ack, 0) + row.packet.seg_wnd_raw  # not scaled (RFC 7323 2.2)
        found._acks_ns.append(found.heard_ns(row.packet))
        found._una.append(max(una, 0))
        found._edge.append(edge)


def _fill_most(found: Sender) -> None:
    """While a loss is repaired nothing is counted: of what is out then, SACK has told of a part,
    and cwnd is being made smaller (RFC 6675 5, RFC 6937)."""
    found._most = []
    most = edge = repaired = 0
    for at, row in enumerate(found.departed):
        if row.segment.start is not None and row.segment.start < edge:
            repaired = edge
        edge = max(edge, found._nxt[at])
        left_ns = found._given_ns[at]
        una = found.una(left_ns)
        flight = found._nxt[at] - una
        if at > 0 and left_ns - found._given_ns[at - 1] >= _PAUSE_NS:
            most = 0
        most = max(most, flight) if una >= repaired else 0
        found._most.append(most)


def segment_size(track: Track, direction: Direction) -> int:
    """How many bytes a full segment of this direction has (RFC 9293 3.7.1)."""
    said = [half.mss for half in track.halves.values()]
    if all(said):
        size = min(mss for mss in said if mss)
        if all(half.timestamps for half in track.halves.values()):
            size -= _TIMESTAMPS_BYTES
        if size > 0:
            return size
    largest = max(
        (r.segment.payload_len_bytes for r in track.rows if r.direction is direction), default=0
    )
    return largest or 536  # RFC 9293 3.7.1
