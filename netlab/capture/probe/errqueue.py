"""A TCP socket's error queue -> the kernel's stamps of its bytes; and whether it makes any.

What the kernel does (net/core/sock.c, skbuff.c, net/ipv4/tcp.c; checked on 6.18):
- Each send marks its last byte. The segment that holds it is stamped when it enters the queue of
  the interface (SCHED), when the driver takes it (SND) and when it is acknowledged (ACK). A send
  whose bytes join a segment that waits takes the mark over: then one stamp speaks for both. So it
  is of segments that SACK has acknowledged side by side, whose ACK then has one stamp. What waits
  for the window or cwnd is joined up to 64 kB.
- OPT_ID_TCP (6.2) numbers bytes from what was written when the option is set, modulo 2**32. A
  socket that is neither connected nor connecting refuses (EINVAL). Plain OPT_ID numbers from the
  oldest unacknowledged byte: the same for a connection that has sent nothing, but while it is being
  made that is the SYN.
- OPT_TSONLY leaves the payload out, so no privilege is needed. A stamp takes some 768 bytes of the
  receive buffer until it is read: unread ones would close the peer's window. Where there is no
  room, as in a buffer that the program has let become full, the stamp is lost without a word.
- Reading the queue touches neither SO_ERROR nor the stream (only ICMP errors, which IP_RECVERR
  asks for, are told through both).

By descriptor and through ctypes, since a socket object with a time-out would wait before it reads;
recvmmsg takes all that is there in one call. Read first: Documentation/networking/timestamping.rst.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple, cast

from netlab.capture.probe.writer import libc

# asm-generic/socket.h, linux/net_tstamp.h, linux/errqueue.h, linux/in.h, linux/in6.h
SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING, SO_ZEROCOPY = 29, 35, 37, 60
IP_RECVERR, IPV6_RECVERR = 11, 25
_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _TX_SCHED, _TX_ACK = 1 << 1, 1 << 4, 1 << 7, 1 << 8, 1 << 9
_OPT_TSONLY, _OPT_ID_TCP = 1 << 11, 1 << 16
# Since 6.12: without it, recvmsg hands out stamps of arrival once anybody on the machine has them.
_OPT_RX_FILTER = 1 << 17
_WANTED = _TX_SOFTWARE | _SOFTWARE | _OPT_ID | _TX_SCHED | _TX_ACK | _OPT_TSONLY
# The first that the kernel knows.
FLAGS = (_WANTED | _OPT_ID_TCP | _OPT_RX_FILTER, _WANTED | _OPT_ID_TCP, _WANTED)
_TCP_SYN_SENT, _TCP_CLOSE = 2, 7
_MSG_DONTWAIT, _MSG_ERRQUEUE = 0x40, 0x2000

_BATCH = 16
_CONTROL_BYTES = 256  # a stamp takes 64, its key 48 or 64, and SO_TIMESTAMP may add 32
_HEAD = struct.Struct("@PI4xPNPNi4xI4x")  # struct mmsghdr
_HEAD_BYTES = _HEAD.size
_CONTROLLEN_OFF = _HEAD_BYTES - 24
_CMSG = struct.Struct("@Nii")
_STAMP = struct.Struct("@ll")  # the software stamp is the first of three
_ERROR = struct.Struct("@IB3xII")  # sock_extended_err: errno, origin, info, data
_TIMESTAMPING = (errno.ENOMSG, 4)  # SO_EE_ORIGIN_TIMESTAMPING
# As it usually comes, a stamp and its key one behind the other: compared as bytes, which is quick.
_USUAL = struct.Struct("@16sll32x16s8sII")
_STAMP_HEAD = _CMSG.pack(64, socket.SOL_SOCKET, SO_TIMESTAMPING)
_KEY_HEADS = frozenset(
    {
        _CMSG.pack(48, socket.IPPROTO_IP, IP_RECVERR),
        _CMSG.pack(60, socket.IPPROTO_IPV6, IPV6_RECVERR),
    }
)
_STAMP_CAUSE = struct.pack("@IB3x", *_TIMESTAMPING)
_CONTROLS = tuple(
    range(_BATCH * _HEAD_BYTES, _BATCH * (_HEAD_BYTES + _CONTROL_BYTES), _CONTROL_BYTES)
)
_ALIGN = struct.calcsize("@N") - 1
_KEYED = frozenset({(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)})
_NS = 1_000_000_000

Stamp = tuple[int, int, int]  # time_ns, the kernel's number of the moment, key


class Drained(NamedTuple):
    """What was in the queue: the stamps, and how many messages were something else."""

    stamps: list[Stamp]
    others: int


class _Box:
    """Room for a batch of messages, as recvmmsg takes it."""

    def __init__(self) -> None:
        self.bytes = bytearray(_BATCH * (_HEAD_BYTES + _CONTROL_BYTES))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        control = self.address + _BATCH * _HEAD_BYTES
        self.empty: bytes = b"".join(
            _HEAD.pack(0, 0, 0, 0, control + n * _CONTROL_BYTES, _CONTROL_BYTES, 0, 0)
            for n in range(_BATCH)
        )
        self.bytes[: len(self.empty)] = self.empty


@cache
def _recvmmsg() -> Callable[..., int]:
    function: Any = libc().recvmmsg
    function.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p,
    ]  # fmt: skip
    return cast(Callable[..., int], function)


# Taken out while in use: a signal handler or another thread gets another one.
_boxes: list[_Box] = []


def drain(fd: int, most: int = 1024) -> Drained:
    """Read what is in the error queue of `fd` now, about `most` messages at the most."""
    stamps: list[Stamp] = []
    others = 0
    try:
        box = _boxes.pop()
    except IndexError:
        box = _Box()
    data, recvmmsg, unpack = box.bytes, _recvmmsg(), _USUAL.unpack_from
    while True:
        count = recvmmsg(fd, box.address, _BATCH, _MSG_ERRQUEUE | _MSG_DONTWAIT, None)
        if count <= 0:
            break
        for at in _CONTROLS[:count]:
            head, seconds, rest, key_head, cause, info, key = unpack(data, at)
            if head == _STAMP_HEAD and key_head in _KEY_HEADS and cause == _STAMP_CAUSE:
                stamps.append((seconds * _NS + rest, info, key))
            elif (stamp := _maybe_stamp(data, at)) is not None:
                stamps.append(stamp)
            else:
                others += 1
        data[: count * _HEAD_BYTES] = box.empty[: count * _HEAD_BYTES]
        if count < _BATCH or len(stamps) >= most:
            break
    _boxes.append(box)
    return Drained(stamps, others)


def _maybe_stamp(data: bytearray, at: int) -> Stamp | None:
    """The stamp whose control messages begin at `at`, whatever stands between them; else None."""
    number = (at - _CONTROLS[0]) // _CONTROL_BYTES
    (length,) = struct.unpack_from("@N", data, number * _HEAD_BYTES + _CONTROLLEN_OFF)
    end = at + length
    time_ns = moment = key = -1
    while at + _CMSG.size <= end:
        size, level, kind = _CMSG.unpack_from(data, at)
        if size < _CMSG.size:
            break
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            seconds, rest = _STAMP.unpack_from(data, at + _CMSG.size)
            time_ns = seconds * _NS + rest
        elif (level, kind) in _KEYED:
            code, origin, info, key = _ERROR.unpack_from(data, at + _CMSG.size)
            if (code, origin) == _TIMESTAMPING:
                moment = info
        at += (size + _ALIGN) & ~_ALIGN
    return None if moment < 0 or time_ns < 0 else (time_ns, moment, key)


class Refused(Exception):
    """The socket gets no stamps; the text says why."""


def switch_on(sock: socket.socket) -> bool:
    """Let the kernel stamp what the socket sends from here on; False: not yet, as it has no peer.

    The number of the first byte is 0 only if nothing has been written before. Raises Refused.
    """
    own = maybe_own_use(sock)
    if own:
        raise Refused(own)
    reason = ""
    for flags in FLAGS:
        if not flags & _OPT_ID_TCP and _state(sock) == _TCP_SYN_SENT:
            raise Refused("before Linux 6.2, for a connect that does not block")
        try:
            _set(sock, socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
            return True
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno != errno.EINVAL:
                break
    if is_closed(sock):
        return False
    raise Refused(f"setsockopt(SO_TIMESTAMPING): {reason}")


@contextmanager
def unmarked(sock: socket.socket) -> Iterator[None]:
    """While this lasts nothing that is sent is stamped; bytes are counted all the same."""
    flags = _asked(sock, socket.SOL_SOCKET, SO_TIMESTAMPING)
    _set(sock, socket.SOL_SOCKET, SO_TIMESTAMPING, flags & ~(_TX_SOFTWARE | _TX_SCHED | _TX_ACK))
    try:
        yield
    finally:
        with suppress(OSError):  # it was closed meanwhile
            _set(sock, socket.SOL_SOCKET, SO_TIMESTAMPING, flags)


def switch_off(fd: int) -> None:
    """Let the kernel stamp no more of what is sent. What is under way may still be stamped."""
    value = ctypes.c_int(0)
    size = ctypes.sizeof(value)
    libc().setsockopt(fd, socket.SOL_SOCKET, SO_TIMESTAMPING, ctypes.byref(value), size)


def is_on(sock: socket.socket) -> bool:
    """Whether the socket's sends are stamped as `switch_on` asks for it."""
    return _asked(sock, socket.SOL_SOCKET, SO_TIMESTAMPING) in FLAGS


def is_closed(sock: socket.socket) -> bool:
    """Whether the socket has no connection, nor one under way."""
    return _state(sock) == _TCP_CLOSE


def _state(sock: socket.socket) -> int:
    """The TCP state by the kernel's number (net/tcp_states.h)."""
    try:
        return bytes(_get(sock, socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
    except OSError:
        return _TCP_CLOSE


def maybe_own_use(sock: socket.socket) -> str:
    """What the program itself has asked of stamps or of the error queue, or nothing."""
    for (level, option), name in OWN_USES.items():
        if level == socket.IPPROTO_IPV6 and sock.family != socket.AF_INET6:
            continue
        if _asked(sock, level, option):
            return own_use_text(name)
    return ""


def own_use_text(name: str) -> str:
    """Why a socket gets no stamps whose program uses `name`."""
    return f"the program uses {name} itself"


# Options by which a program asks for stamps, or for messages in the error queue.
OWN_USES = {
    (socket.SOL_SOCKET, SO_TIMESTAMPING): "SO_TIMESTAMPING",
    (socket.SOL_SOCKET, SO_TIMESTAMP): "SO_TIMESTAMP",
    (socket.SOL_SOCKET, SO_TIMESTAMPNS): "SO_TIMESTAMPNS",
    (socket.SOL_SOCKET, SO_ZEROCOPY): "SO_ZEROCOPY",
    (socket.SOL_SOCKET, 63): "SO_TIMESTAMP_NEW",
    (socket.SOL_SOCKET, 64): "SO_TIMESTAMPNS_NEW",
    (socket.SOL_SOCKET, 65): "SO_TIMESTAMPING_NEW",
    (socket.IPPROTO_IP, IP_RECVERR): "IP_RECVERR",
    (socket.IPPROTO_IPV6, IPV6_RECVERR): "IPV6_RECVERR",
}
# Not through the object's own methods: those of a traced socket are recorded.
_set, _get = socket.socket.setsockopt, socket.socket.getsockopt


def _asked(sock: socket.socket, level: int, option: int) -> int:
    try:
        found = _get(sock, level, option)
    except OSError:  # a kernel that does not know it
        return 0
    return int(found)
