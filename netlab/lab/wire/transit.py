"""What happens to frames between leaving and arriving: the stages that take time, from reorder on.

Frames go in at their time; outcomes wait in a heap until they are due. Between two rates a frame
waits in a second heap, that of the steps, as the later rate must see frames in order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from netlab.lab.wire.in_use import (
    DelayInUse,
    InUse,
    QueueInUse,
    RateInUse,
    ReorderInUse,
    RetardInUse,
    those,
)
from netlab.lab.wire.outcomes import Flight, Lost, Made, Outcome, Sent
from netlab.lab.wire.pipe import Room
from netlab.lab.wire.sight import Counts, Sight
from netlab.model.tables import Direction


@dataclass(slots=True)
class _Passage:
    """What all frames that come of one taken frame will meet."""

    direction: Direction | None
    connection: int
    rates: list[tuple[RateInUse, bool]]  # and whether it takes its time
    queues: list[QueueInUse]
    delays: list[DelayInUse | RetardInUse]
    delay_ns: int
    retard_ns: int
    in_order: bool


@dataclass(slots=True)
class _Held:
    """Frames that wait until a counter of their connection has reached a number."""

    use: ReorderInUse
    counts: Counts
    target: int
    flights: Sequence[Flight]
    passage: _Passage
    waits: bool = True


class _Step(NamedTuple):
    """What is to happen inside; `order` tells apart what happens at one time."""

    at_ns: int
    order: int
    flights: Sequence[Flight]
    passage: _Passage
    rate: int  # the index of the rate that comes next
    held: _Held | None = None  # these have waited for long enough


class Transit:
    """Keeps the frames that are on their way."""

    def __init__(self, uses: Sequence[InUse]) -> None:
        self._reorders = those(uses, ReorderInUse)
        self._queues = those(uses, QueueInUse)
        self._rates = those(uses, RateInUse)
        self._delays = those(uses, DelayInUse)
        self._retards = those(uses, RetardInUse)
        self._keeps_order = any(use.keeps_order for use in self._delays)
        late = [*self._queues, *self._rates, *self._delays, *self._retards]
        self._steady = all(use.steady for use in late)
        self._fixed: dict[Direction | None, _Passage] = {}
        self._last_ns: dict[tuple[Direction | None, int], int] = {}
        self._held: list[_Held] = []
        self._steps: list[_Step] = []
        self._out: list[tuple[int, int, Outcome]] = []
        self._order = 0

    def settle(self, at_ns: int, outcome: Outcome) -> None:
        """An outcome that is certain, at this time."""
        heappush(self._out, (at_ns, self._next_order(), outcome))

    def enter(self, flights: Sequence[Flight], sight: Sight, left_ns: int) -> None:
        """What has become of the frame at hand sets out, or waits for a later one."""
        self.advance(left_ns)
        passage = self._fixed.get(sight.direction) or self._passage(sight)
        for use in self._reorders:
            if use.hit:
                counts, target = use.counts(sight), use.target(sight)
                if counts.get(use.kind, 0) < target:
                    self._hold(_Held(use, counts, target, flights, passage), left_ns)
                    return
        self._go(flights, passage, left_ns)

    def has_left(self, sight: Sight, left_ns: int) -> None:
        """The frame at hand has left, whatever became of it: who waited for it goes on behind."""
        if not self._held:
            return
        self.advance(left_ns)  # some have waited for long enough before that
        counted = sight.so_far, sight.so_far_in_direction
        for held in self._held:
            moved = held.counts is counted[0] or held.counts is counted[1]
            if moved and held.counts.get(held.use.kind, 0) >= held.target:
                held.waits = False
                held.use.fired += 1
                self._go(held.flights, held.passage, left_ns)
        self._held = [held for held in self._held if held.waits]

    def advance(self, now_ns: int) -> None:
        """All steps until now."""
        steps = self._steps
        while steps and steps[0].at_ns <= now_ns:
            step = heappop(steps)
            if step.held is None:
                self._send(step.flights[0], step.passage, step.rate, step.at_ns)
            elif step.held.waits:
                step.held.waits = False
                step.held.use.vain += 1
                self._held.remove(step.held)
                self._go(step.flights, step.passage, step.at_ns)

    def due(self, now_ns: int) -> list[Outcome]:
        """What has become of frames until now, in order of time."""
        self.advance(now_ns)
        out = self._out
        found: list[Outcome] = []
        while out and out[0][0] <= now_ns:
            found.append(heappop(out)[2])
        return found

    def next_ns(self) -> int | None:
        """When `due` or a step comes next; None: nothing is on its way."""
        steps = self._steps
        while steps and (held := steps[0].held) is not None and not held.waits:
            heappop(steps)
        first_ns = self._out[0][0] if self._out else None
        if steps and (first_ns is None or steps[0].at_ns < first_ns):
            return steps[0].at_ns
        return first_ns

    def _passage(self, sight: Sight) -> _Passage:
        """From `hit` of the frame at hand; what depends on its direction only is kept."""
        late: list[DelayInUse | RetardInUse] = []
        delay_ns = retard_ns = 0
        in_order = self._keeps_order
        for delay in self._delays:
            if delay.hit:
                late.append(delay)
                delay_ns += delay.by_ns
                in_order = in_order and not delay.unordered
        for retard in self._retards:
            if retard.hit:
                late.append(retard)
                retard_ns += retard.by_ns
        # Outside its period a rate takes no time; but nobody overtakes who waits there.
        rates = [(use, use.hit) for use in self._rates if use.inside]
        queues = [use for use in self._queues if use.hit]
        passage = _Passage(
            sight.direction, sight.connection, rates, queues, late, delay_ns, retard_ns, in_order
        )
        if self._steady:
            self._fixed[sight.direction] = passage
        return passage

    def _hold(self, held: _Held, left_ns: int) -> None:
        for flight in held.flights:
            flight.names += (held.use.text,)
        self._held.append(held)
        until_ns = left_ns + held.use.within_ns
        step = _Step(until_ns, self._next_order(), held.flights, held.passage, 0, held)
        heappush(self._steps, step)

    def _go(self, flights: Sequence[Flight], passage: _Passage, now_ns: int) -> None:
        for flight in flights:
            self._send(flight, passage, 0, now_ns)

    def _send(self, flight: Flight, passage: _Passage, rate: int, now_ns: int) -> None:
        """Through the rates from this one on, then over the distance."""
        size_bytes = len(flight.frame)
        for index in range(rate, len(passage.rates)):
            use, limited = passage.rates[index]
            pipe = use.pipes[passage.direction]
            if pipe.free_ns > now_ns:
                rooms: list[tuple[InUse, Room]] = [
                    (queue, queue.room(pipe)) for queue in passage.queues
                ] or [(use, pipe.own_room)]
                for full, room in rooms:
                    if not room.has_room(now_ns, size_bytes):
                        self._lose(flight, full, now_ns)
                        return
                for _, room in rooms:
                    room.enter(pipe.free_ns, size_bytes)
            through_ns = pipe.send(now_ns, size_bytes if limited else 0)
            if limited:
                use.fired += 1
                flight.names += (use.text,)
            if through_ns > now_ns and index + 1 < len(passage.rates):
                step = _Step(through_ns, self._next_order(), [flight], passage, index + 1)
                heappush(self._steps, step)
                return
            now_ns = through_ns
        self._arrive(flight, passage, now_ns)

    def _lose(self, flight: Flight, use: InUse, now_ns: int) -> None:
        use.fired += 1
        if not flight.made:  # of a copy that is lost again, nobody will ever hear
            self.settle(now_ns, Lost(flight.packet, use.text))

    def _arrive(self, flight: Flight, passage: _Passage, now_ns: int) -> None:
        due_ns = now_ns + passage.delay_ns
        if passage.in_order:
            key = passage.direction, passage.connection
            due_ns = max(due_ns, self._last_ns.get(key, 0))
            self._last_ns[key] = due_ns
        due_ns += passage.retard_ns + flight.by_ns
        names = flight.names
        for use in passage.delays:
            use.fired += 1
            names += (use.text,)
        outcome: Outcome
        if flight.made:
            outcome = Made(
                flight.packet, flight.destination, flight.frame, due_ns, self._text(names)
            )
        else:
            outcome = Sent(
                flight.packet, flight.destination, flight.frame, due_ns, self._text(names),
                flight.changed,
            )  # fmt: skip
        heappush(self._out, (due_ns, self._next_order(), outcome))

    def _text(self, names: tuple[str, ...]) -> str:
        return names[0] if len(names) == 1 else "; ".join(names)

    def _next_order(self) -> int:
        self._order += 1
        return self._order
