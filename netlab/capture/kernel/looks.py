"""Datagram sockets whose own address no event tells -> asked of /proc, and believed with care.

A socket that is bound and only receives makes no event that names its address. While its process
holds it, /proc knows. What a look saw counts once all events up to that moment have been read, and
only if the descriptor led to the same socket before and after. One that is gone before the look
stays without an address. Looking touches nothing of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from netlab.capture.descriptors import Descriptors, OpenSocket
from netlab.capture.kernel.processes import Held, socket_behind
from netlab.model.call import CallRecord

_MOST = 16  # of one turn
_INTERNET = frozenset({"AF_INET", "AF_INET6"})
_NO_PORT = ":0"


class _Look(NamedTuple):
    socket: OpenSocket
    pid: int
    fd: int
    time_ns: int
    held: Held


class Looks:
    """Those that were taken and wait to be believed."""

    def __init__(self, tables: Descriptors, now: Callable[[], int]) -> None:
        """`now`: on the clock of the events."""
        self._tables = tables
        self._now = now
        self._taken: list[_Look] = []
        self._local: dict[int, str] = {}  # of sockets that held calls are of, by inode
        self._held: list[CallRecord] = []  # calls of sockets whose address is about to be known

    def believe(self, before_ns: int) -> list[OpenSocket]:
        """All events before that moment have been read; the sockets whose address is known now."""
        later, known = [], []
        for look in self._taken:
            if look.time_ns >= before_ns:
                later.append(look)
            elif self._tables.at(look.pid, look.fd) is look.socket and look.socket.local is None:
                self._tables.has_ends(look.socket, look.held.local, look.held.peer)
                self._local[look.socket.inode] = look.held.local or ""
                known.append(look.socket)
        self._taken = later
        return known

    def sift(self, calls: Iterable[CallRecord]) -> list[CallRecord]:
        """The calls to be told now, with the addresses that looks have brought; others wait."""
        told: list[CallRecord] = []
        waiting = {look.socket.inode for look in self._taken}
        held, self._held = [*self._held, *calls], []
        for call in held:
            if call.inode in waiting:
                self._held.append(call)
            elif call.local is None and call.inode in self._local:
                told.append(replace(call, local=self._local[call.inode]))
            else:
                told.append(call)
        if not self._held:
            self._local.clear()
        return told

    def take(self, calls: Iterable[CallRecord]) -> None:
        """Look at the sockets of these calls, where it helps."""
        waiting = {id(look.socket) for look in self._taken}
        for call in calls:
            if len(self._taken) >= _MOST:
                return
            if call.kind != "SOCK_DGRAM" or call.local is not None or call.fd is None:
                continue
            socket = self._tables.at(call.pid, call.fd)
            if not isinstance(socket, OpenSocket) or socket.inode != call.inode:
                continue
            if socket.local is not None or socket.family not in _INTERNET or id(socket) in waiting:
                continue
            held = socket_behind(call.pid, call.fd)
            if held is not None and held.local is not None and not held.local.endswith(_NO_PORT):
                waiting.add(id(socket))
                self._taken.append(_Look(socket, call.pid, call.fd, self._now(), held))
