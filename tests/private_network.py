"""Run a test's body in a child that has a network namespace of its own, loopback up."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import traceback
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import TypeVar

from netlab.lab import syscalls

T = TypeVar("T")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def in_private_network(work: Callable[[], T], *, uid: int | None = None) -> T:
    """The result of `work()`, run as this user or as `uid` (root only); its failure is ours.

    Anyone but root gets the namespace through a user namespace, as root inside it.
    """
    return in_child(lambda: _with_network(work, uid))


def in_child(work: Callable[[], T]) -> T:
    """The result of `work()`, run in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            try:
                answer = pickle.dumps((True, work()))
            except BaseException:
                answer = pickle.dumps((False, traceback.format_exc()))
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    assert answer, "the child died without an answer"
    done, value = pickle.loads(answer)
    assert done, f"in the private network:\n{value}"
    return value  # type: ignore[no-any-return]


def _with_network(work: Callable[[], T], uid: int | None) -> T:
    if uid is not None:
        become(uid)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        syscalls.unshare(syscalls.CLONE_NEWNET)
    else:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    set_up("lo", up=True)
    return work()


def become(uid: int) -> None:
    """Drop to `uid` for good, as a fresh login would (what was imported stays imported)."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    syscalls._prctl(4, 1)  # PR_SET_DUMPABLE: else /proc/self still belongs to root


def set_up(interface: str, *, up: bool) -> None:
    """Bring an interface up or down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("@16s24x", interface.encode())
        (flags,) = struct.unpack_from("@H", ioctl(sock, SIOCGIFFLAGS, request), 16)
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        ioctl(sock, SIOCSIFFLAGS, struct.pack("@16sH22x", interface.encode(), flags))
