"""Unix sockets -> which socket is at the other end of which, and at what time.

- An inode or a path names one socket after another: inodes are used again, and a path belongs to
  the socket that was bound to it last, until that is closed. A relative path means another file in
  another directory, so that it names nobody while two sockets are bound to one.
- A connected datagram socket keeps the peer that it found at connect(), also when the path is bound
  anew, until it connects elsewhere.
- socketpair, accept and connect tell the inode at the other end (sock_diag), unless it is not there
  yet or not any more: connections wait in the listener's queue in order, so what accept returned of
  one process (SO_PEERCRED) are the connects of that process, in order.
- An end has one other end: of two that name the same peer, only the one that it names back has it.
- Who is said not to be recorded fits no recorded socket, by all that is known of both.
Read first: man 7 unix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from netlab.correlate.reasons import Reason
from netlab.correlate.sockets import Socket
from netlab.model.call import CallRecord
from netlab.model.records import dataclass

_FOREVER = 1 << 63
_UNNAMED = frozenset({None, "", "unix:", "unix:@"})
_PEER_PID = re.compile(r"\bpeer pid (\d+)")


@dataclass(frozen=True, slots=True)
class _Bound:
    """A socket had a path: from within the first two times until the last."""

    socket: Socket
    entered_ns: int
    since_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a datagram went, as far as its call tells."""

    host: str
    name: str | None
    inherited: bool  # to the peer that its socket had before it was watched


class Ends:
    """The Unix sockets of a recording by their inodes and paths, at any time."""

    def __init__(self, sockets: Sequence[Socket], calls: list[CallRecord]) -> None:
        self.calls = calls
        self._by_inode: dict[tuple[str, int], list[Socket]] = {}
        self._bound: dict[tuple[str, str], list[_Bound]] = {}
        self.connects: dict[int, list[tuple[Socket, int]]] = {}  # by id of the listener, in order
        self._listeners: dict[int, Socket] = {}
        self._pairs: dict[int, Socket] = {}  # by id, what socketpair() made with it
        for socket in sockets:
            self._by_inode.setdefault((socket.host, socket.inode), []).append(socket)
            if socket.accepted_by is None and socket.local not in _UNNAMED:
                self._bind(socket, str(socket.local))
        for socket in sockets:
            record = calls[socket.calls[0] - 1] if socket.calls else None
            if record is not None and record.op == "socketpair":
                other = self.by_inode(socket.host, record.new_inode, socket.calls[0])
                if other is not None:
                    self._pairs[id(socket)], self._pairs[id(other)] = other, socket
        for bounds in self._bound.values():
            bounds.sort(key=lambda bound: bound.since_ns)
        self._pair(sockets)
        alone = [s for s in sockets if s.kind != "SOCK_DGRAM" and self.other(s) is None]
        self._clients = [s for s in alone if s.connects]
        self._listening = [s for s in alone if s.listens]
        self._unborn = [s for s in alone if not s.is_born and not s.listens]
        self._inboxes = [s for s in sockets if s.kind in (None, "SOCK_DGRAM")]

    def _bind(self, socket: Socket, path: str) -> None:
        since = entered = -1
        if socket.binds:
            bind = self.calls[socket.binds[0] - 1]
            entered, since = bind.entered_ns, _returned(bind)
        elif socket.made and socket.calls:
            entered = since = self.calls[socket.calls[0] - 1].entered_ns
        until = _FOREVER
        if socket.last_close is not None:
            until = _returned(self.calls[socket.last_close - 1])
        bound = _Bound(socket, entered, since, until)
        self._bound.setdefault((socket.host, path), []).append(bound)

    def by_inode(self, host: str, inode: int | None, number: int) -> Socket | None:
        """The socket with this inode at the time of call `number`."""
        found = None
        for socket in self._by_inode.get((host, inode or 0), ()):
            if found is None or _first_call(socket) <= number:
                found = socket
        return found

    def owner(self, host: str, path: str | None, record: CallRecord) -> Socket | None:
        """The socket that has the path during a call; None where that is not known."""
        if path in _UNNAMED:
            return None
        until_ns = _returned(record)
        found: list[_Bound] = []
        for bound in self._bound.get((host, str(path)), ()):
            if bound.entered_ns > until_ns:
                continue
            if bound.since_ns <= record.entered_ns and str(path).startswith(("unix:/", "unix:@")):
                found.clear()  # it took the path over
            if bound.until_ns >= record.entered_ns:
                found.append(bound)
        return found[0].socket if len(found) == 1 else None

    def peers(self, socket: Socket) -> list[tuple[int, Socket | None]]:
        """(call, the peer from then on) of a datagram socket; call 0 is from before its calls."""
        first = socket.calls[0] if socket.calls else 0
        connects = [n for n in socket.connects if self.calls[n - 1].errno is None]
        found: list[tuple[int, Socket | None]] = []
        if id(socket) in self._pairs:
            found.append((0, self._pairs[id(socket)]))
        elif not connects and socket.peer_inode:
            found.append((0, self.by_inode(socket.host, socket.peer_inode, first)))
        elif not connects and first and not socket.made and socket.peer not in _UNNAMED:
            peer = self.owner(socket.host, socket.peer, self.calls[first - 1])
            found.append((0, peer if peer is not None and not peer.made else None))
        for number in connects:
            record = self.calls[number - 1]
            if record.peer_inode:
                peer = self.by_inode(socket.host, record.peer_inode, number)
            else:
                peer = self.owner(socket.host, record.address, record)
            found.append((number, peer))
        return found

    # --- connections

    def _pair(self, sockets: Sequence[Socket]) -> None:
        """Fill peer_inode on both sides of what was connected, as far as that is known."""
        for socket in sockets:
            if socket.kind == "SOCK_DGRAM":
                continue
            other = self.other(socket)
            if other is not None and other.peer_inode is None:
                other.peer_inode = socket.inode
            for number in socket.connects:
                record = self.calls[number - 1]
                if record.errno is None:
                    listener = self.owner(socket.host, record.address or socket.peer, record)
                    if listener is not None and listener.listens:
                        queue = self.connects.setdefault(id(listener), [])
                        queue.append((socket, number))
                        self._listeners[id(socket)] = listener
        for listener in sockets:
            if id(listener) in self.connects:
                self.connects[id(listener)].sort(key=lambda item: item[1])
                self._by_process(listener)

    def other(self, socket: Socket) -> Socket | None:
        """The socket at the other end of a connection, or of a pair."""
        if not socket.peer_inode:
            return None
        found = self._claimed(socket)
        if found is None or found.peer_inode is None or self._claimed(found) is socket:
            return found
        return None  # the inode names another one by now: nobody has two ends

    def _claimed(self, socket: Socket) -> Socket | None:
        """The last socket with the peer's inode that does not say that its peer is another."""
        last = socket.calls[-1] if socket.calls else len(self.calls)
        found = None
        for other in self._by_inode.get((socket.host, socket.peer_inode or 0), ()):
            mutual = other.peer_inode in (None, socket.inode)
            if mutual and (found is None or _first_call(other) <= last):
                found = other
        return found

    def _by_process(self, listener: Socket) -> None:
        accepts: dict[int, list[Socket]] = {}
        for made in listener.accepted:
            pid = self._connector(made)
            if pid is not None:
                accepts.setdefault(pid, []).append(made)
            elif made.peer_inode is None:
                return
        if self._overlap(listener.accepts):
            return
        for pid, accepted in accepts.items():
            mine = [item for item in self.connects[id(listener)] if self._pid(item[1]) == pid]
            if len(accepted) > len(mine) or self._overlap([n for _, n in mine]):
                continue
            pairs = [(made, client) for made, (client, _) in zip(accepted, mine, strict=False)]
            if all(self._agree(made, client) for made, client in pairs):
                for made, client in pairs:
                    made.peer_inode, client.peer_inode = client.inode, made.inode

    def _connector(self, made: Socket) -> int | None:
        """The process that connected what this accept returned."""
        client = self.other(made)
        if client is not None and client.connects:
            return self._pid(client.connects[-1])
        return self._told(made)

    def _told(self, made: Socket) -> int | None:
        if made.accepted_by is None:
            return None
        told = _PEER_PID.search(self.calls[made.accepted_by - 1].args)
        return int(told[1]) if told is not None else None

    def _pid(self, number: int) -> int:
        return self.calls[number - 1].pid

    def _overlap(self, numbers: list[int]) -> bool:
        records = [self.calls[n - 1] for n in numbers]
        return any(b.entered_ns < _returned(a) for a, b in pairwise(records))

    def _agree(self, made: Socket, client: Socket) -> bool:
        if made.accepted_by is None or not client.connects:
            return False
        accepted_ns = _returned(self.calls[made.accepted_by - 1])
        if made.peer_inode is None:  # it was closed already
            close = client.last_close
            if close is None or self.calls[close - 1].entered_ns > accepted_ns:
                return False
        return (
            self.calls[client.connects[-1] - 1].entered_ns <= accepted_ns
            and made.peer_inode in (None, client.inode)
            and client.peer_inode in (None, made.inode)
        )

    # --- what is not known, but may be

    def why_alone(self, socket: Socket) -> Reason:
        """Why the other end of a connection, or of a pair, is not known."""
        if socket.accepted_by is not None:
            return Reason.PEER_UNSURE if self._may_be_accepted(socket) else Reason.NO_PEER
        if not socket.connects:
            return Reason.PEER_UNSURE if self._may_be_paired(socket) else Reason.NO_PEER
        listener = self._listeners.get(id(socket))
        if listener is None:
            seen = any(self._may_have_connected(socket, one) for one in self._listening)
            return Reason.PEER_UNSURE if seen else Reason.NO_PEER
        if any(self._may_belong(made, socket) for made in listener.accepted):
            return Reason.PEER_UNSURE
        return Reason.STILL_QUEUED if listener.last_close is None else Reason.CLOSED_UNREAD

    def aimed_at(self, sender: Socket, number: int, address: str | None) -> Aim:
        """Where a datagram went, to an address or to its socket's peer."""
        record = self.calls[number - 1]
        connects = [
            n for n in sender.connects if n < number and self.calls[n - 1].errno is None
        ]  # fmt: skip
        if record.witness == "kernel" and not address:
            return Aim(sender.host, None, inherited=False)
        name = address or (self.calls[connects[-1] - 1].address if connects else None)
        inherited = not (name or connects or sender.made)
        return Aim(sender.host, name or sender.peer, inherited)

    def may_reach(self, aim: Aim, reader: Socket) -> bool:
        """Whether it may be this socket that a datagram went to."""
        if reader.host != aim.host:
            return False
        if aim.name in _UNNAMED:
            return not (aim.inherited and reader.made)
        if reader.local in _UNNAMED:  # its name may be one that its witness did not see
            return not reader.made or any(not self.calls[n - 1].address for n in reader.binds)
        return _last_part(str(aim.name)) == _last_part(str(reader.local))

    def why_astray(self, aim: Aim) -> Reason:
        """Why the reader of a datagram is not known."""
        seen = any(self.may_reach(aim, reader) for reader in self._inboxes)
        return Reason.PEER_UNSURE if seen else Reason.NO_PEER

    def _may_be_accepted(self, made: Socket) -> bool:
        """Whether a recorded client may be at the other end of what an accept returned."""
        listener = made.listener
        return listener is not None and any(
            self._may_have_connected(client, listener) and self._may_belong(made, client)
            for client in self._clients
        )

    def _may_be_paired(self, socket: Socket) -> bool:
        """Whether the other end of a socket that was there before may be a recorded one."""
        return any(
            other is not socket
            and other.host == socket.host
            and (other.kind == socket.kind or None in (other.kind, socket.kind))
            for other in self._unborn
        )

    def _may_belong(self, made: Socket, client: Socket) -> bool:
        """Whether an accept with an unknown client may have returned this client's end."""
        if self.other(made) is not None:
            return False
        told = self._told(made)
        return told is None or told == self._pid(client.connects[-1])

    def _may_have_connected(self, client: Socket, listener: Socket) -> bool:
        known = self._listeners.get(id(client))
        if known is not None:
            return known is listener
        if client.host != listener.host or client.kind not in (None, listener.kind):
            return False
        name = self.calls[client.connects[-1] - 1].address or client.peer
        if name in _UNNAMED or listener.local in _UNNAMED:
            return True
        return _last_part(str(name)) == _last_part(str(listener.local))


def _last_part(name: str) -> str:
    """What two paths to one file have in common, from whatever directory."""
    return name if name.startswith("unix:@") else name.removeprefix("unix:").rpartition("/")[2]


def _first_call(socket: Socket) -> int:
    if socket.accepted_by is not None:
        return socket.accepted_by
    return socket.calls[0] if socket.calls else 0


def _returned(record: CallRecord) -> int:
    return record.returned_ns if record.returned_ns is not None else _FOREVER
