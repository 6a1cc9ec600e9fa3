"""Where a server is reached: an address as users give it -> an open socket that waits there.

Four kinds: TCP and UDP (IPv4 and IPv6, each address its own), Unix streams and Unix datagrams (a
path, or `@name` in the abstract space that has no files). What is done when such a socket is
readable is for those who derive from `Entrance`. Read first: man 2 bind, man 7 unix, man 7 ipv6.

A Unix socket's file outlives its process: nobody answers there, and yet bind says "in use". Such a
stale file is taken away, a file that answers, or that is no socket, is not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.loop.reactor import Reactor
from netlab.server.sockets import sockopts
from netlab.server.sockets.port_owner import owner_text
from netlab.server.terms import SocketAddress, address_text

if TYPE_CHECKING:
    from netlab.server.settings.option_table import Options


class Kind(StrEnum):
    """What is spoken at an entrance."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"
    UNIX_DGRAM = "unix_dgram"


class ListenError(UsageError):
    """An address could not be had; `errno` is bind's or listen's."""

    def __init__(self, place: Place, error: OSError, hint: str) -> None:
        super().__init__(f"cannot listen on {place}: {error.strerror or error}", hint)
        self.errno = error.errno or errno.EIO


@dataclass(frozen=True, slots=True)
class Place:
    """An address to wait at. `host` is a path, or `@name`, for the Unix kinds."""

    host: str
    port: int = 0
    kind: Kind = Kind.TCP

    @classmethod
    def asked(cls, host: str, port: int = 0, kind: str | None = None) -> Place:
        """What the user means: without a kind, a path or `@name` is a Unix stream, else TCP.

        Raises UsageError when it is no address.
        """
        if kind is None:
            kind = Kind.UNIX if host.startswith("@") or "/" in host else Kind.TCP
        try:
            known = Kind(kind)
        except ValueError:
            raise UsageError(f"kind={kind!r} is not known", f"one of {', '.join(Kind)}") from None
        if known in (Kind.UNIX, Kind.UNIX_DGRAM):
            length = len(os.fsencode(host))
            if not 2 <= length <= _LONGEST_PATH_BYTES and not (host and length == 1):
                raise UsageError(
                    f"{host!r} is no name for a Unix socket",
                    f"a path or @name of 1 to {_LONGEST_PATH_BYTES} bytes",
                )
        elif not isinstance(port, int) or not 0 <= port <= 0xFFFF:
            raise UsageError(f"port {port!r} is out of range", "0 to 65535; 0 lets the kernel pick")
        return cls(host, port, known)

    @property
    def is_stream(self) -> bool:
        """True when there are connections, False for datagrams."""
        return self.kind in (Kind.TCP, Kind.UNIX)

    @property
    def is_unix(self) -> bool:
        """True for the kinds that never leave this machine."""
        return self.kind in (Kind.UNIX, Kind.UNIX_DGRAM)

    @property
    def path(self) -> str:
        """The file that a Unix socket leaves; "" where there is none."""
        return self.host if self.is_unix and not self.host.startswith("@") else ""

    def resolved(self) -> tuple[int, SocketAddress]:
        """Family and address for bind. Raises UsageError when the host is not known."""
        if self.is_unix:
            name = "\0" + self.host[1:] if self.host.startswith("@") else self.host
            return socket.AF_UNIX, name
        kind = socket.SOCK_STREAM if self.is_stream else socket.SOCK_DGRAM
        flags = socket.AI_PASSIVE
        try:
            found = socket.getaddrinfo(self.host or "0.0.0.0", self.port, 0, kind, 0, flags)
        except (OSError, UnicodeError) as error:
            raise UsageError(
                f"{self.host!r} is no address of this machine: {error}",
                "give an IPv4 or IPv6 address, a name from /etc/hosts, a path or @name",
            ) from None
        family, _, _, _, address = found[0]
        return family, address  # type: ignore[return-value]

    def with_port_of(self, sock: socket.socket) -> Place:
        """The same, with the port that the kernel chose where 0 was asked for."""
        return self if self.is_unix else replace(self, port=sock.getsockname()[1])

    def __str__(self) -> str:
        if self.is_unix:
            return f"{self.kind}:{self.host}"
        return f"{self.kind}:{address_text((self.host or '0.0.0.0', self.port))}"


_LONGEST_PATH_BYTES = 107  # sun_path, less the byte that ends it


def opened(probe: Probe, place: Place, options: Options) -> socket.socket:
    """A non-blocking socket that waits at `place`. Raises ListenError, and leaves nothing then."""
    family, address = place.resolved()
    sock = probe.socket(family, socket.SOCK_STREAM if place.is_stream else socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sockopts.before_bind(sock, place.kind, options)
        _bind(sock, place, address)
        if place.is_stream:
            sock.listen(options.backlog)
    except OSError as error:
        sock.close()
        raise ListenError(place, error, _hint(place, error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def release(sock: socket.socket, place: Place) -> None:
    """Close a socket that `opened` made, with the file that it left."""
    sock.close()
    if place.path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.path)


def _bind(sock: socket.socket, place: Place, address: SocketAddress) -> None:
    try:
        sock.bind(address)  # type: ignore[arg-type]
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_stale(place):
            raise
        os.unlink(place.path)
        sock.bind(address)  # type: ignore[arg-type]


def _is_stale(place: Place) -> bool:
    """True for the file of a Unix socket behind which nobody waits any more."""
    try:
        if not place.path or not stat.S_ISSOCK(os.stat(place.path).st_mode):
            return False
    except OSError:
        return False
    kind = socket.SOCK_STREAM if place.is_stream else socket.SOCK_DGRAM
    with socket.socket(socket.AF_UNIX, kind) as visitor:
        visitor.setblocking(False)
        try:
            visitor.connect(place.path)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False


def _hint(place: Place, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            owner_text(place.kind, place.port)
            if not place.is_unix
            else ("another server answers there, or the file is no socket")
        )
    if error.errno == errno.EACCES and not place.is_unix:
        return "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no interface of this machine has that address (ip address)"
    return "see man 2 bind"


class Entrance(ABC):
    """An open socket at a place, read by a reactor."""

    def __init__(self, sock: socket.socket, place: Place, number: int, reactor: Reactor) -> None:
        self.number = number  # in order of listening, from 0
        self.closed = False
        self._socket = sock
        self._reactor = reactor
        self.address: SocketAddress = sock.getsockname()
        self.place = place.with_port_of(sock)
        self._file = file_identity(place)
        self._opened_by = os.getpid()

    @property
    def port(self) -> int:
        """The port, where 0 was asked for the kernel's choice; 0 for Unix sockets."""
        return self.place.port

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def start(self) -> None:
        """Begin to wait."""
        self._reactor.register(self._socket.fileno(), self._awaited(), self._on_ready)

    def close(self, *, unlink: bool = True) -> None:
        """Close the socket: what waits in it is lost, a connection in its queue gets a reset.

        The file of a Unix socket goes as well, unless another has taken its place meanwhile.
        """
        if self.closed:
            return
        self.closed = True
        self._leave()
        self._socket.close()
        if unlink and self._file and os.getpid() == self._opened_by:
            remove_file(self.place, self._file)

    def _awaited(self) -> int:
        return select.EPOLLIN

    def _leave(self) -> None:
        with contextlib.suppress(KeyError):  # never started
            self._reactor.unregister(self._socket.fileno())

    @abstractmethod
    def _on_ready(self, events: int) -> None: ...


def remove_file(place: Place, identity: tuple[int, int] | None) -> None:
    """Take away the file of a Unix socket, unless another has taken its place meanwhile."""
    with contextlib.suppress(OSError):
        if identity is not None and file_identity(place) == identity:
            os.unlink(place.path)


def file_identity(place: Place) -> tuple[int, int] | None:
    """Which file a Unix socket has; None where there is none."""
    if not place.path:
        return None
    try:
        found = os.stat(place.path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
