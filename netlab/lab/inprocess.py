"""Records the caller's own code: `with netlab.record("mine.pcapng") as probe: ...`.

Puts the witnesses around a block of the caller's program: the packet ring on an interface of the
network that the program is in, and the probe whose sockets the program uses. A process beside it
carries what they see into the recording. Knows nothing of what the block does. Read `beside` too.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from netlab.capture.bpf import SNAPLEN_BYTES, Filter, accept_all, only_ports
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.probe import JournalProbe
from netlab.capture.probe.probe import QUEUES, SPOOL_LIMIT_BYTES, segment_bytes
from netlab.capture.probe.stamps import StampsOf, stamps_text
from netlab.capture.ring import PacketRing
from netlab.lab.beside import HOST
from netlab.lab.hosts import python_arguments
from netlab.model.errors import BadRecording, NetlabError, PrivilegeError, UsageError, error_from
from netlab.server.messages import control

if TYPE_CHECKING:
    from _typeshed import StrPath

Queues = Literal["calls", "events", "off"]


@contextmanager
def record(
    path: StrPath,
    *,
    interface: str = "lo",
    actor: str = "main",
    queues: Queues = "calls",
    tcp_info: bool = False,
    code: bool = False,
    stamps: StampsOf = False,
    ports: Iterable[int] | None = None,
    journal_limit: int = JOURNAL_LIMIT,
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES,
) -> Iterator[JournalProbe]:
    """Record the packets of `interface` and the calls on the sockets that the yielded probe makes.

    `queues` says when the queue lengths, and with `tcp_info` struct tcp_info, are sampled; with
    `code` each call is recorded with the line of the caller's code, with `stamps` the kernel stamps
    when bytes leave by TCP sockets (all, or those of some ports) and when they are acknowledged.
    `ports` limits the packets to
    TCP and UDP of these ports. Processes that the block forks are recorded too, until the block
    ends. Then, or when it raises or the process is killed, everything is written and the file is
    in its finished form; Wireshark shows `journal_limit` calls of it one by one. Calls wait in
    spools beside the file until then: once these take `spool_limit_bytes`, no further call is
    recorded, with a line on stderr and a loss in the recording. Without the right to capture, calls
    alone are recorded, with a line on stderr that says so. Raises UsageError when it cannot begin
    (nothing is left then) and BadRecording when the file could not be written to its end.
    """
    if queues not in QUEUES:
        raise UsageError(f"queues={queues!r} is not known", f"one of {', '.join(QUEUES)}")
    options = _Options(
        interface, actor, queues, tcp_info, code, stamps, journal_limit, spool_limit_bytes
    )  # fmt: skip
    recorder = _begin(Path(path), ports, options)
    try:
        yield recorder.probe
    except BaseException as failure:
        try:
            recorder.end()
        except NetlabError as error:  # the caller's own failure is the news
            failure.add_note(f"netlab: {error}")
        raise
    recorder.end()


class _Options(NamedTuple):
    """What is recorded, and how."""

    interface: str
    actor: str
    queues: Queues
    tcp_info: bool
    code: bool
    stamps: StampsOf
    journal_limit: int
    spool_limit_bytes: int


class _Recorder:
    """A recording under way: the probe here, and the process that carries the rest."""

    def __init__(self, path: Path, sock: socket.socket, probe: JournalProbe) -> None:
        self.probe = probe
        self._path = path
        self._sock = sock
        self._pid = os.getpid()

    def end(self) -> None:
        """Wait until the file is finished. Raises what went wrong."""
        if os.getpid() != self._pid:
            return  # a child that was forked inside the block and left it: the parent records on
        self.probe.close()
        with self._sock:
            _links.discard(self._sock)
            try:
                control.send(self._sock, {"do": "end"})
                _answer(self._sock, self._path)
            except (BrokenPipeError, ConnectionResetError):
                raise _killed(self._path) from None


def _begin(path: Path, ports: Iterable[int] | None, options: _Options) -> _Recorder:
    """Open the witnesses, and have the file begun; what was opened is closed again on a failure."""
    program = _filter(ports)
    missing = ""
    with ExitStack() as opened:
        caller = os.pidfd_open(os.getpid())
        opened.callback(os.close, caller)
        descriptors = [caller]
        try:
            ring = PacketRing.open(options.interface, filter=program)
            opened.callback(ring.close)  # the recorder has it then, and lets it live
            descriptors.append(ring.fileno())
        except PrivilegeError as refused:
            sys.stderr.write(f"netlab: recording calls without packets: {refused}\n")
            missing = f"no right to capture: {refused.hint}"
        orders: control.Message = {
            "path": os.fspath(path),
            "interface": options.interface,
            "queues": options.queues,
            "tcp_info": options.tcp_info,
            "stamps": stamps_text(options.stamps),
            "journal_limit": options.journal_limit,
            "missing": missing,
        }
        sock = _start_recorder()
        failed = opened.enter_context(ExitStack())
        failed.callback(sock.close)
        try:
            control.send(sock, orders, tuple(descriptors))
            spools = _answer(sock, path)["spools"]
        except (BrokenPipeError, ConnectionResetError):
            raise _killed(path) from None
        probe = JournalProbe(
            spools, actor=options.actor, host=HOST, queues=options.queues,
            tcp_info=options.tcp_info, code=options.code, stamps=options.stamps,
            limit_bytes=options.spool_limit_bytes,
            segment_bytes=segment_bytes(options.spool_limit_bytes),
        )  # fmt: skip
        failed.pop_all()
    _close_in_children(sock)
    return _Recorder(path, sock, probe)


def _start_recorder() -> socket.socket:
    """A connection to a new process that waits for orders."""
    ours, theirs = control.pair()
    with theirs, ExitStack() as failed:
        failed.callback(ours.close)
        starter = subprocess.Popen(
            python_arguments("netlab.lab.beside", str(theirs.fileno())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        starter.wait()
        failed.pop_all()
    return ours


def _answer(sock: socket.socket, path: Path) -> control.Message:
    """What the recorder says next; raises what it reports."""
    received = control.receive(sock)
    if received is None:
        raise _killed(path)
    message, _ = received
    if message["event"] == "failed":
        raise error_from(message)
    return message


def _killed(path: Path) -> BadRecording:
    hint = f"run `netlab recover {path}` for what it left"
    return BadRecording(f"the recorder of {path} was killed", hint)


def _filter(ports: Iterable[int] | None) -> Filter:
    if ports is None:
        return accept_all(SNAPLEN_BYTES)
    try:
        return only_ports(ports, SNAPLEN_BYTES)
    except ValueError as error:
        raise UsageError(str(error), "give ports=None for every packet") from error


# A forked child would keep the connection open, and the recorder waiting when the caller is gone:
# the child lets go of it at once. The hook cannot be taken back, so there is one.
_links: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_hooked = False


def _close_in_children(sock: socket.socket) -> None:
    global _hooked
    _links.add(sock)
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for sock in list(_links):
        sock.close()
    _links.clear()
