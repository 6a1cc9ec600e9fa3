"""How strace is asked: its options by version, what its complaints mean, a version too old."""

import stat
from pathlib import Path

import pytest

from netlab.lab.strace_command import Command, refusal, trial
from netlab.lab.strace_tool import Strace, find_strace
from netlab.model.errors import CheckFailed, PrivilegeError, UsageError

STRACE = Strace("/usr/bin/strace", "6.1")


def test_the_program_is_stopped_only_at_the_calls_shown_and_its_words_stand_last() -> None:
    words = Command(STRACE, ["redis-cli", "-p", "1"]).words("spools/x.strace")
    assert words[:2] == ["/usr/bin/strace", "-f"]
    assert {"-q", "--seccomp-bpf"} < set(words)
    assert words[words.index("-o") + 1] == "./spools/x.strace"
    assert words[-4:] == ["--", "redis-cli", "-p", "1"]


def test_a_name_that_strace_would_take_for_a_command_is_a_path() -> None:
    assert "./|reboot" in Command(STRACE, ["true"]).words("|reboot")
    assert "/tmp/x" in Command(STRACE, ["true"]).words("/tmp/x")


def test_attached_it_cannot_filter() -> None:
    command = Command(STRACE, pids=[7, 8])
    assert "--seccomp-bpf" not in command.words("x")
    assert command.words("x")[-4:] == ["-p", "7", "-p", "8"]
    assert "any other system call" in command.witness_text
    assert "any other system call" not in Command(STRACE, ["true"]).witness_text


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'strace -- version 4.26'", "strace 4.26 is too old: netlab reads 5.6 and later"),
        ("echo 'strace -- version 5.5'", "strace 5.5 is too old: netlab reads 5.6 and later"),
        ("echo hello", "does not say which version of strace it is"),
    ],
)
def test_one_that_would_not_do_is_refused(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_strace(_folder(tmp_path, script))
    assert said in str(refused.value)


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        find_strace(str(tmp_path), otherwise="")
    said = "there is no strace here, which shows the calls of programs"
    assert str(refused.value) == f"{said}: install it (apt install strace)"


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted", PrivilegeError),
        ("strace: test_ptrace: PTRACE_TRACEME: Operation not permitted\nmore", PrivilegeError),
        ("strace: attach: ptrace(PTRACE_SEIZE, 99): No such process", UsageError),
        ("strace: Can't fopen 'x': Disk quota exceeded", CheckFailed),
        ("", CheckFailed),
    ],
)
def test_what_its_complaints_mean(stderr: str, kind: type[Exception]) -> None:
    found = refusal(stderr)
    assert type(found) is kind
    assert "\n" not in str(found)
    assert "strace: strace" not in str(found)


def test_the_installed_one_can_be_tried() -> None:
    assert trial(find_strace()) in (True, False)


def test_one_that_may_trace_nothing(tmp_path: Path) -> None:
    script = """case "$1" in
      -V) echo 'strace -- version 6.1';;
      *) echo 'strace: ptrace(PTRACE_TRACEME): Operation not permitted' >&2; exit 1;;
    esac"""
    with pytest.raises(PrivilegeError) as refused:
        trial(find_strace(_folder(tmp_path, script)))
    assert "run as root" in str(refused.value)


def test_where_the_kernel_has_no_filters_it_goes_without(tmp_path: Path) -> None:
    script = """case "$1" in
      -V) echo 'strace -- version 6.1';;
      *) echo 'strace: seccomp filter is requested but unavailable' >&2;;
    esac"""
    found = find_strace(_folder(tmp_path, script))
    assert not trial(found)
    assert "--seccomp-bpf" not in Command(found, ["true"], seccomp=False).words("x")


def _folder(where: Path, script: str) -> str:
    """A PATH in which `strace` is this shell script: an old release, or one in a strict sandbox."""
    file = where / "strace"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(where)
