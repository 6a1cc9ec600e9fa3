"""Holds scripted conversations on a loopback of its own and records them; not a test itself.

Run as `unshare -r --net python conversation_worker.py`: it reads one script a line (JSON) from
standard input, writes the live recording to the path in it, and answers with the bytes that each
side says it wrote and read. Both sides live in this one thread and never block, so a
script has one meaning; the kernel decides the rest.
"""

from __future__ import annotations

import errno
import fcntl
import json
import select
import shutil
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.capture.probe import JournalProbe
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.recording import LiveRecording, spool_folder
from netlab.capture.ring import PacketRing
from netlab.lab.pattern import pattern
from netlab.model.frame import Interface
from netlab.model.recording import Description

# The server's stream begins elsewhere in the pattern, so that bytes of the wrong direction show.
SERVER_SALT = 1 << 24
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


@dataclass(frozen=True)
class Home:
    """Where an end lives, and who notes its calls; `inside`: sockets made meanwhile are there."""

    probe: JournalProbe
    address: str
    inside: Callable[[], AbstractContextManager[None]] = nullcontext


class End:
    """One end of one connection: its socket and how far its streams are."""

    def __init__(self, sock: Any, salt: int) -> None:
        self.sock = sock
        self.salt = salt
        self.sent = 0
        self.read = 0
        self.may_send = True
        self.open = True
        self.count_known = True

    def await_bytes(self, peer: End, script: dict[str, Any]) -> None:
        """Before a step: let what the peer sent arrive, if the script has patience for it."""
        if self.open and peer.sent > self.read and script.get("patience_ms"):
            poll = select.poll()
            poll.register(self.sock.fileno(), select.POLLIN)
            poll.poll(script["patience_ms"])

    def do(self, op: str, size: int) -> None:
        """Carry out one step; what the kernel refuses is part of the conversation."""
        if not self.open:
            return
        try:
            getattr(self, "_" + op)(size)
        except BlockingIOError:
            pass
        except OSError as refused:
            if refused.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise
            self.may_send = False

    def _bytes(self, size: int) -> bytes:
        start = self.salt + self.sent
        return pattern(start, start + size)

    def _send(self, size: int) -> None:
        if self.may_send:
            self.sent += self.sock.send(self._bytes(size))

    def _sendall(self, size: int) -> None:
        if self.may_send:
            data = self._bytes(size)
            try:
                self.sock.sendall(data)
            except OSError:
                # Python does not say how much went; nothing can follow in this direction.
                self.may_send = self.count_known = False
                raise
            self.sent += size

    def _sendmsg(self, size: int) -> None:
        if self.may_send:
            data = self._bytes(size)
            self.sent += self.sock.sendmsg([data[: size // 3], data[size // 3 :]])

    def _recv(self, size: int) -> None:
        self.read += len(self.sock.recv(size))

    def _recv_into(self, size: int) -> None:
        self.read += self.sock.recv_into(bytearray(size))

    def _recvmsg(self, size: int) -> None:
        self.read += len(self.sock.recvmsg(size)[0])

    def _peek(self, size: int) -> None:
        self.sock.recv(size, socket.MSG_PEEK)

    def _swallow(self, size: int) -> None:
        # On TCP, MSG_TRUNC consumes without copying: the buffer stays as it was.
        self.read += self.sock.recv_into(bytearray(size), size, socket.MSG_TRUNC)

    def _shutdown(self, size: int) -> None:
        self.may_send = False
        self.sock.shutdown(socket.SHUT_WR)

    def _close(self, size: int) -> None:
        self.open = self.may_send = False
        self.sock.close()

    def _reset(self, size: int) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close(size)


def drain(ends: list[End]) -> None:
    """Half-close every end and read all of them to the end of their streams."""
    for end in ends:
        end.do("shutdown", 0)
    waiting = {end.sock.fileno(): end for end in ends if end.open}
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        ready = poll.poll(20_000)
        assert ready, "an end neither got bytes nor the end of its stream for 20 s"
        for fd, _ in ready:
            end = waiting[fd]
            before = end.read
            try:
                end.read += len(end.sock.recv(1 << 16))
            except BlockingIOError:
                continue
            except OSError as refused:
                if refused.errno not in (errno.ECONNRESET, errno.ENOTCONN):
                    raise
            if end.read == before:
                poll.unregister(fd)
                del waiting[fd]


def meet(
    script: dict[str, Any], client: Home, server: Home
) -> tuple[list[dict[str, End]], Callable[[], None]]:
    """The connections of a conversation, and what ends listening."""
    family = socket.AF_INET6 if script["ipv6"] else socket.AF_INET
    with server.inside():
        listener = server.probe.socket(family, socket.SOCK_STREAM)
    if script["rcvbuf"]:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, script["rcvbuf"])
    if script["sndbuf"]:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, script["sndbuf"])
    listener.bind((server.address, 0))
    listener.listen(16)
    pairs = []
    for _ in range(script["connections"]):
        with client.inside():
            sock = client.probe.socket(family, socket.SOCK_STREAM)
        if script["sndbuf"]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, script["sndbuf"])
        if script["nodelay"]:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(listener.getsockname())
        taken, _ = listener.accept()
        sock.setblocking(False)
        taken.setblocking(False)
        pairs.append({"client": End(sock, 0), "server": End(taken, SERVER_SALT)})
    return pairs, listener.close


def play(script: dict[str, Any], pairs: list[dict[str, End]]) -> None:
    """Carry out the script, to the end of every end."""
    for which, side, op, size in script["steps"]:
        pair = pairs[which % len(pairs)]
        pair[side].await_bytes(pair["server" if side == "client" else "client"], script)
        pair[side].do(op, size)
    ends = [end for pair in pairs for end in pair.values()]
    if script["drain"]:
        drain(ends)
    for end in ends:
        if end.open:
            end.do("close", 0)


def told(pairs: list[dict[str, End]]) -> list[list[int | None]]:
    """What each side of each connection says that it wrote and read."""
    return [
        [pair[side].sent if pair[side].count_known else None, pair[side].read]
        for pair in pairs
        for side in ("client", "server")
    ]


def converse(script: dict[str, Any], ring: PacketRing) -> dict[str, Any]:
    path = Path(script["path"])
    folder = spool_folder(path)
    folder.mkdir(mode=0o700)
    live = LiveRecording.create(path, description=Description(), interfaces=[Interface("lo", 1, 0)])
    host = "::1" if script["ipv6"] else "127.0.0.1"
    client = Home(JournalProbe(folder, actor="client", queues=script["queues"]), host)
    server = Home(JournalProbe(folder, actor="server", queues=script["queues"]), host)
    pairs, close_listener = meet(script, client, server)
    play(script, pairs)
    close_listener()
    client.probe.close()
    server.probe.close()

    live.frames(0, ring.drain())
    spools = SpoolReader(folder)
    live.calls(spools.poll())
    live.calls(spools.finish())
    live.inheritances(spools.inheritances)
    statistics = ring.statistics()
    live.close()
    shutil.rmtree(folder)
    return {
        "dropped": statistics.dropped,
        "losses": [str(loss) for loss in spools.losses],
        "moved": told(pairs),
    }


def main() -> None:
    loopback_up()
    ring = PacketRing.open("lo", block_bytes=1 << 20, blocks=32, retire_ms=5)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(converse(json.loads(line), ring)), flush=True)


if __name__ == "__main__":
    main()
