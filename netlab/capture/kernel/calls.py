"""Entries and exits of system calls, with the forks and ends between them -> call records.

A thread's calls are paired in their order; one whose other half was lost is dropped and counted,
never pieced together. Which socket a call is on says `places`. What stands behind pointers is not
known: addresses come from the network's events of the same socket; what a poll reported, and the
descriptors that a message carried, do not come at all. Calls on files, pipes and timers are left
out. 32-bit programs make calls that these tracepoints do not show.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from netlab.capture.descriptors import Descriptors
from netlab.capture.kernel.effects import EFFECTS
from netlab.capture.kernel.families import Families, Process
from netlab.capture.kernel.network import Network
from netlab.capture.kernel.places import Inside, Places
from netlab.capture.kernel.syscalls import SYSCALLS, Syscall, splice_from
from netlab.capture.kernel.tracepoints import (
    Begun,
    Ended,
    Entered,
    Event,
    Executed,
    Gap,
    Left,
    Lost,
    Moved,
    Routed,
    Seen,
    Signalled,
)
from netlab.model.call import WAITING, CallRecord, Ready
from netlab.model.recording import Loss

# By number (linux/errno.h): what `model.call.RESTARTING` is about.
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND",
             516: "ERESTART_RESTARTBLOCK"}  # fmt: skip
_RESUMED = frozenset({-514, -516})
_NO_OFFSET = frozenset({0xFFFFFFFF, (1 << 64) - 1})  # -1: as readv and writev
_OF_SOCKETS = frozenset({"accept", "accept4", "connect", "recvfrom", "recvmsg", "recvmmsg",
                         "sendto", "sendmsg", "sendmmsg"})  # fmt: skip
_MANY = frozenset({"sendmmsg", "recvmmsg"})


class Calls:
    """`feed` it the events in the order of time; `families` holds what came of them."""

    def __init__(self, tables: Descriptors, network: Network) -> None:
        self.tables = tables
        self.families = Families(tables)
        self.places = Places(tables, network)
        self._network = network
        self._inside: dict[int, Inside] = {}  # by thread
        self._moved_outside: set[int] = set()  # threads in a call whose entry was not seen
        self._resumable: set[int] = set()  # threads whose wait a signal interrupted
        self._gaps = 0  # processors whose events are missing at this moment
        self._had_gap = False
        self.losses: list[Loss] = []
        self._takers: dict[type, Callable[[Any], None]] = {
            Entered: self._entered, Left: self._left, Moved: self._moved, Seen: self._seen,
            Routed: self._routed,
            Begun: self._begun, Ended: self._ended, Executed: self._executed,
            Signalled: self._signalled, Gap: self._gap, Lost: self._lost,
        }  # fmt: skip

    def feed(self, event: Event) -> None:
        """Take one event in."""
        self._takers[type(event)](event)

    def finish(self) -> None:
        """No more events come: calls that are still inside come out so."""
        for tid, inside in sorted(self._inside.items(), key=lambda item: item[1].entered_ns):
            process = self.families.process(tid)
            if process is not None and inside.entered_ns >= process.since_ns:
                self._unreturned(process, tid, inside)
        self._inside.clear()

    # --- what is no call

    def _seen(self, event: Seen) -> None:
        self._network.feed(event)
        if event.destroyed and event.sk is not None:
            self.places.gone(event.sk)
        inside = None if event.in_interrupt else self._inside.get(event.tid)
        if inside is not None and (process := self.families.process(event.tid)) is not None:
            self.places.tie(process.host, inside, event)

    def _begun(self, event: Begun) -> None:
        self._inside.pop(event.child, None)
        self.families.begun(event)

    def _signalled(self, event: Signalled) -> None:
        """It may be the thread's end: then nothing comes of it any more but that."""
        process = self.families.process(event.tid)
        if process is not None and event.by_default and process.ending_ns is None:
            process.mortal = process.mortal or (event.tid, event.number)

    def _executed(self, event: Executed) -> None:
        inside = self._inside.pop(event.old_tid, None)
        if self.families.process(event.tid) is None:
            return
        if inside is None:
            inside = Inside(event.time_ns, "execve", {})
        inside.closed = self.families.executed(event)
        self.places.executed(event.tid)
        self._inside[event.tid] = inside

    def _ended(self, event: Ended) -> None:
        process = self.families.process(event.tid)
        if process is None:
            return
        inside = self._inside.pop(event.tid, None)
        if inside is not None and inside.name != "exit_group":
            self._unreturned(process, event.tid, inside)  # a signal ended it in there
        if self.families.ended(event):
            self.places.process_ended(process.pid)

    def _unreturned(self, process: Process, tid: int, inside: Inside) -> None:
        if inside.socket is not None or self._is_of_sockets(process, tid, inside):
            self.record(process, tid, inside, None)

    def _gap(self, event: Gap) -> None:
        """Events are missing from here on: which thread's is not known, so no call is paired."""
        if event.calls:
            self._gaps += 1
            self._had_gap = True
            self._inside.clear()
        else:
            self._network.lost()

    def _lost(self, event: Lost) -> None:
        what = "events of calls" if event.calls else "events of the network"
        reason, since_ns = "trace buffer full", event.since_ns
        self.losses.append(Loss("kernel", what, event.lost, reason, since_ns=since_ns))
        if event.calls:
            self._gaps -= 1
            self.places.doubt_all()
        else:
            self._network.lost()

    # --- calls

    def _entered(self, event: Entered) -> None:
        process, call = self.families.process(event.tid), SYSCALLS.get(event.name)
        if process is None or call is None or self._gaps:
            return
        arguments = event.arguments
        fd = arguments.get(call.fd) if call.fd else None
        if call.op == "splice" and self.places.socket_at(process.pid, fd or 0) is None:
            fd = arguments["fd_in"]
        inside = self._inside[event.tid] = Inside(event.time_ns, event.name, arguments, fd)
        self._moved_outside.discard(event.tid)
        if process.mortal is not None and process.mortal[0] == event.tid:
            process.mortal = None  # it did not die of it
        if fd is not None:
            inside.opened = self.tables.at(process.pid, fd)
            inside.socket = self.places.socket_at(process.pid, fd)
        if event.name == "exit_group":
            process.status = f"status {arguments.get('error_code', 0) & 0xFF}"
            process.ending_ns = event.time_ns

    def _moved(self, event: Moved) -> None:
        inside = self._inside.get(event.tid)
        process = self.families.process(event.tid)
        if inside is None:
            if not self._gaps:
                self._moved_outside.add(event.tid)
        elif process is not None:
            self.places.moved(process.pid, process.host, inside, event)

    def _routed(self, event: Routed) -> None:
        inside = None if event.in_interrupt else self._inside.get(event.tid)
        if inside is not None:
            self.places.route(inside, event)

    def _left(self, event: Left) -> None:
        inside, process = self._inside.pop(event.tid, None), self.families.process(event.tid)
        if process is None or self._gaps:
            return
        if inside is None or inside.name != event.name:
            # The child of a fork returns from a call that its parent entered.
            if event.tid in self._moved_outside or event.name in _OF_SOCKETS:
                self._unseen_entry(event, process)
        elif inside.entered_ns >= process.since_ns:
            self._returned(process, inside, event)

    def _unseen_entry(self, event: Left, process: Process) -> None:
        """A call on a socket whose entry was before the trace began; or lost, which is said."""
        self._moved_outside.discard(event.tid)
        if event.time_ns >= process.since_ns and process.counts and not self._had_gap:
            reason = "entered before it was watched"
            loss = Loss("kernel", "calls", 1, reason, process.actor, event.time_ns, process.pid)
            self.families.add(process, loss)

    def _returned(self, process: Process, inside: Inside, event: Left) -> None:
        """Let the call's effect on the descriptors happen, and note it."""
        effect = EFFECTS.get(inside.name)
        if effect is not None:
            effect(self, process, inside, event)
        elif self._is_of_sockets(process, event.tid, inside):
            self.record(process, event.tid, inside, event)
        if event.result in _RESUMED and SYSCALLS[inside.name].op in WAITING:
            self._resumable.add(event.tid)  # restart_syscall does not say what it resumes
        else:
            self._resumable.discard(event.tid)

    def _is_of_sockets(self, process: Process, tid: int, inside: Inside) -> bool:
        """Whether a call is recorded: on a socket, or a wait of a process that has some."""
        name, arguments = inside.name, inside.arguments
        if name in ("preadv2", "pwritev2"):
            return inside.socket is not None and arguments["pos_l"] in _NO_OFFSET
        if name == "epoll_ctl":
            return self.places.socket_at(process.pid, arguments["fd"]) is not None
        if name == "restart_syscall":
            return tid in self._resumable
        if name.startswith("epoll_"):
            return True
        if SYSCALLS[name].op in WAITING:
            return bool(self.tables.table(process.pid).sockets())
        return inside.socket is not None

    def record(
        self,
        process: Process,
        tid: int,
        inside: Inside,
        left: Left | None,
        *,
        new_inode: int | None = None,
    ) -> None:
        """Note a call; `left` None: it never returned."""
        if not process.counts:
            return
        call, socket = SYSCALLS[inside.name], inside.socket
        if socket is not None:
            self.places.learn(socket)
        result = None if left is None else left.result
        number = -result if result is not None and result < 0 else 0
        if number:
            result = None if number in _RESTARTS else -1
        many = call.op in _MANY and bool(result)
        ready: tuple[Ready, ...] = ()
        if call.op == "epoll_ctl":  # for which events, no tracepoint tells
            fd = inside.arguments["fd"]
            about = self.places.socket_at(process.pid, fd)
            ready = (Ready(fd, about.inode, 0),) if about is not None else ()
        self.families.add(
            process,
            CallRecord(
                "kernel", process.host, process.actor, process.pid, tid, self.families.order(tid),
                call.op, inside.fd, _text(call, inside), inside.entered_ns,
                None if left is None else left.time_ns,
                requested_bytes=inside.arguments.get(call.requested) if call.requested else None,
                result=result,
                errno=errno_name(number) if number else None,
                flags=inside.arguments.get(call.flags, 0) if call.flags else 0,
                inode=socket.inode if socket is not None else None,
                family=socket.family if socket is not None else None,
                kind=socket.kind if socket is not None else None,
                local=socket.local if socket is not None else None,
                peer=socket.peer if socket is not None else None,
                address=inside.address,
                new_inode=new_inode,
                ready=ready,
                message_bytes=tuple(inside.moved) if many else (),
                message_addresses=tuple(inside.addresses) if many and any(inside.addresses) else (),
            ),
        )  # fmt: skip


def _text(call: Syscall, inside: Inside) -> str:
    if call.op == "connect":
        return inside.address or ""
    if call.op == "splice" and inside.fd == inside.arguments.get("fd_in"):
        return splice_from(inside.arguments)
    return call.text(inside.arguments) if inside.arguments else ""


def errno_name(number: int) -> str:
    """`EAGAIN`; also those that never leave the kernel."""
    return errno.errorcode.get(number) or _RESTARTS.get(number) or str(number)
