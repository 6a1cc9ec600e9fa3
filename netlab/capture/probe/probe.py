"""The probe that a watched process uses in place of the standard library's sockets and pollers.

It wires one journal to the sockets and pollers it makes; the two ends of the wire know nothing of
folders or environment variables.
"""

from __future__ import annotations

import os
import select as plain_select
import socket as plain
from collections.abc import Iterable, Mapping
from typing import Any, cast

from netlab.capture.probe.addresses import maybe_local, maybe_peer
from netlab.capture.probe.journal import Journal, name_of
from netlab.capture.probe.layout import OP
from netlab.capture.probe.objects import JournalNotes, TracedPipeEnd, notes_on
from netlab.capture.probe.pollers import TracedEpoll, TracedPoll, traced_select
from netlab.capture.probe.quick import QuickSocket, SampledSocket
from netlab.capture.probe.quick_epoll import QuickEpoll
from netlab.capture.probe.sockets import TracedSocket
from netlab.capture.probe.stamped import StampedQuickSocket, StampedSampledSocket, StampedSocket
from netlab.capture.probe.stamped_pollers import StampedEpoll, StampedPoll, stamped_select
from netlab.capture.probe.stamps import Stamps, StampsOf, stamps_from_text
from netlab.model.errors import UsageError
from netlab.model.probe import SendAbout

QUEUES = ("calls", "events", "off")
SPOOL_LIMIT_BYTES = 1 << 30
_MOST_SEGMENT_BYTES = 1 << 20
_SEGMENTS_AT_LEAST = 16  # each thread takes a whole one: a small limit is shared fairly


def segment_bytes(limit_bytes: int) -> int:
    """How long a spool's segments should be under this limit on all spools."""
    return min(_MOST_SEGMENT_BYTES, limit_bytes // _SEGMENTS_AT_LEAST)


class JournalProbe:
    """Makes sockets and pollers whose calls are recorded in a spool in `folder`.

    `queues` says when SIOCINQ and SIOCOUTQ are sampled: around all `calls`, at `events` (EAGAIN,
    time-out, close), or never (`off`; calls are recorded all the same). With `tcp_info` struct
    tcp_info is kept before and after each call, with `code` the caller's file and line. With
    `stamps` the kernel stamps when bytes leave by the TCP sockets that are connected or accepted
    here, and when they are acknowledged (SO_TIMESTAMPING): all of them, or those that have one of
    some ports at either end.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, actor: str, host: str = "localhost",
        queues: str = "calls", tcp_info: bool = False, code: bool = False, stamps: StampsOf = False,
        segment_bytes: int = 1 << 20, limit_bytes: int = SPOOL_LIMIT_BYTES,
        proc_fd: int | None = None,
    ) -> None:  # fmt: skip
        if queues not in QUEUES:
            raise UsageError(f"queues={queues!r} is not known", f"one of {', '.join(QUEUES)}")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.journal = Journal(
            folder, host=host, actor=actor, queues=queues, tcp_info=tcp_info, code=code,
            segment_bytes=segment_bytes, limit_bytes=limit_bytes, proc_fd=proc_fd,
        )  # fmt: skip
        self._make: type[TracedSocket] = TracedSocket
        if not tcp_info and not code:
            self._make = SampledSocket if queues == "calls" else QuickSocket
        self._stamps: Stamps | None = None
        if stamps:
            self._stamps = self.journal.stamps = Stamps(self.journal, stamps)
            self._make = _STAMPED[self._make]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> JournalProbe:
        """The probe that NETLAB_SPOOL, NETLAB_ACTOR, NETLAB_HOST, NETLAB_QUEUES, NETLAB_TCP_INFO,
        NETLAB_CODE, NETLAB_STAMPS, NETLAB_SPOOL_LIMIT and NETLAB_PROC_FD ask for; KeyError without
        NETLAB_SPOOL."""
        limit = int(environment.get("NETLAB_SPOOL_LIMIT", "") or SPOOL_LIMIT_BYTES)
        proc_fd = environment.get("NETLAB_PROC_FD", "")
        return cls(
            environment["NETLAB_SPOOL"],
            actor=environment.get("NETLAB_ACTOR", "program"),
            host=environment.get("NETLAB_HOST", "localhost"),
            queues=environment.get("NETLAB_QUEUES", "calls"),
            tcp_info=environment.get("NETLAB_TCP_INFO", "") in _YES,
            code=environment.get("NETLAB_CODE", "") in _YES,
            stamps=stamps_from_text(environment.get("NETLAB_STAMPS", "")),
            limit_bytes=limit,
            segment_bytes=segment_bytes(limit),
            proc_fd=int(proc_fd) if proc_fd else None,
        )

    def socket(
        self, family: int = plain.AF_INET, kind: int = plain.SOCK_STREAM, protocol: int = 0
    ) -> TracedSocket:
        """A new traced socket."""
        journal = self.journal
        text = _socket_text(family, kind, protocol)
        inside = journal.enter(OP["socket"], None, args=text)
        try:
            sock = self._make(journal, family, kind, protocol)
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, None, error)
            raise
        if inside is not None:
            sock.watch()
            journal.leave(inside, sock.state, sock.fileno())
        return sock

    def socketpair(
        self, family: int = plain.AF_UNIX, kind: int = plain.SOCK_STREAM, protocol: int = 0
    ) -> tuple[TracedSocket, TracedSocket]:
        """Two traced sockets, connected to each other."""
        journal = self.journal
        inside = journal.enter(
            OP["socketpair"], None, args=_socket_text(family, kind, protocol)
        )  # fmt: skip
        try:
            pair = plain.socketpair(family, kind, protocol)
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, None, error)
            raise
        first, second = (
            self._make(journal, family, kind, protocol, fileno=sock.detach()) for sock in pair
        )
        for sock in (first, second):
            sock.watch(local=maybe_local(sock), peer=maybe_peer(sock))
        if inside is not None:
            journal.leave(inside, first.state, 0, inodes=(second.inode, second.inode))
        return first, second

    def adopt(self, sock: plain.socket) -> TracedSocket:
        """Take over a plain socket's descriptor: it is traced from here on, `sock` is detached."""
        timeout = sock.gettimeout()
        family, kind, protocol = sock.family, sock.type, sock.proto
        traced = self._make(self.journal, family, kind, protocol, fileno=sock.detach())
        if traced.gettimeout() != timeout:
            traced.settimeout(timeout)
        traced.watch(local=maybe_local(traced), peer=maybe_peer(traced))
        if self._stamps is not None:
            self._stamps.adopt(traced)
        return traced

    def epoll(self) -> plain_select.epoll:
        """A new traced epoll descriptor."""
        if self._stamps is not None:
            return cast(plain_select.epoll, StampedEpoll(self.journal, self._stamps))
        make = TracedEpoll if self.journal.code else QuickEpoll
        return cast(plain_select.epoll, make(self.journal))

    def poll(self) -> TracedPoll:
        """A new traced poll object."""
        if self._stamps is not None:
            return StampedPoll(self.journal, self._stamps)
        return TracedPoll(self.journal)

    def select(
        self, readers: Iterable[Any], writers: Iterable[Any], exceptional: Iterable[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:  # fmt: skip
        """A traced select.select."""
        stamps = self._stamps
        wait = plain_select.select if stamps is None else stamped_select(stamps)
        return traced_select(self.journal, readers, writers, exceptional, timeout, wait)

    def sendfile(self, sock: plain.socket, file: int, offset: int, count: int, /) -> int:
        """A traced sendfile(2) on one of our sockets: one call, as the kernel sees it."""
        if isinstance(sock, TracedSocket):
            return sock.sendfile_once(file, offset, count)
        return os.sendfile(sock.fileno(), file, offset, count)

    def maybe_send_about(self, sock: plain.socket) -> SendAbout | None:
        """The traced socket's send that also notes what the bytes are about."""
        return sock.send_about if isinstance(sock, TracedSocket) else None

    def pipe(self) -> tuple[TracedPipeEnd, TracedPipeEnd]:
        """A new traced pipe: the end to read from, the end to write to. Neither blocks."""
        journal = self.journal
        inside = journal.enter(OP["pipe"], None, args="O_CLOEXEC|O_NONBLOCK")
        try:
            fds = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except BaseException as error:
            if inside is not None:
                journal.fail(inside, None, error)
            raise
        reader, writer = TracedPipeEnd(journal, fds[0]), TracedPipeEnd(journal, fds[1])
        if inside is not None:
            journal.leave(inside, reader.state, 0)
        return reader, writer

    def adopt_pipe(self, fd: int) -> TracedPipeEnd:
        """An end of a pipe that came from elsewhere."""
        return TracedPipeEnd(self.journal, fd)

    def notes(self, kind: str, identity: int, fd: int | None = None) -> JournalNotes:
        """Where to note the calls on an object that is no socket."""
        return notes_on(self.journal, kind, identity, fd)

    def stand_in(self, fd: int, for_fd: int) -> None:
        """A poller that reports `fd` means what is behind `for_fd`; -1: `fd` is closed again."""
        held = self.journal.held
        if for_fd in held:
            held[fd] = held[for_fd]
        else:
            held.pop(fd, None)

    def name_thread(self, actor: str) -> None:
        """The calling thread acts as `actor` from here on."""
        self.journal.name_thread(actor)

    def leaving(self) -> None:
        """Note the end of this process, which ends by os._exit: at exit nothing will run."""
        self.journal.at_exit()

    def name_child(self, actor: str) -> None:
        """The child of the next fork acts as `actor`."""
        self.journal.name_child(actor)

    def close(self) -> None:
        """Record nothing more. The sockets made so far go on as plain ones."""
        if self._stamps is not None:
            self._stamps.close()
        self.journal.close()


_STAMPED: dict[type[TracedSocket], type[TracedSocket]] = {
    TracedSocket: StampedSocket,
    QuickSocket: StampedQuickSocket,
    SampledSocket: StampedSampledSocket,
}
_YES = ("1", "true", "yes", "on")


def _socket_text(family: object, kind: object, protocol: object) -> str:
    if not isinstance(family, int) or not isinstance(kind, int):
        return f"{family!r}, {kind!r}, {protocol!r}"[:200]
    bare = kind & ~(plain.SOCK_NONBLOCK | plain.SOCK_CLOEXEC)
    names = [name_of(plain.SocketKind, bare)]
    names += [
        name
        for name, bit in (
            ("SOCK_NONBLOCK", plain.SOCK_NONBLOCK), ("SOCK_CLOEXEC", plain.SOCK_CLOEXEC),
        )
        if kind & bit
    ]  # fmt: skip
    return f"{name_of(plain.AddressFamily, family)}, {'|'.join(names)}, {protocol}"
