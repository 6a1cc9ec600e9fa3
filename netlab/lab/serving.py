"""A server of the core by the name of its handler: orders -> a `Server` ready to start.

Orders survive JSON, so the same server can be made here or in another process: values of options
are kept as users type them. `main` is that other process, watched by the probe that the environment
describes. What it tells whoever started it goes as JSON lines to NETLAB_REPORT_FD: `listening` (a
port), `places`, `started`, `born`, `left` and `died` (pids of its descendants), `error`.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlab.lab.report import Report
from netlab.model.errors import UsageError
from netlab.model.probe import Probe
from netlab.server.family.process import die_with_parent
from netlab.server.handlers import Settings, handler_named
from netlab.server.handlers.settings import CHARGEN_LIMIT_BYTES, PAUSES_S
from netlab.server.settings.options import value_from_text
from netlab.server.sockets.entrance import Kind, ListenError, Place

if TYPE_CHECKING:
    from netlab.server.server import Server

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7777
_KEPT: list[Probe] = []  # until the very end: the probe notes the process's exit, too


@dataclass(frozen=True, slots=True)
class ServeOrders:
    """What to serve, where, and how."""

    handler: str = "echo"
    listen: tuple[str, ...] = (f"{DEFAULT_HOST}:{DEFAULT_PORT}",)  # as users type them
    options: Mapping[str, str] = field(default_factory=dict)  # by our names or Swoole's, as typed
    folder: str = "."
    limit_bytes: int = CHARGEN_LIMIT_BYTES
    pauses_s: tuple[float, ...] = PAUSES_S

    def as_json(self) -> str:
        """For `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServeOrders:
        """What `as_json` wrote."""
        orders: dict[str, Any] = json.loads(text)
        orders["listen"] = tuple(orders["listen"])
        orders["pauses_s"] = tuple(orders["pauses_s"])
        return cls(**orders)


def make_server(orders: ServeOrders, probe: Probe | None = None) -> Server:
    """The server, with its callbacks; it holds no socket yet. Raises UsageError."""
    from netlab.server.server import Server

    handler = handler_named(orders.handler)
    server = Server(probe=probe, **handler.options)
    server.set(**{name: value_from_text(name, text) for name, text in orders.options.items()})
    for text in orders.listen:
        place = place_from_text(text)
        if not place.is_stream and not handler.datagrams:
            raise UsageError(f"the {handler.name} handler speaks no UDP: {text}", "leave out udp:")
        server.listen(place.host, place.port, place.kind)
    settings = Settings(Path(orders.folder), orders.limit_bytes, orders.pauses_s)
    handler.install(server, settings)
    if "task" not in server.callbacks:
        server.on("task", _nothing_to_do)
    return server


def _nothing_to_do(server: Server, task_id: int, source: str, data: object) -> None:
    """Task workers may be asked for with any handler; with most of them they stay idle."""


def place_from_text(text: str) -> Place:
    """An address as users type it: `7777`, `127.0.0.1:80`, `[::1]:80`, `:80` (every address),
    `/path` or `@name` (Unix); with `udp:`, `unix:` or `unix_dgram:` before it where that is meant.

    Raises UsageError.
    """
    prefix, colon, rest = text.partition(":")
    kind = prefix if colon and prefix in set(Kind) else None
    bare = rest if kind is not None else text
    if kind in (Kind.UNIX, Kind.UNIX_DGRAM) or bare.startswith("@") or "/" in bare:
        return Place.asked(bare, 0, kind)
    host, colon, port = bare.rpartition(":")
    if not port.isascii() or not port.isdecimal():
        raise UsageError(f"{text!r} is no address", "such as 7777, 0.0.0.0:7777, [::1]:7777, @name")
    if not colon:
        host = DEFAULT_HOST
    elif not host:
        host = "0.0.0.0"
    return Place.asked(host.strip("[]"), int(port), kind)


def serve_reporting(server: Server, report: Report) -> int:
    """Open, start, and tell how it goes; the exit status."""
    try:
        places = server.open()
        _report_lives(server, report)
        told = [{"text": str(place), "port": place.port} for place in places]
        report.say(listening=places[0].port, places=told)
        return server.start()
    except UsageError as error:
        number = error.errno if isinstance(error, ListenError) else errno.EINVAL
        name = errno.errorcode.get(number, "EIO")
        report.say(error=error.message, hint=error.hint, errno=name)
        return 2


def _report_lives(server: Server, report: Report) -> None:
    """Tell when all are ready, and of each process that is forked for this server."""
    ourselves = os.getpid()

    def born(server: Server, *worker: int) -> None:
        if os.getpid() != ourselves:  # alone, a server plays all roles itself
            report.say(born=os.getpid(), outer=_outer_pid())

    def left(server: Server, *worker: int) -> None:
        if os.getpid() != ourselves:
            report.say(left=os.getpid())

    def died(server: Server, worker: int, pid: int, exit_code: int, number: int) -> None:
        report.say(died=pid, how=signal.Signals(number).name if number else f"status {exit_code}")

    server.on("start", lambda server: report.say(started=os.getpid()))
    server.on("manager_start", born)
    server.on("manager_stop", left)
    server.on("worker_start", born)
    server.on("worker_stop", left)
    server.on("worker_error", died)


def _outer_pid() -> int:
    """Our pid as it stands in the recording, outside a namespace of processes."""
    proc = os.environ.get("NETLAB_PROC_FD")
    return int(os.readlink("self", dir_fd=int(proc))) if proc else os.getpid()


def main(arguments: Sequence[str]) -> None:
    """Be the server that `arguments[0]` orders, recorded, until it is told to stop."""
    from netlab.capture.probe import JournalProbe

    parent = int(os.environ["NETLAB_PARENT"])
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)
    report = Report(int(os.environ["NETLAB_REPORT_FD"]))
    probe = JournalProbe.from_environment()
    _KEPT.append(probe)
    sys.exit(serve_reporting(make_server(ServeOrders.from_json(arguments[0]), probe), report))
