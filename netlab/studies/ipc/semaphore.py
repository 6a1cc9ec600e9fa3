"""Who gives back a lock whose holder has died: it depends on whose lock it is."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.study import Claim, Expect, Params, Study, Topic

HELD, FREE = "still held", "free again"


def lacks() -> str:
    """Python's own library has POSIX semaphores only."""
    return "" if find_spec("sysv_ipc") else "the package sysv_ipc: pip install netlab[ipc]"


def client(probe: Probe, p: Params) -> Any:
    """A child takes each lock and is killed; then its parent tries."""
    import sysv_ipc

    posix = multiprocessing.get_context("fork").Semaphore(1)
    plain, undone = (
        sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, mode=0o600, initial_value=1) for _ in range(2)
    )
    plain.block = undone.block = False
    undone.undo = True
    with tempfile.TemporaryFile() as file, contextlib.ExitStack() as after:
        after.callback(plain.remove)
        after.callback(undone.remove)

        def child() -> None:
            posix.acquire()
            plain.acquire()
            undone.acquire()
            fcntl.lockf(file, fcntl.LOCK_EX)
            os.kill(os.getpid(), signal.SIGKILL)

        return {
            "how": ended(forked(probe, "child", child)),
            "posix": _state(lambda: posix.acquire(block=False)),
            "sysv": _state(lambda: plain.acquire() is None),
            "undo": _state(lambda: undone.acquire() is None),
            "record lock": _state(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB) is None),
        }


def _state(taken: Callable[[], bool]) -> str:
    import sysv_ipc

    try:
        return FREE if taken() else HELD
    except (sysv_ipc.BusyError, BlockingIOError):
        return HELD


def stuck(evidence: Evidence) -> bool:
    """Whether the kernel left a dead process's semaphore as it was."""
    return bool(told("posix")(evidence) == HELD)


STUDY = Study(
    name="semaphore",
    topic=Topic.IPC,
    question="A process dies between wait and post of a semaphore. Who gives it back?",
    setup="A child takes a POSIX semaphore, two System V ones (one with SEM_UNDO), and a lock on a "
    "file. Then it is killed with SIGKILL, and its parent tries each.",
    prediction="Nobody, as a rule. A semaphore is a number; the kernel does not know that somebody "
    "`holds` it, and so the others wait for ever. Two exceptions: System V keeps a list for each "
    "process where SEM_UNDO is asked for, and undoes it at the end; and a lock on a file belongs "
    "to its process and ends with it. (A pthread mutex can be `robust`: the next one is told.)",
    client=client,
    connection=None,
    lacks=lacks,
    expects=(
        Expect("POSIX semaphore", Kind.WORD, lambda p: HELD, told("posix"),
               "man 7 sem_overview: a value, no owner"),
        Expect("System V semaphore", Kind.WORD, lambda p: HELD, told("sysv"), "man 2 semop"),
        Expect("System V semaphore with SEM_UNDO", Kind.WORD, lambda p: FREE, told("undo"),
               "man 2 semop: automatically undone when the process terminates"),
        Expect("lock on a file", Kind.WORD, lambda p: FREE, told("record lock"),
               "man 2 fcntl: record locks are released when the process terminates"),
    ),
    claims=(
        Claim("A process that crashes gives back its locks.", lambda e: not stuck(e),
              "for locks on files, and System V semaphores with SEM_UNDO; a POSIX semaphore stays "
              "taken"),
    ),
    next="`netlab study peer-death`: the death of a peer, on each kind of IPC.",
)  # fmt: skip
