"""Which sockets are stamped by the kernel, and their stamps -> the spool of the calling thread.

A witness never breaks the program that it watches, and a stamp in the error queue is an error to
whoever polls: so the queue is emptied after each send, before a close, whenever a call would have
blocked, and in every wait that goes through the probe, which does not report what was stamps alone.
The queue is the program's where the program uses it: then there are no stamps, and a note says so.

What this module must not know: what the calls are. Read `errqueue` first.
"""

from __future__ import annotations

import select
from collections.abc import Collection
from socket import IPPROTO_TCP
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from netlab.capture.probe import errqueue, layout
from netlab.capture.probe.errqueue import Refused
from netlab.capture.probe.journal import Journal, SocketState
from netlab.capture.probe.layout import HEAD_BYTES
from netlab.model.call import POLLERR, POLLHUP

if TYPE_CHECKING:
    from netlab.capture.probe.sockets import TracedSocket

KIND = "stamps"
_ROUNDS = 16  # stamps that come while others are read: then it is their turn later


StampsOf = bool | Collection[int]  # all connections, or those of some ports, at either end


def stamps_text(stamps: StampsOf) -> str:
    """Which connections are stamped, as NETLAB_STAMPS says it."""
    if isinstance(stamps, bool):
        return "yes" if stamps else ""
    return ",".join(map(str, sorted(stamps)))


def stamps_from_text(text: str) -> StampsOf:
    """What `stamps_text` was given; other words for yes are known, too. Raises ValueError."""
    if text in ("", "yes", "1", "true", "on"):
        return bool(text)
    return frozenset(map(int, text.split(",")))


class Stamps:
    """The stamped sockets of one process; `of` says which connections."""

    def __init__(self, journal: Journal, of: StampsOf = True) -> None:
        self._journal = journal
        self._ports = None if isinstance(of, bool) else frozenset(map(str, of))
        self.on: dict[int, SocketState] = {}  # by descriptor
        self._left_alone: set[int] = set()  # descriptors whose program reads the queue itself
        self._mute: set[int] = set()  # stamped no more, but what is under way may still come
        self._said: set[str] = set()

    # -- which sockets ---------------------------------------------------------------------------

    def begin(self, sock: TracedSocket) -> None:
        """From here on, if it has a peer: nothing may have been sent yet."""
        state = sock.state
        if state is None or not state.is_tcp or self._journal.off:
            return
        if sock.proto not in (0, IPPROTO_TCP):  # MPTCP counts otherwise
            return
        if not self._chosen(state):
            return
        fd = state.fd
        if fd in self.on:
            self.on[fd] = state
        elif fd not in self._left_alone:
            try:
                if errqueue.switch_on(sock):
                    self.on[fd] = state
            except Refused as refused:
                self._leave_alone(fd, str(refused))
            except Exception as error:
                self._journal.fault(error)

    def adopt(self, sock: TracedSocket) -> None:
        """A socket that came from elsewhere: how much it has sent is not known, unless it was one
        of ours before."""
        self.follow(sock)
        state = sock.state
        known = state is None or not state.is_tcp or state.peer is None or state.fd in self.on
        if not known and self._chosen(state):
            self._say("a socket was connected before it came to the probe")

    def follow(self, sock: TracedSocket) -> None:
        """Another descriptor of a socket: one that a process of ours has handed over, or dup."""
        state = sock.state
        if state is not None and state.is_tcp and errqueue.is_on(sock):
            self.on[state.fd] = state

    def before_connect(self, sock: TracedSocket) -> None:
        """The kernel counts from an attempt that failed: let it count anew."""
        state = sock.state
        if state is not None and state.fd in self.on and errqueue.is_closed(sock):
            self._switch_off(state.fd)

    def step_aside(self, sock: TracedSocket, name: str) -> None:
        """The program is about to use `name`: the queue is its own from here on."""
        state = sock.state
        if state is None or not state.is_tcp or state.fd in self._left_alone:
            return
        fd = state.fd
        if fd in self.on:
            inode = self.on[fd].inode
            for other in [each for each, state in self.on.items() if state.inode == inode]:
                self._switch_off(other)
        self._leave_alone(fd, errqueue.own_use_text(name))

    def let_go(self, fd: int, *, off: bool = False) -> None:
        """The descriptor is about to be closed; `off`: somebody else goes on with the socket.

        Who polls it then may still see the ACKs of what is under way, as errors that are none.
        """
        if fd in self.on:
            if off:
                errqueue.switch_off(fd)
            self.take(fd)
        self.forget(fd)

    def forget(self, fd: int) -> None:
        """The descriptor is not what it was: its number has been given away again."""
        self.on.pop(fd, None)
        self._left_alone.discard(fd)
        self._mute.discard(fd)

    def take_all(self) -> None:
        """Read the stamps of every socket: the process ends."""
        for fd in list(self.on):
            self.take(fd)

    # -- the stamps ------------------------------------------------------------------------------

    def take(self, fd: int) -> int:
        """Write down the stamps that are there; how many they were. The program never notices.

        Just after a send those of its leaving are there, and the ACK of the send before.
        """
        state = self.on.get(fd)
        if state is None:
            return 0
        journal = self._journal
        try:
            found = errqueue.drain(fd)
            if found.others:
                self._say(f"{found.others} messages of the error queue were not stamps")
            if journal.off:
                self._silence(fd)
                return len(found.stamps)
            spool = journal.spool() if found.stamps else None
            if spool is None:
                return len(found.stamps)
            number = journal.announce(state, spool)
            for stamped_ns, moment, key in found.stamps:
                at = spool.at
                end = at + HEAD_BYTES
                if end > spool.end:
                    spool.append(layout.STAMP, 0, stamped_ns, key, moment, number, b"")
                else:  # see quick.py: no call between these
                    spool.at = end
                    _pack(spool.view, at, stamped_ns, key, moment, number, _MARKER)
        except Exception as error:
            journal.fault(error)
            return 0
        return len(found.stamps)

    # -- waits -----------------------------------------------------------------------------------

    def real(self, fd: int, events: int) -> int:
        """What is left of the events of a descriptor without an error that is stamps alone."""
        if not events & POLLERR or fd not in self.on:
            return events
        poller = select.poll()
        poller.register(fd, 0)
        for _ in range(_ROUNDS):
            taken = self.take(fd)
            if not any(bits & POLLERR for _, bits in poller.poll(0)):
                return events & ~POLLERR
            if not taken:
                return events  # an error of the socket's own
        return events & ~POLLERR

    def now(self, fd: int, events: int) -> int:
        """The events that hold for a stamped descriptor now, errors and hang-ups as well."""
        poller = select.poll()
        poller.register(fd, events)
        found = poller.poll(0)
        return self.real(fd, found[0][1]) if found else 0

    def wait(self, fd: int, events: int, timeout_s: float) -> None:
        """Wait as a socket with a time-out does before its call. Raises TimeoutError as it does."""
        until_s = monotonic() + timeout_s
        poller = select.poll()
        poller.register(fd, events)
        left_s = timeout_s
        while True:
            found = poller.poll(left_s * 1000)
            if found and self.real(fd, found[0][1]) & (events | POLLERR | POLLHUP | _INVALID):
                return
            left_s = until_s - monotonic()
            if left_s <= 0:
                raise TimeoutError("timed out")

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """No more stamps from any socket; what is under way is still kept from the program."""
        for fd in list(self.on):
            self._silence(fd)
            self.take(fd)

    def _chosen(self, state: SocketState | None) -> bool:
        if self._ports is None or state is None:
            return True
        ends = (state.local, state.peer)
        return any(end.rpartition(":")[2] in self._ports for end in ends if end is not None)

    def _silence(self, fd: int) -> None:
        if fd not in self._mute:
            self._mute.add(fd)
            errqueue.switch_off(fd)

    def _switch_off(self, fd: int) -> None:
        errqueue.switch_off(fd)
        self.take(fd)
        self.on.pop(fd, None)

    def _leave_alone(self, fd: int, reason: str) -> None:
        self._left_alone.add(fd)
        self._say(reason)

    def _say(self, reason: str) -> None:
        """Once for each reason: stamps are missing."""
        journal = self._journal
        if reason in self._said or journal.off:
            return
        self._said.add(reason)
        tail = layout.tail_text(layout.TAG_REASON, reason) + layout.tail_text(layout.TAG_KIND, KIND)
        try:
            spool = journal.spool()
            if spool is not None:
                spool.append(layout.LOSS, 0, time_ns(), 0, 0, 0, tail)
        except Exception as error:
            journal.fault(error)


_pack = layout.QUICK_HEAD.pack_into
_MARKER = layout.quick_marker(layout.STAMP, 0, HEAD_BYTES)
_INVALID = select.POLLNVAL
