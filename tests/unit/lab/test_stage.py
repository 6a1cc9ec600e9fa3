"""A run whose lab only pretends: how it starts programs, and what it does when it cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.lab.hosts import Event, Started
from netlab.lab.options import RunOptions
from netlab.lab.signals import Interruptions
from netlab.lab.stage import SERVER, STARTS_AT_ONCE, Stage

CLIENTS = 3 * STARTS_AT_ONCE + 1


class PretendLab:
    """Starts what it is asked for when it is asked for events, and counts what waits meanwhile."""

    gone = False
    user = None

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most_waiting = 0
        self.refuse: str | None = None
        self._waiting: list[str] = []
        self._never, self._other = os.pipe()
        self.stderr_fileno = self._never

    def fileno(self) -> int:
        return self._other  # never readable

    def start(
        self,
        actor: str,
        argv: list[str],
        env: object,
        fds: dict[str, int],
        packages: object,
        host: str,
    ) -> None:
        if actor == self.refuse:
            raise BlockingIOError(errno.EAGAIN, "no room")
        if actor == SERVER:
            os.write(fds["NETLAB_REPORT_FD"], b'{"listening": 7777}\n')
        self.asked.append(actor)
        self._waiting.append(actor)
        self.most_waiting = max(self.most_waiting, len(self._waiting))

    def events(self) -> list[Event]:
        started, self._waiting = self._waiting, []
        return [Started(actor, 7) for actor in started]

    def close(self) -> None:
        os.close(self._never)
        os.close(self._other)


class PretendRecorder:
    frame_count = call_count = 0

    def pump(self) -> None:
        pass


@pytest.fixture
def lab() -> Iterator[PretendLab]:
    pretended = PretendLab()
    yield pretended
    pretended.close()


def stage(lab: Any, folder: Path) -> Stage:
    recorder: Any = PretendRecorder()
    options = RunOptions(folder / "a.pcapng", clients=CLIENTS)
    interruptions = Interruptions()

    def end_once_all_are_asked_for(_: object) -> None:
        interruptions.count = len(lab.asked) > CLIENTS

    return Stage(options, end_once_all_are_asked_for, interruptions, lab, recorder, folder)


def close_reports(stage: Stage) -> None:
    for program in stage.programs.values():
        program.report.close()


def test_programs_are_started_as_the_lab_gets_round_to_it(lab: PretendLab, tmp_path: Path) -> None:
    run = stage(lab, tmp_path)
    run.carry_out()
    close_reports(run)
    assert run.trouble == []
    assert lab.asked == [SERVER, *(f"client-{n}" for n in range(1, CLIENTS + 1))]
    assert lab.most_waiting == STARTS_AT_ONCE


@pytest.mark.parametrize("refused", [SERVER, "client-2"])
def test_a_program_that_cannot_be_asked_for_is_one_line(
    refused: str, lab: PretendLab, tmp_path: Path
) -> None:
    lab.refuse = refused
    descriptors = os.listdir("/proc/self/fd")
    run = stage(lab, tmp_path)
    run.carry_out()
    close_reports(run)
    (trouble,) = run.trouble
    assert str(trouble).startswith(f"cannot start the {refused}: Resource temporarily unavailable")
    assert refused not in run.programs
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
