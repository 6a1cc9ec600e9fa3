"""Carries a study out: a lab, the experiment in it, the recording, and what came of each prediction."""

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
class Outcome:
    """A study that was carried out."""

    study: Study
    p: Params
    evidence: Evidence
    checks: tuple[Checked, ...]
    took_s: float

    @property
    def holds(self) -> bool:
        """Whether every prediction did."""
        return all(check.holds for check in self.checks)


def carry_out(study: Study, p: Params, *, path: Path | None = None, say: Say = lambda t: None) -> Outcome:
    """Run a study's experiment once. `path`: where the recording stays; None: nowhere.

    Raises as `Lab` does, and CheckFailed where the experiment itself did not come about.
    """
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="netlab-study-") as folder:
        evidence = _experiment(study, p, path or Path(folder) / f"{study.name}.pcapng", say)
    checks = tuple(_checked(expect, p, evidence) for expect in study.expects)
    return Outcome(study, p, evidence, checks, time.monotonic() - begun_s)


def _experiment(study: Study, p: Params, path: Path, say: Say) -> Evidence:
    say("the hosts are being set up")
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
        say("the experiment runs")
        stage.play()
        say("the recording is finished and read")
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
