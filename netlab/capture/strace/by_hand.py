"""Logs that somebody took with strace elsewhere -> their calls, or what is wrong with them.

FILE is one log of `strace -f -ttt -T -o FILE`; or there is none of that name but FILE.PID for each
process (-ff), which are put together by time. What strace was not asked for and cannot be done
without is found out from its first lines.
Read first: man 1 strace (-f, -ff, -o, -t, -ttt, -T, -r).
"""

from __future__ import annotations

import errno
import heapq
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path

from netlab.capture.strace.reader import CUT_SHORT, MAYBE_SOCKETS, StraceReader
from netlab.model.call import CallRecord, Inheritance
from netlab.model.errors import BadRecording
from netlab.model.recording import Loss
from netlab.model.records import dataclass

COMMAND = "strace -f -ttt -T -yy -s 64 -o LOG PROGRAM"  # or -p PID in its place
_PIECE_BYTES = 1 << 20
_LOOKED_AT_BYTES = 1 << 18
_LINE = re.compile(
    rb"(?:\[pid +\d+\] |\d+ +)?"
    rb"(?:(?P<epoch>\d{9,11}\.\d{6,9}) +"
    rb"|(?: *\d\d:\d\d:\d\d(?:\.\d+)?|\d{9,11}| *\d{1,6}\.\d{6})(?P<other> +))?"  # -t, -tt; -r
    rb"(?P<said>[a-z_][a-z_0-9]*\(.*|<\.\.\. [a-z_0-9]+ resumed>.*|\+\+\+ .*|--- SIG.*)"
)
_RETURNED = re.compile(rb"\) += (?:-?\d|0x)")
_TOOK = re.compile(rb"<\d+\.\d+>$")
_EPOCH = re.compile(rb"\d{9,11}\.(\d{6,9}) ")
_WITH_PID = re.compile(rb"(?:\[pid +\d+\] |\d+ +)\d{9,11}\.\d")
# Faults that are about no call that moves bytes.
_HARMLESS = re.compile(
    r"^(?:socketpair|pipe2?|epoll_\w+|p?poll|p?select6?|[gs]etsockopt|getsockname|getpeername)\b"
    rf"|{MAYBE_SOCKETS}"
)
_UNREAD = ("not understood", "not a line", "and more")  # any call may stand there
_MOST_ACTORS = 16
_SUFFIX = re.compile(r"(.+)\.(\d{1,10})")


@dataclass(slots=True)
class Log:
    """What one log says."""

    name: str
    calls: list[CallRecord] = field(default_factory=list)
    inheritances: list[Inheritance] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # lines that were not understood
    resolution_ns: int = 1000  # of its times


def find_logs(paths: Iterable[Path]) -> list[list[Path]]:
    """The files of each log that was named.

    FILE.PID files of one FILE are one log, whether FILE or each of them was named. Raises
    BadRecording where there is nothing of that name.
    """
    found: dict[Path, list[Path]] = {}
    for path in paths:
        match = _SUFFIX.fullmatch(path.name)
        if os.path.lexists(path):
            alone = match is None or not _is_of_one_thread(path)
            stem = path if alone or match is None else path.with_name(match[1])
            found.setdefault(stem, []).append(path)
            continue
        parts = _parts_of(path)
        if not parts:
            raise BadRecording(
                f"cannot read {path}", "no such file, and no file of that name with .PID behind it"
            )
        found.setdefault(path, []).extend(parts)
    return [list(dict.fromkeys(parts)) for parts in found.values()]


def _parts_of(path: Path) -> list[Path]:
    """FILE.PID for each process of `strace -ff -o FILE`."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    numbers = sorted(
        int(match[2])
        for name in names
        if (match := _SUFFIX.fullmatch(name)) and match[1] == path.name
    )
    return [path.with_name(f"{path.name}.{number}") for number in numbers]


def _is_of_one_thread(path: Path) -> bool:
    """Whether the lines of a log do not say whose they are, as those of -ff."""
    head = _head_of(path)
    lines = [line for line in head.split(b"\n")[:50] if line]
    return not any(_WITH_PID.match(line) for line in lines)


def read_log(paths: list[Path], host: str, actor: str, *, keep_bytes: int = 0) -> Log:
    """All that a log says; several paths are the files of -ff.

    `keep_bytes`: so much of what each call moved is kept. Raises BadRecording when a file cannot be
    read, is no log of strace, or lacks what netlab needs.
    """
    log = Log(_name_of(paths))
    # All of one log have been asked for the same; the first of a short-lived process says little.
    for path in paths:
        check_options(_head_of(path), str(path))
    reader = StraceReader(host, actor, keep_bytes=keep_bytes)
    pieces = _file(paths[0]) if len(paths) == 1 and not _one_of_many(paths[0]) else _merged(paths)
    for piece in pieces:
        reader.feed(piece)
        _take(reader, log)
    reader.finish()
    _take(reader, log)
    log.faults = list(reader.faults)
    log.resolution_ns = _resolution_ns(log.calls)
    log.losses += _not_followed(log, actor)
    log.losses += _gaps(reader, log, actor)
    return log


def _gaps(reader: StraceReader, log: Log, actor: str) -> list[Loss]:
    """What the faults of a log say of calls that may be missing."""
    grave = [fault for fault in reader.faults if not _HARMLESS.search(fault)]
    if not grave:
        return []
    if not any(fault.startswith((CUT_SHORT, *_UNREAD)) for fault in grave):
        reason = "the log cuts them off: strace -v shows them whole"
        return [Loss("strace", "arguments", None, reason, actor)]
    actors = list(dict.fromkeys(call.actor for call in log.calls)) or [actor]
    if len(actors) > _MOST_ACTORS:
        actors = [""]
    if len(grave) == 1 and grave[0].startswith(CUT_SHORT):
        times = [call.returned_by_ns or call.returned_ns or call.entered_ns for call in log.calls]
        since_ns = max(times, default=None)
        return [
            Loss("strace", "calls", None, "the log was cut short", one, since_ns) for one in actors
        ]
    reason = "lines of the log were not understood"
    return [Loss("strace", "calls", None, reason, one) for one in actors]


def _not_followed(log: Log, actor: str) -> list[Loss]:
    """Children that had sockets and of which the log has no line, not even their end."""
    seen = {call.pid for call in log.calls}
    return [
        Loss("strace", "calls", None, f"process {one.pid} has no line in the log (strace -f)",
             actor, one.time_ns, one.pid)
        for one in log.inheritances if one.pid not in seen
    ]  # fmt: skip


def _take(reader: StraceReader, log: Log) -> None:
    log.calls += reader.calls
    log.inheritances += reader.inheritances
    log.losses += reader.losses
    reader.calls.clear()
    reader.inheritances.clear()
    reader.losses.clear()


def _name_of(paths: list[Path]) -> str:
    if len(paths) == 1:
        return paths[0].name
    match = _SUFFIX.fullmatch(paths[0].name)
    return f"{match[1] if match else paths[0].name}.*"


def _one_of_many(path: Path) -> bool:
    return _SUFFIX.fullmatch(path.name) is not None and _is_of_one_thread(path)


def _resolution_ns(calls: list[CallRecord]) -> int:
    return 1000 if all(call.entered_ns % 1000 == 0 for call in calls) else 1


# --- files


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return fd
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = f"{reason[:1].lower()}{reason[1:]}; name a log of strace"
        raise BadRecording(f"cannot read {path}", hint) from None


def _head_of(path: Path) -> bytes:
    with os.fdopen(_open(path), "rb") as file:
        return file.read(_LOOKED_AT_BYTES)


def _file(path: Path) -> Iterator[bytes]:
    with os.fdopen(_open(path), "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _merged(paths: list[Path]) -> Iterator[bytes]:
    """The lines of all files in order of time, each with the number of its process before it."""
    parts: list[bytes] = []
    size = 0
    for _, line in heapq.merge(*map(_timed, paths), key=lambda item: item[0]):
        parts.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def _timed(path: Path) -> Iterator[tuple[tuple[int, int], bytes]]:
    match = _SUFFIX.fullmatch(path.name)
    pid = int(match[2]) if match else 0
    prefix = b"%d " % pid
    last = 0
    with os.fdopen(_open(path), "rb") as file:
        for line in file:
            stamp = _EPOCH.match(line)
            if stamp is not None:
                seconds, _, fraction = stamp[0].strip().partition(b".")
                last = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0")[:9])
            yield (last, pid), prefix + line if line.endswith(b"\n") else prefix + line + b"\n"


# --- what strace was asked for


def check_options(head: bytes, name: str) -> None:
    """Raises BadRecording unless these are the first bytes of a log that can be used."""
    whole, _, rest = head.rpartition(b"\n")
    lines = [line for line in (whole or rest).split(b"\n") if line.strip()]
    if not lines:
        raise BadRecording(f"{name} is empty", f"strace wrote nothing into it; run `{COMMAND}`")
    found = [match for line in lines if (match := _LINE.match(line.strip()))]
    if not found:
        raise BadRecording(
            f"{name} is no log of strace", f"take one with `{COMMAND}`, or with -p PID"
        )
    returned = [match["said"] for match in found if _RETURNED.search(match["said"])]
    missing = []
    if not any(match["epoch"] for match in found):
        other = any(match["other"] for match in found)
        why = " (times of day and differences do not tell when)" if other else ""
        missing.append(f"-ttt{why}")
    if returned and not any(map(_TOOK.search, returned)):
        missing.append("-T")
    if missing:
        raise BadRecording(
            f"{name} was taken without {' and '.join(missing)}", f"run `{COMMAND}`, or with -p PID"
        )
