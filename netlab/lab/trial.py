"""A short run on two hosts with a wire between, to see whether this machine lets us have them.

What `netlab run` does, on a small scale, and in the caller's process: as root under sudo it becomes
who called sudo, so it is for a child process. Prints nothing; `machine` says what follows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netlab.capture.ownership import caller
from netlab.lab.ground import LabRefused
from netlab.lab.options import RunOptions
from netlab.lab.session import run_scenario
from netlab.model.errors import NetlabError


@dataclass(frozen=True, slots=True)
class WireTrial:
    """What became of it."""

    fault: str = ""  # empty: every frame was carried and recorded
    refused: bool = False  # by the machine: it is about what this user may do
    hint: str = ""
    frames: int = 0
    late_ns: int = 0  # at most, of a frame on the wire


def run_on_two_hosts(folder: Path) -> WireTrial:
    """Run an echo server and a client, and record them in `folder`, which is to be thrown away."""
    try:
        result = run_scenario(RunOptions(path=folder / "trial.pcapng", lab=True))
    except LabRefused as error:
        return WireTrial(f"{error.refused}", True, error.hint)
    except NetlabError as error:
        return WireTrial(error.message, False, error.hint)
    except OSError as error:
        return WireTrial(f"{error}")
    frames, arrivals = result.raw.frames, result.raw.arrivals
    late_ns = [one.late_ns for one in arrivals if one.late_ns is not None]
    if not frames or len(late_ns) != len(frames):
        return WireTrial(f"{len(late_ns)} of {len(frames)} frames arrived")
    return WireTrial(frames=len(frames), late_ns=max(late_ns))


@contextmanager
def place_to_record() -> Iterator[Path]:
    """A folder for the trial that whoever runs it may write to; nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix="netlab-trial-", ignore_cleanup_errors=True) as name:
        owner = caller()
        if owner is not None:
            os.chown(name, *owner)
        yield Path(name)
