"""A folder of strace logs -> call records: live while the programs run, and after their death.

Each log is named after the host and the actor of the program that strace was attached to; beside it
lies a file with both numbers of each of its processes (`outer_pids`), if they had two. Only plain
reads; it never waits and never writes.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections import deque
from pathlib import Path
from urllib.parse import quote, unquote

from netlab.capture.strace.outer_pids import OuterPids
from netlab.capture.strace.reader import StraceReader
from netlab.model.call import CallRecord, Inheritance
from netlab.model.recording import Loss

LOG, PIDS = ".strace", ".pids"
_BETWEEN = "+"  # quoted in either name
# Some 500 calls, or 20 ms of work.
CHUNK_BYTES = 1 << 16
# So long a log waits for a pid that was not noted yet.
_PATIENCE_S = 1.0
_BLOCK_BYTES = 4096
_UNFINISHED = b" <unfinished ...>\n"  # as strace ends a half


def spool_name(host: str, actor: str, suffix: str) -> str:
    """What the log of a program's calls is called, or what lies beside it."""
    return f"{quote(host, safe='')}{_BETWEEN}{quote(actor, safe='')}{suffix}"


class StraceSpools:
    """Reads all logs of `folder`, those that appear later too.

    `inheritances` and `losses` grow as they are met; take what is new by its place in the list.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._logs: dict[str, _Log] = {}
        self._turn = 0
        self.inheritances: list[Inheritance] = []
        self.losses: list[Loss] = []

    def poll(self, within_s: float = math.inf) -> list[CallRecord]:
        """The calls that have returned since the last poll, in the order of each log.

        Takes about `within_s` seconds at the most; what is left comes with a later poll. Each log
        is read in its turn.
        """
        until_s = time.monotonic() + within_s
        calls: list[CallRecord] = []
        waiting = deque(self._found())
        waiting.rotate(-self._turn)
        while waiting:
            log = waiting.popleft()
            self._turn += 1
            if log.read_some():
                waiting.append(log)
            self._collect(log, calls)
            if time.monotonic() >= until_s:
                break
        return calls

    def finish(self) -> list[CallRecord]:
        """What has returned since the last poll, and the calls still inside (returned_ns None).

        To be called once strace has ended everywhere, or when it is no longer of interest.
        """
        calls = self.poll()
        for log in self._logs.values():
            log.finish()
            self._collect(log, calls)
        return calls

    def reader_of(self, host: str, actor: str) -> StraceReader | None:
        """Who reads the log of a program, once there is one."""
        found = [log for log in self._found() if (log.host, log.actor) == (host, actor)]
        return found[0].reader if found else None

    @property
    def lengths_bytes(self) -> dict[str, int]:
        """How much of each log has been read, by actor."""
        return {log.actor: log.at for log in self._logs.values()}

    def _found(self) -> list[_Log]:
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(LOG)]
        except FileNotFoundError:
            names = []
        for name in sorted(set(names) - self._logs.keys()):
            host, _, actor = name.removesuffix(LOG).partition(_BETWEEN)
            self._logs[name] = _Log(self._folder / name, unquote(host), unquote(actor))
        return list(self._logs.values())

    def _collect(self, log: _Log, calls: list[CallRecord]) -> None:
        reader = log.reader
        calls += reader.calls
        self.inheritances += reader.inheritances
        self.losses += reader.losses
        # What could not be read of a log may have been calls.
        self.losses += [Loss("strace", "calls", None, text, log.actor) for text in reader.faults]
        for taken in (reader.calls, reader.inheritances, reader.losses, reader.faults):
            taken.clear()


class _Log:
    """Where the reading of one log stands."""

    def __init__(self, path: Path, host: str, actor: str) -> None:
        self.host = host
        self.actor = actor
        self.at = 0
        self.reader = StraceReader(host, actor)
        self._path = path
        self._pids = OuterPids()
        self._pids_at = 0
        self._inside: bool | None = None  # its programs were in a PID namespace of their own
        self._held_s: float | None = None  # since when lines are held back
        self._half = b""  # the line that has not ended yet
        self._over = False

    def read_some(self) -> bool:
        """Take the next chunk; whether there was one."""
        if self._over:
            return False
        self._note_pids()
        data = self._chunk(self._path, self.at)
        self.at += len(data)
        if data and self._inside is None:
            self._inside = self._path.with_suffix(PIDS).exists()
        self._feed(self._translated(data) if self._inside else data)
        return bool(data)

    def finish(self) -> None:
        """There will be no more of it."""
        if not self._over:
            self._over = True
            self._note_pids()
            self._feed(self._pids.feed(b"", wait=False))
            self._feed(self._pids.rest())
            # strace writes a call's first half at once, and then waits for it to return: killed
            # there it leaves a line without an end. Where a block ends anything may have been cut.
            if b"(" in self._half and self.at % _BLOCK_BYTES:
                self._feed(_UNFINISHED)
            self.reader.finish()

    def _feed(self, text: bytes) -> None:
        if text:
            self._half = text[text.rfind(b"\n") + 1 :] if b"\n" in text else self._half + text
            self.reader.feed(text)

    def _translated(self, data: bytes) -> bytes:
        """With the pids of the machine; nothing while one of them is waited for."""
        now_s = time.monotonic()
        patient = self._held_s is None or now_s - self._held_s < _PATIENCE_S
        text = self._pids.feed(data, wait=patient)
        if not self._pids.waits:
            self._held_s = None
        elif text or self._held_s is None:
            self._held_s = now_s
        return text

    def _note_pids(self) -> None:
        path = self._path.with_suffix(PIDS)
        while data := self._chunk(path, self._pids_at):
            self._pids_at += len(data)
            self._pids.note(data)

    def _chunk(self, path: Path, at: int) -> bytes:
        """A watched program may put what it likes into the folder: a FIFO must not keep us."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            return b""
        except OSError as error:
            self._give_up(error.strerror or "")
            return b""
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                self._give_up("it is not a file")
                return b""
            return os.pread(fd, CHUNK_BYTES, at)
        finally:
            os.close(fd)

    def _give_up(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self.reader.faults.append(f"the log cannot be read on: {reason.lower()}")
            self.reader.finish()
