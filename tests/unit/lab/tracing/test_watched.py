"""Which strace is taken, and what is said of programs that it did not see, or not to their end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from netlab.lab.hosts import Started, Unwatched
from netlab.lab.tracing.strace_tool import Strace, find_strace
from netlab.lab.tracing.watched import Tracing, choose
from netlab.model.errors import UsageError
from netlab.model.recording import Loss

VERSION = "strace -- version {}\nCopyright (c) The strace developers <https://strace.io>.\n"


def strace_that_says(folder: Path, text: str) -> None:
    file = folder / "strace"
    (folder / "said").write_text(text)
    file.write_text(f'#!/bin/sh\nwhile read -r line; do echo "$line"; done <{folder / "said"}\n')
    file.chmod(0o755)


@pytest.mark.parametrize("version", ["5.6", "5.10", "6.1", "6.12.0.63.ab7b", "10.0"])
def test_a_strace_that_netlab_reads(tmp_path: Path, version: str) -> None:
    strace_that_says(tmp_path, VERSION.format(version))
    found = find_strace(str(tmp_path))
    assert found.file == str(tmp_path / "strace")
    assert version.startswith(found.version)
    assert f"strace {found.version} (-f " in found.words


@pytest.mark.parametrize("version", ["4.26", "5.5", "5.0"])
def test_one_that_is_too_old(tmp_path: Path, version: str) -> None:
    strace_that_says(tmp_path, VERSION.format(version))
    with pytest.raises(UsageError, match=f"strace {version} is too old: netlab reads 5.6"):
        find_strace(str(tmp_path))


def test_one_that_is_something_else(tmp_path: Path) -> None:
    strace_that_says(tmp_path, "it is not\n")
    with pytest.raises(UsageError, match="does not say which version of strace it is"):
        find_strace(str(tmp_path))


def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no strace here"):
        find_strace(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no strace here"):
        choose("strace")
    strace, (note,) = choose("auto")
    assert strace is None
    assert "packets alone are recorded: install it" in note
    assert choose("none") == (None, ())


def test_a_witness_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="there is no witness 'gdb'"):
        choose("gdb")


def ended(status: int, reason: str = "") -> Unwatched:
    return Unwatched("client", status, reason, 97)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ended(0), None),
        (ended(0, "a warning of no weight"), None),
        (ended(-signal.SIGKILL), "strace was ended by SIGKILL"),
        (ended(1, "out of memory"), "strace ended with status 1: out of memory"),
        (ended(1), "strace ended with status 1"),
        (ended(0, "/proc/self/fd/1: No space left on device"),
         "its log could not be written: No space left on device"),
    ],
)  # fmt: skip
def test_how_a_tracer_ended(event: Unwatched, reason: str | None) -> None:
    losses: list[Loss] = []
    tracing = Tracing(Strace("/usr/bin/strace", "6.1"), losses.append)
    tracing.note(Started("client", 23))
    assert tracing.watched == {"client"}
    tracing.note(event)
    assert tracing.watched == set()
    found = [(loss.witness, loss.what, loss.actor, loss.since_ns, loss.reason) for loss in losses]
    assert found == ([("strace", "calls", "client", 97, reason)] if reason else [])


def test_one_that_was_sent_away_is_so_once() -> None:
    losses: list[Loss] = []
    tracing = Tracing(Strace("/usr/bin/strace", "6.1"), losses.append)
    assert not tracing.send_away("client", "spool limit")
    tracing.note(Started("client", 23))
    assert tracing.send_away("client", "spool limit")
    assert not tracing.send_away("client", "spool limit")
    tracing.note(ended(-signal.SIGTERM))
    assert [loss.reason for loss in losses] == ["spool limit"]


def test_a_refusal_is_told_without_the_pid() -> None:
    losses: list[Loss] = []
    tracing = Tracing(Strace("/usr/bin/strace", "6.1"), losses.append)
    words = "attach: ptrace(PTRACE_SEIZE, 4711): Operation not permitted"
    tracing.note(Started("client", 4711, words))
    assert tracing.watched == set()
    (loss,) = losses
    assert loss.reason.startswith("strace did not attach (ptrace: Operation not permitted)")
