"""Random conversations of one machine, with the calls of both ends as strace shows them by itself.

A client's own port stands in no argument, and an accept() may not ask for the peer's address. Each
conversation is a list of steps; which one goes on next is drawn. The truth is kept beside the calls
and never shown to what is tested.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from playbook import Play

from netlab.model.call import CallRecord
from netlab.model.frame import Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet

LISTENER = 1
OWN = 1 << 62  # numbers for sockets whose inode the kernel does not tell
PEER = "127.0.0.1:80"


@dataclass
class Talk:
    """What one conversation does: rounds of (bytes there, bytes back)."""

    rounds: list[tuple[int, int]]
    nonblocking: bool  # connect() returns at once
    client_seen: bool  # its client's calls were recorded
    server_seen: bool
    held: bool  # the client's first bytes leave after its send() has returned


talks = st.builds(
    Talk,
    st.lists(st.tuples(st.sampled_from([1, 10, 10, 25]), st.sampled_from([0, 10, 40])), max_size=3),
    st.booleans(), st.booleans() | st.just(True), st.booleans() | st.just(True), st.booleans(),
)  # fmt: skip


@dataclass
class World:
    """One machine: frames and calls so far, and whose each is."""

    shows_peer: bool  # accept() asked for the address
    play: Play = field(default_factory=Play)
    calls: list[CallRecord] = field(default_factory=list)
    truth: dict[int, tuple[int, str]] = field(default_factory=dict)  # inode -> port, side
    queue: deque[int] = field(default_factory=deque)  # ports whose handshake is complete
    accepted: dict[int, int] = field(default_factory=dict)  # port -> inode
    hidden: set[int] = field(default_factory=set)  # inodes whose calls nobody recorded
    _orders: dict[int, int] = field(default_factory=dict)

    def call(self, pid: int, op: str, inode: int, entered: int, **more: Any) -> None:
        order = self._orders[pid] = self._orders.get(pid, 0) + 1
        fields: dict[str, Any] = {
            "family": "AF_INET", "kind": "SOCK_STREAM", "args": "", "fd": inode % 1000,
            "returned_ns": self.play.tick(), "result": 0, **more,
        }  # fmt: skip
        fields["returned_by_ns"] = fields["returned_ns"]
        self.calls.append(
            CallRecord("strace", "here", f"p{pid}", pid, pid, order, op,
                       entered_ns=entered, inode=inode, **fields)
        )  # fmt: skip

    def listen(self) -> None:
        for op in ("socket", "bind", "listen"):
            more = {"address": "0.0.0.0:80", "local": "0.0.0.0:80"} if op != "socket" else {}
            self.call(20, op, OWN + LISTENER, self.play.tick(), **more)

    def accept(self, seen: dict[int, bool]) -> None:
        """The server takes the first connection out of its queue."""
        entered = self.play.tick()
        port = self.queue.popleft()
        inode = self.accepted[port] = OWN + 100 + len(self.accepted)
        self.truth[inode] = port, "server"
        if not seen[port]:
            self.hidden.add(inode)
        more = {"address": f"127.0.0.1:{port}"} if self.shows_peer else {}
        self.call(20, "accept4", OWN + LISTENER, entered, new_inode=inode, result=inode % 1000,
                  local="0.0.0.0:80", **more)  # fmt: skip


def converse(world: World, port: int, talk: Talk, seen: dict[int, bool]) -> Iterator[None]:
    """The steps of one conversation; it yields wherever another may go on."""
    play, mine = world.play, OWN + 10_000 + port
    world.truth[mine] = port, "client"
    if not talk.client_seen:
        world.hidden.add(mine)
    pid = 1000 + port
    world.call(pid, "socket", mine, play.tick())
    entered = play.tick()
    play.frame("c>s", "S", 0, sport=port)
    if talk.nonblocking:
        world.call(pid, "connect", mine, entered, address=PEER, errno="EINPROGRESS", result=-1)
        yield
    play.frame("s>c", "SA", 0, 1, sport=port)
    play.frame("c>s", "A", 1, 1, sport=port)
    world.queue.append(port)
    if not talk.nonblocking:
        yield
        world.call(pid, "connect", mine, entered, address=PEER)
    yield
    while port not in world.accepted:
        world.accept(seen)
        yield
    theirs = world.accepted[port]
    there = back = 0
    for sent, answered in talk.rounds:
        entered = play.tick()
        late = talk.held and there == 0
        if not late:
            play.data("c>s", there, there + sent, back, sport=port)
        world.call(pid, "write", mine, entered, result=sent, requested_bytes=sent)
        yield
        if late:
            play.data("c>s", there, there + sent, back, sport=port)
            yield
        there += sent
        world.call(20, "read", theirs, play.tick(), result=sent, requested_bytes=4096)
        yield
        if answered:
            entered = play.tick()
            play.data("s>c", back, back + answered, there, sport=port)
            world.call(20, "write", theirs, entered, result=answered, requested_bytes=answered)
            yield
            back += answered
            world.call(pid, "read", mine, play.tick(), result=answered, requested_bytes=4096)
            yield
    entered = play.tick()
    play.fin("c>s", there, back, sport=port)
    world.call(pid, "close", mine, entered)
    yield
    world.call(20, "read", theirs, play.tick(), result=0, requested_bytes=4096)
    entered = play.tick()
    play.fin("s>c", back, there + 1, sport=port)
    world.call(20, "close", theirs, entered)
    play.ack("c>s", back + 1, there + 1, sport=port)


def happened(
    world: World, script: list[Talk], turns: list[int]
) -> tuple[RawRecording, list[Packet]]:
    """Let the conversations run, the next one as `turns` say; what was recorded of it."""
    world.listen()
    seen = {40_000 + at: talk.server_seen for at, talk in enumerate(script)}
    going = [converse(world, 40_000 + at, talk, seen) for at, talk in enumerate(script)]
    while going:
        turn = turns.pop() if turns else 0
        one = going[turn % len(going)]
        if next(one, one) is one:
            going.remove(one)
    raw = RawRecording(interfaces=[Interface("lo", 1, 0)])
    raw.calls = [call for call in world.calls if call.inode not in world.hidden]
    raw.calls.sort(key=lambda call: call.entered_ns)
    return raw, world.play.packets


def shifted(raw: RawRecording, offset_ns: int) -> RawRecording:
    """The same with the calls' clock ahead of the frames' by this much."""
    calls = [
        replace(
            call, entered_ns=call.entered_ns + offset_ns,
            returned_ns=None if call.returned_ns is None else call.returned_ns + offset_ns,
            returned_by_ns=(
                None if call.returned_by_ns is None else call.returned_by_ns + offset_ns
            ),
        )
        for call in raw.calls
    ]  # fmt: skip
    return replace(raw, calls=calls)
