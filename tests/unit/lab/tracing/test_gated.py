"""A program at its gate: it runs when that is opened, and ends when nobody opens it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from netlab.lab.tracing.gated import GatedProgram
from netlab.model.errors import UsageError


def gated(*argv: str, files: tuple[str, ...] = ("/bin/sh",)) -> GatedProgram:
    return GatedProgram(files, argv, user=None, before_exec=lambda: None)


def test_it_runs_once_the_gate_is_open(tmp_path: Path) -> None:
    program = gated("sh", "-c", f"echo $0 $1 > {tmp_path / 'ran'}; exit 7", "a", "b")
    assert program.is_alive
    assert not (tmp_path / "ran").exists()
    program.release()
    assert program.wait() == 7
    assert not program.is_alive
    program.close()
    assert (tmp_path / "ran").read_text() == "a b\n"


def test_behind_a_closed_gate_it_ends_and_is_reaped() -> None:
    program = gated("sh", "-c", "exit 0")
    program.close()
    assert program.status == 127
    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)


def test_the_first_file_that_may_be_executed_is_the_program(tmp_path: Path) -> None:
    closed = tmp_path / "sh"
    closed.write_text("#!/bin/sh\nexit 1\n")
    closed.chmod(0o644)
    program = gated("sh", "-c", "exit 7", files=(str(closed), "/bin/sh"))
    program.release()
    assert program.wait() == 7
    program.close()


def test_what_cannot_be_executed_is_said() -> None:
    program = gated("nothing", files=("/nonexistent/nothing",))
    with pytest.raises(UsageError) as refused:
        program.release()
    assert str(refused.value) == ("nothing: No such file or directory: see that it can be executed")
    program.close()


def test_a_signal_is_its_and_its_end_is_told_as_python_does() -> None:
    program = gated("sh", "-c", "kill -STOP $$; exit 1")
    program.release()
    program.signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL
    program.signal(signal.SIGKILL)  # nobody is there
    program.close()
