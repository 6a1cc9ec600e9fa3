"""Parents and children: what programs of studies do that need a second process beside them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from netlab.model.probe import Probe

FAILED = 71  # an exit status that no study uses otherwise


def forked(probe: Probe, actor: str, work: Callable[[], int | None]) -> int:
    """The pid of a child that does `work`, is called `actor` in the recording, and leaves.

    Its exit status is what `work` returns, 0 for None.
    """
    probe.name_child(actor)
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    try:
        status = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        probe.leaving()
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a child: its exit status, or the number of the signal that ended it, negative.

    Raises ChildProcessError for one that raised.
    """
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == FAILED:
        raise ChildProcessError("a child raised, see above")
    return status
