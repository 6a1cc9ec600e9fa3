"""A TCP connection's rows -> netlab's own verdict on each segment, its reason and its evidence.

tshark judges each frame when it comes by, and must say something. Here a verdict says what a
segment was to its sender and to the network, and only where that is certain: else it is None, and
the reason says what is missing. What comes later may prove more: a D-SACK, or an ACK that echoes a
timestamp from before, says that what was sent again had not been lost (RFC 2883, RFC 3522).

One pass in the order of events: a frame leaves, is judged by what its sender had heard by then, and
arrives, which tells the other end something. Without a wire a frame does both where it was seen.
State is bounded (see `sender`). What is new is new_data; an ACK alone has no verdict, if it is none
of: a keep-alive, a probe of a closed window, late, or the same packet again. A SYN or FIN has one
only if it is not the first.
Large captures without calls have the same from `second_kernels`, in numbers; a test compares them.
Read first: RFC 9293 3.8, RFC 6298, RFC 8985, RFC 2883, RFC 3522, RFC 6864.
"""

from __future__ import annotations

from bisect import bisect_right

from netlab.correlate.again import TIMED_OUT, Finding, cause
from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.flows import ACK, FIN, RST, SYN
from netlab.correlate.in_vain import duplicate_told, echo_told, had_it
from netlab.correlate.late import fills_gap, is_once_more
from netlab.correlate.probes import maybe_probe
from netlab.correlate.segments import Row, Track
from netlab.correlate.sender import FAST, IDS, OPEN, RTO, Copy, Sender
from netlab.correlate.twins import Twins, is_same_packet, wire_copy
from netlab.correlate.verdict_words import ms
from netlab.model.tables import Direction, Verdict

_NEW = "bytes not seen before"
_CLOCKED_NS = 20_000_000
_SYN_LEAST_NS = 190_000_000
_NO_FRAME = 1 << 62  # behind all


def judge_again(track: Track, *, probes_first: bool = False, ring_lost: bool = False) -> None:
    """Fill verdict, verdict_reason and verdict_frames of a connection's rows, and its senders.

    `probes_first`: both ends' kernels are known to send a tail loss probe before they time out.
    `ring_lost`: frames were lost on the way into the recording, and it is not known which.
    """
    rows = track.rows
    if not rows or track.flow.to_itself:  # who hears what, cannot be told of one that is both
        return
    halves = track.halves
    sack = all(half.sack for half in halves.values())
    senders = {
        d: Sender(half.base or 0, sack=sack, probes_first=probes_first)
        for d, half in halves.items()
    }
    track.senders = senders
    work = _Pass(track, senders)
    if not any(row.packet._wired for row in rows):
        c2s, client, server = Direction.C2S, senders[Direction.C2S], senders[Direction.S2C]
        for row in rows:
            me, other = (client, server) if row.direction is c2s else (server, client)
            now_ns = row.packet.time_ns
            work.leaves(row, me, other, now_ns)
            work.arrives(row, me, other, now_ns)
    else:
        for sender in senders.values():
            sender.near_ns = 0
        work.wired = True
        for now_ns, arrives, number in _events(rows):
            row = rows[number]
            me, other = senders[row.direction], senders[row.direction.reverse]
            if arrives:
                work.overtaken(number, row)
                work.arrives(row, me, other, now_ns)
            else:
                work.leaves(row, me, other, now_ns)
    work.twins.settle(rows)
    if ring_lost or any(_has_gap(sender) for sender in senders.values()):
        _take_back(rows)


def _has_gap(sender: Sender) -> bool:
    """Whether the other end acknowledged what this capture has not: so it lacks frames."""
    if sender.nxt is not None and sender.una > sender.nxt:
        return True
    return bool(sender.holes) and sender.holes[0].stop <= sender.una


def _take_back(rows: list[Row]) -> None:
    """Verdicts that rest on what was not heard, where it may have been and was not captured."""
    for row in rows:
        segment = row.segment
        if segment.verdict in _BY_SILENCE:
            segment.verdict_reason = (
                f"{_BY_SILENCE[Verdict(segment.verdict)]}, if no frames are missing; but this"
                f" capture lacks some: {segment.verdict_reason}"
            )
            segment.verdict = None


_BY_SILENCE = {
    Verdict.RTO: "sent again by the timer",
    Verdict.TAIL_LOSS_PROBE: "a tail loss probe",
    Verdict.KEEP_ALIVE: "a keep-alive",
}


def _events(rows: list[Row]) -> list[tuple[int, int, int]]:
    events = [(row.packet.time_ns, 0, n) for n, row in enumerate(rows) if not row.packet._made]
    for number, row in enumerate(rows):
        if row.packet._made:
            row.segment.verdict, row.segment.verdict_reason, row.segment.verdict_frames = wire_copy(
                row
            )
        if reached(row.packet):
            events.append((arrival_ns(row.packet), 1, number))
    events.sort()
    return events


class _Pass:
    """The events of one connection, one after the other."""

    def __init__(self, track: Track, senders: dict[Direction, Sender]) -> None:
        self.wired = False
        self.twins = Twins()
        self._errors: dict[Direction, list[tuple[int, int]]] = {}  # when they came, and frames
        for packet, forward in track.flow.errors:
            if reached(packet):
                came = self._errors.setdefault(track.flow.direction(forward), [])
                came.append((arrival_ns(packet), packet.frame))
        for came in self._errors.values():
            came.sort()
        self._latest: dict[Direction, tuple[int, Row]] = {}  # of each way: newest that arrived
        self._syns = {d: h.syn_seen for d, h in track.halves.items()}
        self._senders = senders

    # --- it leaves

    def leaves(self, row: Row, me: Sender, other: Sender, now_ns: int) -> None:
        """Judge a frame by what its sender has sent and heard before."""
        packet, segment = row.packet, row.segment
        flags = packet._flags
        if flags & RST:
            return
        number = packet.ip_id
        if number:
            place = number % IDS
            before = me.ids[place]
            me.ids[place] = row
            if before is not None and is_same_packet(row, before):
                self.twins.add(row, before, me)
                return
            step = 0 if me.last_id is None else (number - me.last_id) & 0xFFFF
            if step:
                me.ids_vary = True
            if step < IDS:
                me.id_steps += 1
                me.last_id = number
            elif step < 0x10000 - IDS:  # not a little less: that would be one that was overtaken
                me.id_steps, me.last_id = 0, number
        options = packet._options
        if options is not None and options.ts_val is not None and options.ts_val != me.ts_last:
            me.stamp(options.ts_val, now_ns)
        if self.wired and segment.ack is not None:
            self._said(other, row)
        if not segment.seg_len:
            if me.nxt is not None and segment.seq < me.nxt:
                _give(row, maybe_probe(me, other, row, now_ns))
            return
        if packet._fragment_more:
            _give(row, Finding(None, "a fragment: how long the segment is, is not known here"))
        elif me.nxt is None or segment.seq >= me.nxt:
            self._new(row, me, other, now_ns)
        else:
            self._old(row, me, other, now_ns)
        if self.wired and reached(packet):
            me.arrived.add(segment.seq, segment.seq + segment.seg_len)

    def _said(self, other: Sender, row: Row) -> None:
        """An ACK has left: the end that sent it has these bytes, whether or not it is heard."""
        ack, options = row.segment.ack or 0, row.packet._options
        if ack > other.said:
            other.said, other.said_frame = ack, row.segment.frame
        if options is not None and options.sack_blocks:
            for start, stop in other.relative(options.sack_blocks, ack):
                if start > ack:
                    other.said_sacked.add(start, stop)

    def _new(self, row: Row, me: Sender, other: Sender, now_ns: int) -> None:
        segment = row.segment
        length = segment.payload_len_bytes
        probe = maybe_probe(me, other, row, now_ns) if length == 1 and me.window == 0 else None
        if probe is not None:
            _give(row, probe)
            return
        if length:
            me.measure_data(length, now_ns)
            if segment.seq + length <= me.una and me.una_frame is not None:
                _give(row, Finding(
                    None, f"frame {me.una_frame} had acknowledged all it brings before it was seen:"
                    " out of order in this capture, or sent again", (me.una_frame,)
                ))  # fmt: skip
            elif me.nxt is not None or self._syns[row.direction]:
                segment.verdict, segment.verdict_reason = Verdict.NEW_DATA, _NEW
            else:
                segment.verdict_reason = (
                    "the first of this sender here: what came before, is not seen"
                )
        silent_ns = now_ns - me.newest_ns
        if silent_ns >= _SYN_LEAST_NS and me.newest_ns and me.near_ns != 0 and not me.is_near:
            # Away from the sender it may be what was lost before it came here, and timed out.
            me.recover = segment.seq + max(me.window or 0, me.flight_most)
            me.recover_kind, me.recover_ns, me.recover_frame = OPEN, now_ns, segment.frame
        me.send_new(row, now_ns)
        if length:
            me.after_data()

    def _old(self, row: Row, me: Sender, other: Sender, now_ns: int) -> None:
        """Numbers that lie below the newest: late, sent again, or a packet that came twice."""
        packet, segment = row.packet, row.segment
        start, stop = segment.seq, segment.seq + segment.seg_len
        nxt = me.nxt or 0
        if packet._flags & SYN:
            _give(row, self._syn(row, me, now_ns))
            me.copies.append(Copy(row, start, stop, now_ns, me.original(start)))
            return
        if segment.seg_len == 1 and not packet._flags & FIN:
            probe = maybe_probe(me, other, row, now_ns)
            if probe is not None:
                _give(row, probe)
                return
        if segment.payload_len_bytes:
            me.measure_data(segment.payload_len_bytes, now_ns)
        hole = me.hole_of(start, min(stop, nxt))
        before = me.last_copy(start)
        first = before.row if before else me.original(start)
        found = None
        if hole is not None:
            found = fills_gap(row, hole, me)
        elif first is not None and not self.wired:  # of a wire's copies it is known who made them
            found = is_once_more(row, first, me, self.twins)
        if me.holes:
            me.fill(start, stop)
        if found is not None:
            _give(row, found)
            return
        self._again(row, me, start, stop, now_ns)

    def _again(self, row: Row, me: Sender, start: int, stop: int, now_ns: int) -> None:
        before = me.last_copy(start)
        first = before.row if before else me.original(start)
        nxt = me.nxt or 0
        found = self._other_reason(row, me, first, now_ns) or cause(
            me, row, start, min(stop, nxt), now_ns
        )
        _give(row, found)
        if found.verdict is Verdict.RTO:
            if found.again is None:  # the timer itself, not the recovery after it
                me.recover, me.recover_kind = nxt, RTO
                me.recover_ns, me.recover_frame = now_ns, row.segment.frame
        elif found.verdict is Verdict.FAST_RETRANSMIT and me.recover <= me.una:
            me.recover, me.recover_kind = nxt, FAST
            me.recover_ns, me.recover_frame = now_ns, row.segment.frame
        elif found.verdict is None and start <= me.una and me.recover_kind != RTO:
            me.recover, me.recover_kind = nxt, OPEN
            me.recover_ns, me.recover_frame = now_ns, row.segment.frame
        if start <= me.una or found.verdict is Verdict.TAIL_LOSS_PROBE:
            me.timer_ns, me.timer_frame = now_ns, row.segment.frame
        me.copies.append(Copy(row, start, stop, now_ns, first))
        if stop > nxt:
            me.send_new(row, now_ns)

    def _other_reason(self, row: Row, me: Sender, first: Row | None, now_ns: int) -> Finding | None:
        """What else makes a stack send again, at once."""
        if first is not None and first.packet._flags & SYN and not row.packet._flags & SYN:
            return Finding(
                None, "data that came with the SYN, which did not take it", (first.segment.frame,)
            )
        came = self._errors.get(row.direction, [])
        last = bisect_right(came, (now_ns, _NO_FRAME)) - 1
        if last >= 0 and now_ns - came[last][0] <= _CLOCKED_NS + (me.near_ns or 0):
            frame = came[last][1]
            return Finding(None, f"sent again as the ICMP error of frame {frame} came", (frame,))
        return None

    def _syn(self, row: Row, me: Sender, now_ns: int) -> Finding:
        """A SYN or SYN-ACK that is not the first: the timer sends it, or who got a SYN again."""
        before = me.last_copy(0)
        first = before.row if before else me.original(0)
        if first is None:
            return Finding(None, "a SYN again; the first was answered, or is not here")
        waited_ns = now_ns - first.packet.time_ns
        text = f"{ms(waited_ns)} after frame {first.segment.frame}"
        if me.heard_ns > first.packet.time_ns or waited_ns < _SYN_LEAST_NS:
            frames = (first.segment.frame,)
            return Finding(None, f"again {text}: not the timer alone, something was heard", frames)
        if row.packet._flags & ACK:
            syn = self._senders[row.direction.reverse].copies
            answered = next((c for c in reversed(syn) if c.time_ns > first.packet.time_ns), None)
            if answered is not None:
                return Finding(
                    None, f"answers the SYN of frame {answered.row.segment.frame} again, or the"
                    f" timer sent it {text}", (answered.row.segment.frame,),
                )  # fmt: skip
        return Finding(
            Verdict.RTO, f"{TIMED_OUT} {text}, without an answer", (first.segment.frame,)
        )

    # --- it arrives

    def overtaken(self, number: int, row: Row) -> None:
        """With a wire: whether what left later had arrived before."""
        if row.packet._made:
            return
        latest = self._latest.get(row.direction)
        if latest is None or number > latest[0]:
            self._latest[row.direction] = number, row
        elif row.segment.verdict in (None, Verdict.NEW_DATA):
            frame = latest[1].segment.frame
            _give(row, Finding(
                Verdict.REORDERED, f"left before frame {frame}, and arrived after it", (frame,)
            ))  # fmt: skip

    def arrives(self, row: Row, me: Sender, other: Sender, now_ns: int) -> None:
        """Tell the other end what came, and see what that proves."""
        packet, segment = row.packet, row.segment
        if packet._flags & RST:
            return
        if me.copies:
            copy = self._copy_that_comes(row, me)
            if copy is not None and not copy.settled:
                had_it(copy, me, wired=self.wired)
        if segment.ack is None:
            return
        options = packet._options
        if options is not None:
            if options.sack_blocks:
                duplicate_told(row, other, self.twins)
            if options.ts_ecr and other.copies:
                echo_told(row, other, options.ts_ecr)
            if options.ts_ecr and options.ts_ecr != other.ecr_last:
                other.echoed(options.ts_ecr, now_ns)
        count = other.rtt_count
        other.hear(row, now_ns)
        if not self.wired and (other.rtt_count != count or me.near_ns is None):
            nearest = [ns for ns in (other.rtt_min_ns, other.ts_rtt_min_ns) if ns]
            if nearest:  # how long what the other sends is on its way from here to me and back
                me.near_ns = min(nearest)

    def _copy_that_comes(self, row: Row, me: Sender) -> Copy | None:
        """What was sent again and comes now: without a wire it just left."""
        if not self.wired:
            copy = me.copies[-1]
            return copy if copy.row is row and not copy.twin else None
        return next((copy for copy in me.copies if copy.row is row), None)


def _give(row: Row, found: Finding | None) -> None:
    if found is not None:
        segment = row.segment
        segment.verdict, segment.verdict_reason, segment.verdict_frames = (
            found.verdict, found.reason, found.frames or None
        )  # fmt: skip
        segment._again = found.again
