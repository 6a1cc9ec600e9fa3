"""strace at work: attached to processes, started and ended by a keeper.

Under sudo strace must stay root, to attach to a program of any user, while netlab becomes the
caller for good. So it is the child of a *keeper*, forked before that, which does nothing but start
it and end it. It is in a session of its own: what the terminal says is for the program. Should it
be killed, or we, the programs go on.

Read man 1 strace (-p: it detaches on SIGTERM), man 2 ptrace (a tracer that ends lets its processes
go on).
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
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from netlab.model.errors import CheckFailed
from netlab.server.messages import control

LOG = "/proc/self/fd/{}"  # with the descriptor that the keeper was given
_DETACHES_WITHIN_MS = 5000
_WORDS_BYTES = 1 << 16


class Tracer:
    """A strace, once `start` has been called. `fileno()` is readable once it has ended."""

    def __init__(self) -> None:
        """Fork the keeper. It keeps the rights that this process has now."""
        self._ours, theirs = control.pair()
        self._keeper = os.fork()
        if self._keeper == 0:
            self._ours.close()
            _keep(theirs)
        theirs.close()
        self.pid = 0
        self.returncode: int | None = None  # as subprocess has it: negative for a signal
        self.complaint = ""  # what it wrote on stderr
        self.ended_ns: int | None = None
        self._waited = False

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
        """For poll."""
        return self._ours.fileno()

    def detach(self) -> None:
        """Ask it to leave its processes alone."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def wait(self) -> None:
        """Wait for its end, which `detach` hastens, and close what belongs to it; once."""
        if self._waited:
            return
        self._waited = True
        self.detach()
        answer = control.receive(self._ours)
        if answer is not None:
            self.returncode, self.complaint = answer[0]["status"], answer[0]["words"]
            self.ended_ns = answer[0]["time_ns"]
        self._ours.close()
        os.waitpid(self._keeper, 0)

    @property
    def end_text(self) -> str:
        """How it came to its end."""
        code = self.returncode
        if code is not None and code < 0:
            return f"strace was ended by {signal.Signals(-code).name}"
        lines = self.complaint.strip().splitlines()
        said = lines[-1].removeprefix("strace: ") if lines else "it gave no reason"
        return f"strace ended with status {code}: {said}"


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
    answer = {
        "status": strace.wait(),
        "words": said.decode(errors="replace")[-4096:],
        "time_ns": time.time_ns(),
    }
    with suppress(OSError):
        control.send(sock, answer)


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
