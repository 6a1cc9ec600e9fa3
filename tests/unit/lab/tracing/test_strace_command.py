"""How strace is run, what its complaints mean, a version too old."""

import stat
from pathlib import Path

import pytest

from netlab.lab.tracing.strace_command import command, refusal
from netlab.lab.tracing.strace_tool import Strace, find_strace
from netlab.model.errors import CheckFailed, PrivilegeError, UsageError

STRACE = Strace("/usr/bin/strace", "6.1")


def test_each_process_is_attached_to() -> None:
    words = command(STRACE, [7, 8], "/proc/self/fd/3")
    assert words[:2] == ["/usr/bin/strace", "-f"]
    assert words[-6:] == ["-o", "/proc/self/fd/3", "-p", "7", "-p", "8"]


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


def _folder(where: Path, script: str) -> str:
    """A PATH in which `strace` is this shell script: an old release, or one in a strict sandbox."""
    file = where / "strace"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(where)
