"""Carries a study out: a lab, the experiment in it, and what came of each prediction."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netlab.lab.experiment import Lab
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind, Value
from netlab.studies.stage import Stage
from netlab.studies.study import Expect, Params, Study

Say = Callable[[str], None]


def _nothing(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A prediction and what was measured."""

    what: str
    kind: Kind
    predicted: Value
    measured: Value | None
    less: int
    more: int
    because: str
    source: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Run:
    """The experiment, carried out once."""

    p: Params
    evidence: Evidence
    checks: tuple[Checked, ...]

    @property
    def holds(self) -> bool:
        """Whether every prediction did."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study that was carried out; of a sweep, one run for each value."""

    study: Study
    runs: tuple[Run, ...]
    took_s: float

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
    for one in _settings(study, p, full):
        say(_progress(study, one))
        with tempfile.TemporaryDirectory(prefix="netlab-study-") as folder:
            evidence = _experiment(study, one, path or Path(folder) / f"{study.name}.pcapng")
        runs.append(checked(study, evidence))
    return Outcome(study, tuple(runs), time.monotonic() - begun_s)


def checked(study: Study, evidence: Evidence) -> Run:
    """What came of each prediction."""
    p = evidence.p
    return Run(
        p, evidence, tuple(_checked(expect, p, evidence) for expect in expectations(study, p))
    )


def expectations(study: Study, p: Params) -> tuple[Expect, ...]:
    """What the study expects, and that `netlab why` finds the same mechanism."""
    cause = study.cause if isinstance(study.cause, str) else study.cause(p)
    if not cause:
        return study.expects
    found = Expect(
        f"`netlab why` of the longest {study.waits_on}",
        Kind.WORD,
        lambda p: cause,
        lambda evidence: evidence.main_cause(study.waits_on),
        "the recording alone",
    )
    return (*study.expects, found)


def _settings(study: Study, p: Params, full: bool) -> list[Params]:
    sweep = study.sweep
    if sweep is None:
        return [p]
    values = sweep.full if full and sweep.full else sweep.values
    return [Params({**p, sweep.parameter: value}) for value in values]


def _progress(study: Study, p: Params) -> str:
    if study.sweep is None:
        return "the experiment runs"
    name = study.sweep.parameter
    return f"the experiment runs with {name}={study.typed(name, p[name])}"


def _experiment(study: Study, p: Params, path: Path) -> Evidence:
    lab = Lab(
        study.hosts,
        path=path,
        wire=study.wire(p),
        sysctls=study.sysctls(p),
        title=f"netlab study {study.name}",
        **{"witness": "none", **study.options},
    )
    with lab:
        stage = Stage(study, p, lab)
        stage.play()
    finished = lab.recording
    return Evidence(p, finished.raw, finished.tables, stage.returned(), dict(lab.fired))


def _checked(expect: Expect, p: Params, evidence: Evidence) -> Checked:
    measured = expect.measured(evidence)
    less, more = expect.room(p)
    return Checked(
        expect.what,
        expect.kind,
        expect.predicted(p),
        measured,
        less,
        more,
        expect.because,
        expect.source,
        expect.holds(p, measured),
    )
