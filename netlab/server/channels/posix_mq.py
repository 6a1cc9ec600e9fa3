"""A channel over two POSIX message queues, one for each way. Read first: man 7 mq_overview.

- A queue is a file in a file system of its own; its descriptor can be polled like a socket's. Its
  name is taken away as soon as both ends are open, so nothing is left whoever is killed.
- It holds few messages (10 of 8 KiB, /proc/sys/fs/mqueue), and all queues of a user together
  819,200 bytes by default (RLIMIT_MSGQUEUE): where that is used up, smaller ones are made.
- It does not tell that the other end is gone: hence the lifeline.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.channels.channel import ChannelClosed, PieceChannel
from netlab.server.channels.lifeline import Lifeline, lifeline_ends

if TYPE_CHECKING:
    import posix_ipc

_PIECE_BYTES = (8192, 4096, 2048, 1024)
_MESSAGES = 10


class PosixQueueChannel(PieceChannel):
    """One end: a queue to take from, another to put into."""

    kind: ClassVar[str] = "posix_mq"

    def __init__(
        self, inbound: posix_ipc.MessageQueue, outbound: posix_ipc.MessageQueue, line_fd: int,
        limit_bytes: int, probe: Probe,
    ) -> None:  # fmt: skip
        super().__init__(probe, limit_bytes)
        self._in, self._out = inbound, outbound
        self._busy = _module().BusyError
        for queue in (inbound, outbound):
            queue.block = False
        self._in_notes = probe.notes("mqueue", os.fstat(inbound.mqd).st_ino, inbound.mqd)
        self._out_notes = probe.notes("mqueue", os.fstat(outbound.mqd).st_ino, outbound.mqd)
        self._lifeline = Lifeline(line_fd, inbound.mqd, probe)
        self._open = True

    def fileno(self) -> int:
        """Readable: a message is here, or the lifeline is cut."""
        return self._lifeline.fileno()

    def write_fileno(self) -> int:
        """The queue to put into."""
        return int(self._out.mqd)

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """See Channel."""
        fds = (self._in.mqd, self._out.mqd, self._lifeline.fd)
        return f"{self.kind} {self.limit_bytes}", fds

    def close(self) -> None:
        """See Channel."""
        if self._open:
            self._open = False
            self._lifeline.close()
            self._in_notes.call("close", None, self._in.close)
            self._out_notes.call("close", None, self._out.close)

    def _put(self, piece: bytes, about: int) -> bool:
        try:
            self._out_notes.call("mq_send", len(piece), lambda: self._send(piece), about)
        except BlockingIOError:
            if self._lifeline.cut:
                raise ChannelClosed from None
            return False
        return True

    def _get(self) -> bytes | None:
        try:
            return self._take()
        except BlockingIOError:
            if not self._lifeline.cut:
                return None
        try:
            return self._take()  # put between that look and its sender's death
        except BlockingIOError:
            raise ChannelClosed from None

    def _take(self) -> bytes:
        return self._in_notes.call("mq_receive", self.limit_bytes, self._receive)

    def _send(self, piece: bytes) -> int:
        try:
            self._out.send(piece)
        except self._busy as error:
            raise BlockingIOError(errno.EAGAIN, str(error)) from None
        return len(piece)

    def _receive(self) -> bytes:
        try:
            piece: bytes = self._in.receive()[0]
        except self._busy as error:
            raise BlockingIOError(errno.EAGAIN, str(error)) from None
        return piece


def posix_mq_pair(probe: Probe) -> tuple[PosixQueueChannel, PosixQueueChannel]:
    """Both ends of a new channel. Raises UsageError where queues are not to be had."""
    (there_in, there_out), (back_in, back_out), size = _two_queues()
    for queue in (there_in, back_in):
        notes = probe.notes("mqueue", os.fstat(queue.mqd).st_ino, queue.mqd)
        notes.call("mq_open", None, partial(int, queue.mqd))
    line = lifeline_ends()
    return (
        PosixQueueChannel(back_out, there_in, line[0], size, probe),
        PosixQueueChannel(there_out, back_in, line[1], size, probe),
    )


def posix_mq_end(description: str, fds: tuple[int, ...], probe: Probe) -> PosixQueueChannel:
    """The end that another process handed over."""
    size = int(description.split()[1])
    inbound, outbound = _adopted(fds[0], size), _adopted(fds[1], size)
    return PosixQueueChannel(inbound, outbound, fds[2], size, probe)


def _module() -> Any:
    try:
        import posix_ipc
    except ImportError as error:
        raise UsageError(
            "ipc='posix_mq' needs the package posix_ipc", "pip install netlab[ipc]"
        ) from error
    return posix_ipc


def _two_queues() -> tuple[tuple[Any, Any], tuple[Any, Any], int]:
    """Two new queues, each opened twice, and how long their messages may be."""
    for size in _PIECE_BYTES:
        one = _maybe_queue(size, _MESSAGES)
        other = None if one is None else _maybe_queue(size, _MESSAGES)
        if one is not None and other is not None:
            return one, other, size
        for queue in one or ():
            queue.close()
    raise _none_left()


def _maybe_queue(size: int, messages: int) -> tuple[Any, Any] | None:
    """A new queue without a name, opened twice; None where the limits forbid one so large."""
    posix_ipc = _module()
    try:
        queue = posix_ipc.MessageQueue(
            None, posix_ipc.O_CREX, mode=0o600, max_messages=messages, max_message_size=size
        )
    except (OSError, ValueError) as error:  # the package gives no errno with most of its errors
        if getattr(error, "errno", None) not in (None, errno.EMFILE, errno.EINVAL, errno.ENOSPC):
            raise
        return None
    try:
        return queue, posix_ipc.MessageQueue(queue.name)
    except BaseException:
        queue.close()
        raise
    finally:
        queue.unlink()


def _none_left() -> UsageError:
    return UsageError(
        "no further POSIX message queue is to be had: the user's RLIMIT_MSGQUEUE is used up",
        "raise it (ulimit -q), use fewer workers, or ipc='seqpacket'",
    )


def _adopted(fd: int, size: int) -> Any:
    """A queue object on a descriptor: posix_ipc opens by name only, so one is lent the number."""
    lender = _maybe_queue(size, 1)
    if lender is None:
        raise _none_left()
    queue, other = lender
    other.close()
    os.dup2(fd, queue.mqd, inheritable=False)
    os.close(fd)
    return queue
