"""Unix sockets and pipes of one program, as the kernel treats them -> the calls that a witness saw.

A world runs a script of steps: it is told what to try, keeps queues as Linux does (unix_stream_*,
unix_dgram_* in af_unix.c), and notes for each byte which call sent and which read it. Of each call
it makes a record, of which it leaves out what a witness may not know: the other end's inode, the
address of a connect, the names. Processes and threads overlap in time, in either order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from netlab.model.call import MSG_PEEK, CallRecord, Inheritance

STEP_NS = 1_000
PATHS = ("unix:/a", "unix:/b", "unix:@c", "unix:d")
INBOXES = ("unix:/i", "unix:/j", "unix:@k", "unix:l")


@dataclass(eq=False)
class End:
    """One socket; of a pipe, both ends."""

    inode: int
    kind: str | None
    family: str = "AF_UNIX"
    name: str | None = None
    peer: End | None = None
    peer_name: str | None = None
    listening: bool = False
    accepted: bool = True  # or it waits in its listener's queue
    connected_by: int | None = None
    waiting: deque[End] = field(default_factory=deque)  # of a listener
    queue: deque[list[Any]] = field(default_factory=deque)  # of [call, bytes, sender's name]
    holders: set[int] = field(default_factory=set)  # processes
    ended: bool = False  # it sends no more: shutdown()
    reset: bool = False  # the other end went with bytes unread

    @property
    def open(self) -> bool:
        return bool(self.holders) or not self.accepted


@dataclass
class Knows:
    """What the witness tells of each call; `bit` draws whether."""

    bit: Callable[[], bool]
    addresses: bool = True
    names: bool = True
    credentials: bool = False

    @property
    def witness(self) -> str:
        return "strace" if self.addresses else "kernel"


class World:
    """Runs steps; `records` and `forks` is what was seen of them, the rest is what was so."""

    def __init__(self, knows: Knows) -> None:
        self.knows = knows
        self.now = 0
        self.ends: list[End] = []
        self.bound: dict[str, End] = {}
        self.pids = [10]
        self.effects: list[tuple[int, int, CallRecord | None]] = []  # time, slack, None: a fork
        self.forks: list[Inheritance] = []
        self.took: Counter[tuple[int, int]] = Counter()  # bytes by (send, read)
        self.sent: dict[int, int] = {}
        self.inodes = 100

    # --- steps: every one does what it can, or nothing

    def step(self, what: str, a: int, b: int, c: int) -> None:
        getattr(self, what)(a, b, c)

    def listen(self, a: int, b: int, c: int) -> None:
        name = PATHS[a % len(PATHS)]
        pid = self.pid(b)
        old = self.bound.get(name)
        if old is not None:
            self._close(old, c)
        made = self._new(("SOCK_STREAM", "SOCK_STREAM", "SOCK_SEQPACKET")[c % 3], pid)
        self.note(c, pid, "socket", made, 3)
        made.name = name
        self.note(c, pid, "bind", made, 0, address=name)
        made.listening = True
        self.note(c, pid, "listen", made, 0, args="128")
        self.bound[name] = made

    def connect(self, a: int, b: int, c: int) -> None:
        names = [name for name, end in self.bound.items() if end.listening]
        if not names:
            return
        name, pid = names[a % len(names)], self.pid(b)
        listener = self.bound[name]
        made = self._new(listener.kind, pid)
        self.note(c, pid, "socket", made, 4)
        if c % 3 == 0:
            made.name = f"unix:/of-{made.inode}"
            self.note(c, pid, "bind", made, 0, address=made.name)
        self.inodes += 1
        other = End(
            self.inodes, listener.kind, name=name, peer=made, peer_name=made.name or "unix:",
            accepted=False, connected_by=pid,
        )  # fmt: skip
        made.peer, made.peer_name = other, name
        listener.waiting.append(other)
        told = name if self.knows.addresses else None
        self.note(c, pid, "connect", made, 0, address=told)

    def accept(self, a: int, b: int, c: int) -> None:
        ready = [end for end in self.ends if end.waiting and end.holders]
        if not ready:
            return
        listener = ready[a % len(ready)]
        pid = sorted(listener.holders)[b % len(listener.holders)]
        made = listener.waiting.popleft()
        made.accepted = True
        made.holders.add(pid)
        self.ends.append(made)
        assert made.peer is not None
        told = made.peer.inode if made.peer.open and self.knows.bit() else None
        args = f"peer pid {made.connected_by}" if self.knows.credentials else ""
        self.note(
            c, pid, "accept4", listener, 5, new_inode=made.inode, peer_inode=told, args=args,
            address=made.peer_name if self.knows.names else None,
        )  # fmt: skip

    def pair(self, a: int, b: int, c: int) -> None:
        kind = ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET")[a % 3]
        pid = self.pid(b)
        one, two = self._new(kind, pid), self._new(kind, pid)
        one.peer, two.peer = two, one
        one.name = two.name = "unix:"
        self.note(
            c, pid, "socketpair", one, 0, new_inode=two.inode, peer_inode=two.inode,
        )  # fmt: skip

    def inbox(self, a: int, b: int, c: int) -> None:
        """A datagram socket, bound or not."""
        pid = self.pid(b)
        name = (*INBOXES, None)[a % 5]
        old = self.bound.get(name or "")
        if old is not None:
            self._close(old, c)
        made = self._new("SOCK_DGRAM", pid)
        self.note(c, pid, "socket", made, 3)
        if name is not None:
            made.name, self.bound[name] = name, made
            self.note(c, pid, "bind", made, 0, address=name)

    def aim(self, a: int, b: int, c: int) -> None:
        """connect() of a datagram socket; an earlier one goes, and what was queued with it."""
        mine = [e for e in self.ends if e.kind == "SOCK_DGRAM" and e.holders]
        to = self._inbox(b)
        if not mine or to is None:
            return
        end = mine[a % len(mine)]
        if to.peer not in (None, end):
            return  # unix_may_send
        if end.peer not in (None, to):
            end.queue.clear()
        end.peer, end.peer_name = to, to.name
        told = to.name if self.knows.addresses else None
        self.note(c, min(end.holders), "connect", end, 0, address=told)

    def post(self, a: int, b: int, c: int) -> None:
        """A datagram to an address."""
        mine = [e for e in self.ends if e.kind == "SOCK_DGRAM" and e.holders]
        to = self._inbox(b)
        if not mine or to is None:
            return
        end = mine[a % len(mine)]
        if to.peer not in (None, end):
            return
        count = c % 37 + 1
        told = to.name if self.knows.addresses else None
        number = self.note(c, min(end.holders), "sendto", end, count, size=count, address=told)
        self.sent[number] = count
        to.queue.append([number, count, end.name or "unix:"])

    def _inbox(self, a: int) -> End | None:
        found = [e for e in self.bound.values() if e.kind == "SOCK_DGRAM"]
        return found[a % len(found)] if found else None

    def pipe(self, a: int, b: int, c: int) -> None:
        pid = self.pid(b)
        made = self._new(None, pid, family="pipe")
        made.peer = made
        self.note(c, pid, "pipe", made, 0)

    def send(self, a: int, b: int, c: int) -> None:
        end, pid = self.some(a, b)
        if end is None or end.listening or end.peer is None:
            return
        op = "write" if end.family == "pipe" else "sendto"
        if (
            end.ended
            or not end.peer.open
            or (end.kind == "SOCK_DGRAM" and end.peer.peer not in (None, end))
        ):
            self.note(c, pid, op, end, -1, errno="EPIPE")
            return
        count = c % 37 + 1
        number = self.note(c, pid, op, end, count, size=count)
        self.sent[number] = count
        end.peer.queue.append([number, count, end.name or "unix:"])

    def read(self, a: int, b: int, c: int) -> None:
        end, pid = self.some(a, b)
        if end is None or end.listening or (end.peer is None and end.kind != "SOCK_DGRAM"):
            return
        op = "read" if end.family == "pipe" else "recvfrom"
        room = (5, 17, 100, 1000)[c % 4]
        if not end.queue:
            if end.kind == "SOCK_DGRAM" or (
                end.peer is not None and end.peer.open and not end.peer.ended
            ):
                self.note(c, pid, op, end, -1, errno="EAGAIN", size=room)
            elif end.reset:
                end.reset = False
                self.note(c, pid, op, end, -1, errno="ECONNRESET", size=room)
            else:
                self.note(c, pid, op, end, 0, size=room)
            return
        if end.kind in ("SOCK_DGRAM", "SOCK_SEQPACKET"):
            sender, count, name = end.queue.popleft()
            asked = end.kind == "SOCK_DGRAM" and c & 4 and name != "unix:"
            number = self.note(
                c, pid, op, end, min(count, room), size=room, address=name if asked else None
            )
            self.took[sender, number] += count
            return
        parts = []
        left = room
        while left and end.queue:
            head = end.queue[0]
            part = min(left, head[1])
            parts.append((head[0], part))
            head[1] -= part
            left -= part
            if not head[1]:
                end.queue.popleft()
        number = self.note(c, pid, op, end, room - left, size=room)
        for sender, part in parts:
            self.took[sender, number] += part

    def send_many(self, a: int, b: int, c: int) -> None:
        """sendmmsg: of all messages, or those for which there is a reader."""
        end, pid = self.some(a, b)
        if end is None or end.kind not in ("SOCK_DGRAM", "SOCK_SEQPACKET") or end.listening:
            return
        peer = end.peer
        if (
            peer is None
            or not peer.open
            or (end.kind == "SOCK_DGRAM" and peer.peer not in (None, end))
        ):
            return
        sizes = tuple(1 + (c * place) % 23 for place in range(1, 2 + c % 3))
        number = self.note(c, pid, "sendmmsg", end, len(sizes), message_bytes=sizes)
        self.sent[number] = sum(sizes)
        for size in sizes:
            peer.queue.append([number, size, end.name or "unix:"])

    def read_many(self, a: int, b: int, c: int) -> None:
        """recvmmsg, with room for every byte."""
        end, pid = self.some(a, b)
        if end is None or end.kind not in ("SOCK_DGRAM", "SOCK_SEQPACKET") or not end.queue:
            return
        taken = [end.queue.popleft() for _ in range(min(len(end.queue), 1 + c % 4))]
        sizes = tuple(count for _, count, _ in taken)
        number = self.note(c, pid, "recvmmsg", end, len(sizes), message_bytes=sizes)
        for sender, count, _ in taken:
            self.took[sender, number] += count

    def peek(self, a: int, b: int, c: int) -> None:
        """A read that takes nothing."""
        end, pid = self.some(a, b)
        if end is not None and end.family == "AF_UNIX" and end.queue:
            self.note(
                c, pid, "recvfrom", end, 1, size=1, flags=MSG_PEEK, args="MSG_PEEK"
            )  # fmt: skip

    def half(self, a: int, b: int, c: int) -> None:
        """shutdown() of sending, on a connection."""
        end, pid = self.some(a, b)
        if end is None or end.kind not in ("SOCK_STREAM", "SOCK_SEQPACKET") or end.peer is None:
            return
        end.ended = True
        self.note(c, pid, "shutdown", end, 0, args="SHUT_WR")

    def close(self, a: int, b: int, c: int) -> None:
        end, _ = self.some(a, b)
        if end is not None:
            self._close(end, c)

    def fork(self, a: int, b: int, c: int) -> None:
        if len(self.pids) > 3:
            return
        parent, child = self.pid(a), 10 * len(self.pids) + 10
        held = [end for end in self.ends if parent in end.holders]
        self.now += STEP_NS * 20
        self.forks.append(Inheritance(child, parent, self.now, tuple(e.inode for e in held)))
        self.effects.append((self.now, 0, None))
        self.now += STEP_NS * 20
        self.pids.append(child)
        for end in held:
            end.holders.add(child)

    # --- what they are made of

    def pid(self, a: int) -> int:
        return self.pids[a % len(self.pids)]

    def some(self, a: int, b: int) -> tuple[End | None, int]:
        held = [end for end in self.ends if end.holders]
        if not held:
            return None, 0
        end = held[a % len(held)]
        return end, sorted(end.holders)[b % len(end.holders)]

    def _new(self, kind: str | None, pid: int, family: str = "AF_UNIX") -> End:
        self.inodes += 1
        made = End(self.inodes, kind, family)
        made.holders.add(pid)
        self.ends.append(made)
        return made

    def _close(self, end: End, c: int) -> None:
        """In all processes that hold it."""
        for pid in sorted(end.holders):
            self.note(c, pid, "close", end, 0)
        end.holders.clear()
        for gone in [end, *end.waiting]:
            gone.accepted = True
            if gone.peer is not None and gone.peer is not gone and gone.kind != "SOCK_DGRAM":
                gone.peer.reset = bool(gone.queue)
        if end.name is not None and self.bound.get(end.name) is end:
            del self.bound[end.name]

    def note(
        self, c: int, pid: int, op: str, end: End, result: int, *, size: int | None = None,
        peer_inode: int | None = None, **more: Any,
    ) -> int:  # fmt: skip
        """Record a call; its number among all that had an effect, which is that of the order."""
        self.now += STEP_NS * 4
        peer = end.peer
        told = peer_inode
        there = peer is not None and peer.accepted and peer.open and end.family == "AF_UNIX"
        if told is None and op != "accept4" and there and self.knows.bit():
            assert peer is not None
            told = peer.inode
        names = self.knows.names and end.family == "AF_UNIX"
        fields = {
            "local": end.name if names else None,
            "peer": end.peer_name if names else None,
            "args": "",
            **more,
        }
        if not names and op in ("bind", "recvfrom"):
            fields["address"] = None
        tid = pid + c // 8 % 2
        record = CallRecord(
            witness=self.knows.witness, host="localhost", actor="program", pid=pid, tid=tid,
            order=0, op=op, fd=end.inode, entered_ns=0, returned_ns=0, requested_bytes=size,
            result=result, inode=end.inode, family=end.family, kind=end.kind, peer_inode=told,
            **fields,
        )  # fmt: skip
        self.effects.append((self.now, c // 16 % 4, record))
        return len(self.effects)

    def seen(self) -> tuple[list[CallRecord], dict[int, int]]:
        """The records in order of entry, and the number of each by that of its effect.

        A call may begin long before its effect, and end long after, but not before the thread's
        call before it has ended; nor does any lie around a fork.
        """
        last: dict[int, int] = {}
        walls = [at for at, _, record in self.effects if record is None]
        spans: list[list[Any]] = []
        mine: dict[int, list[Any]] = {}
        born: dict[int, list[Any]] = {}  # by inode: what made it; nobody uses it before that ends
        for number, (at, slack, record) in enumerate(self.effects, 1):
            if record is None:
                continue
            loose = STEP_NS * (0, 1, 6, 11)[slack]
            floor = max(last.get(record.tid, 0), max((w for w in walls if w < at), default=0)) + 1
            before = mine.get(record.tid)
            if before is not None:
                before[2] = min(before[2], at - 2)
                floor = max(floor, before[2] + 1)
            maker = born.get(record.inode or 0)
            if maker is not None and maker is not before:
                maker[2] = min(maker[2], at - 2)
                floor = max(floor, maker[2] + 1)
            entered = max(floor, at - loose - 1)
            ceiling = min((w for w in walls if w > at), default=1 << 60) - 1
            item = [number, entered, min(at + loose + 1, ceiling), record]
            spans.append(item)
            mine[record.tid] = item
            made = [record.inode] if record.op in ("socket", "socketpair", "pipe") else []
            for inode in [*made, record.new_inode]:
                born[inode or 0] = item
            last[record.tid] = at
        spans.sort(key=lambda item: (item[1], item[3].pid, item[3].tid))
        records = []
        place: dict[int, int] = {}
        for number, entered, returned, record in spans:
            place[number] = len(records) + 1
            records.append(
                replace(record, entered_ns=entered, returned_ns=returned, order=len(records) + 1)
            )
        return records, place


def run(steps: Sequence[tuple[str, int, int, int]], knows: Knows) -> World:
    """A world after all steps."""
    world = World(knows)
    for step in steps:
        world.step(*step)
    return world
