"""Channels over pairs of Unix sockets: seqpacket, datagram and stream.

What the kernel does (man 7 unix, net/unix/af_unix.c):
- A seqpacket or stream socket tells the death of its peer: end of file behind the last message,
  EPIPE for who sends. A datagram socket does not: its receiver waits for ever, its sender gets
  ECONNREFUSED. Hence the lifeline beside it.
- When the peer died with unread messages in its own queue, the next recv fails once with
  ECONNRESET, and gives what the peer had sent only then.
- A message must fit the send buffer (208 KiB by default) with its overhead: EMSGSIZE else.
"""

from __future__ import annotations

import errno
import socket
from typing import ClassVar

from netlab.model.probe import Probe
from netlab.server.channels.channel import ByteChannel, Channel, ChannelClosed, PieceChannel
from netlab.server.channels.lifeline import Lifeline, lifeline_ends

PIECE_BYTES = 60 * 1024
STREAM_BYTES = 64 * 1024
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN})
_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})


class _SocketEnd:
    """The calls of one end's socket."""

    kind: ClassVar[str]

    def _take(self, sock: socket.socket, probe: Probe) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._call_recv = sock.recv
        self._call_send = sock.send
        self._call_send_about = probe.maybe_send_about(sock)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def write_fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """See Channel."""
        return self.kind, (self._socket.fileno(),)

    def close(self) -> None:
        """See Channel."""
        self._socket.close()

    def _send(self, data: bytes | memoryview, about: int) -> int:
        """Bytes taken, 0 for no room."""
        try:
            if about and self._call_send_about is not None:
                return self._call_send_about(data, about)
            return self._call_send(data)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return 0
            if error.errno in _GONE:
                raise ChannelClosed from error
            raise

    def _recv(self, size: int) -> bytes | None:
        """What came; None for nothing now."""
        try:
            data = self._call_recv(size)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return self._recv(size)  # told once; what was sent before is still there
        if not data:
            raise ChannelClosed
        return data


class SeqpacketChannel(_SocketEnd, PieceChannel):
    """A pair of SOCK_SEQPACKET sockets: borders kept, order kept, the peer's death told."""

    kind: ClassVar[str] = "seqpacket"

    def __init__(self, sock: socket.socket, probe: Probe) -> None:
        PieceChannel.__init__(self, probe, PIECE_BYTES)
        self._take(sock, probe)

    def _put(self, piece: bytes, about: int) -> bool:
        return self._send(piece, about) > 0

    def _get(self) -> bytes | None:
        return self._recv(PIECE_BYTES)


class StreamChannel(_SocketEnd, ByteChannel):
    """A pair of SOCK_STREAM sockets: plain bytes, the peer's death told."""

    kind: ClassVar[str] = "stream"

    def __init__(self, sock: socket.socket, probe: Probe) -> None:
        ByteChannel.__init__(self, probe, STREAM_BYTES)
        self._take(sock, probe)

    def _write(self, data: bytes | memoryview, about: int) -> int:
        return self._send(data, about)

    def _read(self, limit_bytes: int) -> bytes | None:
        return self._recv(limit_bytes)


class DgramChannel(_SocketEnd, PieceChannel):
    """A pair of SOCK_DGRAM sockets, as Swoole has them, and a lifeline."""

    kind: ClassVar[str] = "dgram"

    def __init__(self, sock: socket.socket, line_fd: int, probe: Probe) -> None:
        PieceChannel.__init__(self, probe, PIECE_BYTES)
        self._take(sock, probe)
        self._lifeline = Lifeline(line_fd, sock.fileno(), probe)

    def fileno(self) -> int:
        """Readable: a datagram is here, or the lifeline is cut."""
        return self._lifeline.fileno()

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """See Channel."""
        return self.kind, (self._socket.fileno(), self._lifeline.fd)

    def close(self) -> None:
        """See Channel."""
        self._socket.close()
        self._lifeline.close()

    def _put(self, piece: bytes, about: int) -> bool:
        return self._send(piece, about) > 0

    def _get(self) -> bytes | None:
        piece = self._recv(PIECE_BYTES)
        if piece is None and self._lifeline.cut:
            piece = self._recv(PIECE_BYTES)  # sent between that look and its sender's death
            if piece is None:
                raise ChannelClosed
        return piece


def unix_pair(kind: str, probe: Probe) -> tuple[Channel, Channel]:
    """Both ends of a new channel of one of these kinds."""
    one, other = probe.socketpair(socket.AF_UNIX, _TYPES[kind])
    if kind == "dgram":
        reader, writer = lifeline_ends()
        return DgramChannel(one, reader, probe), DgramChannel(other, writer, probe)
    make = SeqpacketChannel if kind == "seqpacket" else StreamChannel
    return make(one, probe), make(other, probe)


def unix_end(kind: str, fds: tuple[int, ...], probe: Probe) -> Channel:
    """The end that another process handed over."""
    sock = probe.adopt(socket.socket(fileno=fds[0]))
    if kind == "dgram":
        return DgramChannel(sock, fds[1], probe)
    return SeqpacketChannel(sock, probe) if kind == "seqpacket" else StreamChannel(sock, probe)


_TYPES = {
    "seqpacket": socket.SOCK_SEQPACKET,
    "dgram": socket.SOCK_DGRAM,
    "stream": socket.SOCK_STREAM,
}
