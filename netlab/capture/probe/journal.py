"""The call journal of one process: entries and returns of calls -> the spool of the calling thread.

The rule above all others: the program must not notice. Every method here is called from inside the
program's own calls; a fault of the witness switches the witness off, once, with a record of it and
a line on stderr, and the call goes on. What a signal handler of the program raises while our code
happens to run is not a fault of ours and passes through.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import socket
import threading
import weakref
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from netlab.capture.probe import layout
from netlab.capture.probe.layout import HEAD_BYTES, NONE, NONE_32, OP
from netlab.capture.probe.samples import (
    SIOCINQ,
    SIOCOUTQ,
    caller,
    is_foreign,
    maybe_tcp_info,
    queue,
)
from netlab.capture.probe.writer import SUFFIX, SpoolLimit, ThreadSpool

if TYPE_CHECKING:
    from netlab.capture.probe.stamps import Stamps

_MISTAKES = (TypeError, ValueError, OverflowError, AttributeError, BufferError, MemoryError)
_LARGEST = 1 << 62
# A journal, an entry's place in it: the spool it stands in and its order there.
Inside = tuple[ThreadSpool, int]


class SocketState:
    """What is known of one socket, or another descriptor, at one time. Never changed, replaced."""

    __slots__ = (
        "family",
        "fd",
        "inode",
        "is_tcp",
        "kind",
        "local",
        "number",
        "peer",
        "spools",
        "tail",
    )

    def __init__(
        self, number: int, fd: int, inode: int, family: str, kind: str, local: str | None,
        peer: str | None,
    ) -> None:  # fmt: skip
        self.number, self.fd, self.inode = number, fd, inode
        self.family, self.kind, self.local, self.peer = family, kind, local, peer
        self.is_tcp = kind == "SOCK_STREAM" and family in ("AF_INET", "AF_INET6")
        self.spools: tuple[ThreadSpool, ...] = ()  # those that know `number`
        self.tail = b"".join(
            layout.tail_text(tag, text)
            for tag, text in (
                (layout.TAG_FAMILY, family), (layout.TAG_KIND, kind), (layout.TAG_LOCAL, local),
                (layout.TAG_PEER, peer),
            )
            if text
        )  # fmt: skip


class _Packed(dict[tuple[int, int], bytes]):
    """(descriptor, events) as it stands in a ready list; emptied whenever `held` changes."""

    def __init__(self, held: dict[int, int]) -> None:
        super().__init__()
        self._held = held

    def __missing__(self, pair: tuple[int, int]) -> bytes:
        fd, events = pair
        self[pair] = packed = layout.READY.pack(fd, events & 0xFFFFFFFF, self._held.get(fd, 0))
        return packed


class Journal:
    """Writes calls to the spool of whichever thread makes them."""

    def __init__(
        self, folder: str | os.PathLike[str], *, host: str, actor: str, queues: str,
        tcp_info: bool, code: bool, segment_bytes: int, limit_bytes: int, proc_fd: int | None,
    ) -> None:  # fmt: skip
        self.folder = os.path.abspath(folder)
        self.host, self.actor = host, actor
        self.sample_calls = queues == "calls"
        self.sample_events = queues == "events"
        self.tcp_info, self.code = tcp_info, code
        self.off = False
        self.stamps: Stamps | None = None
        self.held: dict[int, int] = {}  # descriptor -> inode of the traced sockets open now
        self.packed = _Packed(self.held)
        self.detached: dict[int, int] = {}  # the same for those handed out as bare descriptors
        self._segment_bytes, self._limit_bytes = segment_bytes, limit_bytes
        self._proc_fd = proc_fd
        self._local = threading.local()
        self._spools: list[ThreadSpool] = []
        self._numbers = count(1)
        self._child_actor = ""  # what the child of the next fork is called
        self._ending = False
        _register(self)

    # -- calls ---------------------------------------------------------------------------------

    def enter(
        self, op: int, state: SocketState | None, *, requested: object = None, flags: object = 0,
        args: str = "", address: str | None = None, ready: bytes = b"", sample: bool = False,
        about: int = 0,
    ) -> Inside | None:  # fmt: skip
        """Record that a call begins; `sample` its socket's queues. None when recording is off."""
        if self.off:
            return None
        try:
            spool = self.spool()
            if spool is None:
                return None
            tail = self._tail(state, flags, args, address, sample)
            if ready:
                tail += layout.tail_field(layout.TAG_READY, ready)
            if about:
                tail += layout.tail_about(about)
            if self.code:
                tail += layout.tail_text(layout.TAG_CODE, caller())
            number = 0 if state is None else self.announce(state, spool)
            spool.order = order = spool.order + 1
            asked = NONE
            if isinstance(requested, int) and abs(requested) < _LARGEST:
                asked = int(requested)
            spool.append(layout.ENTRY, op, time_ns(), asked, order, number, tail)
        except Exception as error:
            self.fault(error)
            return None
        return spool, order

    def leave(
        self, inside: Inside, state: SocketState | None, result: int | None, *,
        returned_ns: int | None = None, flags: int = 0, address: str | None = None,
        inodes: tuple[int, int] | None = None, ready: Sequence[tuple[int, int]] = (),
        code: int = 0, note: str = "",
        sample: bool = False, gone: bool = False,
    ) -> None:  # fmt: skip
        """Record that a call has ended, with a result or the errno `code`; `gone`: it closed."""
        if returned_ns is None:
            returned_ns = time_ns()
        try:
            spool, order = inside
            tail = self._tail(None if gone else state, flags, "", address, sample, code)
            if note:
                tail += layout.tail_text(layout.TAG_NOTE, note)
            if inodes is not None:
                tail += layout.tail_field(layout.TAG_INODES, layout.PAIR.pack(*inodes))
            if ready:
                tail += self._ready_tail(spool, self.ready(ready), len(tail))
            number = 0 if state is None else self.announce(state, spool)
            if len(tail) > spool.tail_limit:
                tail = tail[: layout.FIELD.size + layout.DETAIL.size] if code else b""
            value = NONE if result is None else result
            spool.append(layout.RETURN, 0, returned_ns, value, order, number, tail)
        except Exception as error:
            self.fault(error)

    def fail(
        self, inside: Inside, state: SocketState | None, error: BaseException, *,
        timeout: float | None = None, result: int | None = None, partial: bool = False,
        sample: bool = False, address: str | None = None,
    ) -> None:  # fmt: skip
        """Record that a call has ended with an exception; `partial`: `result` is not all of it."""
        returned_ns = time_ns()
        code, note = 0, ""
        if not isinstance(error, (*_MISTAKES, OSError)) or is_foreign(error):
            # A handler of the program raised: inside the call, or behind it when there is a result.
            code, note = errno.EINTR, f"interrupted by {type(error).__name__}"
            code = 0 if result is not None and not partial else code
        elif isinstance(error, TimeoutError) and error.errno is None:
            code, note = errno.EAGAIN, f"timeout={timeout:g}s elapsed" if timeout else ""
        elif isinstance(error, OSError) and error.errno and error.errno > 0:
            code = error.errno
        else:
            note = f"{type(error).__name__}: no call was made"
        blocked = code == errno.EAGAIN and self.sample_events
        sampled = sample and (self.sample_calls or blocked)
        self.leave(
            inside, state, result, returned_ns=returned_ns, code=code, note=note, sample=sampled,
            address=address,
        )  # fmt: skip

    # -- sockets -------------------------------------------------------------------------------

    def state(
        self, fd: int, family: int, kind: int, local: str | None, peer: str | None,
        inode: int | None = None,
    ) -> SocketState:  # fmt: skip
        """A new state of the socket behind `fd`."""
        if inode is None:
            inode = os.fstat(fd).st_ino
        return SocketState(
            next(self._numbers), fd, inode, name_of(socket.AddressFamily, family),
            name_of(socket.SocketKind, kind), local, peer,
        )  # fmt: skip

    def other_state(self, fd: int) -> SocketState:
        """The state of a descriptor that is no socket."""
        return SocketState(next(self._numbers), fd, 0, "", "", None, None)

    def object_state(self, family: str, fd: int | None, inode: int) -> SocketState:
        """The state of a pipe, a queue or the like, with the number that names it."""
        number = -1 if fd is None else fd
        return SocketState(next(self._numbers), number, inode, family, "", None, None)

    def announce(self, state: SocketState, spool: ThreadSpool) -> int:
        """The number under which `spool` knows `state`."""
        if spool not in state.spools:
            inode, fd, number = state.inode, state.fd, state.number
            spool.append(layout.STATE, 0, inode, fd, 0, number, state.tail)
            state.spools = (*state.spools, spool)
        return state.number

    def ready(self, pairs: Sequence[tuple[int, int]]) -> bytes:
        """A ready list as it stands in a record, of (descriptor, events)."""
        return b"".join(map(self.packed.__getitem__, pairs))

    def hold(self, fd: int, inode: int) -> None:
        """A traced socket has this descriptor from now on."""
        if self.stamps is not None:
            self.stamps.forget(fd)
        self.held[fd] = inode
        self.packed.clear()

    def let_go(self, fd: int) -> None:
        """No traced socket has this descriptor any more."""
        self.held.pop(fd, None)
        self.packed.clear()

    # -- the journal itself --------------------------------------------------------------------

    def spool(self) -> ThreadSpool | None:
        """The calling thread's spool, made at its first call; None when there can be none."""
        spool: ThreadSpool | None = getattr(self._local, "spool", None)
        if spool is not None or self.off:
            return spool
        if self._ending:
            return None
        pid, tid = self._ids()
        spool = ThreadSpool(
            self.folder, host=self.host, actor=self._actor(), pid=pid, tid=tid,
            thread=threading.get_ident(), segment_bytes=self._segment_bytes,
            limit_bytes=self._limit_bytes,
        )  # fmt: skip
        nested: ThreadSpool | None = getattr(self._local, "spool", None)
        if nested is not None:  # a signal handler was faster; ours stays empty
            spool.retire()
            return nested
        self._local.end = _ThreadEnd(spool, self._spools)
        self._local.spool = spool
        self._spools.append(spool)
        return spool

    def fault(self, error: Exception) -> None:
        """Switch recording off because of `error`; raise it again when it is not the witness's."""
        if is_foreign(error):
            raise error
        reason = str(error) if isinstance(error, SpoolLimit | OSError) else repr(error)
        self.switch_off(reason)

    def switch_off(self, reason: str) -> None:
        """Stop recording new calls, and say so in the spool and on stderr. Once."""
        if self.off:
            return
        self.off = True
        tail = layout.tail_text(layout.TAG_REASON, reason)
        for spool in self._spools:
            spool.thread = 0  # ends the hot path
        try:
            own: ThreadSpool | None = getattr(self._local, "spool", None)
            if own is not None:
                own.append(layout.LOSS, 0, time_ns(), 0, 0, 0, tail)
            else:
                self._lone_loss(tail)
        except Exception:
            reason += " (and the spool could not take a note of it)"
        line = f"netlab: call recording stopped in {self._actor()} (pid {os.getpid()}): {reason}\n"
        with contextlib.suppress(OSError):
            os.write(2, line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """End recording without a word: nothing is lost, no more is wanted."""
        self.off = True
        for spool in self._spools:
            spool.retire()
        self._spools.clear()
        _JOURNALS.discard(self)

    def after_fork(self) -> None:
        """In the child: a spool of its own, which says what sockets the child holds."""
        parents, self._spools = self._spools, []
        parent_pid = self._pid
        self._local = threading.local()
        self.actor, self._child_actor = self._child_actor or self.actor, ""
        for spool in parents:
            spool.disown()
        if self.off:
            return
        inodes = set(self.held.values()) | self._still_detached()
        if not inodes:
            return
        try:
            own = self.spool()
            if own is None:
                return
            held = b"".join(inode.to_bytes(8, "little") for inode in sorted(inodes))
            tail = layout.tail_field(layout.TAG_HELD, held[: own.tail_limit // 8 * 8 - 64])
            own.append(layout.INHERIT, 0, time_ns(), parent_pid, 0, 0, tail)
        except Exception as error:
            self.fault(error)

    def forked(self) -> None:
        """In the parent: the child's name has been given away."""
        self._child_actor = ""

    def name_thread(self, actor: str) -> None:
        """The calling thread acts as `actor` from here on."""
        if self.off:
            return
        self._local.actor = actor
        spool: ThreadSpool | None = getattr(self._local, "spool", None)
        if spool is not None:
            try:
                spool.rename(actor)
            except Exception as error:
                self.fault(error)

    def name_child(self, actor: str) -> None:
        """The child of the next fork acts as `actor`."""
        self._child_actor = actor

    def at_exit(self) -> None:
        """The process is about to end, and with it all it holds."""
        if self.stamps is not None:
            self.stamps.take_all()
        self.enter(OP["exit"], None)
        self._ending = True

    _pid = 0

    def _actor(self) -> str:
        found: str = getattr(self._local, "actor", self.actor)
        return found

    def _ids(self) -> tuple[int, int]:
        """Process and thread as seen outside the lab's PID namespace."""
        pid, tid = os.getpid(), threading.get_native_id()
        if self._proc_fd is not None:
            outer, _, thread = os.readlink("thread-self", dir_fd=self._proc_fd).split("/")
            pid, tid = int(outer), int(thread)
        self._pid = pid
        return pid, tid

    def _tail(
        self, state: SocketState | None, flags: object, args: str, address: str | None,
        sample: bool, code: int = 0,
    ) -> bytes:  # fmt: skip
        inq = outq = NONE_32
        if sample and state is not None:
            inq, outq = queue(state.fd, SIOCINQ), queue(state.fd, SIOCOUTQ)
        tail = b""
        bits = int(flags) if isinstance(flags, int) else 0
        if bits or code or inq >= 0 or outq >= 0:
            tail = layout.tail_detail(bits, inq, outq, code)
        if args:
            tail += layout.tail_text(layout.TAG_ARGS, args)
        if address is not None:
            tail += layout.tail_text(layout.TAG_ADDRESS, address)
        wanted = self.tcp_info and (sample or not self.sample_events)
        if wanted and state is not None and state.is_tcp:
            found = maybe_tcp_info(state.fd)
            if found:
                tail += layout.tail_field(layout.TAG_TCP_INFO, found)
        return tail

    def _ready_tail(self, spool: ThreadSpool, ready: bytes, used: int) -> bytes:
        room = spool.tail_limit - used - 128
        if len(ready) <= room:
            return layout.tail_field(layout.TAG_READY, ready)
        kept = max(0, room) // layout.READY.size
        note = f"{len(ready) // layout.READY.size - kept} more ready, not recorded"
        shown = ready[: kept * layout.READY.size]
        return layout.tail_text(layout.TAG_NOTE, note) + layout.tail_field(layout.TAG_READY, shown)

    def _still_detached(self) -> set[int]:
        found = set()
        for fd, inode in list(self.detached.items()):
            try:
                if os.fstat(fd).st_ino == inode:
                    found.add(inode)
                    continue
            except OSError:
                pass
            del self.detached[fd]
        return found

    def _lone_loss(self, tail: bytes) -> None:
        """A spool that holds a loss and nothing else, for when no segment could be reserved."""
        pid = os.getpid()
        fields = (
            layout.tail_text(layout.TAG_HOST, self.host)
            + layout.tail_text(layout.TAG_ACTOR, self._actor())
            + layout.tail_field(layout.TAG_IDS, layout.PAIR.pack(pid, pid))
        )
        size = 2 * HEAD_BYTES + len(fields) + len(tail)
        word = layout.marker(layout.HEADER, 0, HEAD_BYTES + len(fields))
        record = layout.HEAD.pack(time_ns(), 0, layout.VERSION, size, word) + fields
        word = layout.marker(layout.LOSS, 0, HEAD_BYTES + len(tail))
        record += layout.HEAD.pack(time_ns(), 0, 0, 0, word) + tail
        path = Path(self.folder, f"{pid}-lost-{time_ns():x}{SUFFIX}")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, record)
        finally:
            os.close(fd)


class _ThreadEnd:
    """Lives in a thread's local storage and retires its spool when the thread ends."""

    def __init__(self, spool: ThreadSpool, spools: list[ThreadSpool]) -> None:
        self._spool, self._spools = spool, spools

    def __del__(self) -> None:
        if self._spool in self._spools:
            self._spools.remove(self._spool)
            self._spool.retire()


_JOURNALS: weakref.WeakSet[Journal] = weakref.WeakSet()
_hooked = False


def _register(journal: Journal) -> None:
    global _hooked
    _JOURNALS.add(journal)
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_after_fork, after_in_parent=_forked)
        atexit.register(_at_exit)


def _after_fork() -> None:
    for journal in list(_JOURNALS):
        journal.after_fork()


def _forked() -> None:
    for journal in list(_JOURNALS):
        journal.forked()


def _at_exit() -> None:
    for journal in list(_JOURNALS):
        journal.at_exit()


def name_of(names: type[socket.AddressFamily] | type[socket.SocketKind], number: int) -> str:
    """The kernel's name of an address family or socket type."""
    try:
        return names(number).name
    except ValueError:
        return str(int(number))
