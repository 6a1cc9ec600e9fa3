"""Every study has its story under captures/, and a recording of it tells that story again.

`netlab study --all --regenerate` carries them out anew; with `--update-golden` the stories are told
again from the recordings that lie there. Read the difference before you commit it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.explain.waits import waits
from netlab.studies import page
from netlab.studies.catalogue import catalogue
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.story import MOST_BYTES, Kept, story_text

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
MOST_BYTES_TOGETHER = 8_000_000
KEPT = {name: Kept(CAPTURES / name) for name in catalogue()}
RECORDED = [name for name, kept in KEPT.items() if kept.recording.exists()]
# What a text says did not happen, is the case with another parameter, or with other programs:
# nothing of it need be there.
OTHERWISE = re.compile(
    r"\b(?:never|not|without|in place of|too busy to|instead of) (?:calls? )?(?:\w+\(\)|[A-Z_]+)"
    r"|\b[Nn]obody \w+ \w+\(\)(?:,? n?or \w+\(\))*"
    r"|\bwith \w+=\w+ (?:[^.;()]|\(\))*"
    r"|\((?=[A-Z][a-z])(?:[^()]|\(\))*\)"
)
# What a story speaks of must be there, if the probe records it of every socket.
RECORDED_OF_SOCKETS = {
    "accept", "bind", "connect", "listen", "recv", "recvfrom", "send", "sendto", "shutdown",
}  # fmt: skip
CALL = re.compile(r"\b(\w+)\(\)|call #(\d+)|frames? (\d+)")
OPTION = re.compile(r"\b(?:SO|TCP|MSG)_[A-Z_]+\b")
# Options that a recording has by number, for the language of the programs has no name for them.
NUMBERED = {
    "SO_MAX_PACING_RATE": "SOL_SOCKET, 47", "SO_ZEROCOPY": "SOL_SOCKET, 60",
    "MSG_ZEROCOPY": "0x4000000", "MSG_FASTOPEN": "0x20000000",
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_every_study_has_a_story(name: str) -> None:
    study = catalogue()[name]
    text = KEPT[name].story.read_text(encoding="utf-8")
    swept = study.sweep.values if study.sweep is not None else ()
    assert text.startswith(f"# {study.text(study.question, study.params({}), swept)}\n")
    assert "\n✓ " in text
    assert "\n✗ " not in text


def test_there_are_no_stories_of_studies_that_are_gone() -> None:
    told = {story.parent.name for story in CAPTURES.glob("*/story.md")}
    assert told - set(KEPT) == {"echo", "hosts"}


def test_recordings_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in CAPTURES.glob("*/*.pcapng")}
    assert {name for name, size in sizes.items() if size > MOST_BYTES} == set()
    assert sum(sizes.values()) <= MOST_BYTES_TOGETHER


@pytest.mark.parametrize("name", RECORDED)
def test_the_recording_tells_the_story(name: str, request: pytest.FixtureRequest) -> None:
    """Ladder, causes and every prediction come out of it as they did when it was made."""
    kept = KEPT[name]
    outcome = kept.outcome(catalogue()[name])
    assert [check.what for check in outcome.runs[0].checks if not check.holds] == []
    told = story_text(outcome, kept=True)
    if request.config.getoption("--update-golden"):
        kept.story.write_text(told, encoding="utf-8")
    assert kept.story.read_text(encoding="utf-8") == told


@pytest.mark.parametrize("name", KEPT)
def test_no_ladder_of_a_story_is_cut(name: str) -> None:
    """What it shows is chosen by the study (its `moment`), not by a limit."""
    assert "are left out here" not in KEPT[name].story.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RECORDED)
def test_the_ladder_shows_what_the_story_is_about(name: str) -> None:
    """Windows in order; and the wait that `why` explains, where it is on the connection shown."""
    study, outcome = catalogue()[name], KEPT[name].outcome(catalogue()[name])
    evidence = outcome.runs[0].evidence
    assert [*study.moment(evidence)] == sorted(study.moment(evidence))
    shown = page.moment_ladder(outcome.runs[0])
    if shown is None:
        return
    assert 0 < len(shown.rows) <= page.LADDER_ROWS
    longest = evidence.longest(study.waits_on)
    if not study.cause or longest is None or longest.connection != shown.connection:
        return
    marks = [mark for row in shown.rows for mark in (row.client, row.server) if mark is not None]
    drawn = [evidence.tables.calls[mark.call - 1] for mark in marks]
    waited_ns = took_ns(longest) or 0
    # That one, or where many wait alike another of the same name that waited as long, or nearly.
    assert any(
        (call.host, call.op) == (longest.host, longest.op)
        and 10 * (took_ns(call) or 0) >= 9 * waited_ns
        for call in drawn
    )


@pytest.mark.parametrize("name", RECORDED)
def test_its_ledgers_close(name: str) -> None:
    """Of bytes, and of time: waits are in order, do not overlap, and cover each call."""
    raw = read_raw(KEPT[name].recording)
    assert raw.faults == []
    tables = analyse(raw)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    parts: dict[int, list[tuple[int, int]]] = {}
    for wait in waits(tables, raw):
        parts.setdefault(wait.call, []).append((wait.start_ns, wait.stop_ns))
    for call in tables.calls:
        mine = parts.get(call.call)
        if mine is None or call.returned_ns is None:
            continue
        assert mine[0][0] == call.entered_ns
        assert mine[-1][1] == call.returned_ns
        assert all(before[1] == after[0] for before, after in pairwise(mine))


@pytest.mark.parametrize("name", RECORDED)
def test_a_story_names_only_what_its_recording_shows(name: str) -> None:
    """Calls by their names and numbers, frames by theirs; options, where a set-up names them.

    A prediction may name an option of which the study does not make use, and the kernel's
    constants; what to try next is about other experiments: of that only numbers are looked at.
    """
    study = catalogue()[name]
    run = KEPT[name].outcome(study).runs[0]
    put, predicted, following = (
        " ".join(study.text(text, run.evidence.p) for text in texts)
        for texts in ((study.question, study.setup), (study.prediction,), (study.next,))
    )
    told = f"{put} {predicted} {run.told.seen}"
    assert not_shown(run.evidence, OTHERWISE.sub("", told)) == []
    assert options_not_shown(run.evidence, OTHERWISE.sub("", put)) == []
    assert not_shown(run.evidence, re.sub(r"\w+\(\)", "", following)) == []


def not_shown(evidence: Evidence, words: str) -> list[str]:
    """Calls and frames that a text names and the recording has not."""
    ops = {call.op for call in evidence.tables.calls}
    numbers = {call.call for call in evidence.tables.calls}
    frames = {packet.frame for packet in evidence.tables.packets}
    return [
        op or f"call #{call}" * bool(call) or f"frame {frame}"
        for op, call, frame in CALL.findall(words)
        if (op in RECORDED_OF_SOCKETS and op not in ops)
        or (call and int(call) not in numbers)
        or (frame and int(frame) not in frames)
    ]


def options_not_shown(evidence: Evidence, words: str) -> list[str]:
    """Options that a text names and no call was given."""
    given = [call.args for call in evidence.tables.calls]
    return [
        option
        for option in OPTION.findall(words)
        if not any(option in args or NUMBERED.get(option, option) in args for args in given)
    ]


def test_what_is_not_shown_is_found() -> None:
    """Of a recording with connect() and accept(), without sendto() and without any option."""
    name = "three-way-handshake"
    shown = KEPT[name].outcome(catalogue()[name]).runs[0].evidence
    first = shown.tables.packets[0].frame
    assert not_shown(shown, f"connect() of frame {first} and call #1") == []
    assert not_shown(shown, "sendto(), call #99 of frame 999") == [
        "sendto",
        "call #99",
        "frame 999",
    ]
    assert options_not_shown(shown, "with SO_LINGER and MSG_ZEROCOPY") == [
        "SO_LINGER", "MSG_ZEROCOPY",
    ]  # fmt: skip
    told = "Nobody called sendto() or shutdown(), with x=1 SO_LINGER; (Others wait in sendto().)"
    assert not_shown(shown, OTHERWISE.sub("", told)) == []
    assert options_not_shown(shown, OTHERWISE.sub("", told)) == []
