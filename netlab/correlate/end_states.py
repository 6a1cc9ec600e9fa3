"""The frames of a TCP connection -> the state of both its ends at each of them.

States are those of RFC 9293 figure 5 as far as the packets show them: a capture at one place, read
in order, or where a wire was, each frame at its sender when it left and at its receiver when it
arrived. What was sampled of sockets stands in `states`. Knows nothing of calls.
Read first: RFC 9293 3.3.2 and 3.10.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.correlate.arrivals import arrival_ns, reached
from netlab.correlate.flows import ACK, FIN, RST, SYN
from netlab.correlate.segments import Row, Track
from netlab.model.ranges import RangeSet
from netlab.model.tables import EndState, Side


class Ends:
    """Both ends' states after every frame of a track: what it left behind, and where it came to."""

    def __init__(self, track: Track) -> None:
        self.state: dict[Side, str | None] = {Side.CLIENT: None, Side.SERVER: None}
        self.changes: list[EndState] = []  # of either end, in order
        self.closed_by: str | None = None
        self.close_kind: str | None = None
        self._fin_end: dict[Side, int] = {}  # relative ack that covers the FIN
        self._fin_seen: set[Side] = set()  # ends to which the other's FIN has come
        self._fin_off: dict[Side, int] = {}  # what must be there before that FIN is taken in
        self._have: dict[Side, RangeSet] = {}  # what a wire brought to an end
        self._highest_ack = 0  # of any frame
        self._acked: set[Side] = set()  # ends whose FIN was acknowledged
        self._nxt: dict[Side, int] = {Side.CLIENT: 0, Side.SERVER: 0}  # one past what each sent
        self._told: dict[Side, set[int]] = {Side.CLIENT: {0}, Side.SERVER: {0}}  # of each, ACKs
        self._ignored: set[int] = set()  # frames with a RST that ended nothing
        self._wired = any(row.packet._wired for row in track.rows)
        self._last_ns = _last_words(track.rows) if self._wired else {}
        self._deaf = _deaf_frames(track.rows) if self._wired else frozenset()
        shown: dict[Side, str | None] = dict(self.state)
        for row, leaves in _events(track.rows):
            if leaves:
                self._left(row)
                row.segment.sender_state = self.state[row.direction.sender]
            else:
                self._came(row)
                row.segment.receiver_state = self.state[row.direction.receiver]
            if self.state != shown and not track.flow.to_itself:
                for side, state in self.state.items():
                    if state is not None and state != shown[side]:
                        self._changed(row, leaves, side, state)
                shown.update(self.state)
        if track.flow.to_itself:  # both ends are one, and what it is in between is not followed
            for row in track.rows:
                row.segment.sender_state = row.segment.receiver_state = None
        if track.flow.to_itself and self.close_kind is None:
            self._with_itself()
        elif self.close_kind is None:
            self.close_kind = ("open", "half-close", "fin")[len(self._fin_end)]

    def _changed(self, row: Row, leaves: bool, side: Side, state: str) -> None:
        frame, connection = row.packet.frame, row.segment.connection
        self.changes.append(EndState(connection, side, frame, not leaves, state))

    def _left(self, row: Row) -> None:
        sender, flags, ack = row.direction.sender, row.packet._flags, row.segment.ack
        if flags & RST:
            if self._is_off(row):
                self._ignored.add(row.packet.frame)
            else:
                self._reset(sender)
            return
        self._nxt[sender] = max(self._nxt[sender], row.segment.seq + row.segment.seg_len)
        if ack is not None:
            self._told[row.direction.receiver].add(ack)
        self._highest_ack = max(self._highest_ack, ack or 0)
        if flags & SYN:
            if flags & ACK:
                self._set(sender, "SYN-RECEIVED", (None, "SYN-SENT", "LISTEN"))
            else:
                self._set(sender, "SYN-SENT", (None,))
            return
        # Data or an ACK of a connection that was there before.
        self._set(sender, "ESTABLISHED", (None, "SYN-RECEIVED"))
        if flags & FIN and sender not in self._fin_end:
            self._fin_left(row)

    def _came(self, row: Row) -> None:
        receiver, flags, ack = row.direction.receiver, row.packet._flags, row.segment.ack
        if flags & RST:
            if len(self._acked) < 2 and row.packet.frame not in self._ignored:
                self.state[receiver] = "CLOSED"
            return
        if flags & SYN:
            if flags & ACK:
                self._set(receiver, "ESTABLISHED", (None, "SYN-SENT"))
            return
        if row.packet.frame not in self._deaf:
            self._set(receiver, "ESTABLISHED", (None, "SYN-RECEIVED"))
        if ack is not None and ack >= self._fin_end.get(receiver, ack + 1):
            self._fin_acked(receiver)
        if self._takes_fin(row):
            self._move(
                receiver,
                {"ESTABLISHED": "CLOSE-WAIT", "FIN-WAIT-1": "CLOSING", "FIN-WAIT-2": "TIME-WAIT"},
            )

    def _takes_fin(self, row: Row) -> bool:
        """Whether with this frame the other's FIN came to the end that gets it, in order."""
        receiver, fin = row.direction.receiver, bool(row.packet._flags & FIN)
        if receiver in self._fin_seen:
            return False
        if not row.packet._wired:  # what lies before it may not have been captured
            taken = fin
        else:
            have = self._have.setdefault(receiver, RangeSet())
            if row.segment.stop > row.segment.start and not row.probe:
                have.add(row.segment.start, row.segment.stop)
            if fin:
                self._fin_off[receiver] = row.segment.stop
            off = self._fin_off.get(receiver)
            taken = off is not None and have.run_stop(0) >= off
        if taken:
            self._fin_seen.add(receiver)
        return taken

    def _with_itself(self) -> None:
        """One end: its FIN comes back to it (CLOSING), and so does the ACK of it (TIME-WAIT)."""
        end = self._fin_end.get(Side.CLIENT)
        self.close_kind = "open" if end is None else "fin"
        if end is not None:
            self.closed_by = "both"
            acked = self._highest_ack >= end
            self.state[Side.CLIENT] = "TIME-WAIT" if acked else "CLOSING"
        self.state[Side.SERVER] = self.state[Side.CLIENT]

    def _set(self, side: Side, state: str, instead_of: tuple[str | None, ...]) -> None:
        if self.state[side] in instead_of:
            self.state[side] = state

    def _fin_left(self, row: Row) -> None:
        sender, receiver, ack = row.direction.sender, row.direction.receiver, row.segment.ack
        self._fin_end[sender] = row.segment.seq + row.segment.seg_len
        if receiver not in self._fin_end:
            self.closed_by = str(sender)
        elif ack is None or ack < self._fin_end[receiver]:
            self.closed_by = "both"  # sent before the other's FIN was taken in
            if self.state[sender] == "CLOSE-WAIT":
                self.state[sender] = "CLOSING"  # the other's FIN comes to it in FIN-WAIT-1
        self._move(sender, {"ESTABLISHED": "FIN-WAIT-1", "CLOSE-WAIT": "LAST-ACK"})

    def _fin_acked(self, side: Side) -> None:
        self._acked.add(side)
        self._move(side, {"FIN-WAIT-1": "FIN-WAIT-2", "CLOSING": "TIME-WAIT", "LAST-ACK": "CLOSED"})

    def _move(self, side: Side, moves: dict[str, str]) -> None:
        self.state[side] = moves.get(self.state[side] or "", self.state[side])

    def _is_off(self, row: Row) -> bool:
        """Whether a RST ended nothing: it stands nowhere near, and who sent it went on.

        Only one at RCV.NXT resets; one elsewhere in the window is answered by a challenge ACK, one
        outside of it is dropped (RFC 5961 3.2). RCV.NXT is what was acknowledged, or, with frames
        that are missing or on their way, up to what was sent; a kernel that has reset a connection
        says no more on it. Only where the wire noted every frame: of a capture by others this would
        take a look at all that comes later, and what is missing could be what made it fit.
        """
        if not self._wired:
            return False
        sender, seq = row.direction.sender, row.segment.seq
        if seq == self._nxt[sender] or seq in self._told[sender]:
            return False
        return self._last_ns[sender] > row.packet.time_ns

    def _reset(self, sender: Side) -> None:
        if len(self._acked) == 2 or self.close_kind == "rst":
            return  # it had ended already
        self.closed_by, self.close_kind = str(sender), "rst"
        self.state[sender] = "CLOSED"


def _last_words(rows: list[Row]) -> dict[Side, int]:
    """When each end last sent something that a closed one does not: no RST, no new SYN."""
    last = {Side.CLIENT: 0, Side.SERVER: 0}
    for row in rows:
        if not row.packet._flags & (RST | SYN) and not row.packet._made:
            last[row.direction.sender] = max(last[row.direction.sender], row.packet.time_ns)
    return last


def _deaf_frames(rows: list[Row]) -> frozenset[int]:
    """Frames that came to an end in SYN-RECEIVED and did not end that state.

    With a full accept queue, and until data came with TCP_DEFER_ACCEPT, Linux ignores the ACK of
    its SYN-ACK, or answers it with a RST (tcp_abort_on_overflow). That it did is seen afterwards:
    an end that is ESTABLISHED sends no SYN-ACK again, and the RST that it sends has an ACK, unless
    it answers what no socket was there for. Only where a wire tells what had come when.
    """
    events = list(_events(rows))
    deaf: set[int] = set()
    for side in Side:
        last = -1  # the place of its last SYN-ACK
        for place, (row, leaves) in enumerate(events):
            both = row.packet._flags & (SYN | ACK) == SYN | ACK
            if leaves and both and row.direction.sender is side:
                last = place
        if last < 0:
            continue
        came = [row for row, leaves in events[:last] if not leaves]
        deaf |= {row.packet.frame for row in came if row.direction.receiver is side}
        behind = (one for one in events[last + 1 :] if (one[0].direction.sender is side) == one[1])
        first, second = next(behind, None), next(behind, None)
        if first and second and not first[1] and second[1]:
            flags = second[0].packet._flags
            if flags & RST and not flags & ACK:
                deaf.add(first[0].packet.frame)
    return frozenset(deaf)


def _events(rows: list[Row]) -> Iterable[tuple[Row, bool]]:
    """Each frame leaving (True) and arriving (False), in order; without a wire it does both."""
    if not any(row.packet._wired for row in rows):
        for row in rows:
            yield row, True
            yield row, False
        return
    events = [(row.packet.time_ns, 0, n) for n, row in enumerate(rows) if not row.packet._made]
    events += [(arrival_ns(row.packet), 1, n) for n, row in enumerate(rows) if reached(row.packet)]
    for _, arrives, number in sorted(events):
        yield rows[number], not arrives
