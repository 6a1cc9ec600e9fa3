"""The wire without sockets and clock: frames in, with the time they left; frames out, when due.

    wire = Wire(rules, ends)
    wire.take(packet, frame, source, left_ns)     # each frame, in the order in which they left
    for outcome in wire.due(now_ns): ...          # Sent, Lost and Made, in order of time
    wire.next_ns()                                # when to ask again; None: nothing is on its way

Each frame that was taken comes out once, as Sent or Lost. What the wire makes itself, copies,
fragments after the first, ICMP, comes out as Made. With more than two ends, a frame to all of them
(broadcast, multicast) is Sent to the first and Made for the others; one for nobody is Lost by no
rule.
What each rule means is said in `rules`; `gate` and `transit` apply them.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.lab.wire.gate import Gate, uncounted
from netlab.lab.wire.headers import NOT_READ, is_counted, maybe_headers
from netlab.lab.wire.in_use import ReorderInUse, in_use, those
from netlab.lab.wire.outcomes import End, Lost, Outcome
from netlab.lab.wire.rules import Rule, queue_without_rate
from netlab.lab.wire.sight import Sight, Sights
from netlab.lab.wire.transit import Transit
from netlab.model.errors import UsageError
from netlab.model.tables import Direction


class Wire:
    """Joins the ends; raises UsageError for rules that cannot be together."""

    def __init__(self, rules: Sequence[Rule], ends: Sequence[End]) -> None:
        orphan = queue_without_rate(rules)
        if orphan is not None:
            raise UsageError(f"{rules[orphan]} without a rate never fills", "add a rate")
        self.plain = not rules
        self._ends = ends
        self._uses = in_use(rules)
        self._lookers = [use for use in self._uses if not use.means_all]
        self._gate = Gate(self._uses)
        self._transit = Transit(self._uses)
        self._sights = Sights()
        self._needs_sight = any(use.needs_sight for use in self._uses)
        self._needs_headers = self._needs_sight or self._gate.needs_headers
        self._unseen = {direction: Sight(direction) for direction in (None, *Direction)}
        self._routes = [
            {end.mac: self._route_to(source, (to,)) for to, end in enumerate(ends) if to != source}
            for source in range(len(ends))
        ]
        self._zero_ns: int | None = None  # when the first frame left that is counted

    def take(self, packet: int, frame: bytes, source: int, left_ns: int) -> None:
        """A frame has left the end with this index."""
        known = self._routes[source].get(frame[:6])
        destinations, direction = known or self._route_to_many(frame, source)
        if not destinations:
            self._transit.settle(left_ns, Lost(packet, ""))
            return
        headers = maybe_headers(frame) if self._needs_headers else NOT_READ
        if headers is None or (headers is NOT_READ and (self.plain or not is_counted(frame))):
            lost = self._gate.maybe_cut(packet, direction, left_ns, self._zero_ns)
            for outcome in [lost] if lost else uncounted(packet, frame, destinations, left_ns):
                self._transit.settle(left_ns, outcome)
            return
        if self._zero_ns is None:
            self._zero_ns = left_ns
        needs = self._needs_sight
        sight = self._sights.see(headers, direction) if needs else self._unseen[direction]
        for use in self._lookers:
            use.look(sight, left_ns, self._zero_ns)
        flights, settled = self._gate.let_in(packet, frame, headers, source, destinations, left_ns)
        for known_already in settled:
            self._transit.settle(left_ns, known_already)
        if flights:
            self._transit.enter(flights, sight, left_ns)
        if needs:
            self._transit.has_left(sight, left_ns)

    def due(self, now_ns: int) -> list[Outcome]:
        """What has become of frames until now, in order of time."""
        return self._transit.due(now_ns)

    def next_ns(self) -> int | None:
        """When `due` may have something again; None: nothing is on its way."""
        return self._transit.next_ns()

    def report(self) -> list[tuple[Rule, int]]:
        """How often each rule changed what became of a frame, in the order given."""
        return [(use.rule, use.fired) for use in self._uses]

    def vain(self) -> list[tuple[Rule, int]]:
        """The rules for which frames waited in vain, and how many did."""
        return [(use.rule, use.vain) for use in those(self._uses, ReorderInUse) if use.vain]

    def _route_to_many(self, frame: bytes, source: int) -> tuple[tuple[int, ...], Direction | None]:
        """All other ends, for broadcast and multicast; nobody has any other address."""
        to_all = len(frame) > 0 and frame[0] & 1
        others = (index for index in range(len(self._ends)) if index != source and to_all)
        return self._route_to(source, tuple(others))

    def _route_to(
        self, source: int, destinations: tuple[int, ...]
    ) -> tuple[tuple[int, ...], Direction | None]:
        if self._ends[source].is_server:
            return destinations, Direction.S2C
        to_server = any(self._ends[index].is_server for index in destinations)
        return destinations, Direction.C2S if to_server else None
