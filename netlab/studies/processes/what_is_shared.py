"""What a thread shares with its process, and what a child of fork() has of its parent."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.study import Claim, Expect, Params, Study, Topic

THINGS = ("a variable", "the folder it works in", "a file it opened", "a place in an open file")


def client(probe: Probe, p: Params) -> Any:
    """A thread changes four things, then a child does; what does the one who asked see?"""

    def in_thread(work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def in_child(work: Callable[[], None]) -> None:
        ended(forked(probe, "child", work))

    return {"thread": _seen(in_thread), "child": _seen(in_child)}


def _seen(elsewhere: Callable[[Callable[[], None]], None]) -> list[bool]:
    """Which of the changes that are made elsewhere are seen here."""
    variable = ["before"]
    os.chdir("/")
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.seek(0)
        free = os.dup(file.fileno())  # the number that the next one gets
        os.close(free)

        def change() -> None:
            variable[0] = "after"
            os.chdir("/proc")
            os.dup(file.fileno())
            _read_on(file)

        elsewhere(change)
        opened = _is_open(free)
        if opened:
            os.close(free)
        return [variable[0] == "after", os.getcwd() == "/proc", opened, _place(file) == 4]


def _read_on(file: IO[bytes]) -> None:
    os.read(file.fileno(), 4)


def _place(file: IO[bytes]) -> int:
    return os.lseek(file.fileno(), 0, os.SEEK_CUR)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def shared(who: str, number: int) -> Callable[[Evidence], str]:
    """Whether the change was seen."""
    return lambda e: "shared" if e.returned["client"][who][number] else "its own"


def _row(number: int, thread: str, child: str, source: str) -> tuple[Expect, Expect]:
    return (
        Expect(f"thread: {THINGS[number]}", Kind.WORD, lambda p: thread, shared("thread", number),
               "man 7 pthreads: all of these are attributes of the process"),
        Expect(f"child: {THINGS[number]}", Kind.WORD, lambda p: child, shared("child", number),
               source),
    )  # fmt: skip


STUDY = Study(
    name="what-is-shared",
    topic=Topic.PROCESSES,
    question="A thread changes something, a child process changes something: do I see it?",
    setup="A thread sets a variable, changes its folder, opens a descriptor, and reads 4 bytes of "
    "a file that was open before. Then a child of fork() does the same.",
    prediction="Of the thread: all of it. Threads are one process: one memory, one table of "
    "descriptors, one folder. Of the child: nothing but the place in the file. fork() copies "
    "memory and table, and from then on each has its own. But what the descriptors lead to is not "
    "copied: file, socket or pipe is one, with one place to read from. That is how workers come "
    "to share a listening socket.",
    client=client,
    connection=None,
    expects=(
        *_row(0, "shared", "its own", "man 2 fork: separate memory spaces"),
        *_row(1, "shared", "its own", "man 2 chdir; man 2 clone: without CLONE_FS"),
        *_row(2, "shared", "its own", "man 2 clone: without CLONE_FILES"),
        *_row(3, "shared", "shared",
              "man 2 fork: the descriptors refer to the same open file description"),
    ),
    claims=(
        Claim("Threads share memory, processes do not.",
              lambda e: shared("thread", 0)(e) == "shared" and shared("child", 0)(e) == "its own",
              "unless processes ask for it: `netlab study shared-memory`"),
    ),
    next="`netlab study crash-thread`: what is shared is also lost together.",
)  # fmt: skip
