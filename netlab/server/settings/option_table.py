"""The one table of the server's options: what each is called here, in the kernel, in Swoole.

`Options` is that table, each field with its row, and also the values of one server or one port;
make them with `options.options_from`, which checks. The tuples that follow a name are Swoole's
names for it. 0 means off. Read first: man 7 socket, man 7 tcp, man 7 ip.
"""

# ruff: noqa: RUF009 (the rows are fields, which dataclass takes apart)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from netlab.server.family.dispatch import DispatchFunction
from netlab.server.settings.option_kinds import (
    ByteString,
    Choice,
    Flag,
    Function,
    Kind,
    OneOf,
    Seconds,
    Text,
    Whole,
)
from netlab.server.sockets.framing import LENGTH_TYPES, LengthOf
from netlab.server.terms import (
    SESSION_SLOTS,
    DispatchKind,
    FramingKind,
    HalfClose,
    IpcKind,
    Mode,
    OnEmfile,
    Overflow,
    PollerKind,
)

KIB: Final = 1 << 10
MIB: Final = 1 << 20
NOT_GIVEN: Final = object()  # what an alias makes of a switch that is off

PROCESSES, LISTENING, SOCKET = "processes", "listening", "sockets"
BUFFERS, TIME, FRAMING, RUNNING = "buffers", "time-outs", "framing", "running"
GROUPS: Final = (PROCESSES, LISTENING, SOCKET, BUFFERS, TIME, FRAMING, RUNNING)
_PORT_GROUPS: Final = frozenset({SOCKET, BUFFERS, TIME, FRAMING})

_KERNEL_SHORT: Final = (1 << 15) - 1  # the most that TCP_KEEPIDLE and TCP_KEEPINTVL take


@dataclass(frozen=True, slots=True)
class Alias:
    """Swoole's name of an option, and how its values translate where they differ."""

    name: str
    kind: Kind | None = None  # None: the option's own
    translate: Callable[[Any], Any] | None = None
    difference: str = ""  # for the help


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    group: str
    kind: Kind
    default: Any
    unit: str
    text: str
    kernel: str = ""
    swoole: tuple[Alias, ...] = ()
    derived: str = ""  # how the default follows from other options
    name: str = ""

    @property
    def per_port(self) -> bool:
        """Whether each address of a server may have its own."""
        return self.group in _PORT_GROUPS or self.name == "backlog"


def _row(
    group: str,
    kind: Kind,
    default: Any,
    unit: str,
    text: str,
    kernel: str = "",
    swoole: tuple[str | Alias, ...] = (),
    derived: str = "",
) -> Any:
    """A field of Options that carries its row."""
    aliases = tuple(Alias(name) if isinstance(name, str) else name for name in swoole)
    row = Option(group, kind, default, unit, text, kernel, aliases, derived)
    return field(default=default, metadata={"row": row})


def _switch(name: str, choice: FramingKind, difference: str = "") -> Alias:
    """Swoole turns on each framing by a switch of its own."""
    return Alias(
        name, Flag(), lambda on: choice if on else NOT_GIVEN, difference or f"yes: {choice}"
    )


_MODES: Final = {1: Mode.BASE, 2: Mode.PROCESS, 3: Mode.THREADS}
_DISPATCHES: Final = dict(enumerate(DispatchKind, start=1))
_IPCS: Final = {1: IpcKind.DGRAM, 2: IpcKind.SYSV_MQ, 4: IpcKind.STREAM}
_P, _L, _S, _B, _T, _F, _R = GROUPS


# fmt: off
@dataclass(frozen=True, slots=True)
class Options:
    """The values of one server, or of one of its ports. Unit and text together are a phrase."""

    mode: Mode = _row(_P, Choice(Mode, _MODES), Mode.SINGLE, "",
        "which processes and threads share the work")
    workers: int = _row(_P, Whole(1, 1024), 2, "processes",
        "that run the callbacks", swoole=("worker_num",))
    reactors: int = _row(_P, Whole(1, 64), 1, "threads",
        "of the master that own the sockets", swoole=("reactor_num",))
    tasks: int = _row(_P, Whole(0, 1024), 0, "processes",
        "that run the task callback", swoole=("task_worker_num",))
    poller: PollerKind = _row(_P, Choice(PollerKind), PollerKind.EPOLL, "",
        "what the loops wait with; edge: epoll, edge-triggered",
        kernel="epoll_wait, EPOLLET, poll, select")
    ipc: IpcKind = _row(_P, Choice(IpcKind), IpcKind.SEQPACKET, "",
        "what carries messages between the processes",
        kernel="AF_UNIX, pipe, mq_send, msgsnd, mmap",
        swoole=(Alias("task_ipc_mode", Choice(IpcKind, _IPCS), None,
            "1: dgram, 2: sysv_mq, 4: stream; here for all messages"),))
    dispatch: DispatchKind = _row(_P, Choice(DispatchKind), DispatchKind.FIXED, "",
        "how process mode chooses the worker for a message",
        swoole=(Alias("dispatch_mode", Choice(DispatchKind, _DISPATCHES), None,
            ", ".join(f"{number}: {kind}" for number, kind in _DISPATCHES.items())),))
    dispatch_func: DispatchFunction | None = _row(_P, Function(), None, "",
        "(session, data) to a worker's number; -1 discard, -2 close, -3 as fixed",
        swoole=("dispatch_func",))
    max_requests: int = _row(_P, Whole(), 0, "messages",
        "after which a worker is replaced", swoole=("max_request",))
    max_requests_jitter: int = _row(_P, Whole(), 0, "messages",
        "at most added at random to max_requests, so that not all workers leave at once",
        swoole=("max_request_grace",))
    task_max_requests: int = _row(_P, Whole(), 0, "tasks",
        "after which a task worker is replaced", swoole=("task_max_request",))
    memory_limit: int = _row(_P, Whole(0, 1 << 50), 0, "bytes",
        "of resident memory at which a worker or task worker is replaced", kernel="VmRSS")
    boot_fail_limit: int = _row(_P, Whole(1), 5, "starts",
        "of a worker that fail in a row until all is stopped")

    backlog: int = _row(_L, Whole(), 512, "connections",
        "that may wait to be accepted", kernel="listen, net.core.somaxconn", swoole=("backlog",))
    max_connections: int = _row(_L, Whole(1, SESSION_SLOTS), 10_000, "connections",
        "open at once (base: in each worker)", kernel="RLIMIT_NOFILE",
        swoole=("max_connection", "max_conn"))
    max_per_client: int = _row(_L, Whole(), 0, "connections",
        "open at once from one address")
    reuse_port: bool = _row(_L, Flag(), False, "",
        "a listening socket for each worker, and the kernel spreads the connections",
        kernel="SO_REUSEPORT", swoole=("enable_reuse_port",))
    accepts_per_wake: int = _row(_L, Whole(1, 65536), 64, "connections",
        "accepted before others have their turn", kernel="accept4")
    on_emfile: OnEmfile = _row(_L, Choice(OnEmfile), OnEmfile.PAUSE, "",
        "without descriptors, new connections wait in the queue (pause) or are closed (shed)",
        kernel="EMFILE, ENFILE")

    nodelay: bool = _row(_S, Flag(), True, "",
        "send small pieces at once, without Nagle's algorithm",
        kernel="TCP_NODELAY", swoole=("open_tcp_nodelay",))
    cork: bool = _row(_S, Flag(), False, "",
        "hold back what does not fill a segment, for 200 ms at most", kernel="TCP_CORK")
    quickack: bool = _row(_S, Flag(), False, "",
        "do not delay the first ACKs", kernel="TCP_QUICKACK")
    defer_accept: int = _row(_S, Whole(0, 3600), 0, "seconds",
        "that the kernel keeps a connection to itself, waiting for its first bytes",
        kernel="TCP_DEFER_ACCEPT", swoole=("tcp_defer_accept",))
    fastopen: int = _row(_S, Whole(0, 1 << 16), 0, "connections",
        "that may wait with data from their SYN before the handshake is complete",
        kernel="TCP_FASTOPEN, net.ipv4.tcp_fastopen", swoole=("tcp_fastopen",))
    keepalive: bool = _row(_S, Flag(), False, "",
        "let the kernel probe clients that are silent",
        kernel="SO_KEEPALIVE", swoole=("open_tcp_keepalive",))
    keepalive_idle: int = _row(_S, Whole(1, _KERNEL_SHORT), 3600, "seconds",
        "of silence before the first probe", kernel="TCP_KEEPIDLE", swoole=("tcp_keepidle",))
    keepalive_interval: int = _row(_S, Whole(1, _KERNEL_SHORT), 60, "seconds",
        "between probes", kernel="TCP_KEEPINTVL", swoole=("tcp_keepinterval",))
    keepalive_count: int = _row(_S, Whole(1, 127), 5, "probes",
        "without an answer, then the connection is dead",
        kernel="TCP_KEEPCNT", swoole=("tcp_keepcount",))
    user_timeout: float = _row(_S, Seconds(), 0.0, "seconds",
        "that sent bytes may stay without ACK (the kernel takes milliseconds)",
        kernel="TCP_USER_TIMEOUT", swoole=(Alias(
            "tcp_user_timeout", Whole(), lambda milliseconds: milliseconds / 1000,
            "in milliseconds"),))
    linger: int = _row(_S, Whole(-1, 65535), -1, "seconds",
        "that close waits for unsent bytes; 0: it drops them and resets; -1: as the kernel does",
        kernel="SO_LINGER")
    rcvbuf: int = _row(_S, Whole(0, 1 << 30), 0, "bytes",
        "of the kernel's receive buffer; 0: it adapts",
        kernel="SO_RCVBUF, net.core.rmem_max", swoole=("kernel_socket_recv_buffer_size",))
    sndbuf: int = _row(_S, Whole(0, 1 << 30), 0, "bytes",
        "of the kernel's send buffer; 0: it adapts",
        kernel="SO_SNDBUF, net.core.wmem_max", swoole=("kernel_socket_send_buffer_size",))
    notsent_lowat: int = _row(_S, Whole(0, 1 << 30), 0, "bytes",
        "unsent in the kernel's buffer, above which the socket is not writable",
        kernel="TCP_NOTSENT_LOWAT")
    half_close: HalfClose = _row(_S, Choice(HalfClose), HalfClose.KEEP, "",
        "when the client has sent its FIN: go on sending (keep), or close",
        kernel="EPOLLRDHUP, shutdown")

    output_buffer: int = _row(_B, Whole(1, 1 << 40), 2 * MIB, "bytes",
        "of output that may wait in memory for one connection; no message may be longer",
        swoole=("socket_buffer_size", "output_buffer_size"))
    high_watermark: int = _row(_B, Whole(0, 1 << 40), 2 * MIB * 4 // 5, "bytes",
        "of waiting output, above which buffer_full is called",
        swoole=("buffer_high_watermark",), derived="4/5 of output_buffer")
    low_watermark: int = _row(_B, Whole(0, 1 << 40), 2 * MIB // 5, "bytes",
        "of waiting output, at or below which buffer_empty is called after buffer_full",
        swoole=("buffer_low_watermark",), derived="1/5 of output_buffer")
    overflow: Overflow = _row(_B, Choice(Overflow), Overflow.PAUSE, "",
        "above the high watermark: do not read from that client either (pause), only refuse"
        " what is over output_buffer (refuse), or close when something is over it (close)")
    input_limit: int = _row(_B, Whole(0, 1 << 40), MIB, "bytes",
        "given to a worker and not handled yet, above which a connection is not read",
        swoole=("max_queued_bytes",))
    recv_size: int = _row(_B, Whole(1, 1 << 30), 64 * KIB, "bytes",
        "asked for by one read", kernel="recv")

    handshake_timeout: float = _row(_T, Seconds(), 0.0, "seconds",
        "from accept to the first byte")
    idle_timeout: float = _row(_T, Seconds(), 0.0, "seconds",
        "without a byte in either direction", swoole=("max_idle_time",))
    read_timeout: float = _row(_T, Seconds(), 0.0, "seconds",
        "without a byte received", swoole=("heartbeat_idle_time",))
    write_timeout: float = _row(_T, Seconds(), 0.0, "seconds",
        "in which nothing of the waiting output could be sent", swoole=("send_timeout",))
    request_timeout: float = _row(_T, Seconds(), 0.0, "seconds",
        "from the first byte of a message to its last")
    drain_timeout: float = _row(_T, Seconds(), 3.0, "seconds",
        "that stopping may take for the last output and the workers", swoole=("max_wait_time",))

    framing: FramingKind = _row(_F, Choice(FramingKind), FramingKind.NONE, "",
        "what ends a message; when not given, it follows from the parameters that are",
        swoole=(
            _switch("open_eof_split", FramingKind.TERMINATOR),
            _switch("open_eof_check", FramingKind.TERMINATOR, "one message a callback, always"),
            _switch("open_length_check", FramingKind.LENGTH)))
    terminator: bytes = _row(_F, ByteString(), b"\r\n", "",
        "the bytes that end a message, and belong to it", swoole=("package_eof",))
    length_type: str = _row(_F, OneOf(tuple(LENGTH_TYPES)), "N", "",
        "of the length field: c C of 1 byte, s S n v 2, l L N V 4, q Q J P 8; signed c s l q;"
        " big-endian n N J, little-endian v V P, the others this machine's",
        swoole=("package_length_type",))
    length_offset: int = _row(_F, Whole(0, 65535), 0, "bytes",
        "before the length field", swoole=("package_length_offset",))
    body_offset: int = _row(_F, Whole(0, 65535), 4, "bytes",
        "that the length does not count; 0: it counts the whole message",
        swoole=("package_body_offset",), derived="up to the end of the length field")
    length_function: LengthOf | None = _row(_F, Function(), None, "",
        "the first bytes (a memoryview) to the message's length; 0: more, negative: malformed",
        swoole=("package_length_func",))
    fixed_size: int = _row(_F, Whole(0, 1 << 30), 0, "bytes",
        "of every message")
    max_message: int = _row(_F, Whole(1, 1 << 31), 2 * MIB, "bytes",
        "of the longest message; one that is longer is refused before its body is read",
        swoole=("package_max_length",))

    log_file: str = _row(_R, Text(), "", "", "where messages go; none: standard error",
        swoole=("log_file",))
    pid_file: str = _row(_R, Text(), "", "", "holds the master's pid while it serves",
        swoole=("pid_file",))
    user: str = _row(_R, Text(), "", "", "that the callbacks run as",
        kernel="setuid", swoole=("user",))
    group: str = _row(_R, Text(), "", "", "that the callbacks run as",
        kernel="setgid", swoole=("group",))
    status: bool = _row(_R, Flag(), False, "", "answer netlab status with a page of figures")

    given: frozenset[str] = field(default=frozenset(), repr=False, compare=False)  # by the user
# fmt: on


OPTIONS: Final[tuple[Option, ...]] = tuple(
    replace(entry.metadata["row"], name=entry.name)
    for entry in fields(Options)
    if "row" in entry.metadata
)
OPTION_NAMED: Final = {option.name: option for option in OPTIONS}
