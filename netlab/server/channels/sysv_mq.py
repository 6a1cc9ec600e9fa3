"""A channel over two System V message queues, one for each way. Read first: man 7 sysvipc, 2 msgop.

Such a queue is no file: it has no descriptor to poll (hence the bells), does not tell that the
other end is gone (hence the lifeline), and is not removed with the last process that used it:
- The end that is closed last removes both queues. Who that is the lifeline says: an end that finds
  it cut is alone.
- When both ends are killed, or close in the same instant, the janitor removes them.
Messages have at most 8 KiB, a queue holds 16 KiB (/proc/sys/kernel/msgmax, msgmnb).
"""

from __future__ import annotations

import contextlib
import errno
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.channels.bells import Bell, new_bell_fds
from netlab.server.channels.channel import PIECES_AT_ONCE, ChannelClosed, PieceChannel
from netlab.server.channels.janitor import janitor_fd, tell
from netlab.server.channels.lifeline import Lifeline, lifeline_ends

if TYPE_CHECKING:
    import sysv_ipc

_PIECE_BYTES = 8192


class SysvQueueChannel(PieceChannel):
    """One end: a queue to take from, another to put into."""

    kind: ClassVar[str] = "sysv_mq"
    _least: ClassVar[int] = PIECES_AT_ONCE  # to leave some costs a ring of the bell

    def __init__(
        self, inbound: sysv_ipc.MessageQueue, outbound: sysv_ipc.MessageQueue,
        bell_fds: tuple[int, int], line_fd: int, janitor: int, limit_bytes: int, probe: Probe,
    ) -> None:  # fmt: skip
        super().__init__(probe, limit_bytes)
        self._in, self._out = inbound, outbound
        self._busy, self._removed = _module().BusyError, _module().ExistentialError
        self._in_bell = Bell(bell_fds[0], inbound.id, probe)
        self._out_bell = Bell(bell_fds[1], outbound.id, probe)
        self._in_notes = probe.notes("sysv", inbound.id, bell_fds[0])
        self._out_notes = probe.notes("sysv", outbound.id, bell_fds[1])
        self._lifeline = Lifeline(line_fd, bell_fds[0], probe)
        self._janitor = janitor

    def fileno(self) -> int:
        """Readable: the bell was rung, or the lifeline is cut."""
        return self._lifeline.fileno()

    def write_fileno(self) -> int:
        """Writable: the bell was silenced since there was no room."""
        return self._out_bell.fd

    def receive(self) -> list[bytes]:
        """The whole messages that are here now. Raises ChannelClosed behind the last."""
        self._in_bell.silence()
        found = super().receive()
        if self._left_some:
            self._in_bell.ring()
        return found

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """See Channel."""
        fds = (self._in_bell.fd, self._out_bell.fd, self._lifeline.fd, self._janitor)
        return f"{self.kind} {self.limit_bytes} {self._in.key} {self._out.key}", fds

    def close(self) -> None:
        """See Channel. Who is alone removes the queues."""
        janitor, self._janitor = self._janitor, -1
        if janitor < 0:
            return
        if self._lifeline.cut:
            for queue in (self._in, self._out):
                with contextlib.suppress(self._removed):
                    queue.remove()
                tell(janitor, "-", queue.id)
        self._lifeline.close()
        self._in_notes.call("close", None, lambda: None)
        self._out_notes.call("close", None, lambda: None)
        self._in_bell.close()
        self._out_bell.close()
        os.close(janitor)

    def _put(self, piece: bytes, about: int) -> bool:
        try:
            self._give(piece, about)
        except BlockingIOError:
            if self._lifeline.cut:
                raise ChannelClosed from None
            self._out_bell.fill()
            try:
                self._give(piece, about)
            except BlockingIOError:
                return False
        self._out_bell.ring()
        return True

    def _give(self, piece: bytes, about: int) -> None:
        self._out_notes.call("msgsnd", len(piece), lambda: self._send(piece), about)

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
        return self._in_notes.call("msgrcv", self.limit_bytes, self._receive)

    def _send(self, piece: bytes) -> int:
        try:
            self._out.send(piece, block=False)
        except self._busy as error:
            raise BlockingIOError(errno.EAGAIN, str(error)) from None
        except self._removed as error:
            raise ChannelClosed from error
        return len(piece)

    def _receive(self) -> bytes:
        try:
            piece: bytes = self._in.receive(block=False)[0]
        except self._busy as error:
            raise BlockingIOError(errno.EAGAIN, str(error)) from None
        except self._removed as error:
            raise ChannelClosed from error
        return piece


def sysv_mq_pair(probe: Probe) -> tuple[SysvQueueChannel, SysvQueueChannel]:
    """Both ends of a new channel. Raises UsageError where the package is not installed."""
    sysv_ipc = _module()
    size = min(_PIECE_BYTES, int(Path("/proc/sys/kernel/msgmax").read_text()))
    janitors = janitor_fd(), janitor_fd()
    there, back = _queue(sysv_ipc, size, janitors[0]), _queue(sysv_ipc, size, janitors[0])
    bells, line = new_bell_fds(), lifeline_ends()
    for queue, bell in ((there, bells[0]), (back, bells[1])):
        notes = probe.notes("sysv", queue.id, bell)
        notes.call("msgget", None, partial(int, queue.id))
    copies = os.dup(bells[1]), os.dup(bells[0])
    return (
        SysvQueueChannel(there, back, bells, line[0], janitors[0], size, probe),
        SysvQueueChannel(back, there, copies, line[1], janitors[1], size, probe),
    )


def _queue(sysv_ipc: Any, size: int, janitor: int) -> Any:
    queue = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX, mode=0o600, max_message_size=size)
    tell(janitor, "+", queue.id)
    return queue


def sysv_mq_end(description: str, fds: tuple[int, ...], probe: Probe) -> SysvQueueChannel:
    """The end that another process handed over."""
    size, inbound, outbound = map(int, description.split()[1:])
    sysv_ipc = _module()
    return SysvQueueChannel(
        sysv_ipc.MessageQueue(inbound, max_message_size=size),
        sysv_ipc.MessageQueue(outbound, max_message_size=size),
        (fds[0], fds[1]), fds[2], fds[3], size, probe,
    )  # fmt: skip


def _module() -> Any:
    try:
        import sysv_ipc
    except ImportError as error:
        raise UsageError(
            "ipc='sysv_mq' needs the package sysv_ipc", "pip install netlab[ipc]"
        ) from error
    return sysv_ipc
