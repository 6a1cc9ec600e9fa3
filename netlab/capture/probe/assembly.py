"""The records of one thread's spool -> its calls: entries and returns joined, texts filled in.

What this module must not know: files; where a record came from.
"""

from __future__ import annotations

import errno
import struct

from netlab.capture.probe import layout
from netlab.capture.probe.layout import HEAD, HEAD_BYTES, NONE
from netlab.model.call import MSG_NAMES, CallRecord, Inheritance, Ready
from netlab.model.recording import Loss
from netlab.model.records import dataclass
from netlab.model.stamp import StampRecord


@dataclass(slots=True)
class _Tail:
    """The tagged fields of one record, decoded; a field that is not there is None or empty."""

    flags: int = 0
    inq: int | None = None
    outq: int | None = None
    errno: int = 0
    args: str = ""
    address: str | None = None
    ready: tuple[Ready, ...] = ()
    tcp_info: bytes | None = None
    code: str | None = None
    new_inode: int | None = None
    peer_inode: int | None = None
    about: int | None = None
    note: str = ""
    family: str | None = None
    kind: str | None = None
    local: str | None = None
    peer: str | None = None
    host: str = ""
    actor: str = ""
    pid: int = 0
    tid: int = 0
    reason: str = ""
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    time_ns: int
    requested_bytes: int | None
    op: str
    state: int
    tail: _Tail


@dataclass(frozen=True, slots=True)
class _SocketState:
    inode: int | None
    fd: int | None
    tail: _Tail


_NO_TAIL = _Tail()
_NO_STATE = _SocketState(None, None, _NO_TAIL)


class ThreadCalls:
    """Takes the records of one spool in order and hands out calls as they become whole."""

    def __init__(self) -> None:
        self.inheritances: list[Inheritance] = []
        self.losses: list[Loss] = []
        self.stamps: list[StampRecord] = []
        self._header = _NO_TAIL
        self._states: dict[int, _SocketState] = {}
        self._inside: dict[int, _Entry] = {}  # by order

    def take(
        self, chunk: bytes, at: int, kind: int, op: int, size: int, done: list[CallRecord]
    ) -> None:
        """Use one record; a call that it completes is added to `done`."""
        first, second, order, state, _ = HEAD.unpack_from(chunk, at)
        tail = _NO_TAIL
        if size > HEAD_BYTES:
            try:
                tail = _tail(chunk[at + HEAD_BYTES : at + size])
            except struct.error:
                self.lost("damaged record", first)
                return
        if kind == layout.ENTRY:
            requested = None if second == NONE else second
            self._inside[order] = _Entry(first, requested, layout.OPS[op], state, tail)
        elif kind == layout.RETURN:
            entry = self._inside.pop(order, None)
            if entry is not None:
                result = None if second == NONE else second
                done.append(self._call(order, entry, first, result, state, tail))
        elif kind == layout.STATE:
            fd = None if second < 0 else second
            self._states[state] = _SocketState(first or None, fd, tail)
        elif kind == layout.HEADER:
            self._header = tail
        elif kind == layout.INHERIT:
            self.inheritances.append(Inheritance(self._header.pid, second, first, tail.held))
        elif kind == layout.STAMP:
            self._stamp(first, second, order, state)
        elif kind == layout.LOSS:
            self.lost(tail.reason, first, tail.kind)

    def unfinished(self) -> list[CallRecord]:
        """The calls that were entered and never returned; forgotten afterwards."""
        calls = [
            self._call(order, entry, None, None, 0, _NO_TAIL)
            for order, entry in self._inside.items()
        ]
        self._inside.clear()
        return calls

    def lost(self, reason: str, since_ns: int | None, what: str | None = None) -> None:
        """Note that calls of this thread are missing, or whatever else a witness is named for."""
        witness, missing = ("probe", "calls") if what is None else (what, what)
        actor = self._header.actor
        self.losses.append(Loss(witness, missing, None, reason, actor=actor, since_ns=since_ns))

    def _stamp(self, time_ns: int, key: int, moment: int, state: int) -> None:
        inode, head = self._states.get(state, _NO_STATE).inode, self._header
        if inode is not None and moment < len(layout.MOMENTS):
            what = layout.MOMENTS[moment]
            self.stamps.append(StampRecord(time_ns, head.host, head.pid, inode, what, key))

    def _call(
        self,
        order: int,
        entry: _Entry,
        returned_ns: int | None,
        result: int | None,
        state: int,
        tail: _Tail,
    ) -> CallRecord:
        before, head = entry.tail, self._header
        at_entry = self._states.get(entry.state, _NO_STATE)
        socket = self._states.get(state, at_entry) if state else at_entry
        flags = before.flags | tail.flags
        return CallRecord(
            witness="probe",
            host=head.host,
            actor=head.actor,
            pid=head.pid,
            tid=head.tid,
            order=order,
            op=entry.op,
            fd=at_entry.fd if entry.state else socket.fd,
            args=_args(before.args, before.flags, tail.note),
            entered_ns=entry.time_ns,
            returned_ns=returned_ns,
            requested_bytes=entry.requested_bytes,
            result=result,
            errno=errno.errorcode.get(tail.errno, str(tail.errno)) if tail.errno else None,
            flags=flags,
            inode=at_entry.inode if entry.state else socket.inode,
            family=socket.tail.family,
            kind=socket.tail.kind,
            local=socket.tail.local,
            peer=socket.tail.peer,
            address=tail.address if tail.address is not None else before.address,
            new_inode=tail.new_inode,
            peer_inode=tail.peer_inode,
            about_inode=before.about,
            ready=tail.ready or before.ready,
            inq_before_bytes=before.inq,
            outq_before_bytes=before.outq,
            inq_after_bytes=tail.inq,
            outq_after_bytes=tail.outq,
            tcp_info_before=before.tcp_info,
            tcp_info_after=tail.tcp_info,
            code=before.code,
        )


def _args(text: str, flags: int, note: str) -> str:
    names = []
    for bit, name in MSG_NAMES.items():
        if flags & bit:
            names.append(name)
            flags &= ~bit
    if flags:
        names.append(hex(flags))
    return ", ".join(part for part in (text, "|".join(names), note) if part)


def _tail(data: bytes) -> _Tail:
    tail = _Tail()
    for tag, value in layout.tail_fields(data):
        if tag == layout.TAG_DETAIL:
            tail.flags, inq, outq, tail.errno = layout.DETAIL.unpack(value)
            tail.inq = inq if inq >= 0 else None  # NONE_32, or a number that says nothing
            tail.outq = outq if outq >= 0 else None
        elif tag == layout.TAG_READY:
            tail.ready = tuple(
                Ready(fd, inode or None, events)
                for fd, events, inode in layout.READY.iter_unpack(value)
            )
        elif tag == layout.TAG_INODES:
            new, peer = layout.PAIR.unpack(value)
            tail.new_inode, tail.peer_inode = new or None, peer or None
        elif tag == layout.TAG_ABOUT:
            tail.about = int.from_bytes(value, "little") or None
        elif tag == layout.TAG_IDS:
            tail.pid, tail.tid = layout.PAIR.unpack(value)
        elif tag == layout.TAG_TCP_INFO:
            tail.tcp_info = value
        elif tag == layout.TAG_HELD:
            tail.held = tuple(
                int.from_bytes(value[i : i + 8], "little") for i in range(0, len(value), 8)
            )
        elif tag in _TEXTS:
            setattr(tail, _TEXTS[tag], value.decode("utf-8", "replace"))
    return tail


_TEXTS = {
    layout.TAG_ARGS: "args",
    layout.TAG_ADDRESS: "address",
    layout.TAG_CODE: "code",
    layout.TAG_NOTE: "note",
    layout.TAG_FAMILY: "family",
    layout.TAG_KIND: "kind",
    layout.TAG_LOCAL: "local",
    layout.TAG_PEER: "peer",
    layout.TAG_HOST: "host",
    layout.TAG_ACTOR: "actor",
    layout.TAG_REASON: "reason",
}
