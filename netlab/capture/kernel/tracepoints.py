"""The tracepoints that the kernel witness reads, and what their bytes become.

A reader is made for each event that this kernel has, from its own format file; fields that it lacks
read None. Two sets: those that happen in a traced thread (its calls, forks, ends), and those of the
network, most of which happen in softirqs, on top of whichever thread was running.
Read first: include/trace/events/{tcp,sock,skb,task}.h and include/trace/syscall.h of Linux.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from netlab.capture.kernel.formats import EventFormat, Field
from netlab.model.kernel_event import KernelEvent, Tracepoint
from netlab.model.sample import state_name

TASKS = ("task/task_newtask", "sched/sched_process_exit", "sched/sched_process_exec",
         "signal/signal_deliver")  # fmt: skip
SOCKET_CALLS = ("sock/sock_send_length", "sock/sock_recv_length")
ROUTES = ("fib/fib_table_lookup", "fib6/fib6_table_lookup")
WITH_PORTS = "proto == 6 || proto == 17"  # of these a lookup tells ports
NETWORK = ("sock/inet_sock_set_state", "tcp/tcp_probe", "tcp/tcp_retransmit_skb",
           "tcp/tcp_retransmit_synack", "tcp/tcp_send_reset", "tcp/tcp_receive_reset",
           "tcp/tcp_destroy_sock", "skb/kfree_skb", "sock/sock_rcvqueue_full")  # fmt: skip
_IN_INTERRUPT = 0x08 | 0x10 | 0x40  # hardirq, softirq, NMI (enum trace_flag_type)
_INFINITE = 0x7FFFFFFF
_TCP_CLOSE, _TCP = 7, socket.IPPROTO_TCP


class Entered(NamedTuple):
    """A thread entered a system call."""

    time_ns: int
    tid: int
    name: str  # of the kernel's event, without sys_enter_
    arguments: dict[str, int]


class Left(NamedTuple):
    """A thread came back from one."""

    time_ns: int
    tid: int
    name: str
    result: int


class Moved(NamedTuple):
    """Within a call, the socket layer moved bytes of a socket, or refused to."""

    time_ns: int
    tid: int
    sk: int  # where the kernel keeps the socket: its name while it lives
    family: int
    protocol: int
    result: int
    outbound: bool


class Routed(NamedTuple):
    """Within a call, a route was looked up: to where it sends, or connects, and from which port."""

    time_ns: int
    tid: int
    in_interrupt: bool
    protocol: int
    local: str  # the address is a wildcard where the socket is bound to none
    peer: str


class Begun(NamedTuple):
    """A thread made another one, or a process."""

    time_ns: int
    tid: int
    child: int
    comm: str
    clone_flags: int


class Ended(NamedTuple):
    """A thread ended."""

    time_ns: int
    tid: int
    last: bool | None  # of its process; None: this kernel does not say


class Signalled(NamedTuple):
    """A signal has reached a thread."""

    time_ns: int
    tid: int
    number: int
    by_default: bool  # the program has no handler for it: perhaps it dies of it


class Executed(NamedTuple):
    """A process runs another program; the thread that asked goes on as its first."""

    time_ns: int
    tid: int
    old_tid: int
    filename: str


class Seen(NamedTuple):
    """An event of the network. `sk` and `skb` are where the kernel keeps socket and packet."""

    time_ns: int
    tid: int
    in_interrupt: bool  # on top of the thread, and none of its doing
    sk: int | None
    skb: int | None
    event: KernelEvent  # without a host, which is not known here
    begins: bool = False  # the socket begins a life with it
    destroyed: bool = False  # the socket is no more


class Gap(NamedTuple):
    """From here on events of one processor are lost, until it says how many."""

    time_ns: int
    calls: bool  # of threads and their calls; else of the network


class Lost(NamedTuple):
    """The end of a gap."""

    time_ns: int
    since_ns: int
    lost: int | None  # None: not known how many
    calls: bool


Event = Entered | Left | Moved | Routed | Begun | Ended | Signalled | Executed | Seen | Gap | Lost
Reader = Callable[[int, bytes], Event]


def enter_reader(form: EventFormat) -> Reader:
    """A reader of sys_enter_NAME."""
    name = form.name.removeprefix("sys_enter_")
    fields = [f for f in form.fields if not f.name.startswith("__syscall")]
    form = replace(form, fields=tuple(map(_as_declared, fields)))
    names = tuple(f.name for f in fields if not f.name.startswith("common_"))
    read = form.reader(("common_pid", *names))

    def entered(time_ns: int, data: bytes) -> Entered:
        tid, *values = read(data)
        return Entered(time_ns, tid, name, dict(zip(names, values, strict=True)))

    return entered


def _as_declared(field: Field) -> Field:
    """An argument of 32 bits as such: it has a whole register, and the rest means nothing."""
    declared = field.type
    if "*" in declared or "long" in declared or "size_t" in declared or field.size != 8:
        return field
    off = field.off + (4 if sys.byteorder == "big" else 0)
    return replace(field, off=off, size=4, signed="unsigned" not in declared)


def leave_reader(form: EventFormat) -> Reader:
    """A reader of sys_exit_NAME."""
    name = form.name.removeprefix("sys_exit_")
    read = form.reader(("common_pid", "ret"))
    return lambda time_ns, data: Left(time_ns, *_two(read(data), name))


def _two(values: tuple[Any, ...], name: str) -> tuple[int, str, int]:
    return values[0], name, values[1]


def _plain(kind: Callable[..., Event], form: EventFormat, *names: str) -> Reader:
    read = form.reader(names)
    return lambda time_ns, data: kind(time_ns, *read(data))


def _moved(form: EventFormat, *, outbound: bool) -> Reader:
    read = form.reader(("common_pid", "sk", "family", "protocol", "ret"))

    def moved(time_ns: int, data: bytes) -> Moved:
        tid, sk, family, protocol, result = read(data)
        return Moved(time_ns, tid, sk, family, protocol, result, outbound)

    return moved


def _routed(form: EventFormat) -> Reader:
    family = socket.AF_INET6 if form.name.startswith("fib6") else socket.AF_INET
    read = form.reader(("common_pid", "common_flags", "proto", "src", "sport", "dst", "dport"))

    def routed(time_ns: int, data: bytes) -> Routed:
        tid, flags, protocol, src, sport, dst, dport = read(data)
        local, peer = _inet(family, src, sport), _inet(family, dst, dport)
        return Routed(time_ns, tid, bool(flags & _IN_INTERRUPT), protocol, local, peer)

    return routed


def _begun(form: EventFormat) -> Reader:
    read = form.reader(("common_pid", "pid", "comm", "clone_flags"))

    def begun(time_ns: int, data: bytes) -> Begun:
        tid, child, comm, flags = read(data)
        return Begun(time_ns, tid, child, _string(comm), flags)

    return begun


def _string(value: object) -> str:
    if isinstance(value, bytes):
        return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    return str(value)


def _ended(form: EventFormat) -> Reader:
    read = form.reader(("common_pid", "group_dead"))

    def ended(time_ns: int, data: bytes) -> Ended:
        tid, last = read(data)
        return Ended(time_ns, tid, None if last is None else bool(last))

    return ended


def _signalled(form: EventFormat) -> Reader:
    read = form.reader(("common_pid", "sig", "sa_handler"))

    def signalled(time_ns: int, data: bytes) -> Signalled:
        tid, number, handler = read(data)
        return Signalled(time_ns, tid, number, handler == 0)

    return signalled


# --- the network's


@lru_cache(maxsize=65_536)
def _inet(family: int, address: bytes, port: int) -> str:
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(socket.AF_INET, address[:4])}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, address[:16])}]:{port}"


@lru_cache(maxsize=65_536)
def _sockaddr(data: bytes) -> str | None:
    """A struct sockaddr_in or sockaddr_in6; None where it holds neither, or nothing."""
    (family,) = struct.unpack_from("=H", data)
    (port,) = struct.unpack_from("!H", data, 2)
    if family == socket.AF_INET:
        return _inet(family, data[4:8], port)
    return _inet(family, data[8:24], port) if family == socket.AF_INET6 else None


def _both(pair: tuple[Any, ...]) -> tuple[str | None, str | None]:
    return _sockaddr(pair[0]), _sockaddr(pair[1])


Ends = Callable[[bytes], tuple[str | None, str | None]]


def _ends(form: EventFormat) -> Ends:
    """How an event tells both ends: as two struct sockaddr, or as addresses and ports."""
    saddr = form.field("saddr")
    if saddr is not None and saddr.size >= 16:
        pair = form.reader(("saddr", "daddr"))
        return lambda data: _both(pair(data))
    read = form.reader(("family", "saddr", "daddr", "saddr_v6", "daddr_v6", "sport", "dport"))

    def ends(data: bytes) -> tuple[str | None, str | None]:
        family, saddr, daddr, saddr_v6, daddr_v6, sport, dport = read(data)
        if family is None:  # Linux before 5.x: those of IPv4 are mapped into the others
            family = socket.AF_INET6 if saddr_v6 and not _is_mapped(saddr_v6) else socket.AF_INET
        if family == socket.AF_INET6:
            saddr, daddr = saddr_v6, daddr_v6
        return _inet(family, saddr, sport), _inet(family, daddr, dport)

    return ends


def _is_mapped(address: Any) -> bool:
    return bytes(address[:12]) == b"\0" * 10 + b"\xff\xff"


Filler = Callable[[Any], dict[str, Any]]


def _network(form: EventFormat, names: tuple[str, ...], fill: Filler, *, ends: bool) -> Reader:
    """A reader that takes `names` for `fill`, and both addresses where the event has them."""
    read = form.reader(("common_pid", "common_flags", "skaddr", "skbaddr", *names))
    addresses = _ends(form) if ends else None
    what = str(Tracepoint(form.name))

    def seen(time_ns: int, data: bytes) -> Seen:
        tid, flags, sk, skb, *values = read(data)
        local, peer = addresses(data) if addresses is not None else (None, None)
        event = KernelEvent(time_ns, "", what, local, peer, **fill(values))
        return Seen(time_ns, tid, bool(flags & _IN_INTERRUPT), sk or None, skb or None, event)

    return seen


def _state(form: EventFormat) -> Reader:
    read = form.reader(("common_pid", "common_flags", "skaddr", "protocol", "oldstate", "newstate"))
    addresses = _ends(form)

    def seen(time_ns: int, data: bytes) -> Seen:
        tid, flags, sk, protocol, old, new = read(data)
        local, peer = addresses(data) if protocol in (_TCP, None) else (None, None)
        event = KernelEvent(
            time_ns, "", Tracepoint.SET_STATE.value, local, peer,
            state=state_name(new), old_state=state_name(old),
        )  # fmt: skip
        # connect and listen take a closed socket; a child begins as its listener's copy.
        begins = old == _TCP_CLOSE or (state_name(old) == "LISTEN" and new != _TCP_CLOSE)
        return Seen(time_ns, tid, bool(flags & _IN_INTERRUPT), sk, None, event, begins)

    return seen


def _destroyed(form: EventFormat) -> Reader:
    read = form.reader(("common_pid", "skaddr"))

    def seen(time_ns: int, data: bytes) -> Seen:
        tid, sk = read(data)
        return Seen(
            time_ns, tid, True, sk, None, KernelEvent(time_ns, "", form.name), destroyed=True
        )

    return seen


def _probe_fields(values: Any) -> dict[str, Any]:
    length, snd_nxt, snd_una, snd_cwnd, ssthresh, snd_wnd, srtt, rcv_wnd = values
    return {
        "state": "ESTABLISHED",  # tcp_rcv_established() says it, which is for no other state
        "length_bytes": length, "snd_nxt": snd_nxt, "snd_una": snd_una, "snd_cwnd": snd_cwnd,
        "ssthresh": None if ssthresh is None or ssthresh >= _INFINITE else ssthresh,
        "snd_wnd_bytes": snd_wnd, "srtt_ns": srtt * 1000 if srtt else None,
        "rcv_wnd_bytes": rcv_wnd,
    }  # fmt: skip


_PROBE = ("data_len", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "snd_wnd", "srtt", "rcv_wnd")


def _state_of(value: int | None) -> str | None:
    return state_name(value) if value else None


def _failure(value: int | None) -> str | None:
    return errno.errorcode.get(-value, str(-value)) if value else None


def _drop(form: EventFormat) -> Reader:
    reasons = form.symbols("reason")
    read = form.reader(("common_pid", "common_flags", "rx_sk", "skbaddr", "reason"))

    def seen(time_ns: int, data: bytes) -> Seen:
        tid, flags, sk, skb, reason = read(data)
        name = None if reason is None else reasons.get(reason, str(reason))
        event = KernelEvent(time_ns, "", Tracepoint.DROP.value, reason=name)
        return Seen(time_ns, tid, bool(flags & _IN_INTERRUPT), sk or None, skb, event)

    return seen


def _reset(form: EventFormat) -> Reader:
    reasons = form.symbols("reason")
    return _network(
        form, ("state", "reason"),
        lambda v: {"state": _state_of(v[0]), "reason": reasons.get(v[1])}, ends=True,
    )  # fmt: skip


def _retransmit(form: EventFormat) -> Reader:
    return _network(
        form, ("state", "err"),
        lambda v: {"state": _state_of(v[0]), "errno": _failure(v[1])}, ends=True,
    )  # fmt: skip


def readers() -> dict[str, Callable[[EventFormat], Reader]]:
    """What makes the reader of each event, by the event's name."""
    return {
        "task_newtask": _begun,
        "sched_process_exit": _ended,
        "signal_deliver": _signalled,
        "sched_process_exec": lambda form: _plain(
            Executed, form, "common_pid", "old_pid", "filename"
        ),
        "sock_send_length": lambda form: _moved(form, outbound=True),
        "sock_recv_length": lambda form: _moved(form, outbound=False),
        "fib_table_lookup": _routed,
        "fib6_table_lookup": _routed,
        "inet_sock_set_state": _state,
        "tcp_probe": lambda form: _network(form, _PROBE, _probe_fields, ends=True),
        "tcp_retransmit_skb": _retransmit,
        "tcp_retransmit_synack": lambda form: _network(form, (), lambda _: {}, ends=True),
        "tcp_send_reset": _reset,
        "tcp_receive_reset": lambda form: _network(form, (), lambda _: {}, ends=True),
        "tcp_destroy_sock": _destroyed,
        "kfree_skb": _drop,
        "sock_rcvqueue_full": lambda form: _network(form, (), lambda _: {}, ends=False),
    }
