"""A channel over two pipes, one for each way. Read first: man 7 pipe.

A pipe tells the end of its other end: end of file behind the last byte for who reads, EPIPE for who
writes. It holds 64 KiB by default, and a write of more than PIPE_BUF (4096) bytes may be taken in
part.
"""

from __future__ import annotations

from typing import ClassVar

from netlab.model.probe import PipeEnd, Probe
from netlab.server.channels.channel import ByteChannel, ChannelClosed

PIPE_BYTES = 64 * 1024


class PipeChannel(ByteChannel):
    """The reading end of one pipe, the writing end of the other."""

    kind: ClassVar[str] = "pipe"

    def __init__(self, reader: PipeEnd, writer: PipeEnd, probe: Probe) -> None:
        super().__init__(probe, PIPE_BYTES)
        self._reader, self._writer = reader, writer

    def fileno(self) -> int:
        """The reading end."""
        return self._reader.fileno()

    def write_fileno(self) -> int:
        """The writing end."""
        return self._writer.fileno()

    def handover(self) -> tuple[str, tuple[int, ...]]:
        """See Channel."""
        return self.kind, (self._reader.fileno(), self._writer.fileno())

    def close(self) -> None:
        """See Channel."""
        self._reader.close()
        self._writer.close()

    def _write(self, data: bytes | memoryview, about: int) -> int:
        try:
            return self._writer.write(data, about)
        except BlockingIOError:
            return 0
        except BrokenPipeError as error:
            raise ChannelClosed from error

    def _read(self, limit_bytes: int) -> bytes | None:
        try:
            data = self._reader.read(limit_bytes)
        except BlockingIOError:
            return None
        if not data:
            raise ChannelClosed
        return data


def pipe_pair(probe: Probe) -> tuple[PipeChannel, PipeChannel]:
    """Both ends of a new channel."""
    (there_out, there_in), (back_out, back_in) = probe.pipe(), probe.pipe()
    return PipeChannel(back_out, there_in, probe), PipeChannel(there_out, back_in, probe)


def pipe_end(fds: tuple[int, ...], probe: Probe) -> PipeChannel:
    """The end that another process handed over."""
    return PipeChannel(probe.adopt_pipe(fds[0]), probe.adopt_pipe(fds[1]), probe)
