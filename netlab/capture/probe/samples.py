"""What the journal asks of the kernel and of the interpreter beside a call.

Queue lengths and TCP_INFO of a socket, the line of code that made a call, and whose fault an
exception is. Read first: man 7 tcp, SIOCINQ and SIOCOUTQ; linux/tcp.h, struct tcp_info.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import sys
from types import FrameType

from netlab.capture.probe.layout import NONE_32
from netlab.capture.probe.writer import libc

_OURS = os.path.dirname(__file__) + os.sep
_STDLIB_SOCKET = socket.__file__
SIOCINQ, SIOCOUTQ = 0x541B, 0x5411  # linux/sockios.h; man 7 tcp
FOUR = bytes(4)
_TCP_INFO_BYTES = 512  # more than any kernel's struct: the answer is as long as the kernel knows


def is_foreign(error: BaseException) -> bool:
    """True when code outside this folder raised `error`: a signal handler, or a buffer's owner."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_code.co_filename
    return not (name.startswith(_OURS) or name == _STDLIB_SOCKET)


def caller() -> str:
    """file:line of the program's code that made the present call."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS) and name != _STDLIB_SOCKET:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def queue(fd: int, request: int) -> int:
    """Bytes in a socket's queue (SIOCINQ, SIOCOUTQ); NONE_32 where it has none.

    The kernel's number is an int: one that is negative (TCP_REPAIR makes such) says nothing.
    """
    try:
        found = int.from_bytes(fcntl.ioctl(fd, request, FOUR), sys.byteorder, signed=True)
        return found if found >= 0 else NONE_32
    except OSError:  # a listener, or a socket without such a queue
        return NONE_32


def maybe_tcp_info(fd: int) -> bytes | None:
    """struct tcp_info of a socket, as long as the kernel knows it; None where it has none."""
    answer = ctypes.create_string_buffer(_TCP_INFO_BYTES)
    length = ctypes.c_uint(_TCP_INFO_BYTES)
    # Not through a second socket object: an exception at the wrong moment would make it close fd.
    if libc().getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_INFO, answer, ctypes.byref(length)):
        return None
    return answer.raw[: length.value]
