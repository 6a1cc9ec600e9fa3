"""Scene of explained calls -> where the time went: bars by cause, sentences, findings, unknown.

Pure: no widths, no colours. A sentence names a call, how long it waited, and what for, longest
first; the waits that matter stand first, which are not those of a server that has no client, or of
a program that looks round while nothing is on its way to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netlab.explain.advice import advice_of
from netlab.explain.causes import BUSY, MECHANISMS, Cause, Certainty
from netlab.explain.findings.finding import Finding
from netlab.explain.findings.groups import Group, grouped
from netlab.explain.findings.rules import findings_of
from netlab.explain.parts import Part, Sense
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.explain.timed_out import home_of_poll
from netlab.explain.unreturned import end_of
from netlab.explain.waits import explained
from netlab.explain.wording import more_such, name_of
from netlab.model.call import ACCEPTING, STOP, WAITING
from netlab.model.garbage import no_collection
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Side, Tables
from netlab.show.views.ends import end_name
from netlab.show.views.messages import moved_by

Homes = dict[int, tuple[int, Side]]  # of calls that have no connection of their own

SENTENCES = 10
_CLAUSES = 3  # of a sentence; what is left is summed up
MOSTLY = 50  # what is less than one part in so many is not worth a word
_LEAST_NS = 100_000  # a call that waited for less than this waited for nothing worth a sentence
# How much a cause matters: an idle server waits for its clients, and nothing is wrong.
_IDLE = frozenset({Cause.NO_CLIENT, Cause.TIMER, Cause.SIGNAL, Cause.OTHER_EVENT})
_IDLE_WEIGHT, _UNKNOWN_WEIGHT, _FLIGHT_WEIGHT = 1e-3, 1e-2, 0.5


@dataclass(frozen=True, slots=True)
class Slice:
    """The time of one cause."""

    cause: str
    ns: int
    inferred_ns: int  # of it, what a rule infers
    says: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Where the time of one side's calls went, most first; of no side: a connection's silences."""

    side: str
    calls: int  # or silences
    total_ns: int
    slices: tuple[Slice, ...]
    name: str = ""  # where the side says little: of a pipe, who holds this end


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


@dataclass(frozen=True, slots=True)
class ConnectionWhy:
    """One connection: its bars."""

    connection: int
    protocol: str
    client: str
    server: str
    bars: tuple[Bar, ...]
    weight: float  # how much its waits matter beside those of others


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which a connection without calls stood still, and why."""

    connection: int
    start_ns: int  # since the connection's first frame
    ns: int
    cause: str
    certainty: str
    frames: tuple[int, ...]
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Why:
    """All of it."""

    path: str
    calls: int
    connections: tuple[ConnectionWhy, ...]
    others: tuple[Bar, ...]  # calls of no connection: waits of an event loop
    sentences: tuple[Sentence, ...]
    silences: tuple[Silence, ...]  # of connections without calls
    findings: tuple[Finding, ...]
    grouped: tuple[Group, ...]  # the same, those that repeat said once
    waited_ns: int
    unknown_ns: int
    unknown: tuple[Sentence, ...]  # the calls with most of it
    untold: int  # conversations of datagrams without calls: what took time in them is not asked


def why(tables: Tables, raw: RawRecording, path: str, connection: Connection | None = None) -> Why:
    """Where the time of a recording went, or of one of its connections."""
    with no_collection():
        return _why(tables, raw, path, connection)


def _why(tables: Tables, raw: RawRecording, path: str, connection: Connection | None) -> Why:
    scene = explained(tables, raw)
    number = connection.connection if connection is not None else None
    homes = {call.call: home for call in tables.calls
             if call.connection is None and call.op in WAITING
             and (home := home_of_poll(scene, call)) is not None}  # fmt: skip
    told = [
        call for call in tables.calls
        if call.call in scene.explained
        and (number is None or _connection_of(call, homes) == number)
    ]  # fmt: skip
    weights = {call.call: _weight(scene, call) for call in told}
    unknown_ns = {c.call: _length(scene.explained[c.call], Cause.UNKNOWN) for c in told}
    ranked = sorted(told, key=lambda call: (-weights[call.call], call.call))
    sentences = [sentence(scene, call) for call in ranked[:SENTENCES]]
    unknown = sorted(
        (call for call in told if unknown_ns[call.call] >= _LEAST_NS),
        key=lambda call: (-unknown_ns[call.call], call.call),
    )[:SENTENCES]
    quiet = {
        row.connection: parts for row in tables.connections
        if number in (None, row.connection) and (parts := silences_of(scene, row.connection))
    }  # fmt: skip
    waited = sum(_waited(scene.explained[call.call]) for call in told)
    findings = findings_of(scene, number)
    return Why(
        path=path,
        calls=len(told),
        connections=tuple(_connections(scene, told, weights, number, quiet, homes)),
        others=tuple(_bars([c for c in told if _connection_of(c, homes) is None], scene, {}, True)),
        sentences=tuple(_worth(sentences)),
        silences=tuple(_longest(scene, quiet)),
        findings=tuple(findings),
        grouped=tuple(grouped(findings)),
        waited_ns=waited,
        unknown_ns=sum(unknown_ns.values()),
        unknown=tuple(sentence(scene, call) for call in unknown),
        untold=sum(
            row.protocol == "udp"
            and number in (None, row.connection)
            and not scene.of_connection(row.connection)
            for row in tables.connections
        ),
    )


def _worth(sentences: Sequence[Sentence]) -> Iterable[Sentence]:
    """Those that waited for long, or for long beside the longest."""
    longest = max((one.waited_ns for one in sentences), default=0)
    return (one for one in sentences if one.waited_ns >= max(_LEAST_NS, longest // 100))


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
        name=name_of(call),
        connection=call.connection,
        total_ns=sum(part.length_ns for part in parts),
        waited_ns=_waited(parts),
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


def _weight(scene: Scene, call: Call) -> float:
    """How much a call's waits matter to who asks why it was slow."""
    weight = 0.0
    owed = scene.owed.get(call.call)
    for part in scene.explained[call.call]:
        cause = part.cause
        if cause in BUSY:
            continue
        if cause is Cause.TIMER and owed and owed.parts:  # before that was written it looked round
            weight += sum(one.length_ns for one in owed.parts)
        elif _is_idle(part, call):
            weight += part.length_ns * _IDLE_WEIGHT
        elif cause is Cause.UNKNOWN:  # they have a list of their own
            weight += part.length_ns * _UNKNOWN_WEIGHT
        elif cause is Cause.NETWORK or cause is Cause.SCHEDULER:
            weight += part.length_ns * _FLIGHT_WEIGHT
        else:
            weight += part.length_ns
    return weight if call.side == Side.CLIENT else weight * 0.9


def _is_idle(part: Part, call: Call) -> bool:
    """Whether this is how a program waits for something to do, and nothing is wrong."""
    cause = part.cause
    if cause is Cause.TIMER and (call.op == "connect" or part.frames or part.calls):
        return False  # something had not come by then, and these show it
    if cause is Cause.SIGNAL and call.op != STOP and part.calls:
        return False  # it waited for another thread, which a signal had stopped
    if cause in _IDLE or (cause is Cause.PEER_APP and call.side != Side.CLIENT):
        return True
    return call.op in ACCEPTING and cause in (Cause.NETWORK, Cause.SCHEDULER)


def _waited(parts: Iterable[Part]) -> int:
    return sum([part.length_ns for part in parts if part.cause not in BUSY])


def _length(parts: Iterable[Part], cause: Cause) -> int:
    return sum([part.length_ns for part in parts if part.cause is cause])


def _longest(scene: Scene, quiet: dict[int, list[Part]]) -> Iterable[Silence]:
    """The silences that matter most: one that a program wanted matters less."""
    every = [(part, number) for number, parts in quiet.items() for part in parts]
    every.sort(key=lambda item: -_silence_weight(item[0]))
    for part, number in every[:SENTENCES]:
        begun_ns = scene.tables.connections[number].first_ns or 0
        yield Silence(
            number, part.start_ns - begun_ns, part.length_ns, part.cause, part.certainty,
            part.frames, part.text, _silent_advice(part.cause),
        )  # fmt: skip


def _silent_advice(cause: Cause) -> str:
    """What to change, where no call is known."""
    if cause is Cause.PEER_APP:
        return "Look at what its program did then: a recording with its calls says more."
    return MECHANISMS[cause].advice


def _silence_weight(part: Part) -> float:
    if part.cause is Cause.PEER_APP:
        return part.length_ns * (_FLIGHT_WEIGHT if part.sense is Sense.ANSWERS else _IDLE_WEIGHT)
    return part.length_ns * (_FLIGHT_WEIGHT if part.cause is Cause.NETWORK else 1)


def _connections(
    scene: Scene,
    told: Sequence[Call],
    weights: dict[int, float],
    number: int | None,
    quiet: dict[int, list[Part]],
    homes: Homes,
) -> Iterable[ConnectionWhy]:
    by_connection: dict[int, list[Call]] = {}
    for call in told:
        mine = _connection_of(call, homes)
        if mine is not None:
            by_connection.setdefault(mine, []).append(call)
    for row in scene.tables.connections:
        calls = by_connection.get(row.connection, [])
        silences = quiet.get(row.connection, [])
        if not calls and not silences and row.connection != number:
            continue
        every = scene.of_connection(row.connection)
        ends = {side: end_name(row, side, every) for side in Side}
        bars = list(_bars(calls, scene, homes))
        if every and every[0]._roleless:
            named: dict[str, str] = {str(side): name for side, name in ends.items()}
            bars = [replace(bar, name=named.get(bar.side, "")) for bar in bars]
        if silences:
            bars.append(_bar("", len(silences), silences))
        weight = sum(weights[call.call] for call in calls)
        yield ConnectionWhy(
            row.connection, row.protocol, ends[Side.CLIENT], ends[Side.SERVER], tuple(bars),
            weight + sum(map(_silence_weight, silences)),
        )  # fmt: skip


def _connection_of(call: Call, homes: Homes) -> int | None:
    if call.connection is not None or call.call not in homes:
        return call.connection
    return homes[call.call][0]


def _bars(
    calls: Sequence[Call], scene: Scene, homes: Homes, by_actor: bool = False
) -> Iterable[Bar]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        side = homes[call.call][1] if call.call in homes else call.side
        groups.setdefault(call.actor if by_actor else side or call.actor, []).append(call)
    for side, group in groups.items():
        parts = [part for call in group for part in scene.explained[call.call]]
        yield _bar(side, len(group), parts)


def _bar(side: str, count: int, parts: Sequence[Part]) -> Bar:
    times: dict[Cause, int] = {}
    inferred: dict[Cause, int] = {}
    for part in parts:
        cause, length_ns = part.cause, part.length_ns
        times[cause] = times.get(cause, 0) + length_ns
        if part.certainty is Certainty.INFERRED:
            inferred[cause] = inferred.get(cause, 0) + length_ns
    slices = [
        Slice(cause, ns, inferred.get(cause, 0), MECHANISMS[cause].says)
        for cause, ns in sorted(times.items(), key=lambda item: -item[1])
    ]
    return Bar(side, count, sum(times.values()), tuple(slices))
