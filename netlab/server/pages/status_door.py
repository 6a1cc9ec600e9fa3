"""Where a running server answers `netlab status`: a Unix socket in a folder that only its user has.

The file is named by the server's ports and its pid: `7777-4711.sock`. Whoever connects gets one
page as JSON, and the end; nothing is read. The kernel says who asks (SO_PEERCRED), and others than
the same user and root get nothing. SIGURG prints the page in the log; it was chosen because a
process that does not know it ignores it. Read first: man 7 unix, status.py.

The socket is not the probe's: a look at the server should not stand in its recording.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netlab.model.errors import UsageError
from netlab.server.loop.reactor import READ, Reactor
from netlab.server.pages.status import (
    MOST_CONNECTIONS,
    ConnectionRow,
    ProcessRow,
    StatusPage,
    page_from_json,
    page_lines,
)
from netlab.server.sockets.entrance import Place
from netlab.server.terms import ClientInfo, Stats, address_text

if TYPE_CHECKING:
    from netlab.server.server import Server
    from netlab.server.sockets.engine import Engine

SIGNAL = signal.SIGURG
ANSWER_WITHIN_S = 5.0
_PORTS_IN_NAME = 8
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SUFFIX = ".sock"
_log = logging.getLogger("netlab.server")


class Source(Protocol):
    """The process that knows the others: the only one, or the hub of its mode."""

    def stats(self) -> Stats: ...
    def rows(self) -> list[ProcessRow]: ...
    def connections(self, most: int) -> list[ClientInfo]: ...


@contextlib.contextmanager
def door(server: Server, reactor: Reactor, source: Source) -> Iterator[Door | None]:
    """While entered, the page can be asked for, if the server's options say so."""
    if not server.options.status:
        yield None
        return
    places = [place.with_port_of(sock) for sock, place, _ in server.opened]

    def make() -> StatusPage:
        return page_of(source, places)

    opened: Door | None = None
    try:
        opened = Door(reactor, [place.port for place in places], make)
    except UsageError as error:  # no reason not to serve
        _log.warning("netlab status will find nothing here: %s", error)
    if threading.current_thread() is threading.main_thread():
        reactor.on_signal(SIGNAL, lambda: _log.warning("%s", "\n".join(page_lines(make()))))
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def page_of(source: Source, places: Sequence[Place]) -> StatusPage:
    """The page as it stands now."""
    stats = source.stats()
    infos = source.connections(MOST_CONNECTIONS)
    infos.sort(key=lambda info: info.queued_bytes, reverse=True)
    now_s = time.time()
    return StatusPage(
        mode=str(stats.mode),
        pid=os.getpid(),
        uptime_s=max(0.0, now_s - stats.started_at_s),
        addresses=tuple(map(str, places)),
        figures=_figures(stats),
        processes=tuple(source.rows()),
        connections=tuple(connection_row(info, now_s) for info in infos[:MOST_CONNECTIONS]),
    )


def longest_queues(engine: Engine, most: int) -> list[ClientInfo]:
    """The connections of an engine with the most output waiting."""
    chosen = nlargest(most, list(engine.connections.values()), key=lambda c: c.queued_bytes)
    infos = [engine.client_info(connection.session) for connection in chosen]
    return [info for info in infos if info is not None]


def connection_row(info: ClientInfo, now_s: float) -> ConnectionRow:
    """One line's worth of a connection."""
    last_s = max(info.connected_at_s, info.received_at_s, info.sent_at_s)
    states = (
        ("closing", info.closing),
        ("paused", info.paused),
        ("half-closed", info.peer_finished),
    )
    return ConnectionRow(
        session=info.session,
        client=address_text(info.client),
        worker=info.worker,
        received_bytes=info.received_bytes,
        sent_bytes=info.sent_bytes,
        queued_bytes=info.queued_bytes,
        idle_s=max(0.0, now_s - last_s),
        state=next((name for name, holds in states if holds), "open"),
    )


def ask(port: int) -> StatusPage:
    """The page of this user's server at a port. Raises UsageError when none answers."""
    for path in doors():
        if str(port) in path.name.partition("-")[0].split("_"):
            page = _maybe_page(path)
            if page is not None:
                return page
    raise UsageError(
        f"no server of yours answers for port {port}",
        "start it with netlab serve, as the same user; netlab status lists those that run",
    )


def ask_all() -> list[StatusPage]:
    """The pages of all servers of this user."""
    return [page for page in map(_maybe_page, doors()) if page is not None]


def doors() -> list[Path]:
    """The sockets of this user's servers, wherever their environment let them put them."""
    found: list[Path] = []
    for folder in _folders():
        if _is_private(folder):
            found += sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIX))
    return found


def runtime_folder() -> Path:
    """The folder for the sockets, made if need be: ours, and closed to all others."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if _is_private(folder):
                return folder
    raise UsageError(
        "no private folder for the status socket", "set XDG_RUNTIME_DIR to one, or give --no-status"
    )


def _folders() -> list[Path]:
    uid = os.getuid()
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    first = [Path(given) / "netlab"] if given.startswith("/") else []
    temporary = Path(tempfile.gettempdir()) / f"netlab-{uid}"
    return list(dict.fromkeys([*first, Path(f"/run/user/{uid}/netlab"), temporary]))


def _is_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return mine and not stat.S_IMODE(found.st_mode) & 0o077


def _maybe_page(path: Path) -> StatusPage | None:
    """What is said behind a door; the door of one that is gone is taken away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ANSWER_WITHIN_S)
        try:
            with _short(path) as address:
                sock.connect(address)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        except OSError:
            return None
        data = b""
        try:
            while piece := sock.recv(1 << 16):
                data += piece
            return page_from_json(data)
        except (OSError, ValueError, KeyError, TypeError):
            return None


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Another name of a file, by its open folder: the kernel takes 107 bytes for a socket's."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _figures(stats: Stats) -> dict[str, int]:
    return {
        field.name: value
        for field in dataclasses.fields(stats)
        if isinstance(value := getattr(stats, field.name), int)
    }


class Door:
    """The listening end."""

    def __init__(self, reactor: Reactor, ports: list[int], make: Callable[[], StatusPage]) -> None:
        self._reactor = reactor
        self._make = make
        self._pid = os.getpid()
        known = dict.fromkeys(port for port in ports if port)
        named = "_".join(map(str, list(known)[:_PORTS_IN_NAME])) or "0"
        self._path = runtime_folder() / f"{named}-{self._pid}{_SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)  # of a process that had our pid
            with _short(self._path) as address:
                self._socket.bind(address)  # in a folder that is closed to others
            self._socket.listen(8)
            self._socket.setblocking(False)
            reactor.register(self._socket.fileno(), READ, self._on_ready)
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"no status socket at {self._path}: {error.strerror}", "give --no-status"
            ) from error

    def close(self) -> None:
        """Answer no more."""
        self._reactor.unregister(self._socket.fileno())
        self._socket.close()
        if os.getpid() == self._pid:
            self._path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """In a child that has it only because of the fork."""
        self._socket.close()

    def _on_ready(self, events: int) -> None:
        try:
            visitor, _ = self._socket.accept()
        except OSError:  # gone again, or no descriptor left
            return
        with visitor:
            raw = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(raw)
            if uid not in (0, os.getuid()):
                return
            page = self._make().as_json().encode()
            # In one piece, into the socket's own buffer: nobody who is slow may hold us up.
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(page))
            visitor.setblocking(False)
            with contextlib.suppress(OSError):
                visitor.send(page)
