"""strace at work: around a program that it starts, or attached to processes that run already.

A program is our child's child and has our terminal, our process group and its signals: Ctrl-C at
the terminal reaches it without us, and strace lets it pass. Attached, strace is in a session of its
own and is ended by us. Under sudo it must stay root then, while we become the caller for good: so
it is the child of a *keeper*, forked before that, which does nothing but start it and end it.

Read man 1 strace (-I: with a program and -o, fatal signals are blocked; with -p they detach),
man 2 ptrace (a tracer that ends lets its processes go on).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from netlab.lab.hosts import User
from netlab.model.errors import CheckFailed
from netlab.server.messages import control

LOG = "/proc/self/fd/{}"  # with the descriptor that the keeper was given
_DETACHES_WITHIN_MS = 5000
_WORDS_BYTES = 1 << 16
_LINGERS_S = 1.0  # before the user is told that others of the program have not ended


class Tracer:
    """A running strace. `fileno()` is readable once it has ended."""

    pid: int
    returncode: int | None = None  # as subprocess has it: negative for a signal
    complaint = ""  # what it wrote on a stderr of its own

    def fileno(self) -> int:
        """For poll."""
        raise NotImplementedError

    def detach(self) -> None:
        """Ask it to leave its processes alone."""
        raise NotImplementedError

    def wait(self) -> int:
        """Wait for its end, and close what belongs to it."""
        raise NotImplementedError


class AroundProgram(Tracer):
    """strace with a program that it starts."""

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        *,
        user: User | None,
        before_exec: Callable[[], None],
    ) -> None:
        """`words` make it write `log`. `before_exec` runs in the child.

        `user` (as root): who strace and program are. Raises CheckFailed where it cannot be started.
        """
        environment = dict(os.environ)
        become: dict[str, object] = {}
        if user is not None:
            home = os.path.expanduser(f"~{user.name}")
            environment |= {"HOME": home, "USER": user.name, "LOGNAME": user.name}
            become = {"user": user.uid, "group": user.gid, "extra_groups": user.groups}
        try:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                words, env=environment, preexec_fn=before_exec, **become
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CheckFailed(f"{words[0]} cannot be started", f"{error}") from None
        self.pid = self._process.pid
        self._over = os.pidfd_open(self.pid)
        self._log = log
        self._program: int | None = None  # a descriptor
        self._gone = False
        self._ended_s = 0.0
        self._told = False

    def fileno(self) -> int:
        return self._over

    def is_program_alive(self) -> bool:
        """Whether the program itself has not ended yet; what it started may have."""
        if self._program is None and not self._gone:
            self._find_program()
        if self._program is not None:
            self._gone = bool(select.select([self._program], [], [], 0)[0])
        return not self._gone

    def signal_program(self, number: int) -> None:
        """Pass a signal on to it."""
        if self._program is not None:
            with suppress(OSError):  # it has ended, or is somebody else by now
                signal.pidfd_send_signal(self._program, number)

    def ended_long_ago(self) -> bool:
        """Once True, where the program ended a while ago and strace has not."""
        if self._told or self.is_program_alive():
            return False
        now_s = time.monotonic()
        self._ended_s = self._ended_s or now_s
        self._told = now_s - self._ended_s >= _LINGERS_S
        return self._told

    def _find_program(self) -> None:
        """The first line of the log is the program's: strace has other children, for a moment."""
        try:
            with open(self._log, "rb") as log:
                pid = int(log.read(32).partition(b" ")[0])
        except (OSError, ValueError):
            return  # nothing is written yet
        try:
            self._program = os.pidfd_open(pid)
        except ProcessLookupError:
            self._gone = True

    def detach(self) -> None:
        """It cannot: its filter stops the program, which must then be traced to its end."""

    def wait(self) -> int:
        self.returncode = self._process.wait()
        os.close(self._over)
        if self._program is not None:
            os.close(self._program)
        return self.returncode


class Attached(Tracer):
    """strace with processes that run already, started and ended by a keeper."""

    def __init__(self) -> None:
        """Fork the keeper. It keeps the rights that this process has now."""
        self._ours, theirs = control.pair()
        self._keeper = os.fork()
        if self._keeper == 0:
            self._ours.close()
            _keep(theirs)
        theirs.close()
        self.pid = 0

    def start(self, words: Sequence[str], log: int) -> None:
        """Have strace started; it writes to the open file `log`, which `words` name as LOG.

        Raises CheckFailed where it cannot be started.
        """
        control.send(self._ours, {"words": list(words)}, (log,))
        answer = control.receive(self._ours)
        if answer is None or "pid" not in answer[0]:
            raise CheckFailed("strace cannot be started", answer[0]["error"] if answer else "")
        self.pid = answer[0]["pid"]

    def fileno(self) -> int:
        return self._ours.fileno()

    def detach(self) -> None:
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def wait(self) -> int:
        self.detach()
        answer = control.receive(self._ours)
        if answer is not None:
            self.returncode, self.complaint = answer[0]["status"], answer[0]["words"]
        self._ours.close()
        os.waitpid(self._keeper, 0)
        return self.returncode if self.returncode is not None else 1


def _keep(sock: socket.socket) -> NoReturn:
    """Be the keeper: start strace when told, end it at the end of the connection, say how it went.

    What else it inherited it must not hold: a ring that nobody reads would go on filling.
    """
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        received = control.receive(sock)
        if received is not None:
            message, (log,) = received
            words = [LOG.format(log) if word == LOG else word for word in message["words"]]
            _carry_out(sock, words, log)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _carry_out(sock: socket.socket, words: list[str], log: int) -> None:
    try:
        strace = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(log,),
            preexec_fn=_hear_signals,
        )
    except OSError as error:
        control.send(sock, {"error": os.strerror(error.errno or errno.EIO)})
        return
    assert strace.stderr is not None
    control.send(sock, {"pid": strace.pid})
    said = b""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    poller.register(strace.stderr, select.POLLIN)
    patience_ms: int | None = None
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(patience_ms)}
        if not ready:
            strace.kill()  # those that it traces go on
        if sock.fileno() in ready:
            poller.unregister(sock)
            strace.terminate()  # it detaches
            patience_ms = _DETACHES_WITHIN_MS
        if strace.stderr.fileno() in ready:
            words_now = os.read(strace.stderr.fileno(), _WORDS_BYTES)
            if not words_now:
                break
            said = (said + words_now)[-_WORDS_BYTES:]
    answer = {"status": strace.wait(), "words": said.decode(errors="replace")[-4096:]}
    with suppress(OSError):
        control.send(sock, answer)


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
