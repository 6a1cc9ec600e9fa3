"""How strace is asked: its options by version, what its complaints mean, a version too old."""

import stat
from pathlib import Path

import pytest

from netlab.lab.strace_command import Strace, find_strace, refusal, trial, version_from_text
from netlab.model.errors import CheckFailed, PrivilegeError, UsageError

NEW = Strace("/usr/bin/strace", (6, 1))


def test_the_program_is_stopped_only_at_the_calls_listed_and_its_words_stand_last() -> None:
    words = NEW.words("spools/x.strace", command=["redis-cli", "-p", "1"])
    assert words[:2] == ["/usr/bin/strace", "-f"]
    assert {"-q", "--seccomp-bpf"} < set(words)
    assert words[words.index("-o") + 1] == "./spools/x.strace"
    assert words[-4:] == ["--", "redis-cli", "-p", "1"]


def test_a_name_that_strace_would_take_for_a_command_is_a_path() -> None:
    assert "./|reboot" in NEW.words("|reboot", command=["true"])
    assert "/tmp/x" in NEW.words("/tmp/x", command=["true"])


def test_attached_it_cannot_filter() -> None:
    words = NEW.words("x", pids=[7, 8])
    assert "--seccomp-bpf" not in words
    assert words[-4:] == ["-p", "7", "-p", "8"]
    assert "stopped too" in NEW.witness_text(attached=True)
    assert "stopped too" not in NEW.witness_text()


@pytest.mark.parametrize(
    ("version", "stamps", "filtered"),
    [((5, 0), "-ttt", False), ((5, 3), "-ttt", True), ((5, 6), "--syscall-times=ns", True)],
)
def test_options_that_a_version_has(
    version: tuple[int, ...], stamps: str, filtered: bool, tmp_path: Path
) -> None:
    text = ".".join(map(str, version))
    strace = find_strace(_folder(tmp_path, f"echo 'strace -- version {text}'"))
    words = strace.words("x", command=["true"])
    assert stamps in words
    assert ("--seccomp-bpf" in words) is filtered


@pytest.mark.parametrize("text", ["strace -- version 6.1\nCopyright", "strace -- version 5.19.0"])
def test_its_version(text: str) -> None:
    found = version_from_text(text)
    assert found is not None
    assert found[0] in (5, 6)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'strace -- version 4.26'", "strace 4.26 is too old: 5.0 or newer would do"),
        ("echo hello", "does not say its version"),
    ],
)
def test_one_that_would_not_do_is_refused(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_strace(_folder(tmp_path, script))
    assert said in str(refused.value)


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        find_strace(str(tmp_path))
    assert str(refused.value) == "there is no strace in PATH: sudo apt-get install strace"


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
    found = trial(find_strace())
    assert found.version >= (5, 0)


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
    found = trial(find_strace(_folder(tmp_path, script)))
    assert not found.seccomp
    assert "--seccomp-bpf" not in found.words("x", command=["true"])


def _folder(where: Path, script: str) -> str:
    """A PATH in which `strace` is this shell script: an old release, or one in a strict sandbox."""
    file = where / "strace"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(where)
