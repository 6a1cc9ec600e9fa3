"""A run: a lab, its witnesses, a server and clients, and a finished recording.

Turns `RunOptions` into a `RunResult`. Whatever goes wrong, what was recorded is kept in a file that
opens, and no process, namespace or other file stays. Read `stage` for what happens in between.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netlab.lab.client import DATAGRAM_WAIT_S
from netlab.lab.departures import Departures
from netlab.lab.limits import allow_clients
from netlab.lab.options import OnProgress, Progress, RunOptions, RunResult
from netlab.lab.recorder import Recorder, begin, stamps_witness
from netlab.lab.signals import IMPATIENT, Interruptions
from netlab.lab.stage import CLIENT, SERVER, Stage
from netlab.lab.surroundings import become_caller, choose_user, describe, open_loopback
from netlab.model.errors import BadRecording, CheckFailed

if TYPE_CHECKING:
    from netlab.capture.recording import LiveRecording
    from netlab.lab.finish import Finished
    from netlab.lab.namespaces import Refused
    from netlab.model.recording import Description

__all__ = ["Progress", "RunOptions", "RunResult", "run_scenario"]


def run_scenario(options: RunOptions, on_progress: OnProgress = lambda _: None) -> RunResult:
    """Run `options.scenario` and return the finished recording.

    Interrupted, it finishes what it has and says so in the result. Raises UsageError or
    PrivilegeError when it could not begin (nothing is left then), CheckFailed when a program died
    and BadRecording when the disk was full (what was recorded is at `options.path`).
    """
    options.check_stamps()
    allow_clients(options.clients)
    if options.lab is False:
        return _run_on_loopback(options, on_progress)
    from netlab.lab.ground import LabRefused

    try:
        return _run_in_lab(options, on_progress)
    except LabRefused as error:
        if options.lab or options.wire or options.sysctls:  # loopback has none of that
            raise
        refused = error.refused
    return _run_on_loopback(options, on_progress, refused)


def _run_on_loopback(
    options: RunOptions, on_progress: OnProgress, no_lab: Refused | None = None
) -> RunResult:
    """On one host; `no_lab`: why it is not two, if that was wanted."""
    from netlab.capture.probe.spool import SpoolReader
    from netlab.capture.ring import PacketRing

    user, notes = choose_user(options.user)
    with Interruptions() as interruptions:
        with interruptions.while_starting():
            lab, more = open_loopback(options.port, user, no_lab)
        notes += more
        try:
            become_caller()
            assert lab.ring_socket is not None
            with PacketRing.from_socket(lab.ring_socket) as ring, Departures() as departures:
                description, interface = describe(options, lab, notes)
                recording, spools = begin(
                    options.path,
                    description=description,
                    interfaces=[interface],
                    journal_limit=options.journal_limit,
                    writer=None if lab.user is None else (lab.user.uid, lab.user.gid),
                )
                recorder = Recorder(recording, [ring], SpoolReader(spools), departures)
                stage = Stage(options, on_progress, interruptions, lab, recorder, spools)
                stage.carry_out()
                stage.stop()
                if stage.listening is None:
                    _discard(recording, spools)
                    raise _never_began(stage)
                _close(stage, recorder, recording, description)
        finally:
            lab.close()
        return _finish(stage, notes)


def _run_in_lab(options: RunOptions, on_progress: OnProgress) -> RunResult:
    """On two hosts, with a wire between them. Raises LabRefused before anything has happened."""
    from netlab.lab.ground import Ground
    from netlab.lab.starting import Watching

    ground = Ground(
        (CLIENT, SERVER),
        options.path,
        rules="; ".join(map(str, options.wire)),
        sysctls=options.sysctls,
        server=SERVER,
        user=options.user,
        title=options.title,
        watching=Watching(
            options.queues,
            options.tcp_info,
            options.spool_limit_bytes,
            sample_every_ns=options.sample_every_ns,
        ),
        journal_limit=options.journal_limit,
        witnesses=stamps_witness(bool(options.stamps), options.stamped_text),
    )
    server = ground.plan.host(SERVER)
    address = server.ipv6.ip if options.ipv6 else server.ipv4.ip
    options = replace(options, address=f"{address}")
    with Interruptions() as interruptions, ExitStack() as opened:
        with interruptions.while_starting():
            opened.enter_context(ground)
        ground.open_up(interruptions)
        stage = Stage(
            options,
            on_progress,
            interruptions,
            ground.house,
            ground.recorder,
            ground.spools,
            ground,
        )
        stage.carry_out()
        stage.stop()
        if stage.listening is None:
            ground.discard()
            raise _never_began(stage)
        ground.close_down(lambda: interruptions.count < IMPATIENT)
        stage.on_progress(Progress("mapping calls onto packets", 0, 0, 0, 0))
        finished = ground.finish(stage.deaths(), interruptions.first, stage.disk_full)
    return _result(stage, finished, ground.notes)


def _close(
    stage: Stage, recorder: Recorder, recording: LiveRecording, description: Description
) -> None:
    try:
        if stage.interruptions.first is not None:  # what follows in the story never happened
            name = signal.Signals(stage.interruptions.first).name
            note = f"interrupted by {name}: the run was not over"
            recording.describe(replace(description, notes=(*description.notes, note)))
        recorder.finish(stage.deaths())
    except BadRecording as error:
        stage.disk_full = stage.disk_full or error


def _finish(stage: Stage, notes: tuple[str, ...]) -> RunResult:
    """Rewrite the recording in its finished form, remove the spools, and raise what went wrong."""
    from netlab.capture.ownership import remove_folder
    from netlab.lab.finish import finish_on_full_disk, finish_recording

    path = stage.options.path
    stage.on_progress(Progress("mapping calls onto packets", 0, 0, 0, 0))
    if stage.disk_full is not None:
        limit = stage.options.journal_limit
        raise finish_on_full_disk(path, stage.spools, stage.disk_full, journal_limit=limit)
    remove_folder(stage.spools)
    finished = finish_recording(path, journal_limit=stage.options.journal_limit)
    return _result(stage, finished, notes)


def _result(stage: Stage, finished: Finished, notes: tuple[str, ...]) -> RunResult:
    """What the caller gets; raises what went wrong."""
    path = stage.options.path
    if stage.trouble:
        first = stage.trouble[0]
        kept = f"what was recorded is in {path}"
        raise CheckFailed(first.message, f"{first.hint}; {kept}" if first.hint else kept)
    lost = sum(program.lost for program in stage.programs.values())
    if lost:
        datagrams = "1 datagram" if lost == 1 else f"{lost} datagrams"
        what = f"{datagrams} had no answer within {DATAGRAM_WAIT_S:g} s"
        notes += (f"{what}: UDP does not send them again",)
    return RunResult(path, finished.tables, finished.raw, notes, stage.interruptions.first)


def _never_began(stage: Stage) -> BaseException:
    """Why no client was started."""
    if stage.interruptions.count:
        return stage.interruptions.as_error()
    return stage.trouble[0] if stage.trouble else stage.disk_full or CheckFailed("no server")


def _discard(recording: LiveRecording, spools: Path) -> None:
    """Nothing was recorded: leave no file."""
    from netlab.capture.ownership import remove_folder

    recording.close()
    recording.path.unlink(missing_ok=True)
    remove_folder(spools)
