"""Scene of explained calls -> where the time went: bars by cause, sentences, findings, unknown.

Pure: no widths, no colours. A sentence names a call, how long it waited, and what for, longest
first; the waits that matter stand first, which are not those of a server that has no client, or of
a program that looks round while nothing is on its way to it and nobody owes it an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netlab.explain.asked import unanswered_request
from netlab.explain.causes import BUSY, MECHANISMS, Cause, Certainty
from netlab.explain.findings.finding import Finding
from netlab.explain.findings.groups import Group, grouped
from netlab.explain.findings.rules import findings_of
from netlab.explain.parts import Part, Sense
from netlab.explain.scene import Scene
from netlab.explain.silence.silences import silences_of
from netlab.explain.timed_out import home_of_poll
from netlab.explain.waits import explained
from netlab.model.call import ACCEPTING, STOP, WAITING
from netlab.model.garbage import no_collection
from netlab.model.recording import RawRecording
from netlab.model.records import dataclass
from netlab.model.tables import Call, Connection, Side, Tables
from netlab.show.views.ends import end_name
from netlab.show.views.why_sentences import Sentence, sentence, waited_ns

SENTENCES = 10
_LEAST_NS = 100_000  # a call that waited for less than this waited for nothing worth a sentence
_WORTH_NS = 1_000_000  # so long is worth one, however long a program was idle
# How much a cause matters: an idle server waits for its clients, and nothing is wrong.
_IDLE = frozenset({Cause.NO_CLIENT, Cause.TIMER, Cause.SIGNAL, Cause.OTHER_EVENT})
_IDLE_WEIGHT, _UNKNOWN_WEIGHT, _FLIGHT_WEIGHT = 1e-3, 1e-2, 0.5


@dataclass(frozen=True, slots=True)
class _Vain:
    """What is known of waits that ended with nothing."""

    homes: dict[int, tuple[int, Side]]  # of those that have no connection of their own
    asked: frozenset[int]  # those in which an answer was owed


@dataclass(frozen=True, slots=True)
class Slice:
    """The time of one cause."""

    cause: str
    ns: int
    inferred_ns: int  # of it, what a rule infers
    says: str
    idle_ns: int = 0  # of it, in which a program waited for something to do


@dataclass(frozen=True, slots=True)
class Bar:
    """Where the time of one side's calls went, most first; of no side: a connection's silences."""

    side: str
    calls: int  # or silences
    total_ns: int
    slices: tuple[Slice, ...]
    name: str = ""  # where the side says little: of a pipe, who holds this end


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
    vain = _Vain(homes, frozenset(_asked(scene, homes)))
    told = [
        call for call in tables.calls
        if call.call in scene.explained
        and (number is None or _connection_of(call, vain) == number)
    ]  # fmt: skip
    weights = {call.call: _weight(scene, call, vain) for call in told}
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
    waited = sum(waited_ns(scene.explained[call.call]) for call in told)
    findings = findings_of(scene, number)
    return Why(
        path=path,
        calls=len(told),
        connections=tuple(_connections(scene, told, weights, number, quiet, vain)),
        others=tuple(
            _bars([c for c in told if _connection_of(c, vain) is None], scene, vain, True)
        ),
        sentences=tuple(
            _worth(
                sentences, {call.call: _idle_ns(scene, call, vain) for call in ranked[:SENTENCES]}
            )
        ),
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


def _asked(scene: Scene, homes: dict[int, tuple[int, Side]]) -> Iterable[int]:
    """The calls, in vain, that were for an answer that was owed to them."""
    for call in scene.calls:
        owing = unanswered_request(scene, call)
        if owing is not None and owing == homes.get(call.call, (call.connection, call.side)):
            yield call.call


def _worth(sentences: Sequence[Sentence], idle_ns: dict[int, int]) -> Iterable[Sentence]:
    """Those that waited for long, or for long beside the longest; an idle one hides no other."""
    busy_ns = {
        one.call: one.waited_ns - idle_ns[one.call] for one in sentences
        if 2 * idle_ns[one.call] < one.waited_ns
    }  # fmt: skip
    longest = max((one.waited_ns for one in sentences), default=0)
    longest_busy = max(busy_ns.values(), default=0)
    for one in sentences:
        beside_idle = one.waited_ns >= max(_LEAST_NS, longest // 100)
        alone = busy_ns.get(one.call, 0) >= max(_WORTH_NS, longest_busy // 100)
        if beside_idle or alone:
            yield one


def _idle_ns(scene: Scene, call: Call, vain: _Vain) -> int:
    """How long a call waited for something to do."""
    parts = scene.explained[call.call]
    return sum(part.length_ns for part in parts if _is_idle(part, call, vain))


def _weight(scene: Scene, call: Call, vain: _Vain) -> float:
    """How much a call's waits matter to who asks why it was slow."""
    weight = 0.0
    owed = scene.owed.get(call.call)
    for part in scene.explained[call.call]:
        cause = part.cause
        if cause in BUSY:
            continue
        if cause is Cause.TIMER and call.call in vain.asked:
            weight += part.length_ns
        elif cause is Cause.TIMER and owed and owed.parts:  # before that was written: a look round
            weight += sum(one.length_ns for one in owed.parts)
        elif _is_idle(part, call, vain):
            weight += part.length_ns * _IDLE_WEIGHT
        elif cause is Cause.UNKNOWN:  # they have a list of their own
            weight += part.length_ns * _UNKNOWN_WEIGHT
        elif cause is Cause.NETWORK or cause is Cause.SCHEDULER:
            weight += part.length_ns * _FLIGHT_WEIGHT
        else:
            weight += part.length_ns
    return weight if _is_clients(call, vain) else weight * 0.9


def _is_clients(call: Call, vain: _Vain) -> bool:
    """Whether a client made it: of a pair or pipe neither end is one, whichever wrote first."""
    side = vain.homes[call.call][1] if call.call in vain.homes else call.side
    return side == Side.CLIENT and not call._roleless


def _is_idle(part: Part, call: Call, vain: _Vain) -> bool:
    """Whether this is how a program waits for something to do, and nothing is wrong."""
    cause = part.cause
    if cause is Cause.TIMER and call.call in vain.asked:
        return False  # it had asked, and no answer had come by then
    if cause is Cause.TIMER and (call.op == "connect" or part.frames or part.calls):
        return False  # something had not come by then, and these show it
    if cause is Cause.SIGNAL and call.op != STOP and part.calls:
        return False  # it waited for another thread, which a signal had stopped
    if cause in _IDLE or (cause is Cause.PEER_APP and not _is_clients(call, vain)):
        return True
    return call.op in ACCEPTING and cause in (Cause.NETWORK, Cause.SCHEDULER)


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
    vain: _Vain,
) -> Iterable[ConnectionWhy]:
    by_connection: dict[int, list[Call]] = {}
    for call in told:
        mine = _connection_of(call, vain)
        if mine is not None:
            by_connection.setdefault(mine, []).append(call)
    for row in scene.tables.connections:
        calls = by_connection.get(row.connection, [])
        silences = quiet.get(row.connection, [])
        if not calls and not silences and row.connection != number:
            continue
        every = scene.of_connection(row.connection)
        ends = {side: end_name(row, side, every) for side in Side}
        bars = list(_bars(calls, scene, vain))
        if every and every[0]._roleless:
            named: dict[str, str] = {str(side): name for side, name in ends.items()}
            bars = [replace(bar, name=named.get(bar.side, "")) for bar in bars]
        if silences:
            bars.append(_bar("", len(silences), silences, ()))
        weight = sum(weights[call.call] for call in calls)
        yield ConnectionWhy(
            row.connection, row.protocol, ends[Side.CLIENT], ends[Side.SERVER], tuple(bars),
            weight + sum(map(_silence_weight, silences)),
        )  # fmt: skip


def _connection_of(call: Call, vain: _Vain) -> int | None:
    if call.connection is not None or call.call not in vain.homes:
        return call.connection
    return vain.homes[call.call][0]


def _bars(
    calls: Sequence[Call], scene: Scene, vain: _Vain, by_actor: bool = False
) -> Iterable[Bar]:
    groups: dict[str, list[Call]] = {}
    for call in calls:
        side = vain.homes[call.call][1] if call.call in vain.homes else call.side
        groups.setdefault(call.actor if by_actor else side or call.actor, []).append(call)
    for side, group in groups.items():
        parts = [part for call in group for part in scene.explained[call.call]]
        idle = [
            part for call in group for part in scene.explained[call.call]
            if part.cause not in BUSY and _is_idle(part, call, vain)
        ]  # fmt: skip
        yield _bar(side, len(group), parts, idle)


def _bar(side: str, count: int, parts: Sequence[Part], idle: Sequence[Part]) -> Bar:
    times: dict[Cause, int] = {}
    inferred: dict[Cause, int] = {}
    for part in parts:
        cause, length_ns = part.cause, part.length_ns
        times[cause] = times.get(cause, 0) + length_ns
        if part.certainty is Certainty.INFERRED:
            inferred[cause] = inferred.get(cause, 0) + length_ns
    idle_ns: dict[Cause, int] = {}
    for part in idle:
        idle_ns[part.cause] = idle_ns.get(part.cause, 0) + part.length_ns
    slices = [
        Slice(cause, ns, inferred.get(cause, 0), MECHANISMS[cause].says, idle_ns.get(cause, 0))
        for cause, ns in sorted(times.items(), key=lambda item: -item[1])
    ]
    return Bar(side, count, sum(times.values()), tuple(slices))
