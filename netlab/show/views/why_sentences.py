"""One call -> a sentence: how long it waited, what for, what to change, and the code that called.

Pure: no widths, no colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netlab.explain.advice import advice_of
from netlab.explain.callers import name_apart
from netlab.explain.causes import BUSY, MECHANISMS, Cause, Certainty
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.unreturned import end_of
from netlab.explain.waits import explained
from netlab.explain.wording import more_such
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Call, Tables
from netlab.show.views.messages import moved_by

_CLAUSES = 3  # of a sentence; what is left is summed up
MOSTLY = 50  # what is less than one part in so many is not worth a word


@dataclass(frozen=True, slots=True)
class Interval:
    """One wait of a call."""

    start_ns: int  # since the call was entered
    stop_ns: int
    cause: str
    certainty: str
    frames: tuple[int, ...]
    calls: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing a call waited for, all its intervals together; as sure as the least of them is."""

    ns: int
    cause: str
    certainty: str
    text: str
    inferred_ns: int  # of it, what a rule infers


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one call waited for."""

    call: int
    name: str
    connection: int | None
    total_ns: int
    waited_ns: int
    clauses: tuple[Clause, ...]
    advice: str
    code: str | None
    intervals: tuple[Interval, ...]
    ended_with: str = ""  # the recording, its process: of a call that never returned
    moved: tuple[str, ...] = ()  # messages of an application, where the call alone is asked for


def why_call(tables: Tables, raw: RawRecording, call: Call) -> Sentence:
    """One call, with its intervals; of one that never returned they go on to the end."""
    return replace(sentence(explained(tables, raw), call), moved=moved_by(tables, call))


def sentence(scene: Scene, call: Call) -> Sentence:
    """What a call waited for."""
    parts = scene.explained.get(call.call, [])
    inside = call.returned_ns is None and call.op != "exit"
    clauses = _clauses(parts)
    advice = _advice(scene, call, clauses[0], parts) if clauses else ""
    return Sentence(
        call=call.call,
        name=name_apart(scene, call),
        connection=call.connection,
        total_ns=sum(part.length_ns for part in parts),
        waited_ns=waited_ns(parts),
        clauses=tuple(clauses),
        advice=advice,
        code=call.code,
        intervals=tuple(
            Interval(
                part.start_ns - call.entered_ns, part.stop_ns - call.entered_ns, part.cause,
                part.certainty, part.frames, part.calls, part.text or MECHANISMS[part.cause].says,
            )
            for part in parts
        ),
        ended_with=end_of(scene, call)[1] if inside else "",
    )  # fmt: skip


def _clauses(parts: Sequence[Part]) -> list[Clause]:
    """The waits with their time, most first; those of few together."""
    found: dict[tuple[str, str], Clause] = {}
    for part in parts:
        if part.cause in BUSY:
            continue
        text = part.text or MECHANISMS[part.cause].says
        key = part.cause, text
        before = found.get(key)
        inferred_ns = part.length_ns if part.certainty is Certainty.INFERRED else 0
        one = Clause(part.length_ns, part.cause, part.certainty, text, inferred_ns)
        found[key] = one if before is None else _together([before, one], text)
    clauses = sorted(found.values(), key=lambda clause: -clause.ns)
    kept, left = _kept(clauses)
    if left:
        kept, left = _kept(_by_cause(clauses))
    if left:
        rest = sum(clause.ns for clause in left)
        inferred_ns = sum(clause.inferred_ns for clause in left)
        kept.append(Clause(rest, "", Certainty.INFERRED, _others(left), inferred_ns))
    return kept


def _together(clauses: Sequence[Clause], text: str) -> Clause:
    """Several of one cause as one, unless next to nothing of it is less than observed."""
    ns = sum(clause.ns for clause in clauses)
    inferred_ns = sum(clause.inferred_ns for clause in clauses)
    certainty = clauses[0].certainty
    if certainty != Certainty.UNKNOWN:
        sure = inferred_ns * MOSTLY < ns
        certainty = Certainty.OBSERVED if sure else Certainty.INFERRED
    return Clause(ns, clauses[0].cause, certainty, text, inferred_ns)


def _kept(clauses: Sequence[Clause]) -> tuple[list[Clause], list[Clause]]:
    """What a sentence says one by one, and the rest; none, where it is a fiftieth or less."""
    total = sum(clause.ns for clause in clauses)
    kept = [c for c in clauses[:_CLAUSES] if c.ns * MOSTLY >= total]
    left = list(clauses[len(kept) :])
    rest = sum(clause.ns for clause in left)
    return kept, left if rest and rest * MOSTLY >= total else []


def _by_cause(clauses: Sequence[Clause]) -> list[Clause]:
    """Each cause once, with the text of its longest: a reader that was slow 40 times is one."""
    found: dict[str, list[Clause]] = {}
    for clause in clauses:
        found.setdefault(clause.cause, []).append(clause)
    merged = [
        _together(
            alike,
            alike[0].text + more_such(len(alike)),
        )
        for alike in found.values()
    ]
    return sorted(merged, key=lambda clause: -clause.ns)


def _others(left: Sequence[Clause]) -> str:
    """`for 3 other reasons (network, scheduler)`: their causes, most time first."""
    times: dict[str, int] = {}
    for clause in left:
        times[clause.cause] = times.get(clause.cause, 0) + clause.ns
    causes = sorted(times, key=lambda cause: -times[cause])
    named = ", ".join(causes[:_CLAUSES]) + (", ..." if len(causes) > _CLAUSES else "")
    return f"for {'another reason' if len(left) == 1 else f'{len(left)} other reasons'} ({named})"


def _advice(scene: Scene, call: Call, clause: Clause, parts: Sequence[Part]) -> str:
    """What to change about the longest wait of the cause that took most."""
    if not clause.cause:
        return ""
    cause = Cause(clause.cause)
    longest = max((p for p in parts if p.cause is cause), key=lambda part: part.length_ns)
    return advice_of(scene, call, longest)


def waited_ns(parts: Iterable[Part]) -> int:
    """How long a call with these parts waited."""
    return sum([part.length_ns for part in parts if part.cause not in BUSY])
