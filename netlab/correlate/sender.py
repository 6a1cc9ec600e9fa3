"""One direction of a TCP connection -> what its sender has out, what it has heard, and its timers.

Whoever judges why a segment left must know what its sender knew then. So what it hears counts from
when it arrives: where a wire is, when the wire handed it over; else when the capture saw it, and
then `near_ns` is how long it takes from there to the sender and back. All is bounded: ranges that
are acknowledged are forgotten, of later copies the last `_COPIES` are kept, of stamps `_STAMPS`;
holes are at most one more than segments, and are found by halving.
Numbers are relative and unwrapped, as in `segments`. Knows nothing of calls.
Read first: RFC 6298 section 5, RFC 5681 section 2 (duplicate ACK), RFC 2018, RFC 2883, RFC 7323 4.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import field

from netlab.correlate.flows import SYN
from netlab.correlate.segments import Row
from netlab.model.ranges import RangeSet
from netlab.model.records import dataclass
from netlab.model.seqnum import SEQ_MASK, seq_diff

_COPIES = 64
_STAMPS = 512
_MOST_OUT = 10_000  # segments; of what lies beyond, only the newest byte is known
_COMPACT = 512
_MOST_SACKED = 256  # ranges
RTO, FAST, OPEN = "rto", "fast", "open"  # what a recovery began with; open: not known
IDS = 256  # a direct-mapped memory of the last IPv4 identifications


@dataclass(slots=True)
class Hole:
    """Bytes that were skipped in this capture, and the segment that showed it."""

    start: int
    stop: int
    before: Row | None  # the newest segment below it
    beyond: Row


def _start(hole: Hole) -> int:
    return hole.start


def _stop(hole: Hole) -> int:
    return hole.stop


@dataclass(slots=True)
class Copy:
    """A later copy of bytes. `twin`: the same packet once more, not the sender's doing."""

    row: Row
    start: int
    stop: int
    time_ns: int
    first: Row | None  # what had them before
    twin: bool = False
    settled: bool = False  # known to have come in vain, or to be a packet that was doubled


@dataclass(slots=True)
class Turn:
    """A window that was open closed, or one that was closed opened."""

    frame: int
    time_ns: int
    stamp: int | None  # the frame's timestamp
    is_first: bool  # with that timestamp: an echo of it is an echo of this frame, or of a later one


@dataclass(slots=True)
class Sender:
    """One end of a connection; a name in `_frame` is the frame from which the rest is known."""

    base: int  # 32-bit number of seq 0
    near_ns: int | None = None  # from the capture to this end and back; 0 with a wire
    sack: bool = False  # both ends permit it
    probes_first: bool = False  # its kernel is known to send a tail loss probe before it times out

    nxt: int | None = None  # one past the highest number sent
    newest: Row | None = None  # the segment that reached it
    newest_ns: int = 0
    rows: list[Row] = field(default_factory=list)  # out, each byte's first copy, by number
    starts: list[int] = field(default_factory=list)
    head: int = 0  # before it all is acknowledged
    copies: deque[Copy] = field(default_factory=lambda: deque(maxlen=_COPIES))
    holes: list[Hole] = field(default_factory=list)  # in order, disjoint
    ids: list[Row | None] = field(default_factory=lambda: [None] * IDS)
    last_id: int | None = None
    ids_vary: bool = False
    id_steps: int = 0  # new segments in a row whose identification was a little above the last's
    ts_newest: int | None = None  # highest timestamp sent

    una: int = 0  # highest ACK heard
    una_ns: int = 0
    una_frame: int | None = None
    una_ts: int | None = None  # the timestamp of the frame that brought it
    heard_ns: int = 0  # anything with an ACK
    heard_frame: int | None = None
    heard_stamp: int | None = None  # its timestamp
    duplicate_acks: int = 0
    duplicate_frames: tuple[int, ...] = ()  # the first and the last of them
    sacked: RangeSet = field(default_factory=RangeSet)
    sack_top: int = 0
    sack_frame: int | None = None
    come_ns: int = (
        0  # when the newest segment left that is known to have come (RFC 8985 6.2 step 2)
    )
    come_frame: int | None = None
    window: int | None = None  # the other's, last heard
    window_frame: int | None = None
    turn: Turn | None = None  # when it last closed, or opened after that
    window_least: int | None = None
    window_most: int | None = None
    window_edge: int | None = None  # offset up to which the other lets this end send
    opened_ns: int = 0  # when it last had room for a segment again
    said: int = 0  # highest ACK that has *left* the other end; without a wire it is `una`
    said_frame: int | None = None
    said_sacked: RangeSet = field(default_factory=RangeSet)
    arrived: RangeSet = field(default_factory=RangeSet)  # with a wire: bytes that it handed over

    timer_ns: int = 0  # when the retransmission timer last began (RFC 6298 5.1, 5.3, 5.6)
    timer_frame: int | None = None
    recover: int = 0  # a recovery lasts until this is acknowledged
    recover_kind: str = ""
    recover_ns: int = 0
    recover_frame: int | None = None
    lone: tuple[Row, int] | None = None  # a resend that one of two timers sent; how long it waited

    # what is measured
    mss: int = 0  # largest payload
    srtt_ns: int = 0
    rttvar_ns: int = 0
    rtt_count: int = 0
    rtt_sum_ns: int = 0
    rtt_min_ns: int = 0
    ts_out: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_STAMPS))
    ts_last: int | None = None
    ecr_last: int | None = None
    ts_rtt_count: int = 0
    ts_rtt_sum_ns: int = 0
    ts_rtt_min_ns: int = 0
    flight_most: int = 0
    payload_bytes: int = 0  # with every copy
    first_data_ns: int | None = None
    last_data_ns: int = 0
    idle_ns: int = 0  # all was acknowledged, and it had sent nothing more
    closed_ns: int = 0  # the other's window had no room for a segment
    losing_ns: int = 0  # in a recovery
    was_full: bool = False

    # --- what it sends

    def send_new(self, row: Row, now_ns: int) -> None:
        """A segment whose numbers nobody saw before; what it skips is a hole."""
        segment = row.segment
        seq, end = segment.seq, segment.seq + segment.seg_len
        before = self.nxt
        if before is not None and seq > before:
            self.holes.append(Hole(before, seq, self.newest, row))
        if before is None or self.una >= before:  # nothing was out
            self.timer_ns, self.timer_frame = now_ns, segment.frame
        if len(self.rows) - self.head < _MOST_OUT:
            self.rows.append(row)
            self.starts.append(max(seq, before or seq))
        self.nxt, self.newest, self.newest_ns = end, row, now_ns

    def original(self, at: int) -> Row | None:
        """What first carried this number, while it is out."""
        place = bisect_right(self.starts, at, lo=self.head) - 1
        if place < self.head:
            return None
        row = self.rows[place]
        return row if at < row.segment.seq + row.segment.seg_len else None

    def last_copy(self, at: int) -> Copy | None:
        """The latest copy of this number that its sender sent again."""
        for copy in reversed(self.copies):
            if copy.start <= at < copy.stop and not copy.twin:
                return copy
        return None

    def hole_of(self, start: int, stop: int) -> Hole | None:
        """The hole that holds all of these numbers."""
        place = bisect_right(self.holes, start, key=_stop)
        if place == len(self.holes):
            return None
        hole = self.holes[place]
        return hole if hole.start <= start and stop <= hole.stop else None

    def fill(self, start: int, stop: int) -> None:
        """Numbers below the newest are seen: of holes, only the rest remains."""
        first = bisect_right(self.holes, start, key=_stop)
        last = bisect_left(self.holes, stop, lo=first, key=_start)
        left = [
            Hole(a, b, hole.before, hole.beyond)
            for hole in self.holes[first:last]
            for a, b in ((hole.start, start), (stop, hole.stop))
            if a < b
        ]
        self.holes[first:last] = left

    @property
    def is_near(self) -> bool:
        """Whether the capture stands at this end: most of the round trip is beyond it."""
        return self.near_ns is not None and self.near_ns * 8 <= self.srtt_ns

    @property
    def segments_out(self) -> int:
        return len(self.rows) - self.head

    @property
    def out_since(self) -> int | None:
        """The lowest number that is out."""
        return None if self.head >= len(self.rows) else max(self.una, self.starts[self.head])

    def measure_data(self, length: int, now_ns: int) -> None:
        """Before payload leaves: what the time since the last may have been waited for."""
        self.payload_bytes += length
        if self.first_data_ns is None:
            self.first_data_ns = self.last_data_ns = now_ns
            return
        since_ns, free_ns = self.last_data_ns, now_ns
        if self.nxt is not None and self.una >= self.nxt and self.una_ns:
            heard_ns = max(self.una_ns, self.opened_ns) + (self.near_ns or 0)
            free_ns = min(max(heard_ns, since_ns), now_ns)
            self.idle_ns += now_ns - free_ns
        held_ns = free_ns - since_ns
        if held_ns > 0 and self.recover > self.una and self.recover_kind != OPEN:
            self.losing_ns += held_ns
        elif held_ns > 0 and (self.was_full or self.opened_ns > since_ns):
            self.closed_ns += held_ns
        self.last_data_ns = now_ns

    def after_data(self) -> None:
        """Payload has left: how much is out, and whether the window has room for more."""
        flight = (self.nxt or 0) - self.una
        if flight > self.flight_most and self.una_frame is not None:
            self.flight_most = flight
        newest = self.newest.segment.payload_len_bytes if self.newest else 0
        self.mss = max(self.mss, newest)
        self.was_full = self.window is not None and flight + self.mss > self.window

    # --- what it hears

    def hear(self, row: Row, now_ns: int) -> None:
        """A frame of the other end that reached this one."""
        segment, packet = row.segment, row.packet
        ack = segment.ack
        if ack is None:
            return
        options = packet._options
        if options is not None and options.sack_blocks:
            self._hear_sack(options.sack_blocks, ack, row, now_ns)
        window = segment.seg_wnd_bytes
        if ack > self.una:
            self._advance(ack, row, now_ns)
        elif (
            ack == self.una and not segment.seg_len and self.head < len(self.rows)
            and window == self.window
        ):  # fmt: skip
            self.duplicate_acks += 1
            self.duplicate_frames = (*self.duplicate_frames[:1], segment.frame)
        self.heard_ns, self.heard_frame = now_ns, segment.frame
        if window is not None and ack >= self.una and not packet._flags & SYN:
            if window != self.window:
                if self.window is not None and (window == 0) != (self.window == 0):
                    stamp = None if options is None else options.ts_val
                    first = stamp != self.heard_stamp
                    self.turn = Turn(segment.frame, now_ns, stamp, first)
                self._window_changes(window, now_ns)
                self.window = window
            self.window_frame = segment.frame
            if self.window_edge is None or ack - 1 + window > self.window_edge:
                self.window_edge = ack - 1 + window
        if options is not None:
            self.heard_stamp = options.ts_val

    def _window_changes(self, window: int, now_ns: int) -> None:
        if self.window is not None and self.window < self.mss <= window:
            self.opened_ns = now_ns
        if self.window_least is None or window < self.window_least:
            self.window_least = window
        if self.window_most is None or window > self.window_most:
            self.window_most = window

    def _advance(self, ack: int, row: Row, now_ns: int) -> None:
        measured = None
        rows, head = self.rows, self.head
        while head < len(rows):
            out = rows[head].segment
            if out.seq + out.seg_len > ack:
                break
            measured = rows[head]
            head += 1
        if head > _COMPACT and head * 2 > len(rows):
            del rows[:head], self.starts[:head]
            head = 0
        self.head = head
        if measured is not None:
            self._measure(measured, ack, now_ns)
            if self.copies:
                self._has_come(ack - 1, measured, now_ns)
        self.una, self.una_ns, self.una_frame = ack, now_ns, row.segment.frame
        options = row.packet._options
        self.una_ts = None if options is None else options.ts_val
        self.duplicate_acks, self.duplicate_frames = 0, ()
        self.timer_ns, self.timer_frame = now_ns, row.segment.frame
        self.lone = None
        if self.sacked:
            self.sacked.remove(0, ack)
            self.sack_top = 0 if not self.sacked else self.sack_top
        if self.recover and ack >= self.recover:
            self.recover, self.recover_kind = 0, ""

    def _measure(self, row: Row, ack: int, now_ns: int) -> None:
        """A round-trip time, unless what it ends was sent again (Karn; RFC 6298 section 3)."""
        segment = row.segment
        if segment.seq + segment.seg_len != ack or self.recover:
            return
        if any(copy.start < ack and copy.stop > segment.seq for copy in self.copies):
            return
        rtt = now_ns - row.packet.time_ns
        if rtt <= 0:
            return
        self.rtt_count += 1
        self.rtt_sum_ns += rtt
        if not self.rtt_min_ns or rtt < self.rtt_min_ns:
            self.rtt_min_ns = rtt
        if self.rtt_count == 1:
            self.srtt_ns, self.rttvar_ns = rtt, rtt // 2
        else:
            self.rttvar_ns = (3 * self.rttvar_ns + abs(self.srtt_ns - rtt)) // 4
            self.srtt_ns = (7 * self.srtt_ns + rtt) // 8

    def _has_come(self, at: int, original: Row | None, now_ns: int) -> None:
        """Which segment brought this number: the latest copy, if it can have by now."""
        copy = self.last_copy(at)
        row, sent_ns = (copy.row, copy.time_ns) if copy else (original, 0)
        if row is None:
            return
        sent_ns = sent_ns or row.packet.time_ns
        if sent_ns > self.come_ns and (copy is None or now_ns - sent_ns >= self.rtt_min_ns > 0):
            self.come_ns, self.come_frame = sent_ns, row.segment.frame

    def _hear_sack(
        self, blocks: tuple[tuple[int, int], ...], ack: int, row: Row, now_ns: int
    ) -> None:
        for start, stop in self.relative(blocks, ack):
            if start <= ack or stop <= start or self.nxt is None or stop > self.nxt:
                continue  # a D-SACK, or of what was not seen
            if len(self.sacked) >= _MOST_SACKED or self.sacked.covers(start, stop):
                continue
            self._has_come(stop - 1, self.original(stop - 1), now_ns)
            self.sacked.add(start, stop)
            self.sack_top = max(self.sack_top, stop)
            self.sack_frame = row.segment.frame

    def relative(self, blocks: tuple[tuple[int, int], ...], ack: int) -> list[tuple[int, int]]:
        """SACK blocks as relative numbers, which lie near `ack`."""
        here = (self.base + ack) & SEQ_MASK
        return [(ack + seq_diff(a, here), ack + seq_diff(b, here)) for a, b in blocks]

    def duplicate_told(self, row: Row) -> list[tuple[int, int]]:
        """What a D-SACK says came a second time (RFC 2883 section 4); the first block alone is."""
        options, ack = row.packet._options, row.segment.ack
        if options is None or not options.sack_blocks or ack is None:
            return []
        blocks = self.relative(options.sack_blocks[:2], ack)
        start, stop = blocks[0]
        inside = len(blocks) > 1 and blocks[1][0] <= start and stop <= blocks[1][1]
        return [blocks[0]] if start < stop and (stop <= ack or inside) else []

    def not_lost(self, copy: Copy) -> None:
        """A sender that learns so may take back the recovery that began with it (RFC 3522)."""
        if copy.row.segment.frame == self.recover_frame:
            self.recover_kind = OPEN

    # --- clocks

    def stamp(self, ts_val: int, now_ns: int) -> None:
        """It sends a timestamp; the first frame with it counts."""
        if ts_val == self.ts_last:
            return
        self.ts_last = ts_val
        if self.ts_newest is None or seq_diff(ts_val, self.ts_newest) > 0:
            self.ts_newest = ts_val
            self.ts_out.append((ts_val, now_ns))

    def echoed(self, ts_ecr: int, now_ns: int) -> None:
        """The other end echoes a timestamp for the first time: that was a round trip."""
        self.ecr_last = ts_ecr
        out = self.ts_out
        while out and seq_diff(out[0][0], ts_ecr) <= 0:
            value, sent_ns = out.popleft()
            if value == ts_ecr and now_ns > sent_ns:
                rtt = now_ns - sent_ns
                self.ts_rtt_count += 1
                self.ts_rtt_sum_ns += rtt
                if not self.ts_rtt_min_ns or rtt < self.ts_rtt_min_ns:
                    self.ts_rtt_min_ns = rtt
