"""Carries a study out: a lab, the experiment in it, and what came of each prediction."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from netlab.lab.experiment import Lab
from netlab.model.errors import CheckFailed, NetlabError
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind, Value, checked_value
from netlab.studies.raised import is_own, reason
from netlab.studies.stage import Stage
from netlab.studies.study import Curves, Expect, Params, Study, Text, Window

Say = Callable[[str], None]
_T = TypeVar("_T")


def _nothing(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A prediction and what was measured.

    `why`: what the study's own function raised, where nothing is known for that. `ruled_out`: what
    would be there if what is predicted were not so: nothing, and what the study knows of.
    """

    what: str
    kind: Kind
    predicted: Value | None
    measured: Value | None
    less: int
    more: int
    because: str
    source: str
    holds: bool
    why: str = ""
    ruled_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What the study itself tells of its evidence, as `Study` has it.

    `faults`: what its functions raised instead, a line each.
    """

    seen: str
    connection: int | None  # whose ladder is shown
    moment: Sequence[Window]
    table: Sequence[Sequence[str]]
    curves: tuple[Curves, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """The experiment, carried out once."""

    p: Params
    evidence: Evidence
    checks: tuple[Checked, ...]
    told: Told

    @property
    def holds(self) -> bool:
        """Whether every prediction did, and the study could tell what it saw."""
        return all(check.holds for check in self.checks) and not self.told.faults


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study that was carried out; of a sweep, one run for each value."""

    study: Study
    runs: tuple[Run, ...]
    took_s: float

    def text(self, template: Text) -> str:
        """A text of the study, with the parameters there were: of a sweep all its values."""
        sweep = self.study.sweep
        swept = [run.p[sweep.parameter] for run in self.runs] if sweep is not None else []
        return self.study.text(template, self.runs[-1].p, swept)

    @property
    def holds(self) -> bool:
        """Whether every prediction did, in every run."""
        return all(run.holds for run in self.runs)


def carry_out(
    study: Study, p: Params, *, path: Path | None = None, full: bool = False, say: Say = _nothing
) -> Outcome:
    """Carry a study out.

    `path`: where the recording stays (of a sweep: the last one's); None: nowhere. `full`: a sweep
    takes all its values. Raises as `Lab` does, and CheckFailed where the experiment itself did not
    come about.
    """
    begun_s = time.monotonic()
    runs = []
    for one in settings(study, p, full):
        say(_progress(study, one))
        with tempfile.TemporaryDirectory(prefix="netlab-study-") as folder:
            evidence = _experiment(study, one, path or Path(folder) / f"{study.name}.pcapng")
        runs.append(checked(study, evidence))
    return Outcome(study, tuple(runs), time.monotonic() - begun_s)


def checked(study: Study, evidence: Evidence) -> Run:
    """What came of each prediction; what the study's own functions raise is part of it."""
    p = evidence.p
    checks = tuple(_checked(expect, p, evidence) for expect in expectations(study, p))
    return Run(p, evidence, checks, _told(study, evidence))


def expectations(study: Study, p: Params) -> tuple[Expect, ...]:
    """What the study expects, and that `netlab why` finds the same mechanism."""
    cause, expects = study.cause, tuple(one for one in study.expects if one.applies(p))
    try:
        waiting = cause(p) if callable(cause) else cause
    except Exception:
        waiting = "raises, and is told as the prediction"
    if not waiting:
        return expects
    found = Expect(
        f"`netlab why` of the longest {study.waits_on}",
        Kind.WORD,
        cause if callable(cause) else lambda p: cause,
        lambda evidence: evidence.main_cause(study.waits_on),
        "the recording alone",
    )
    return (*expects, found)


def asked(study: Study) -> int:
    """Which expectation a reader is asked for: the first that is a number, else the first."""
    numbers = (at for at, expect in enumerate(study.expects) if expect.kind is not Kind.WORD)
    return next(numbers, 0)


def settings(study: Study, p: Params, full: bool) -> list[Params]:
    """The parameters of each run: of a sweep, one for each of its values."""
    sweep = study.sweep
    if sweep is None:
        return [p]
    return [Params({**p, sweep.parameter: value}) for value in sweep.taken(full)]


def _progress(study: Study, p: Params) -> str:
    if study.sweep is None:
        return "the experiment runs"
    name = study.sweep.parameter
    return f"the experiment runs with {name}={study.typed(name, p[name])}"


def _experiment(study: Study, p: Params, path: Path) -> Evidence:
    lab = Lab(
        study.hosts,
        path=path,
        wire=_set_up(study, "wire", study.wire, p),
        sysctls=_set_up(study, "sysctls", study.sysctls, p),
        title=f"netlab study {study.name}",
        **{"witness": "none", **study.options},
    )
    with lab:
        stage = Stage(study, p, lab)
        _play(study, stage)
    finished = lab.recording
    return Evidence(p, finished.raw, finished.tables, stage.returned(), dict(lab.fired))


def _play(study: Study, stage: Stage) -> None:
    """Play it. What the study's own file raises is told in a line; all else is netlab's fault."""
    try:
        stage.play()
    except NetlabError:
        raise
    except Exception as error:
        if study.experiment is None or not is_own(error, study.experiment):
            raise
        why = reason(error, study.experiment)
        raise CheckFailed(f"the experiment of {study.name}", why) from None


def _set_up(study: Study, what: str, function: Callable[[Params], Any], p: Params) -> Any:
    """What a function says of the set-up. Raises CheckFailed in place of what it raises."""
    try:
        return function(p)
    except NetlabError:
        raise
    except Exception as error:
        raise CheckFailed(f"the {what} of {study.name}", reason(error, function)) from None


def _checked(expect: Expect, p: Params, evidence: Evidence) -> Checked:
    predicted = measured = None
    less = more = 0
    holds = False
    why = ""
    ruled_out: tuple[int, ...] = ()
    function: Callable[..., Any] = expect.predicted
    try:
        predicted = checked_value("predicted", expect.predicted(p))
        less, more = expect.room(p)
        ruled_out = expect.ruled_out(p)
        function = expect.measured
        measured = checked_value("measured", expect.measured(evidence))
        holds = expect.holds(p, measured)
    except Exception as error:
        why = reason(error, function)
    return Checked(
        expect.what, expect.kind, predicted, measured, less, more, expect.because, expect.source,
        holds, why, ruled_out,
    )  # fmt: skip


def _told(study: Study, evidence: Evidence) -> Told:
    faults: list[str] = []

    def ask(what: str, function: Callable[[Evidence], _T], otherwise: _T) -> _T:
        try:
            return function(evidence)
        except Exception as error:
            faults.append(f"{what}: {reason(error, function)}")
            return otherwise

    curves = ask("curves", study.curves, None)
    return Told(
        seen=ask("seen", study.seen, ""),
        connection=ask("connection", study.shown, None),
        moment=ask("moment", study.moment, ()),
        table=ask("table", study.table, ()),
        curves=(curves,) if isinstance(curves, Curves) else tuple(curves or ()),
        faults=tuple(faults),
    )
