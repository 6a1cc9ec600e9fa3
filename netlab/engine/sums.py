"""Connections of a capture -> what they have in common, added up, and which of them moved most.

By kernels, so that a row is made only of a connection that someone looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netlab.correlate import traffic_kernels as k
from netlab.correlate.verdict_names import VERDICTS
from netlab.model.records import dataclass

if TYPE_CHECKING:
    from netlab.engine.capture import Flows


@dataclass(frozen=True, slots=True)
class Sums:
    """Of TCP connections."""

    refused: int  # each SYN got its reset
    unanswered: int  # SYNs, and nothing came back
    reset: int  # that a reset ended; the refused ones are not among them
    verdicts: dict[str, int]  # how many segments got each, by tshark's name


def sum_up(machine: Any, found: Flows) -> Sums:
    """The sums of the connections that the kernels followed."""
    verdicts, totals = machine.table([], k.VERDICTS), machine.table(k.TOTAL, 1)
    machine.run(
        "sum_up", found.flows, found.talks, found.sides, found.counts, found.count, verdicts,
        totals,
    )  # fmt: skip
    return Sums(
        totals.get(0, "refused"), totals.get(0, "unanswered"), totals.get(0, "reset"),
        dict(zip(VERDICTS, verdicts.numbers(k.VERDICTS), strict=True)),
    )  # fmt: skip


def busiest(machine: Any, found: Flows, count: int) -> list[int]:
    """So many of the flows that the kernels followed as moved most bytes, the busiest first."""
    places = machine.table([], max(1, count))
    there = machine.run(
        "busiest", found.flows, found.talks, found.sides, found.count, places, count
    )
    numbers: list[int] = places.numbers(there)
    return numbers
