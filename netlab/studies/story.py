"""A study that was carried out, kept to be read: its story, and its recording where that is small.

`captures/NAME/` has story.md and, for one experiment of at most 200 kB, NAME.pcapng with what its
programs returned (returned.json). From these two the story can be told again, letter by letter, and
every prediction be checked again: so they are tests of ladder, map and causes. Sweeps, and what is
larger, keep the story alone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.errors import UsageError
from netlab.show.terminal.lines import Line, plain
from netlab.show.terminal.why import call_lines
from netlab.show.views.why import why_call
from netlab.studies import page
from netlab.studies.evidence import Evidence
from netlab.studies.runner import Outcome, checked
from netlab.studies.study import Params, Study

MOST_BYTES = 200_000  # of a recording that is kept
_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Kept:
    """The files of one story."""

    folder: Path

    @property
    def story(self) -> Path:
        """The text."""
        return self.folder / "story.md"

    @property
    def recording(self) -> Path:
        """The recording; it is there where it is small."""
        return self.folder / f"{self.folder.name}.pcapng"

    @property
    def returned(self) -> Path:
        """Parameters, what the programs returned, and how often each rule of the wire fired."""
        return self.folder / "returned.json"

    def outcome(self, study: Study) -> Outcome:
        """The study as it went when it was kept: every prediction is checked anew."""
        kept = json.loads(self.returned.read_text(encoding="utf-8"))
        raw = read_raw(self.recording)
        evidence = Evidence(
            Params(kept["parameters"]), raw, analyse(raw), kept["returned"], kept["fired"]
        )
        return Outcome(study, (checked(study, evidence),), 0)


def keep(outcome: Outcome, recording: Path, folder: Path) -> bool:
    """Write the story of a study that held; whether the recording is a new one.

    A recording that tells the same story as before, but for times and ports, is left as it was.
    Raises UsageError where `folder` is not there.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "run this in a clone of netlab")
    kept = Kept(folder / outcome.study.name)
    kept.folder.mkdir(exist_ok=True)
    if outcome.study.sweep is not None or recording.stat().st_size > MOST_BYTES:
        kept.recording.unlink(missing_ok=True)
        kept.returned.unlink(missing_ok=True)
        kept.story.write_text(story_text(outcome, kept=False), encoding="utf-8")
        return False
    new = not kept.recording.exists() or _steps(kept.outcome(outcome.study)) != _steps(outcome)
    if new:
        shutil.copyfile(recording, kept.recording)
        evidence = outcome.runs[-1].evidence
        values = {
            "parameters": dict(evidence.p),
            "returned": dict(evidence.returned),
            "fired": dict(evidence.fired),
        }
        kept.returned.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    kept.story.write_text(story_text(kept.outcome(outcome.study), kept=True), encoding="utf-8")
    return new


def story_text(outcome: Outcome, *, kept: bool) -> str:
    """The story in Markdown; `kept`: its recording lies beside it."""
    study, evidence = outcome.study, outcome.runs[-1].evidence
    p = evidence.p
    parts = [f"# {study.text(study.question, p)}", study.text(study.setup, p)]
    parts.append(f"**Predicted.** {study.text(study.prediction, p)}")
    ladder = page.moment_lines(study, evidence, _WIDTH)
    if ladder:
        parts += ["## What happened", _where(study, evidence, kept), _fenced(ladder)]
    seen = study.seen(evidence)
    parts += [seen] if seen else []
    figures = page.figure_lines(study, evidence, _WIDTH, colours=False)
    parts += [_fenced(figures)] if figures else []
    longest = evidence.longest(study.waits_on) if _is_about_waiting(study, p) else None
    if longest is not None:
        told = call_lines(why_call(evidence.tables, evidence.raw, longest), _WIDTH)
        parts += [f"## Why the longest {study.waits_on} waited", _fenced(told)]
    if study.sweep is not None:
        drawn = page.plot_of_sweep(outcome, _WIDTH, colours=False)
        parts += [f"## Over {study.sweep.parameter}", _fenced(drawn)]
    parts += ["## Predicted and measured", _fenced(page.measured_lines(outcome, _WIDTH))]
    parts.append(f"**Try next.** {study.text(study.next, p)}")
    parts.append(f"Carried out by `netlab study {study.name}`.")
    return "\n\n".join(parts) + "\n"


def _is_about_waiting(study: Study, p: Params) -> bool:
    return bool(study.cause(p) if callable(study.cause) else study.cause)


def _where(study: Study, evidence: Evidence, kept: bool) -> str:
    if kept:
        path = f"captures/{study.name}/{study.name}.pcapng"
        number = study.shown(evidence)
        return f"The telling moment of `netlab inspect --connection {number} {path}`:"
    if study.sweep is None:
        return "The telling moment:"
    name = study.sweep.parameter
    return f"The telling moment with {name}={study.typed(name, evidence.p[name])}:"


def _fenced(lines: list[Line]) -> str:
    return "\n".join(("```", *(plain(line).rstrip() for line in lines), "```"))


def _steps(outcome: Outcome) -> list[str]:
    """The ladder without what differs between two runs: its times, its ports, and what came first
    of things that do not wait for each other. Frames as they left, and each program's calls."""
    evidence = outcome.runs[-1].evidence
    connection = outcome.study.shown(evidence)
    frames = [
        f"{segment.direction} {packet.tcp_flags} {segment.payload_len_bytes} {packet.fate}"
        for packet, segment in evidence.frames(connection=connection)
    ]
    calls = [
        f"{call.actor} {call.op} {call.requested_bytes} {call.result} {call.errno}"
        for call in sorted(evidence.tables.calls, key=lambda call: call.actor)
        if call.connection == connection
    ]
    return [*frames, *calls]
