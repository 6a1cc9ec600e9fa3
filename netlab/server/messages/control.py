"""Messages between processes of one family: small JSON objects, with descriptors beside.

One Unix seqpacket pair, so a message arrives whole or not at all, and end of file says that the
other side is gone. The server's processes and the lab's first process are told what to do over it.
Knows nothing of what the messages mean; read man 7 unix (SCM_RIGHTS).
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import Any

_MAX_MESSAGE_BYTES = 1 << 17
_MAX_DESCRIPTORS = 16

Message = dict[str, Any]
MakePair = Callable[[int, int], tuple[socket.socket, socket.socket]]


def pair(make: MakePair = socket.socketpair) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new control connection; neither survives an execve."""
    return make(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message; raises OSError (EPIPE, ECONNRESET) when nobody is there any more."""
    ancillary = []
    if descriptors:
        rights = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights.tobytes())]
    sock.sendmsg([json.dumps(message).encode()], ancillary, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (close-on-exec); None at end of file.

    Raises BlockingIOError on a non-blocking socket that has nothing.
    """
    # Told once when the other side left something of ours unread; what it sent is still there.
    with contextlib.suppress(ConnectionResetError):
        return _receive(sock)
    with contextlib.suppress(ConnectionResetError):
        return _receive(sock)
    return None


def _receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, flags, _ = sock.recvmsg(_MAX_MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
    if not data:
        return None
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for descriptor in descriptors:
            os.close(descriptor)
        raise ValueError("a control message did not fit")
    return json.loads(data), list(descriptors)
