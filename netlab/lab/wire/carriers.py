"""What is done with a frame between the socket that it came by and the one that it goes on to.

`Plain` is the wire without rules: each frame goes on at once. `Ruled` asks the rules. Both note
each frame before it goes on, and its arrival with the clock read just before it is sent: a stamp
taken after would be later than what the receiver did with it, which happens inside our send().
Know nothing of control or of waiting; read `port` and `journal_layout` first.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlab.capture.ring import TP_STATUS_KERNEL, TP_STATUS_USER
from netlab.lab.wire.journal_layout import BEGUN, PASSED, RECORD, RECORD_BYTES, TAIL
from netlab.lab.wire.journal_writer import Journal
from netlab.lab.wire.orders import Side
from netlab.lab.wire.port import MAC_AT, ODD, QUICK_SLOT, Port

if TYPE_CHECKING:
    from netlab.lab.wire.link import Wire
    from netlab.lab.wire.outcomes import Sent

_NOBODY = "it is addressed to its own sender, or to nobody here"


class Carrier(ABC):
    """What both have: ports by number, the journal, and the counts for the report."""

    def __init__(self, ports: Sequence[Port], sides: Sequence[Side], journal: Journal) -> None:
        self._ports = tuple(ports)
        self._sides = tuple(sides)
        self._journal = journal
        self._macs = {
            bytes.fromhex(side.mac.replace(":", "")): number for number, side in enumerate(sides)
        }
        self._packet = 0
        self.frame_bytes = 0
        self.made = 0
        self.refused: Counter[str] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()  # of the lab: host, what is wrong

    @property
    def frames(self) -> int:
        """How many frames hosts have sent."""
        return self._packet - self.made

    @property
    def left(self) -> int:
        """How many frames are on their way."""
        return 0

    @abstractmethod
    def carry(self, source: int, most: int) -> bool:
        """Take up to `most` frames of a host; whether there may be more."""

    def next_ns(self) -> int | None:
        """When `send_due` has something to do; None: nothing waits."""
        return None

    @abstractmethod
    def send_due(self, now_ns: int) -> None:
        """Send what has waited long enough."""

    def fired(self) -> tuple[tuple[str, int], ...]:
        """Each rule as written, and how often it did something."""
        return ()

    def vain(self) -> tuple[tuple[str, int], ...]:
        """Rules for which frames waited in vain, and how many did."""
        return ()

    def _pass_on(
        self,
        packet: int,
        frame: bytes,
        destination: int,
        due_ns: int,
        rule: str,
        changed: bytes | None,
    ) -> None:
        """Note the arrival, send; it holds once the host took the frame."""
        noted = self._journal.leaving(packet, time.time_ns(), due_ns, rule, changed)
        reason = self._ports[destination].send(frame)
        if not reason:
            self._journal.settled()
            return
        if noted:
            self._journal.taken_back()
        reason = f"{self._sides[destination].name}: {reason}"
        self.refused[reason] += 1
        self._journal.dropped(packet, reason)

    def _pass_on_made(self, frame: bytes, destination: int, due_ns: int, rule: str) -> None:
        """The same with a frame that the wire made, which is noted first."""
        self._packet += 1
        self.made += 1
        self._journal.frame(self._packet, len(self._ports), time.time_ns(), frame)
        self._pass_on(self._packet, frame, destination, due_ns, rule, None)

    def _drop_faulty(self, source: int, left_ns: int, frame: bytes, fault: str) -> None:
        """Carry no frame that a real wire could not have got: the lab is not set up rightly."""
        self.faults[self._sides[source].name, fault] += 1
        self._drop(source, left_ns, frame, f"fault of the lab: {fault}")

    def _drop(self, source: int, left_ns: int, frame: bytes, reason: str) -> None:
        self._packet += 1
        self.frame_bytes += len(frame)
        self._journal.frame(self._packet, source, left_ns, frame)
        self._journal.dropped(self._packet, reason)


class Plain(Carrier):
    """A wire without rules."""

    def __init__(self, ports: Sequence[Port], sides: Sequence[Side], journal: Journal) -> None:
        super().__init__(ports, sides, journal)
        self._sends = {mac: ports[number].quick_send for mac, number in self._macs.items()}

    def send_due(self, now_ns: int) -> None:
        """Nothing ever waits."""

    def carry(self, source: int, most: int) -> bool:
        """Does what `_carry_one` does, in one piece: calls and copies would double its time."""
        port, journal = self._ports[source], self._journal
        ring, frames, statuses, longest = port.ring, port.frames, port.statuses, port.most_bytes
        sends, own, clock = self._sends, port.quick_send, time.time_ns
        unpack, pack_into = QUICK_SLOT.unpack_from, RECORD.pack_into
        segment_bytes = journal.segment_bytes
        at, slot_bytes, ring_end = port.at, port.slot_bytes, port.end
        view, head, note_at = journal.bytes, journal.head, journal.at
        for _ in range(most):
            status, length, mac, sec, nsec, target = unpack(ring, at)
            if not status & TP_STATUS_USER:
                return False
            send = sends.get(target)
            note = note_at + RECORD_BYTES
            end = note + (length + 7 & ~7)
            if (
                status & ODD or length > longest or mac != MAC_AT or end > segment_bytes
                or send is None or send is own
            ):  # fmt: skip
                self._carry_one(source)
                at, view, head, note_at = port.at, journal.bytes, journal.head, journal.at
                continue
            frame = frames[at + MAC_AT : at + MAC_AT + length]  # it lies in the ring
            self._packet += 1
            left_ns = sec * 1_000_000_000 + nsec
            view[note : note + length] = frame
            now_ns = clock()
            pack_into(
                view, note_at, PASSED, 0, source, length, self._packet,
                left_ns, now_ns, now_ns - left_ns,
            )  # fmt: skip
            head[BEGUN] = end
            try:
                send(frame)
            except OSError as error:
                journal.last, journal.at = note_at, end
                self._refused(target, error, noted=True)
                view, head, note_at = journal.bytes, journal.head, journal.at
            else:
                head[TAIL] = journal.at = note_at = end
            self.frame_bytes += length
            statuses[at >> 2] = TP_STATUS_KERNEL  # see Port.take
            at += slot_bytes
            if at == ring_end:
                at = 0
            port.at = at
        return True

    def _carry_one(self, source: int) -> None:
        """Take a frame that is there, note it, send it on, note that it went."""
        left = self._ports[source].take()
        assert left is not None
        left_ns, frame, fault = left
        send = self._sends.get(frame[:6])
        if fault or send is None or send is self._ports[source].quick_send:
            self._seldom(source, left_ns, frame, fault)
            return
        self._packet += 1
        self.frame_bytes += len(frame)
        noted = self._journal.passing(self._packet, source, left_ns, time.time_ns(), frame)
        try:
            send(frame)
        except OSError as error:
            self._refused(frame[:6], error, noted)
        else:
            if noted:
                self._journal.settled()

    def _refused(self, target: bytes, error: OSError, noted: bool) -> None:
        if noted:
            self._journal.stayed()
        number = self._macs[target]
        reason = f"{self._sides[number].name}: {self._ports[number].why_not_taken(error)}"
        self.refused[reason] += 1
        self._journal.dropped(self._packet, reason)

    def _seldom(self, source: int, left_ns: int, frame: bytes, fault: str) -> None:
        """A frame for all, for nobody else, or one that must not go on.

        One for all goes to the first of the others; the rest get copies, as `link` has it.
        """
        if fault:
            self._drop_faulty(source, left_ns, frame, fault)
            return
        others = [number for number in range(len(self._ports)) if number != source]
        if not frame[0] & 1 or not others:
            self._drop(source, left_ns, frame, _NOBODY)
            return
        self._packet += 1
        self.frame_bytes += len(frame)
        self._journal.frame(self._packet, source, left_ns, frame)
        self._pass_on(self._packet, frame, others[0], left_ns, "", None)
        for number in others[1:]:
            self._pass_on_made(frame, number, left_ns, "")


class Ruled(Carrier):
    """A wire with rules, which `wire` knows."""

    def __init__(
        self, ports: Sequence[Port], sides: Sequence[Side], journal: Journal, wire: Wire
    ) -> None:
        super().__init__(ports, sides, journal)
        self._wire = wire
        self._fated = 0

    @property
    def left(self) -> int:
        return self.frames - self._fated

    def carry(self, source: int, most: int) -> bool:
        take, journal, wire = self._ports[source].take, self._journal, self._wire
        for _ in range(most):
            left = take()
            if left is None:
                return False
            left_ns, frame, fault = left
            if fault:
                self._drop_faulty(source, left_ns, frame, fault)
                self._fated += 1
                continue
            self._packet += 1
            self.frame_bytes += len(frame)
            journal.frame(self._packet, source, left_ns, frame)
            wire.take(self._packet, frame, source, left_ns)
            next_ns = wire.next_ns()
            if next_ns is not None and next_ns <= (now_ns := time.time_ns()):
                self.send_due(now_ns)
        return True

    def next_ns(self) -> int | None:
        return self._wire.next_ns()

    def send_due(self, now_ns: int) -> None:
        from netlab.lab.wire.outcomes import Lost, Made

        for action in self._wire.due(now_ns):
            if isinstance(action, Lost):
                self._journal.dropped(action.packet, action.rule)
                self._fated += 1
            elif isinstance(action, Made):
                self._pass_on_made(action.frame, action.destination, action.due_ns, action.rule)
            else:
                self._send_taken(action)

    def fired(self) -> tuple[tuple[str, int], ...]:
        return tuple((str(rule), count) for rule, count in self._wire.report())

    def vain(self) -> tuple[tuple[str, int], ...]:
        return tuple((str(rule), count) for rule, count in self._wire.vain())

    def _send_taken(self, sent: Sent) -> None:
        self._fated += 1
        changed = sent.frame if sent.changed else None
        self._pass_on(sent.packet, sent.frame, sent.destination, sent.due_ns, sent.rule, changed)
