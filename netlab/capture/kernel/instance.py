"""A private instance of the kernel's trace buffers: its life, its settings, its raw pages.

An instance is a folder under tracefs with buffers, clock, events and a pid filter of its own; what
the machine's other users of tracing have set is not touched. It outlives its maker, so its name
says whose it is (netlab-PID-START-NAME: a pid alone may come round again), and each new one removes
those of the dead. Knows no event. Read Documentation/trace/ftrace.rst, "Instances".

Facts that the reading rests on:
- The oldest events go when a buffer is full (option overwrite), and the next page says how many, so
  that the place of a loss is known. What a reader has taken it keeps: one page is never half read.
- A page is given whole or, from the one being written, up to its last finished event; the rest
  comes with the next read. A read of a buffer without new events gives EAGAIN.
- poll says that a buffer is readable once buffer_percent of it is full: it wakes a reader in time,
  and a reader that wants the newest reads without being woken.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from netlab.capture.kernel.pages import PageLayout, page_layout
from netlab.capture.kernel.tracefs import Tracefs, refused_by

_NAME = re.compile(r"netlab-(\d+)-(\d+)-(\w+)")
WAKE_PERCENT = 20
CLOCK = "tai"
_NOBODY = 0  # the idle threads' number


class Instance:
    """One instance. It records from `start` to `stop`; `close` removes it, on every way out."""

    def __init__(self, tracefs: Tracefs, path: Path, layout: PageLayout) -> None:
        """Use `make`."""
        self._tracefs = tracefs
        self.path = path
        self.layout = layout
        self._pipes: list[int] = []
        self._switch = self._pids = -1  # opened as root, used after that was given up, perhaps
        self.processors: tuple[int, ...] = ()

    @classmethod
    def make(cls, tracefs: Tracefs, name: str, *, buffer_kb: int) -> Instance:
        """A new one with no event enabled, not yet recording. Raises PrivilegeError."""
        remove_abandoned(tracefs)
        pid = os.getpid()
        path = tracefs.path / "instances" / f"netlab-{pid}-{_started(pid)}-{name}"
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise refused_by(error) from None
        instance = None
        try:
            instance = cls(tracefs, path, page_layout(tracefs.read("events/header_page")))
            instance._set_up(buffer_kb)
        except OSError as error:
            (instance.close if instance else path.rmdir)()
            raise refused_by(error) from None
        except BaseException:
            (instance.close if instance else path.rmdir)()
            raise
        return instance

    def _set_up(self, buffer_kb: int) -> None:
        self._switch = os.open(self.path / "tracing_on", os.O_WRONLY | os.O_CLOEXEC)
        self.stop()
        self.write("trace_clock", CLOCK)
        self.write("buffer_size_kb", str(buffer_kb))
        self.write("options/overwrite", "1")
        if (self.path / "buffer_percent").exists():  # Linux 5.0
            self.write("buffer_percent", str(WAKE_PERCENT))
        found = sorted(
            int(folder.name[3:])
            for folder in (self.path / "per_cpu").iterdir()
            if folder.name[3:].isdigit()
        )
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        for processor in found:
            raw = self.path / "per_cpu" / f"cpu{processor}" / "trace_pipe_raw"
            self._pipes.append(os.open(raw, flags))
        self.processors = tuple(found)

    def write(self, name: str, text: str) -> None:
        """Set a file of the instance."""
        fd = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def enable(self, event: str, condition: str = "") -> str | None:
        """Enable `system/name`, and give its format; None when this kernel has no such event."""
        folder = f"events/{event}"
        try:
            text = (self.path / folder / "format").read_text(errors="replace")
        except FileNotFoundError:
            return None
        if condition:
            self.write(f"{folder}/filter", condition)
        self.write(f"{folder}/enable", "1")
        return text

    def filter_threads(self) -> None:
        """Take events of threads that `follow` names alone: at first, of none."""
        self.write("options/event-fork", "1")
        self._pids = os.open(self.path / "set_event_pid", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        # An empty filter takes all; a thread that can make no call stands for none.
        os.write(self._pids, f"{_NOBODY}\n".encode())

    def follow(self, pids: Iterable[int]) -> None:
        """Take events of these threads and, from now on, of all that they fork; may be repeated."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.write(self._pids, f"{pid}\n".encode())

    def start(self) -> None:
        os.write(self._switch, b"1")

    def stop(self) -> None:
        """Record no more; what was recorded can still be read."""
        os.write(self._switch, b"0")

    def filenos(self) -> tuple[int, ...]:
        """Descriptors that are readable once a buffer begins to fill."""
        return tuple(self._pipes)

    def pages(self, processor: int, most: int = 1 << 30) -> list[bytes]:
        """The pages that the buffer of the nth processor holds, oldest first; at most so many."""
        fd, size = self._pipes[processor], self.layout.page_bytes
        found: list[bytes] = []
        while len(found) < most:
            try:
                page = os.read(fd, size)
            except InterruptedError:
                continue
            except BlockingIOError:
                break
            if not page:
                break
            found.append(page)
        return found

    def lost(self) -> int:
        """Events that the buffers lost so far, as the kernel counts them, read or not."""
        total = 0
        for processor in self.processors:
            text = (self.path / f"per_cpu/cpu{processor}/stats").read_text()
            for line in text.splitlines():
                name, _, number = line.partition(":")
                if name in ("overrun", "commit overrun", "dropped events"):
                    total += int(number)
        return total

    def let_go(self) -> None:
        """Close all that is open of it, so that it can be removed."""
        held, self._pipes = [*self._pipes, self._switch, self._pids], []
        self._switch = self._pids = -1
        for fd in held:
            if fd >= 0:
                os.close(fd)

    def close(self) -> None:
        """Remove it. A second time it does nothing."""
        self.let_go()
        remove(self.path)


def remove(path: Path) -> bool:
    """Remove an instance; False when someone has a file of it open. Its events end first."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def remove_abandoned(tracefs: Tracefs) -> list[str]:
    """Remove the instances of netlabs that are dead; which ones."""
    removed = []
    try:
        names = os.listdir(tracefs.path / "instances")
    except OSError as error:
        raise refused_by(error) from None
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None or _started(int(found[1])) == int(found[2]):
            continue
        try:
            if remove(tracefs.path / "instances" / name):
                removed.append(name)
        except PermissionError as error:
            raise refused_by(error) from None
    return removed


def _started(pid: int) -> int | None:
    """When a process began, in ticks since boot; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
