"""What a study is: a question, an experiment that can answer it, and what is expected of it.

A study is one file with one `STUDY`. Its programs are ordinary functions at the top level of that
file, which netlab calls on the hosts of a lab, `server(probe, p)` and `client(probe, p)`: `probe`
makes the sockets, so that each call is recorded, and `p` has the parameters. What they return (as
JSON has it) is evidence, like the tables of the recording. Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from netlab.model.errors import UsageError
from netlab.studies.quantity import Kind, Value, typed, value_from_text

if TYPE_CHECKING:
    from netlab.model.probe import Probe
    from netlab.studies.evidence import Evidence
    from netlab.studies.stage import Stage

PORT = 4000  # of every study's server
Window = tuple[int, int]  # from when to when, ns since the epoch


class Topic(StrEnum):
    """The chapters, in the order in which they are read."""

    LAYERS = "layers"
    HANDSHAKE = "handshake"
    BUFFERS = "send and receive buffers"
    SMALL_WRITES = "small writes"
    TIMEOUTS = "timeouts"
    TEARDOWN = "teardown"
    UDP = "UDP and IP"
    CONGESTION = "congestion"
    IO_MODELS = "I/O models"
    PROCESSES = "processes and threads"
    IPC = "IPC"


class Params(Mapping[str, int]):
    """The parameters of a run, also as attributes: `p.rtt` in ns, `p.rcvbuf` in bytes."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __getattr__(self, name: str) -> int:
        try:
            return self.__dict__["_values"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


Text = str | Callable[[Params], str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something about a study that a reader may change."""

    name: str
    kind: Kind
    default: int
    least: int
    most: int
    text: str

    def parse(self, text: str) -> int:
        """What was typed. Raises UsageError for what it cannot be."""
        try:
            value = value_from_text(self.kind, text)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error.message}", error.hint) from None
        if not self.least <= value <= self.most:
            span = f"{typed(self.kind, self.least)} to {typed(self.kind, self.most)}"
            raise UsageError(f"{self.name}={text} is out of range", f"it may be {span}")
        return value


@dataclass(frozen=True, slots=True)
class Expect:
    """One number or word that is predicted, and how it is measured.

    The prediction holds where the measured lies in [predicted - less, predicted + more]; words must
    be equal. `because`: where that room comes from: the granularity of a timer, not hope.
    `otherwise`: what would be measured if what is predicted were not so, where that is neither
    nothing nor twice as much. The room must leave it out, or the check could not fail. `applies`:
    whether there is anything to measure with these parameters; elsewhere it is left out.
    """

    what: str
    kind: Kind
    predicted: Callable[[Params], Value]
    measured: Callable[[Evidence], Value | None]
    source: str
    less: Callable[[Params], int] | int = 0
    more: Callable[[Params], int] | int = 0
    because: str = ""
    otherwise: Callable[[Params], int] | None = None
    applies: Callable[[Params], bool] = lambda p: True

    def room(self, p: Params) -> tuple[int, int]:
        """How much less, and how much more, it may be."""
        less = self.less(p) if callable(self.less) else self.less
        more = self.more(p) if callable(self.more) else self.more
        return less, more

    def ruled_out(self, p: Params) -> tuple[int, ...]:
        """What would be measured if what is predicted were not so: nothing, and `otherwise`."""
        predicted = self.predicted(p)
        others = [0] if self.otherwise is None else [0, self.otherwise(p)]
        return tuple(one for one in others if isinstance(predicted, int) and one != predicted)

    def holds(self, p: Params, measured: Value | None) -> bool:
        """Whether what was measured is what was predicted."""
        predicted = self.predicted(p)
        if isinstance(predicted, str) or isinstance(measured, str) or measured is None:
            return measured == predicted
        less, more = self.room(p)
        return predicted - less <= measured <= predicted + more


class Drawn(StrEnum):
    """Which side of an expectation a curve shows."""

    PREDICTED = "predicted"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Sweep:
    """The experiment is repeated with other values of one parameter; `--full` takes more of them.

    Drawn are, over that parameter, sides of expectations, each by a name, the number of the
    expectation and the side: of the first both, if nothing else is said. All are of one kind.
    """

    parameter: str
    values: tuple[int, ...]
    full: tuple[int, ...] = ()
    log: bool = False  # whether both axes are logarithmic
    drawn: tuple[tuple[str, int, Drawn], ...] = (
        ("predicted", 0, Drawn.PREDICTED),
        ("measured", 0, Drawn.MEASURED),
    )
    title: str = ""  # of the plot; empty: what the first curve's expectation is about

    def taken(self, full: bool) -> tuple[int, ...]:
        """The values of a run, in their order."""
        return self.full if full and self.full else self.values


@dataclass(frozen=True, slots=True)
class Curves:
    """Several series over one axis, all measured in one run: (name, points) each."""

    title: str
    series: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    across: Kind
    upright: Kind
    log: bool = False  # whether both axes are logarithmic


@dataclass(frozen=True, slots=True)
class Study:
    """A study. Texts may name parameters, `{rtt}`; where another value makes another text, they
    are functions of the parameters."""

    name: str
    topic: Topic
    question: Text
    setup: Text
    prediction: Text
    expects: tuple[Expect, ...]
    next: Text  # what to try then
    parameters: tuple[Parameter, ...] = ()
    server: Callable[[Probe, Params], Any] | None = None
    client: Callable[[Probe, Params], Any] | None = None
    wire: Callable[[Params], str] = lambda p: ""
    sysctls: Callable[[Params], Mapping[str, Mapping[str, str]]] = lambda p: {}
    hosts: tuple[str, ...] = ("client", "server")
    # In place of: start the server, wait until it listens, run the client, wait for both.
    experiment: Callable[[Stage], None] | None = None
    # Between which times the ladder tells the story, see `moments`; none: all of it.
    moment: Callable[[Evidence], Sequence[Window]] = lambda evidence: ()
    # Whose ladder is shown, chosen by number or by what happened; None: there is none to show.
    connection: int | Callable[[Evidence], int | None] | None = 0
    seen: Callable[[Evidence], str] = lambda evidence: ""  # what the recording shows, in words
    # What was found as rows of cells, the first row are the heads (behind a row without cells
    # begins another table); and as curves.
    table: Callable[[Evidence], Sequence[Sequence[str]]] = lambda evidence: ()
    curves: Callable[[Evidence], Curves | Sequence[Curves] | None] = lambda evidence: None
    cause: str | Callable[[Params], str] = (
        ""  # what `why` must name for the longest call of `waits_on`; empty: no waiting
    )
    waits_on: str = "client"  # a host, or a host and the name of its call
    # Whether it is chance how many connections it takes: how often the same happens is no news.
    by_lot: bool = False
    lacks: Callable[[], str] = lambda: ""  # what this kernel lacks for it; empty: nothing
    claims: tuple[Claim, ...] = ()
    sweep: Sweep | None = None
    full: Mapping[str, int] = field(default_factory=dict)  # parameters of a run that may take long
    options: Mapping[str, Any] = field(default_factory=dict)  # of the Lab

    def params(self, given: Mapping[str, str], *, full: bool = False) -> Params:
        """The parameters, those that were typed in place of the defaults. Raises UsageError.

        `full`: those of a run that may take long are other defaults.
        """
        values = {one.name: one.default for one in self.parameters} | dict(
            self.full if full else {}
        )
        known = {one.name: one for one in self.parameters}
        for name, text in given.items():
            if name not in known:
                there = ", ".join(known) or "none"
                raise UsageError(f"{self.name} has no parameter {name!r}", f"it has: {there}")
            values[name] = known[name].parse(text)
        return Params(values)

    def alone(self, given: Mapping[str, str]) -> Study:
        """The study as it is carried out: without its sweep where that parameter was typed."""
        if self.sweep is None or self.sweep.parameter not in given:
            return self
        return replace(self, sweep=None)

    def shown(self, evidence: Evidence) -> int | None:
        """The number of the connection whose ladder is shown; None: there is none."""
        chosen = self.connection(evidence) if callable(self.connection) else self.connection
        there = len(evidence.tables.connections)
        return chosen if chosen is not None and chosen < there else None

    def typed(self, name: str, value: int) -> str:
        """A value of a parameter as it would be typed."""
        kinds = {one.name: one.kind for one in self.parameters}
        return typed(kinds[name], value)

    def text(self, template: Text, p: Params, swept: Sequence[int] = ()) -> str:
        """A text with its parameters filled in; `swept`: the values that a sweep takes, all.

        `{not_x}` is the other position of a parameter `x` that is 0 or 1.
        """
        if callable(template):
            template = template(p)
        kinds = {one.name: one.kind for one in self.parameters}
        words = {name: _worded(kinds[name], p[name]) for name in p}
        words |= {f"not_{name}": f"{1 - p[name]}" for name in p if p[name] in (0, 1)}
        if self.sweep is not None and swept:
            name = self.sweep.parameter
            words[name] = ", ".join(_worded(kinds[name], value) for value in swept)
        return template.format_map(words)


@dataclass(frozen=True, slots=True)
class Claim:
    """A common statement that a study tests."""

    text: str
    holds: Callable[[Evidence], bool]
    condition: str = ""  # under which it holds, where that is the truth of it


def _worded(kind: Kind, value: int) -> str:
    if kind is Kind.SIZE:
        return f"{value:,} bytes"
    return f"{value:,}" if kind is Kind.COUNT else typed(kind, value)
