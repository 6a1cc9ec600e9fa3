"""The keeper: a process of the lab that stayed outside, to start tracers, which see outer pids.

Forked by the helper once that is in the lab's user namespace, and before it makes the others: so it
may trace whoever is in the lab, and sees processes as the machine does. A tracer (strace) goes to
the network of a host, where it asks which socket is which, and is attached to a program that waits,
in its place and with its final identity, for the word to execute. The program stays the child of
the lab's first process: its end, its signals and its terminal are its own, and a tracer that dies
leaves it running.

Messages from the first process: `watch` (with the tracer's orders, its log, the file for pids and
the network namespace), `unwatch`; to it: `watching` or `blind` (the answer to `watch`), `unwatched`
(a tracer is over). Read man 2 ptrace (PTRACE_SEIZE), man 2 setns, man 7 pid_namespaces.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

from netlab.capture.strace.outer_pids import pair_text
from netlab.lab.become import Orders, become
from netlab.lab.syscalls import CLONE_NEWNET, set_time_slice, setns
from netlab.server.family.process import die_with_parent
from netlab.server.messages import control

ATTACH_WITHIN_S = 10.0
TIME_SLICE_NS = 100_000
_CHUNK_BYTES = 1 << 16
_ATTACHED = re.compile(rb"strace: Process (\d+) attached")
_LONGEST_LINE_BYTES = 4096


@dataclass(slots=True)
class _Tracer:
    """One that runs: whom it watches, and what it says."""

    actor: str
    pid: int
    stderr: int
    pids: int  # the file for the numbers of the processes that it watches
    until_s: float
    watching: bool = False
    line: bytes = b""  # what it has not ended yet
    words: list[str] = field(default_factory=list)  # its last lines, but for those on attaching

    def hear(self, data: bytes) -> list[int]:
        """Take in what it wrote: the threads that it has attached to."""
        *lines, self.line = (self.line + data).split(b"\n")
        self.line = self.line[-_LONGEST_LINE_BYTES:]
        threads = []
        for line in lines:
            attached = _ATTACHED.search(line)
            if attached is not None:
                threads.append(int(attached[1]))
            elif line and not line.isdigit():
                self.words.append(line[:_LONGEST_LINE_BYTES].decode(errors="replace"))
        del self.words[:-3]
        return threads

    @property
    def last_words(self) -> str:
        """The last line, without the name that it begins with."""
        return self.words[-1].removeprefix("strace: ") if self.words else ""


def fork_keeper(proc: int, inherited: socket.socket) -> socket.socket:
    """Fork it, and return the control connection to it. Raises OSError.

    `proc` is /proc as the machine has it; `inherited` is what it must not hold open.
    """
    ours, theirs = control.pair()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        code = 70  # EX_SOFTWARE: a traceback on stderr says the rest
        try:
            die_with_parent(signal.SIGKILL)
            set_time_slice(TIME_SLICE_NS)  # what a tracer attached to may be gone soon
            ours.close()
            inherited.close()
            _Keeper(theirs, proc).serve()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    theirs.close()
    return ours


class _Keeper:
    """Does what the first process asks, until that closes the connection."""

    def __init__(self, sock: socket.socket, proc: int) -> None:
        self._sock = sock
        self._proc = proc
        self._tracers: dict[int, _Tracer] = {}  # by pid
        self._poller = select.poll()

    def serve(self) -> None:
        """Returns at the end of the connection; tracers end with this process."""
        wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends with the lab
        self._poller.register(wake, select.POLLIN)
        self._poller.register(self._sock, select.POLLIN)
        while True:
            for descriptor, _ in self._poller.poll(self._patience_ms()):
                if descriptor == wake:
                    os.read(wake, _CHUNK_BYTES)
                    self._reap()
                elif descriptor != self._sock.fileno():
                    self._hear(descriptor)
                elif not self._obey():
                    return
            self._give_up()

    def _obey(self) -> bool:
        """Carry out one message; False when there will be none any more."""
        received = control.receive(self._sock)
        if received is None:
            return False
        message, descriptors = received
        try:
            if message["do"] == "watch":
                self._watch(message["actor"], message["pid"], descriptors)
            else:
                for tracer in self._tracers.values():
                    if tracer.actor == message["actor"]:
                        os.kill(tracer.pid, signal.SIGTERM)  # it detaches
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _watch(self, actor: str, pid: int, descriptors: list[int]) -> None:
        """Start a tracer of the process `pid`."""
        orders = Orders.from_file(descriptors[0])
        orders.argv.append(f"{pid}")
        log, pids, network = descriptors[1:]
        stderr, stderr_write = os.pipe2(os.O_CLOEXEC)
        try:
            child = os.fork()
        except OSError as error:
            os.close(stderr)
            os.close(stderr_write)
            self._tell_blind(actor, f"no process for a tracer ({error.strerror})")
            return
        if child == 0:
            _trace(orders, log, stderr_write, network, self._proc)
        os.close(stderr_write)
        until_s = time.monotonic() + ATTACH_WITHIN_S
        self._tracers[child] = _Tracer(actor, child, stderr, os.dup(pids), until_s)
        self._poller.register(stderr, select.POLLIN)

    def _hear(self, descriptor: int) -> None:
        """Take what a tracer says, so that it never waits for us."""
        tracer = next((t for t in self._tracers.values() if t.stderr == descriptor), None)
        if tracer is None:
            return  # reaped in the same turn
        data = os.read(descriptor, _CHUNK_BYTES)
        if not data:
            self._poller.unregister(descriptor)
        self._note(tracer, tracer.hear(data))

    def _note(self, tracer: _Tracer, threads: list[int]) -> None:
        """It has attached to these: to the first because it was told to, to others as they begin.

        One that is gone when we look is noted, too: `outer_pids` may still tell which it was.
        """
        for thread in threads:
            with suppress(OSError):  # a full disk: then it is not known
                os.write(tracer.pids, pair_text(thread, self._number_inside(thread)))
        if threads and not tracer.watching:
            tracer.watching = True
            self._tell({"event": "watching", "actor": tracer.actor})

    def _number_inside(self, thread: int) -> int | None:
        """What a thread is called in the innermost process namespace."""
        try:
            descriptor = os.open(f"{thread}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
            with open(descriptor, "rb") as status:
                found = next(line for line in status if line.startswith(b"NSpid:"))
        except (OSError, StopIteration):
            return None
        return int(found.split()[-1])

    def _patience_ms(self) -> float | None:
        """Until a tracer that has not attached is given up."""
        waiting = [t.until_s for t in self._tracers.values() if not t.watching]
        return max(0.0, min(waiting) - time.monotonic()) * 1000 + 1 if waiting else None

    def _give_up(self) -> None:
        now_s = time.monotonic()
        for tracer in self._tracers.values():
            if not tracer.watching and tracer.until_s <= now_s:
                os.kill(tracer.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Take note of those that have ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                self._ended(self._tracers.pop(pid), os.waitstatus_to_exitcode(status))

    def _ended(self, tracer: _Tracer, code: int) -> None:
        """Say that it is over, and what it said of it."""
        os.set_blocking(tracer.stderr, False)
        with suppress(OSError, KeyError):  # nothing to read; its end has been read
            while data := os.read(tracer.stderr, _CHUNK_BYTES):
                self._note(tracer, tracer.hear(data))
        self._note(tracer, tracer.hear(b"\n"))
        with suppress(KeyError):
            self._poller.unregister(tracer.stderr)
        os.close(tracer.stderr)
        os.close(tracer.pids)
        if not tracer.watching:
            late = f"it did not attach within {ATTACH_WITHIN_S:g} s"
            self._tell_blind(tracer.actor, tracer.last_words or (late if code < 0 else ""))
            return
        self._tell(
            {
                "event": "unwatched",
                "actor": tracer.actor,
                "time_ns": time.time_ns(),
                "status": code,
                "reason": tracer.last_words,
            }
        )

    def _tell_blind(self, actor: str, reason: str) -> None:
        self._tell({"event": "blind", "actor": actor, "reason": reason})

    def _tell(self, message: control.Message) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # we shall hear of its end
            control.send(self._sock, message)


def _trace(orders: Orders, log: int, stderr: int, network: int, proc: int) -> None:
    """In a forked child: be a tracer in the network of the host."""
    try:
        setns(network, CLONE_NEWNET)
    except OSError as error:
        os.write(stderr, f"setns: {error.strerror}\n".encode())
        os._exit(1)
    become(orders, [log, stderr], report=stderr, proc=proc, place=None)
