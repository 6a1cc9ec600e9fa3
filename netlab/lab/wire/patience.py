"""How long those who wait for frames must be patient: rules -> the longest way, the longest break.

Upper bounds for a lab that ends: what waits for them goes on as soon as there is nothing to wait
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netlab.lab.wire.pipe import DEFAULT_PACKETS
from netlab.lab.wire.rules import Cut, Delay, Drop, Duplicate, Queue, Rate, Reorder, Retard, Rule

_PACKET_BYTES = 1514  # the largest frame of a host
_NS_PER_S = 1_000_000_000
_QUEUE_AT_MOST_NS = 30 * _NS_PER_S  # nobody waits for hours for a slow line to run empty


@dataclass(frozen=True, slots=True)
class Patience:
    """What the rules ask of those who wait."""

    way_ns: int = 0  # that a frame is on its way, at the most
    break_ns: int = 0  # that nothing, or nothing of a kind, passes, where that has an end

    @property
    def close_ns(self) -> int:
        """For connections to end: data, FIN and their ACKs both ways, resends after a break.

        The interval between resends doubles: the next one comes at most as long after the end of
        the break as it lasted, and those that follow it are hardly quicker.
        """
        return 4 * self.way_ns + 4 * self.break_ns


def patience_with(rules: Sequence[Rule]) -> Patience:
    """The longest that these rules keep a frame."""
    way_ns = sum(map(_way_ns, rules))
    for rate in (rule for rule in rules if isinstance(rule, Rate)):
        queues = [rule for rule in rules if isinstance(rule, Queue)]
        waiting_bytes = max(
            (q.size_bytes or (q.packets or 0) * _PACKET_BYTES for q in queues),
            default=DEFAULT_PACKETS * _PACKET_BYTES,
        )
        empty_ns = (waiting_bytes + _PACKET_BYTES) * 8 * _NS_PER_S // rate.bits_per_s
        way_ns += min(empty_ns, _QUEUE_AT_MOST_NS)
    breaks = [rule.when.for_ns or 0 for rule in rules if isinstance(rule, Cut | Drop)]
    return Patience(way_ns, max(breaks, default=0))


def _way_ns(rule: Rule) -> int:
    match rule:
        case Delay():
            return rule.by_ns + rule.jitter_ns
        case Retard() | Duplicate():
            return rule.by_ns
        case Reorder():
            return rule.within_ns
    return 0
