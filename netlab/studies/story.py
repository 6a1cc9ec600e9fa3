"""A study that was carried out, kept to be read: its story, and its recording where that is small.

`captures/NAME/` has story.md and, for one experiment of at most 200 kB, NAME.pcapng with what its
programs returned (returned.json). From these two the story can be told again, letter by letter, and
every prediction be checked again: so they are tests of ladder, map and causes. Sweeps, and what is
larger, keep the story alone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.model.errors import UsageError
from netlab.model.tables import Fate
from netlab.show.terminal.lines import Line, plain
from netlab.show.terminal.why import call_lines
from netlab.show.views.why_sentences import why_call
from netlab.studies import page
from netlab.studies.comparison import room
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind, shown
from netlab.studies.runner import Outcome, Run, checked
from netlab.studies.study import Params, Study

MOST_BYTES = 200_000  # of a recording that is kept
_WIDTH = 80
_WAITING = {"epoll_wait", "poll", "select"}  # how much they report at once is chance
# A number and its unit; and the lines of plots, of waits in a ladder, and of what it leaves out.
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?: ?(?:ns|µs|ms|s|[KM]iB|min|h)\b)?")
_DRAWN = re.compile(r"^│|···|⋮")
_NAME = re.compile(r"\b(?!Ack\b)[A-Za-z_]{2,}")  # an arrow short of room has no Ack=


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


def keep(outcome: Outcome, recording: Path, folder: Path) -> str:
    """Write the story of a study that held, and say what became of it.

    A recording that tells the same story as before, but for times and ports, and by which all that
    is predicted now still holds, is left as it was; so is a story without a recording whose picture
    is the same but for what was measured. Raises
    UsageError where `folder` is not there.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "run this in a clone of netlab")
    kept = Kept(folder / outcome.study.name)
    kept.folder.mkdir(exist_ok=True)
    if outcome.study.sweep is not None or recording.stat().st_size > MOST_BYTES:
        kept.recording.unlink(missing_ok=True)
        kept.returned.unlink(missing_ok=True)
        told = story_text(outcome, kept=False)
        if kept.story.exists() and same_picture(kept.story.read_text(encoding="utf-8"), outcome):
            return "its picture is the same, and its story stays"
        kept.story.write_text(told, encoding="utf-8")
        return "a new story"
    before = kept.outcome(outcome.study) if kept.recording.exists() else None
    new = (
        before is None
        or not before.holds
        or dict(before.runs[-1].p) != dict(outcome.runs[-1].p)  # a default that changed
        or steps(before) != steps(outcome)
    )
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
    return "a new recording" if new else "its story told again"


def story_text(outcome: Outcome, *, kept: bool) -> str:
    """The story in Markdown; `kept`: its recording lies beside it."""
    study, last = outcome.study, outcome.runs[-1]
    evidence, p = last.evidence, last.p
    parts = [f"# {outcome.text(study.question)}", outcome.text(study.setup)]
    parts.append(f"**Predicted.** {outcome.text(study.prediction)}")
    ladder = page.moment_lines(last, _WIDTH)
    if ladder:
        parts += ["## What happened", _where(study, last, kept), _fenced(ladder)]
    parts += [last.told.seen] if last.told.seen else []
    figures = page.figure_lines(last, _WIDTH, colours=False)
    parts += [_fenced(figures)] if figures else []
    longest = evidence.longest(study.waits_on) if _is_about_waiting(study, p) else None
    if longest is not None:
        told = call_lines(why_call(evidence.tables, evidence.raw, longest), _WIDTH)
        parts += [f"## Why the longest {study.waits_on} waited", _fenced(told)]
    if study.sweep is not None:
        drawn = page.plot_of_sweep(outcome, _WIDTH, colours=False)
        parts += [f"## Over {study.sweep.parameter}", _fenced(drawn)]
    parts += ["## Predicted and measured", _fenced(page.measured_lines(outcome, _WIDTH))]
    parts.append(f"**Try next.** {outcome.text(study.next)}")
    parts.append(f"Carried out by `netlab study {study.name}`.")
    return "\n\n".join(parts) + "\n"


def _is_about_waiting(study: Study, p: Params) -> bool:
    return bool(study.cause(p) if callable(study.cause) else study.cause)


def _where(study: Study, run: Run, kept: bool) -> str:
    if kept:
        path = f"captures/{study.name}/{study.name}.pcapng"
        number = run.told.connection
        return f"The telling moment of `netlab inspect --connection {number} {path}`:"
    if study.sweep is None:
        return "The telling moment:"
    return f"The telling moment with {page.of_run(study, run.p)}:"


def _fenced(lines: list[Line]) -> str:
    return "\n".join(("```", *(plain(line).rstrip() for line in lines), "```"))


def same_picture(story: str, outcome: Outcome) -> bool:
    """Whether a story without a recording would be told the same but for what was measured.

    Letter by letter is compared what the study says of itself and predicts; of the rest the words,
    without numbers, without what a plot draws, and without how long each thing waited.
    """
    if _words(story) != _words(story_text(outcome, kept=False)):
        return False
    study = outcome.study
    said = [study.question, study.setup, study.prediction, study.next]
    texts = [outcome.text(text) for text in said]
    for check in outcome.runs[-1].checks:  # words that stand in lines of their own
        texts += [check.source, check.because]
    for run in outcome.runs:
        texts += [
            f" {shown(check.kind, check.predicted)} {room(check.kind, check.less, check.more)} "
            for check in run.checks
            if check.kind is not Kind.WORD
        ]
    there = _squeezed(story)
    return all(_squeezed(text) in there for text in texts)


def _words(story: str) -> Counter[str]:
    """How often each word is in a story, without what differs between two runs.

    Not in their order: where a column is folded hangs on how wide the numbers beside it are. Of a
    ladder which names there are: whether a call has one row or two hangs on what came meanwhile,
    and that on how many rows there was room for. How many there are, and in which order, the
    predictions say. Why the longest waited is not compared: which was the longest may be chance.
    """
    before, _, rest = story.partition("## Why the longest")
    told, happened, more = (before + rest.partition("\n## ")[2]).partition("## What happened")
    where, _, drawn = more.partition("```") if happened else (more, "", "")
    ladder, _, more = drawn.partition("```")
    return Counter(_plain(told + where + more).split()) + Counter({*_NAME.findall(_plain(ladder))})


def _plain(text: str) -> str:
    lines = (line for line in text.splitlines() if not _DRAWN.search(line))
    return " ".join(_NUMBER.sub(" ", line) for line in lines)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def steps(outcome: Outcome) -> list[list[str]]:
    """What happened without what differs between two runs: its times, its ports, and what came
    first of things that do not wait for each other.

    The frames of each connection as they left, of whatever protocol, each direction by itself: what
    waited for the other end is in the order of the programs' calls. Without ACKs that rode alone
    and came to no harm: whether one does, a timer's tick decides, or who gets a processor first.
    Where it matters a prediction says so, and each of those holds in both recordings.

    And the calls of each program. Where no ladder is shown many may race: then of each kind of
    program which calls there were, without those that only wait. Where even the number of
    connections is chance, what is the same of two of them counts once, and of calls neither numbers
    of descriptors nor of bytes do.
    """
    tables = outcome.runs[-1].evidence.tables
    by_lot = outcome.study.by_lot
    raced = by_lot or outcome.study.connection is None
    ways = {segment.frame: segment.direction for segment in tables.segments}
    frames: dict[tuple[int | None, str | None], list[str]] = {}
    for packet in tables.packets:
        rode_alone = packet.tcp_flags == "ACK" and not packet.payload_len_bytes
        if rode_alone and packet.fate not in (Fate.DROPPED, Fate.CHANGED):
            continue
        way = ways.get(packet.frame, packet.direction)
        frames.setdefault((packet.connection, way), []).append(
            f"{packet.protocol} {way} {packet.tcp_flags} {packet.payload_len_bytes} {packet.fate}"
        )
    calls: dict[str, list[str]] = {}
    for call in tables.calls:
        actor = re.sub(r"\d+", "", call.actor) if raced else call.actor
        numbers = "" if by_lot else f"{call.requested_bytes} {call.result} "
        line = f"{actor} {call.op} {numbers}{call.errno}"
        mine = calls.setdefault(actor, [])
        if not raced or (call.op not in _WAITING and line not in mine):
            mine.append(line)
    of_calls = [sorted(lines) if raced else lines for lines in calls.values()]
    of_frames = sorted(frames.values())
    if by_lot:
        of_frames = [lines for at, lines in enumerate(of_frames) if lines not in of_frames[:at]]
    return [*of_frames, *sorted(of_calls)]
