"""The words of the server: choices that users type or read, and the records that cross its rooms.

Nothing here does I/O or decides anything. The `str` of a choice is what users type and read.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

SESSION_SLOT_BITS: Final = 20  # a session is serial << 20 | slot
SESSION_SLOTS: Final = 1 << SESSION_SLOT_BITS
SPARE_WORKERS: Final = 16  # how many may be added to those that were asked for
SIDE_BY_SIDE: Final = 2  # generations of one name

SocketAddress = tuple[str, int] | tuple[str, int, int, int] | str | bytes | None


class Mode(StrEnum):
    """Which processes and threads share the work."""

    SINGLE = "single"
    THREADS = "threads"
    BASE = "base"
    PROCESS = "process"


class PollerKind(StrEnum):
    """How a loop waits; `edge` is epoll with EPOLLET."""

    EPOLL = "epoll"
    EDGE = "edge"
    POLL = "poll"
    SELECT = "select"


class IpcKind(StrEnum):
    """What carries messages between the server's own processes."""

    SEQPACKET = "seqpacket"
    DGRAM = "dgram"
    STREAM = "stream"
    PIPE = "pipe"
    POSIX_MQ = "posix_mq"
    SYSV_MQ = "sysv_mq"
    RING = "ring"


class DispatchKind(StrEnum):
    """Which worker gets a message in `process` mode."""

    ROUND = "round"
    FIXED = "fixed"
    IDLE = "idle"
    ADDRESS = "address"
    BOUND = "bound"
    FUNCTION = "function"

    @property
    def keeps_order(self) -> bool:
        """Whether all that one session does is seen by one worker, in order.

        Of `bound` that is true before and after the binding, not across it.
        """
        return self in (DispatchKind.FIXED, DispatchKind.ADDRESS, DispatchKind.BOUND)


class FramingKind(StrEnum):
    """What ends a message in a stream."""

    NONE = "none"
    TERMINATOR = "terminator"
    LENGTH = "length"
    FIXED = "fixed"
    FUNCTION = "function"


class Overflow(StrEnum):
    """What happens when more output waits than the high watermark says.

    `refuse`: nothing until the output buffer is full, then sends are refused. `pause`: this client
    is not read either until the low watermark is reached. `close`: a full buffer closes.
    """

    REFUSE = "refuse"
    PAUSE = "pause"
    CLOSE = "close"


class OnEmfile(StrEnum):
    """What happens to new connections when there are no descriptors: they wait, or are closed."""

    PAUSE = "pause"
    SHED = "shed"


class HalfClose(StrEnum):
    """What happens when a client has sent its FIN: we may go on sending, or we close."""

    KEEP = "keep"
    CLOSE = "close"


class SendError(StrEnum):
    """Why a verb of the server returned False (`server.last_error`)."""

    SESSION_NOT_EXIST = "SESSION_NOT_EXIST"  # no such session now, or never
    SESSION_CLOSED = "SESSION_CLOSED"  # it is closing: its output may still leave, nothing new
    OUTPUT_BUFFER_OVERFLOW = "OUTPUT_BUFFER_OVERFLOW"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"  # larger than would ever fit
    NOT_A_STREAM = "NOT_A_STREAM"
    NO_SUCH_CLIENT = "NO_SUCH_CLIENT"  # no such address, or no entrance to send from
    NO_SUCH_FILE = "NO_SUCH_FILE"
    NO_SUCH_TARGET = "NO_SUCH_TARGET"  # no process of that name
    NO_TASK_WORKER = "NO_TASK_WORKER"
    QUEUE_FULL = "QUEUE_FULL"  # a channel or a socket takes no more now
    WORKER_DIED = "WORKER_DIED"
    TIMED_OUT = "TIMED_OUT"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    KERNEL = "KERNEL"  # a call failed; its errno is kept beside


class ClosedBy(StrEnum):
    """Who ended a connection."""

    PEER = "peer"
    SERVER = "server"
    KERNEL = "kernel"


class CloseReason(StrEnum):
    """Why a connection ended; each has one reason, told once."""

    PEER_FIN = "PEER_FIN"
    PEER_RST = "PEER_RST"
    LOCAL = "LOCAL"
    LOCAL_RESET = "LOCAL_RESET"
    HANDSHAKE_TIMEOUT = "HANDSHAKE_TIMEOUT"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    READ_TIMEOUT = "READ_TIMEOUT"
    WRITE_TIMEOUT = "WRITE_TIMEOUT"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    FRAMING = "FRAMING"
    OVERFLOW = "OVERFLOW"
    CALLBACK = "CALLBACK"
    MAX_CONNECTIONS = "MAX_CONNECTIONS"
    WORKER_DIED = "WORKER_DIED"
    SHUTDOWN = "SHUTDOWN"
    ERROR = "ERROR"

    @property
    def by(self) -> ClosedBy:
        """Who did it."""
        return _BY.get(self, ClosedBy.SERVER)

    @property
    def meaning(self) -> str:
        """One line for people."""
        return _MEANING[self]


_BY = {
    CloseReason.PEER_FIN: ClosedBy.PEER,
    CloseReason.PEER_RST: ClosedBy.PEER,
    CloseReason.WORKER_DIED: ClosedBy.KERNEL,  # it closes what a dead process had open
    CloseReason.ERROR: ClosedBy.KERNEL,
}

_MEANING = {
    CloseReason.PEER_FIN: "the client sent its FIN",
    CloseReason.PEER_RST: "the client reset the connection",
    CloseReason.LOCAL: "the server closed it",
    CloseReason.LOCAL_RESET: "the server reset it",
    CloseReason.HANDSHAKE_TIMEOUT: "no first byte within handshake_timeout",
    CloseReason.IDLE_TIMEOUT: "no byte in either direction within idle_timeout",
    CloseReason.READ_TIMEOUT: "nothing received within read_timeout",
    CloseReason.WRITE_TIMEOUT: "waiting output made no progress within write_timeout",
    CloseReason.REQUEST_TIMEOUT: "a message begun was not complete within request_timeout",
    CloseReason.FRAMING: "the stream does not follow the framing",
    CloseReason.OVERFLOW: "more output waited than output_buffer allows",
    CloseReason.CALLBACK: "a callback raised an exception",
    CloseReason.MAX_CONNECTIONS: "the limit of connections was reached",
    CloseReason.WORKER_DIED: "the worker that owned it died",
    CloseReason.SHUTDOWN: "the server is stopping",
    CloseReason.ERROR: "the kernel reported an error",
}


@dataclass(frozen=True, slots=True)
class Closed:
    """What the close callback is told; `errno` is 0 where no call failed."""

    reason: CloseReason
    errno: int = 0
    detail: str = ""  # such as what the framing objects to

    @property
    def by(self) -> ClosedBy:
        """Who ended the connection."""
        return self.reason.by

    @property
    def text(self) -> str:
        """All of it in one line."""
        parts = [self.reason.meaning]
        if self.errno:
            name = errno.errorcode.get(self.errno, str(self.errno))
            parts.append(f"{name}, {os.strerror(self.errno)}")
        if self.detail:
            parts.append(self.detail)
        return ": ".join(parts)

    def __str__(self) -> str:
        return f"{self.reason} ({self.text})"


def address_text(address: SocketAddress) -> str:
    """A socket address as users type it: 127.0.0.1:80, [::1]:80, a path, @name if abstract."""
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not address:
        return "unnamed"
    name = os.fsdecode(address)
    return "@" + name[1:] if name.startswith("\0") else name


def host_of(address: SocketAddress) -> str:
    """The host part, "" for Unix sockets."""
    return address[0] if isinstance(address, tuple) else ""


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a datagram, and at which entrance of the server it came in (0 = the first)."""

    address: SocketAddress
    entrance: int = 0

    def __str__(self) -> str:
        return address_text(self.address)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """One connection as it stands now; moments are `time.time()` seconds, 0.0 = not yet."""

    session: int
    entrance: int
    client: SocketAddress
    server: SocketAddress
    owner: str = ""  # the process whose socket it is
    worker: int | None = None  # the worker that is asked, where one is fixed
    uid: int | None = None
    connected_at_s: float = 0.0
    received_at_s: float = 0.0
    sent_at_s: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0
    messages: int = 0
    pending_bytes: int = 0  # of a message that is not complete
    queued_bytes: int = 0  # output that the kernel has not taken
    paused: bool = False
    protected: bool = False
    peer_finished: bool = False  # its FIN is here
    closing: bool = False  # we close when the output is sent


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals since the start, over all processes; the names in comments are Swoole's."""

    mode: Mode
    started_at_s: float  # start_time
    connections: int = 0  # connection_num
    accepted: int = 0  # accept_count
    closed: int = 0  # close_count
    refused: int = 0  # abort_count
    received_bytes: int = 0  # total_recv_bytes
    sent_bytes: int = 0  # total_send_bytes
    messages: int = 0  # request_count
    responses: int = 0  # response_count
    workers: int = 0  # worker_num
    idle_workers: int = 0  # idle_worker_num
    task_workers: int = 0  # task_worker_num
    tasks_waiting: int = 0  # tasking_num
    tasks_done: int = 0  # task_count
    accept_pauses: int = 0  # how often there were no descriptors
    restarts: int = 0  # children started again
    lost_messages: int = 0  # that were in the hands of a worker that died


class Put(Enum):
    """What became of output handed to a queue."""

    REFUSED = "refused"
    QUEUED = "queued"
    FULL = "full"  # queued, and the high watermark was crossed by it
