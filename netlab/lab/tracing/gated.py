"""A program that waits at a gate, in its place and with its identity, until somebody watches it.

It is our child, in our process group and at our terminal, like a program that a shell runs: Ctrl-C
reaches it without us. Killed before the gate is open, we take it with us; after that it goes on.
Read man 2 execve, man 7 credentials; man 2 prctl (PR_SET_PTRACER: Yama lets only ancestors attach).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from netlab.lab.hosts import User
from netlab.lab.syscalls import become_traceable
from netlab.model.errors import CheckFailed, UsageError

_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)
_libc = ctypes.CDLL(None, use_errno=True)


class GatedProgram:
    """One program. `fileno()` is readable once it has ended."""

    def __init__(
        self,
        files: Sequence[str],
        argv: Sequence[str],
        *,
        user: User | None,
        before_exec: Callable[[], None],
    ) -> None:
        """Fork it. `files`: the first that it may execute is the program. `user`: whom it becomes,
        as root. `before_exec` is called in it."""
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        self._report, report = os.pipe2(os.O_CLOEXEC)
        self._name = argv[0]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._gate)
                os.close(self._report)
                environment = _become(user)
                before_exec()
                _libc.prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)  # fails without Yama
                if os.read(gate, 1):
                    _libc.prctl(_PR_SET_PTRACER, 0, 0, 0, 0)
                    _execute(files, argv, environment)
            except OSError as error:
                with suppress(OSError):
                    os.write(report, f"{error.strerror}".encode())
            finally:
                os._exit(127)
        os.close(gate)
        os.close(report)
        self._over = os.pidfd_open(self.pid)
        self.status: int | None = None

    def release(self) -> None:
        """Open the gate. Raises UsageError where the program cannot be executed."""
        try:
            os.write(self._gate, b".")
        except BrokenPipeError:
            raise CheckFailed(f"{self._name} did not wait to be watched", "try again") from None
        reason = os.read(self._report, 4096)  # nothing: execve closed it
        self._close_gate()
        if reason:
            self.wait()
            raise UsageError(f"{self._name}: {reason.decode()}", "see that it can be executed")

    def fileno(self) -> int:
        """For poll."""
        return self._over

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return not select.select([self._over], [], [], 0)[0]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with suppress(OSError):  # it has ended; or it is another user's now
            signal.pidfd_send_signal(self._over, number)

    def wait(self) -> int:
        """Its exit code, negative for a signal, once it has ended."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self) -> None:
        """Let go of it: behind a closed gate it ends, else it goes on."""
        if self._gate >= 0:
            self._close_gate()
            self.wait()
        if self._over >= 0:
            os.close(self._over)
            self._over = -1

    def _close_gate(self) -> None:
        os.close(self._gate)
        os.close(self._report)
        self._gate = -1


def _become(user: User | None) -> dict[str, str]:
    """Be that user; the environment for it."""
    environment = dict(os.environ)
    if user is not None:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        home = os.path.expanduser(f"~{user.name}")
        environment |= {"HOME": home, "USER": user.name, "LOGNAME": user.name}
    if os.geteuid() != 0:
        become_traceable()
    return environment


def _execute(files: Sequence[str], argv: Sequence[str], environment: dict[str, str]) -> None:
    """Be the first of these files that may be executed, as a shell goes on along its PATH."""
    refused: OSError | None = None
    for file in files:
        try:
            os.execve(file, list(argv), environment)
        except PermissionError as error:
            refused = refused or error
    assert refused is not None
    raise refused
