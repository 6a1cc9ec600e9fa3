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

from netlab.server.dispatch import DispatchFunction
from netlab.server.framing import LENGTH_TYPES, LengthOf
from netlab.server.option_kinds import (
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


@dataclass(frozen=True, slots=True)
class Options:
    """The values of one server, or of one of its ports."""

    # Processes
    mode: Mode = _row(
        _P, Choice(Mode, _MODES), Mode.SINGLE, "", "which processes and threads share the work"
    )
    workers: int = _row(
        _P, Whole(1, 1024), 2, "processes", "that run the callbacks", "", ("worker_num",)
    )
    reactors: int = _row(
        _P, Whole(1, 64), 1, "threads", "that own the sockets in the master", "", ("reactor_num",)
    )
    tasks: int = _row(
        _P, Whole(0, 1024), 0, "processes", "that run the task callback", "", ("task_worker_num",)
    )
    poller: PollerKind = _row(
        _P,
        Choice(PollerKind),
        PollerKind.EPOLL,
        "",
        "what the loops wait with",
        "epoll_wait, EPOLLET, poll, select",
    )
    ipc: IpcKind = _row(
        _P,
        Choice(IpcKind),
        IpcKind.SEQPACKET,
        "",
        "what carries messages between the processes",
        "AF_UNIX, pipe, mq_overview, sysvipc, mmap",
        (
            Alias(
                "task_ipc_mode",
                Choice(IpcKind, _IPCS),
                None,
                "1: dgram, 2: sysv_mq, 4: stream; here for all processes",
            ),
        ),
    )
    dispatch: DispatchKind = _row(
        _P,
        Choice(DispatchKind),
        DispatchKind.FIXED,
        "",
        "how process mode chooses a worker",
        "",
        (
            Alias(
                "dispatch_mode",
                Choice(DispatchKind, _DISPATCHES),
                None,
                ", ".join(f"{number}: {kind}" for number, kind in _DISPATCHES.items()),
            ),
        ),
    )
    dispatch_func: DispatchFunction | None = _row(
        _P,
        Function(),
        None,
        "",
        "(session, data) to a worker slot; -1 discard, -2 close, -3 as fixed",
        "",
        ("dispatch_func",),
    )
    max_requests: int = _row(
        _P, Whole(), 0, "messages", "after which a worker is replaced", "", ("max_request",)
    )
    max_requests_jitter: int = _row(
        _P,
        Whole(),
        0,
        "messages",
        "added at random to max_requests, so that workers do not leave together",
        "",
        ("max_request_grace",),
    )
    task_max_requests: int = _row(
        _P, Whole(), 0, "tasks", "after which a task worker is replaced", "", ("task_max_request",)
    )
    memory_limit: int = _row(
        _P, Whole(0, 1 << 50), 0, "bytes", "of memory at which a worker is replaced", "VmRSS"
    )
    boot_fail_limit: int = _row(
        _P, Whole(1), 5, "starts", "of a worker that fail in a row before all is stopped"
    )

    # Listening
    backlog: int = _row(
        _L,
        Whole(0, (1 << 31) - 1),
        512,
        "connections",
        "that may wait to be accepted",
        "listen, net.core.somaxconn",
        ("backlog",),
    )
    max_connections: int = _row(
        _L,
        Whole(1, SESSION_SLOTS),
        10_000,
        "connections",
        "open at once (base: in each worker)",
        "RLIMIT_NOFILE",
        ("max_connection", "max_conn"),
    )
    max_per_client: int = _row(_L, Whole(), 0, "connections", "open at once from one address")
    reuse_port: bool = _row(
        _L,
        Flag(),
        False,
        "",
        "a listening socket for each worker, and the kernel spreads the connections",
        "SO_REUSEPORT",
        ("enable_reuse_port",),
    )
    accepts_per_wake: int = _row(
        _L, Whole(1, 65536), 64, "connections", "accepted before others have their turn", "accept4"
    )
    on_emfile: OnEmfile = _row(
        _L,
        Choice(OnEmfile),
        OnEmfile.PAUSE,
        "",
        "without descriptors new connections wait in the queue (pause) or are closed (shed)",
        "EMFILE, ENFILE",
    )

    # Sockets
    nodelay: bool = _row(
        _S,
        Flag(),
        True,
        "",
        "send small pieces at once, without Nagle's algorithm",
        "TCP_NODELAY",
        ("open_tcp_nodelay",),
    )
    cork: bool = _row(
        _S, Flag(), False, "", "hold small pieces until a segment is full", "TCP_CORK"
    )
    quickack: bool = _row(_S, Flag(), False, "", "do not delay ACKs at first", "TCP_QUICKACK")
    defer_accept: int = _row(
        _S,
        Whole(0, 3600),
        0,
        "seconds",
        "that the kernel keeps a connection to itself until its first bytes",
        "TCP_DEFER_ACCEPT",
        ("tcp_defer_accept",),
    )
    fastopen: int = _row(
        _S,
        Whole(0, 1 << 16),
        0,
        "connections",
        "that may wait with data in the SYN, before the handshake is complete",
        "TCP_FASTOPEN, net.ipv4.tcp_fastopen",
        ("tcp_fastopen",),
    )
    keepalive: bool = _row(
        _S,
        Flag(),
        False,
        "",
        "let the kernel probe clients that are silent",
        "SO_KEEPALIVE",
        ("open_tcp_keepalive",),
    )
    keepalive_idle: int = _row(
        _S,
        Whole(1, _KERNEL_SHORT),
        3600,
        "seconds",
        "of silence before the first probe",
        "TCP_KEEPIDLE",
        ("tcp_keepidle",),
    )
    keepalive_interval: int = _row(
        _S,
        Whole(1, _KERNEL_SHORT),
        60,
        "seconds",
        "between probes",
        "TCP_KEEPINTVL",
        ("tcp_keepinterval",),
    )
    keepalive_count: int = _row(
        _S, Whole(1, 127), 5, "probes", "without answer, then close", "TCP_KEEPCNT",
        ("tcp_keepcount",),
    )  # fmt: skip
    user_timeout: float = _row(
        _S,
        Seconds(),
        0.0,
        "seconds",
        "that sent bytes may stay without ACK (in the kernel: milliseconds)",
        "TCP_USER_TIMEOUT",
        (Alias("tcp_user_timeout", Whole(), lambda ms: ms / 1000, "in milliseconds"),),
    )
    linger: int = _row(
        _S,
        Whole(-1, 65535),
        -1,
        "seconds",
        "that close may wait for unsent bytes; 0: it drops them and resets; -1: as the kernel does",
        "SO_LINGER",
    )
    rcvbuf: int = _row(
        _S,
        Whole(0, 1 << 30),
        0,
        "bytes",
        "of the kernel's receive buffer; 0: it adapts by itself",
        "SO_RCVBUF, net.core.rmem_max",
        ("kernel_socket_recv_buffer_size",),
    )
    sndbuf: int = _row(
        _S,
        Whole(0, 1 << 30),
        0,
        "bytes",
        "of the kernel's send buffer; 0: it adapts by itself",
        "SO_SNDBUF, net.core.wmem_max",
        ("kernel_socket_send_buffer_size",),
    )
    notsent_lowat: int = _row(
        _S,
        Whole(0, 1 << 30),
        0,
        "bytes",
        "in the send buffer and not sent, above which the socket is not writable",
        "TCP_NOTSENT_LOWAT",
    )

    # Buffers
    output_buffer: int = _row(
        _B,
        Whole(1, 1 << 40),
        2 * MIB,
        "bytes",
        "of output a connection may have waiting in memory; also the longest message to send",
        "",
        ("socket_buffer_size", "output_buffer_size"),
    )
    high_watermark: int = _row(
        _B,
        Whole(0, 1 << 40),
        2 * MIB * 4 // 5,
        "bytes",
        "of waiting output above which buffer_full is called",
        "",
        ("buffer_high_watermark",),
        "4/5 of output_buffer",
    )
    low_watermark: int = _row(
        _B,
        Whole(0, 1 << 40),
        2 * MIB // 5,
        "bytes",
        "of waiting output, at or below which buffer_empty is called after buffer_full",
        "",
        ("buffer_low_watermark",),
        "1/5 of output_buffer",
    )
    overflow: Overflow = _row(
        _B,
        Choice(Overflow),
        Overflow.PAUSE,
        "",
        "with too much output waiting: pause reading from this client above the high watermark,"
        " only refuse what is over output_buffer, or close the connection then",
    )
    input_limit: int = _row(
        _B,
        Whole(0, 1 << 40),
        MIB,
        "bytes",
        "given to a worker and not yet handled, above which a connection is not read",
        "",
        ("max_queued_bytes",),
    )
    recv_size: int = _row(_B, Whole(1, 1 << 30), 64 * KIB, "bytes", "asked for by one read", "recv")

    # Time-outs
    handshake_timeout: float = _row(_T, Seconds(), 0.0, "seconds", "from accept to the first byte")
    idle_timeout: float = _row(
        _T, Seconds(), 0.0, "seconds", "without a byte in either direction", "", ("max_idle_time",)
    )
    read_timeout: float = _row(
        _T,
        Seconds(),
        0.0,
        "seconds",
        "without a byte received",
        "",
        ("heartbeat_idle_time",),
    )
    write_timeout: float = _row(
        _T,
        Seconds(),
        0.0,
        "seconds",
        "in which none of the waiting output could be sent",
        "",
        ("send_timeout",),
    )
    request_timeout: float = _row(
        _T, Seconds(), 0.0, "seconds", "from the first byte of a message to its last"
    )
    drain_timeout: float = _row(
        _T,
        Seconds(),
        3.0,
        "seconds",
        "for the last output and the workers when stopping",
        "",
        ("max_wait_time",),
    )

    # Framing
    framing: FramingKind = _row(
        _F,
        Choice(FramingKind),
        FramingKind.NONE,
        "",
        "what ends a message",
        "",
        (
            _switch("open_eof_split", FramingKind.TERMINATOR),
            _switch(
                "open_eof_check",
                FramingKind.TERMINATOR,
                "yes: terminator; always one message a callback",
            ),
            _switch("open_length_check", FramingKind.LENGTH),
        ),
        "none, or what its parameters below say",
    )
    terminator: bytes = _row(
        _F, ByteString(), b"\r\n", "", "the bytes that end a message", "", ("package_eof",)
    )
    length_type: str = _row(
        _F,
        OneOf(tuple(LENGTH_TYPES)),
        "N",
        "",
        "of the length field: c C (1 byte), s S n v (2), l L N V (4), q Q J P (8);"
        " lower-case c s l q signed, n N J big-endian, v V P little-endian, others the machine's",
        "",
        ("package_length_type",),
    )
    length_offset: int = _row(
        _F,
        Whole(0, 65535),
        0,
        "bytes",
        "before the length field",
        "",
        ("package_length_offset",),
    )
    body_offset: int = _row(
        _F,
        Whole(0, 65535),
        4,
        "bytes",
        "that the length does not count; 0 when it counts the whole message",
        "",
        ("package_body_offset",),
        "the end of the length field",
    )
    length_function: LengthOf | None = _row(
        _F,
        Function(),
        None,
        "",
        "the first bytes (a memoryview) to the message's length; 0 needs more, < 0 malformed",
        "",
        ("package_length_func",),
    )
    fixed_size: int = _row(_F, Whole(0, 1 << 30), 0, "bytes", "of every message")
    max_message: int = _row(
        _F,
        Whole(1, 1 << 31),
        2 * MIB,
        "bytes",
        "of the longest message, refused before its body is read",
        "",
        ("package_max_length",),
    )

    # Running
    half_close: HalfClose = _row(
        _S,
        Choice(HalfClose),
        HalfClose.KEEP,
        "",
        "when the client has sent its FIN: keep sending what waits, or close",
        "EPOLLRDHUP, shutdown",
    )
    log_file: str = _row(_R, Text(), "", "", "where messages go; none: standard error")
    pid_file: str = _row(_R, Text(), "", "", "holds the master's pid while it serves")
    user: str = _row(_R, Text(), "", "", "that the workers run as", "setuid")
    group: str = _row(_R, Text(), "", "", "that the workers run as", "setgid")
    status: bool = _row(_R, Flag(), False, "", "answer netlab status with a page of figures")

    given: frozenset[str] = field(default=frozenset(), repr=False, compare=False)  # by the user


OPTIONS: Final[tuple[Option, ...]] = tuple(
    replace(entry.metadata["row"], name=entry.name)
    for entry in fields(Options)
    if "row" in entry.metadata
)
OPTION_NAMED: Final = {option.name: option for option in OPTIONS}
