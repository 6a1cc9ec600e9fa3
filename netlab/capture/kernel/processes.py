"""A process as it is now -> its threads, its name, and the sockets behind its descriptors.

From /proc: nothing of the process is touched. Addresses are those of /proc/PID/net, so of its own
network namespace. Read first: man 5 proc.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace

from netlab.model.errors import UsageError
from netlab.model.records import dataclass

_TRIES = 50
_LISTEN = 0x0A
_TABLES = (
    ("tcp", "AF_INET", "SOCK_STREAM"),
    ("tcp6", "AF_INET6", "SOCK_STREAM"),
    ("udp", "AF_INET", "SOCK_DGRAM"),
    ("udp6", "AF_INET6", "SOCK_DGRAM"),
)
_UNIX_KINDS = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 5: "SOCK_SEQPACKET"}


@dataclass(frozen=True, slots=True)
class Held:
    """A socket that a process holds."""

    inode: int
    family: str | None = None
    kind: str | None = None
    local: str | None = None
    peer: str | None = None
    listens: bool = False
    closing: bool = False  # an execve closes this descriptor (FD_CLOEXEC)


def threads_of(pid: int) -> list[int]:
    """Raises UsageError when there is no such process."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        hint = "it has ended, or the number is another's"
        raise UsageError(f"there is no process {pid}", hint) from None


def name_of(pid: int) -> str:
    """What it is called (comm); empty where it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().rstrip(b"\n").decode("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def sockets_of(pid: int, now: Callable[[], int]) -> tuple[dict[int, Held], int]:
    """The sockets by descriptor, and the time at which these were all: looked at twice."""
    before = _inodes(pid)
    for _ in range(_TRIES):
        time_ns = now()
        after = _inodes(pid)
        if before == after:
            break
        before = after
    else:
        raise UsageError(
            f"process {pid} opens and closes descriptors too fast to look at them",
            "start the program under netlab: netlab trace -- COMMAND",
        )
    known = _described(pid, set(after.values()))
    return {
        fd: replace(known.get(inode, Held(inode)), closing=_closes(pid, fd))
        for fd, inode in after.items()
    }, time_ns


def socket_behind(pid: int, fd: int) -> Held | None:
    """The socket that a descriptor leads to at this moment; None where that cannot be seen."""
    try:
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if not target.startswith("socket:["):
            return None
        inode = int(target[8:-1])
        return _described(pid, {inode}).get(inode)
    except OSError:
        return None


def _closes(pid: int, fd: int) -> bool:
    """Whether an execve closes the descriptor."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            flags = next(line for line in file if line.startswith("flags:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return False
    return bool(int(flags.split()[1], 8) & os.O_CLOEXEC)


def _inodes(pid: int) -> dict[int, int]:
    found = {}
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return {}
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if target.startswith("socket:["):
            found[int(name)] = int(target[8:-1])
    return found


def _described(pid: int, inodes: set[int]) -> dict[int, Held]:
    found: dict[int, Held] = {}
    if not inodes:
        return found
    for table, family, kind in _TABLES:
        for fields in _lines(pid, table):
            inode = int(fields[9])
            if inode in inodes:
                listens = kind == "SOCK_STREAM" and int(fields[3], 16) == _LISTEN
                peer = _address(fields[2])
                found[inode] = Held(
                    inode, family, kind, _address(fields[1]),
                    None if listens or peer.endswith(":0") else peer, listens,
                )  # fmt: skip
    for fields in _lines(pid, "unix"):
        inode = int(fields[6])
        if inode in inodes:
            name = " ".join(fields[7:])
            kind = _UNIX_KINDS.get(int(fields[4], 16), "")
            listens = bool(int(fields[3], 16) & 0x10000)  # __SO_ACCEPTCON
            found[inode] = Held(inode, "AF_UNIX", kind or None, f"unix:{name}", None, listens)
    return found


def _lines(pid: int, table: str) -> Iterable[list[str]]:
    try:
        with open(f"/proc/{pid}/net/{table}", errors="surrogateescape") as file:
            return [line.split() for line in file.readlines()[1:]]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _address(text: str) -> str:
    """`0100007F:1F90`: words of 32 bits in the machine's order."""
    words, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    if len(raw) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, raw)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]:{int(port, 16)}"
