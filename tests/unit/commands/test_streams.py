"""Standard streams that are full or closed: one line, an exit code, and nothing in their place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sample_recordings import DESCRIPTION, LO, calls, conversation

from netlab.capture.recording import LiveRecording

VERBS = [
    ("inspect", "{}"),
    ("inspect", "{}", "--packets", "--json"),
    ("export", "{}", "-t", "calls"),
    ("export", "{}", "--plain"),
    ("recover", "{}"),
    ("--help",),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcapng"
    written = LiveRecording.create(path, description=DESCRIPTION, interfaces=[LO])
    written.frames(0, conversation())
    written.calls(calls())
    written.close()
    return path


def run(redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run netlab from a shell that redirects as told."""
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "netlab"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize(
    ("redirected", "reason"), [("> /dev/full", "No space left on device"), (">&-", "it is closed")]
)
def test_an_output_that_takes_nothing_is_one_line(
    verb: tuple[str, ...], redirected: str, reason: str, recording: Path
) -> None:
    done = run(redirected, *(word.format(recording) for word in verb))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"netlab: cannot write to standard output: {reason}\n"


@pytest.mark.parametrize("redirected", ["2> /dev/full", "2>&-"])
def test_a_complaint_that_nobody_hears_leaves_the_exit_code(redirected: str) -> None:
    done = run(redirected, "inspect", "/nonexistent")
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "")


def test_a_closed_input_is_an_empty_one() -> None:
    done = run("<&-", "inspect", "-")
    assert done.returncode == 4
    assert done.stderr.startswith("netlab: standard input is empty: ")


def test_no_file_stands_in_for_a_closed_stream(recording: Path) -> None:
    """The file would be opened as descriptor 0, 1 or 2, and what is printed would go there."""
    out = recording.with_name("out.jsonl")
    done = run("<&- >&- 2>&-", "export", str(recording), "-t", "calls", "-o", str(out))
    assert done.returncode == 0
    assert len(out.read_text().splitlines()) == len(calls())
