"""Records the caller's own code: `with netlab.record("mine.pcapng") as probe: ...`.

Puts the witnesses around a block of the caller's program: the packet ring on an interface of the
network that the program is in, and the probe whose sockets the program uses. A thread carries what
they see into the recording while the block runs. Knows nothing of what the block does.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import netlab
from netlab.capture.bpf import SNAPLEN_BYTES, Filter, accept_all, only_ports
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.ownership import remove_folder
from netlab.capture.probe import JournalProbe
from netlab.capture.probe.probe import SPOOL_LIMIT_BYTES, segment_bytes
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.recording import LiveRecording
from netlab.capture.ring import PacketRing, RingFrame, RingStatistics
from netlab.lab import sysctls
from netlab.lab.departures import Departures
from netlab.lab.recorder import STAMPS, Recorder, begin
from netlab.model.errors import NetlabError, PrivilegeError, UsageError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host, Loss

if TYPE_CHECKING:
    from _typeshed import StrPath

HOST = "localhost"
_TURN_MS = 50  # how long the carrying thread waits for the ring at most
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
    stamps: bool = False,
    ports: Iterable[int] | None = None,
    journal_limit: int = JOURNAL_LIMIT,
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES,
) -> Iterator[JournalProbe]:
    """Record the packets of `interface` and the calls on the sockets that the yielded probe makes.

    `queues` says when the queue lengths, and with `tcp_info` struct tcp_info, are sampled; with
    `code` each call is recorded with the line of the caller's code, with `stamps` the kernel stamps
    when bytes leave by TCP sockets and when they are acknowledged. `ports` limits the packets to
    TCP and UDP of these ports. Processes that the block forks are recorded too, until the block
    ends. Then, or when it raises, everything is written and the file is in its finished form;
    Wireshark shows `journal_limit` calls of it one by one. Calls wait in spools beside the file
    until then: once these take `spool_limit_bytes`, no further call is recorded, with a line on
    stderr and a loss in the recording. Without the right to capture, calls alone are recorded, with
    a line on stderr that says so. Raises UsageError when it cannot begin (nothing is left then) and
    BadRecording when the file could not be written to its end.
    """
    options = _Options(actor, queues, tcp_info, code, stamps, journal_limit, spool_limit_bytes)
    carrier = _begin(Path(path), interface, ports, options)
    try:
        yield carrier.probe
    except BaseException as failure:
        try:
            carrier.end()
        except NetlabError as error:  # the caller's own failure is the news
            failure.add_note(f"netlab: {error}")
        raise
    carrier.end()


class _Options(NamedTuple):
    """How the calls are recorded."""

    actor: str
    queues: Queues
    tcp_info: bool
    code: bool
    stamps: bool
    journal_limit: int
    spool_limit_bytes: int


class _NoRing(PacketRing):
    """What stands in for a ring that we may not open: never a frame."""

    def __init__(self) -> None:
        # A descriptor that poll can wait on, and that never becomes readable.
        self._silent, self._other = os.pipe2(os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._silent

    def read(self) -> list[RingFrame]:
        return []

    def drain(self) -> list[RingFrame]:
        return []

    def statistics(self) -> RingStatistics:
        return RingStatistics(0, 0)

    def close(self) -> None:
        os.close(self._silent)
        os.close(self._other)


class _Carrier:
    """A recording under way: its witnesses, and the thread that carries what they see."""

    def __init__(
        self, path: Path, ring: PacketRing, recording: LiveRecording, probe: JournalProbe,
        spools: Path, losses: tuple[Loss, ...], journal_limit: int,
    ) -> None:  # fmt: skip
        self.probe = probe
        self._path = path
        self._ring = ring
        self._departures = Departures()
        self._recorder = Recorder(recording, [ring], SpoolReader(spools), self._departures)
        self._recording = recording
        self._spools = spools
        self._losses = losses
        self._journal_limit = journal_limit
        self._trouble: NetlabError | None = None
        self._pid = os.getpid()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._carry, name="netlab recorder", daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        """Pump until told to stop. A full disk ends the recording, never the caller's program."""
        poller = select.poll()
        poller.register(self._ring, select.POLLIN)
        poller.register(self._stop_read, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(_TURN_MS)}
            if self._stop_read in ready:
                return
            try:
                self._recorder.pump()
            except NetlabError as error:
                self._trouble = error
                return

    def end(self) -> None:
        """Take in the rest, finish the file, remove the spools. Raises what went wrong."""
        if os.getpid() != self._pid:
            return  # a child that was forked inside the block and left it: the parent records on
        os.write(self._stop_write, b".")
        self._thread.join()
        os.close(self._stop_read)
        os.close(self._stop_write)
        self.probe.close()
        try:
            self._recorder.finish((), self._losses)
        except NetlabError as error:
            self._trouble = self._trouble or error
        finally:
            self._departures.close()
            self._recording.close()
            self._ring.close()
            _rings.discard(self._ring)
        self._finish_file()

    def _finish_file(self) -> None:
        from netlab.lab.finish import finish_on_full_disk, finish_recording

        if self._trouble is None:
            remove_folder(self._spools)
            finish_recording(self._path, journal_limit=self._journal_limit)
            return
        finish_on_full_disk(self._path, self._spools, journal_limit=self._journal_limit)
        raise self._trouble


def _begin(path: Path, interface: str, ports: Iterable[int] | None, options: _Options) -> _Carrier:
    """Open the witnesses and the file; what was opened is closed again when one fails."""
    program = _filter(ports)
    losses: tuple[Loss, ...] = ()
    ring: PacketRing
    try:
        ring = PacketRing.open(interface, filter=program)
    except PrivilegeError as refused:
        sys.stderr.write(f"netlab: recording calls without packets: {refused}\n")
        reason = f"no right to capture: {refused.hint}"
        losses = (Loss("packets", "frames", None, reason, since_ns=time.time_ns()),)
        ring = _NoRing()
    try:
        recording, spools = begin(
            path,
            description=_description(path, interface, options, bool(losses)),
            interfaces=[Interface(interface, LINK_ETHERNET, SNAPLEN_BYTES)],
            journal_limit=options.journal_limit,
        )
    except BaseException:
        ring.close()
        raise
    probe = JournalProbe(
        spools, actor=options.actor, host=HOST, queues=options.queues, tcp_info=options.tcp_info,
        code=options.code, stamps=options.stamps, limit_bytes=options.spool_limit_bytes,
        segment_bytes=segment_bytes(options.spool_limit_bytes),
    )  # fmt: skip
    _close_in_children(ring)
    return _Carrier(path, ring, recording, probe, spools, losses, options.journal_limit)


def _filter(ports: Iterable[int] | None) -> Filter:
    if ports is None:
        return accept_all(SNAPLEN_BYTES)
    try:
        return only_ports(ports, SNAPLEN_BYTES)
    except ValueError as error:
        raise UsageError(str(error), "give ports=None for every packet") from error


def _description(path: Path, interface: str, options: _Options, calls_only: bool) -> Description:
    """What the recording says of itself."""
    settings = sysctls.read_all((*(name for name, _ in sysctls.BASELINE), *sysctls.FACTS))
    sampled = {
        "calls": "queue lengths around each call",
        "events": "queue lengths when a call would block and at close",
        "off": "no queue lengths",
    }[options.queues]
    packets = f"packets: a TPACKET_V3 ring on {interface}"
    witnesses = (
        "packets: none, for want of the right to capture" if calls_only else packets,
        f"calls: the probe in the process, {sampled}"
        + (", TCP_INFO around each call" if options.tcp_info else ""),
        *[STAMPS] * options.stamps,
    )
    named = tuple((setting.name, setting.value or "") for setting in settings)
    return Description(
        netlab_version=netlab.__version__,
        title=f'netlab.record("{path.name}")',
        hosts=(Host(HOST, os.uname().release, named),),
        witnesses=witnesses,
    )


# A forked child holds the ring's descriptor and its memory, and a ring lives as long as anyone
# holds it: the child lets go of both at once. The hook cannot be taken back, so there is one.
_rings: weakref.WeakSet[PacketRing] = weakref.WeakSet()
_hooked = False


def _close_in_children(ring: PacketRing) -> None:
    global _hooked
    _rings.add(ring)
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for ring in list(_rings):
        ring.close()
    _rings.clear()
