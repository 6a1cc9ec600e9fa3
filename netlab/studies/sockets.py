"""What the programs of studies do again and again, a handful of plain calls each."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar

from netlab.model.probe import Probe
from netlab.studies.study import PORT

BYTE = b"n"
T = TypeVar("T")


def listening(probe: Probe, backlog: int = 16, port: int = PORT, rcvbuf: int = 0) -> Any:
    """A listener on all addresses of the host. SO_RCVBUF must be set before listen()."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.bind(("0.0.0.0", port))
    sock.listen(backlog)
    return sock


def accepted(probe: Probe, **more: int) -> Any:
    """The first connection that comes; its listener is closed."""
    listener = listening(probe, **more)
    sock, _ = listener.accept()
    listener.close()
    return sock


def connected(probe: Probe, host: str = "server", port: int = PORT) -> Any:
    """A connection to a host."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect((host, port))
    return sock


def read_to_end(sock: Any, size: int = 65536) -> int:
    """All until the peer's FIN; how many bytes there were."""
    got = 0
    while data := sock.recv(size):
        got += len(data)
    return got


def read_exactly(sock: Any, count: int, size: int = 65536) -> None:
    """So many bytes, in as many calls as it takes. Raises EOFError where they do not come."""
    while count:
        data = sock.recv(min(count, size))
        if not data:
            raise EOFError(f"{count} bytes did not come")
        count -= len(data)


def trial(function: Any, *arguments: Any) -> dict[str, Any]:
    """Call it: what came of it, and how long it took, in ns."""
    begun_ns = time.monotonic_ns()
    try:
        result = function(*arguments)
        name = ""
    except TimeoutError as error:
        result, name = None, error_name(error) if error.errno else "timed out"
    except OSError as error:
        result, name = None, error_name(error)
    took_ns = time.monotonic_ns() - begun_ns
    value = len(result) if isinstance(result, bytes) else result if isinstance(result, int) else 0
    return {"error": name, "value": value, "took_ns": took_ns}


def as_eagain(call: Callable[[], T], busy: type[Exception]) -> Callable[[], T]:
    """The call, with the kernel's EAGAIN for `busy`, its package's word for it."""

    def as_the_kernel_says() -> T:
        try:
            return call()
        except busy as error:
            raise BlockingIOError(errno.EAGAIN, str(error)) from None

    return as_the_kernel_says


# Where struct tcp_info of linux/tcp.h has what: numbers of 32 bits.
RTO_US, SRTT_US, SSTHRESH, CWND, SEGS_OUT = 8, 68, 76, 80, 136


def tcp_info(sock: Any, place: int) -> int:
    """One number of a socket's TCP_INFO."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, place + 4)
    return int(struct.unpack_from("=I", raw, place)[0])


def error_name(error: OSError) -> str:
    """ECONNREFUSED and the like."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def told(probe: Probe, port: int = PORT) -> Any:
    """A socket at which the other host can say `go on` (see `tell`): `recv(1)` waits for it."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", port))
    return sock


def tell(probe: Probe, host: str = "server", port: int = PORT) -> None:
    """Say `go on` to the program of a host."""
    with probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(BYTE, (host, port))
