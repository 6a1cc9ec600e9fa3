"""A server that runs here, for real clients, and a recorder beside it: orders -> a finished file.

The recorder is this process; the server is a child of it, executed anew, in a process group of its
own (so Ctrl-C at the terminal reaches it once, passed on by us, like every other signal that we
get). Whatever is killed over there, we hold the rings and the spools lie on disk: nothing that was
seen is lost. As the nearest subreaper we are also told of the ends of workers whose manager died.
Packets are taken from the interfaces that the server's addresses are reached by. Without the right
to do so calls are recorded, and the kernel stamps when their bytes leave and are acknowledged.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netlab
from netlab.capture.bpf import SNAPLEN_BYTES, only_ports
from netlab.capture.layout import JOURNAL_LIMIT
from netlab.capture.ownership import remove_folder
from netlab.capture.probe.probe import SPOOL_LIMIT_BYTES
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.probe.stamps import StampsOf, stamps_text
from netlab.capture.ring import PacketRing
from netlab.lab import sysctls
from netlab.lab.descendants import Descendants
from netlab.lab.hosts import python_arguments
from netlab.lab.interfaces import interfaces_for
from netlab.lab.recorder import Recorder, begin, stamps_witness
from netlab.lab.report import ReportReader
from netlab.lab.serving import ServeOrders, make_server, place_from_text
from netlab.lab.syscalls import adopt_orphans
from netlab.model.errors import NetlabError, PrivilegeError, UsageError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host, Loss

HOST = "localhost"
_DISCARD_PORT = 9
TURN_MS = 50.0
ORPHANS_END_WITHIN_S = 5.0
_PASSED_ON = (
    signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG,
)  # fmt: skip
OnStart = Callable[[int, Sequence[str]], None]  # pid, places


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """How the server is watched, and where that is written."""

    path: Path
    queues: str = "events"
    journal_limit: int = JOURNAL_LIMIT
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES
    title: str = "netlab serve"
    stamps: StampsOf = False  # of which connections the kernel stamps what leaves


@dataclass(slots=True)
class _Child:
    """The server's first process."""

    process: subprocess.Popen[bytes]
    report: ReportReader
    pid: int
    places: list[str] = field(default_factory=list)
    failure: UsageError | None = None
    started: bool = False


class RecordedServer:
    """One server under observation."""

    def __init__(self, orders: ServeOrders, how: RecordOptions) -> None:
        """Check the orders, and find out what may be captured. Raises UsageError."""
        self.options = make_server(orders).options
        self.missing = ""  # what is not recorded, and what would grant it; one line
        self.summary = ""
        self._orders = orders
        self._how = how
        self._descendants = Descendants(HOST)
        self._trouble: NetlabError | None = None
        self._rings: list[PacketRing] = []
        self._interfaces = ["lo"]
        self._ports: list[int] = []
        self._stamps: StampsOf = how.stamps

    @property
    def notes(self) -> list[str]:
        """What the user is told at the start."""
        path = self._how.path
        seen = ["calls of all processes"]
        seen += ["the kernel's send and ACK stamps"] if self._stamps else []
        if self.missing:
            return [f"recording to {path}: {', '.join(seen)}, but no packets:", self.missing]
        seen += [f"packets of {', '.join(self._interfaces)}"]
        return [f"recording to {path}: {', '.join(seen)}"]

    def run(self, on_start: OnStart = lambda pid, places: None) -> int:
        """Serve and record until the server has ended; its exit status.

        Raises UsageError when it could not begin (nothing is left then), BadRecording when the disk
        was full (what was recorded opens).
        """
        with contextlib.ExitStack() as stack:
            self._open_rings(stack)
            recording, spools = begin(
                self._how.path,
                description=self._description(),
                interfaces=[
                    Interface(name, LINK_ETHERNET, SNAPLEN_BYTES) for name in self._interfaces
                ],
                journal_limit=self._how.journal_limit,
            )
            stack.callback(recording.close)
            recorder = Recorder(recording, self._rings, SpoolReader(spools))
            adopt_orphans()
            with _Signals() as signals:
                child = self._start(spools)
                try:
                    self._watch(child, recorder, signals, on_start)
                finally:
                    status = self._end(child)
            if child.failure is not None:
                recording.close()
                self._how.path.unlink(missing_ok=True)
                remove_folder(spools)
                raise child.failure
            self._finish(recorder, spools)
        return self._told(status)

    # -- before ----------------------------------------------------------------------------------

    def _open_rings(self, stack: contextlib.ExitStack) -> None:
        """A ring on each interface that the addresses need, or none and the reason."""
        places = [place_from_text(text) for text in self._orders.listen]
        inet = [place for place in places if not place.is_unix]
        if not inet:
            self.missing = "it listens at Unix sockets only"
            return
        hosts = [place.resolved()[1] for place in inet]
        self._interfaces = interfaces_for(str(address[0]) for address in hosts if address)
        self._ports = sorted({place.port for place in inet if place.port})
        # A port that the kernel is to choose is not known yet: till then another must do.
        program = only_ports(self._ports or [_DISCARD_PORT], SNAPLEN_BYTES)
        try:
            for name in self._interfaces:
                ring = PacketRing.open(name, filter=program)
                stack.callback(ring.close)
                self._rings.append(ring)
        except PrivilegeError as refused:
            self.missing = f"{refused.message}: {refused.hint}"
            self._stamps = self._stamps or any(place.is_stream for place in inet)

    def _description(self) -> Description:
        settings = sysctls.read_all((*(name for name, _ in sysctls.BASELINE), *sysctls.FACTS))
        named = tuple((setting.name, setting.value or "") for setting in settings)
        packets = f"packets: a TPACKET_V3 ring on {', '.join(self._interfaces)}"
        if self.missing:
            packets = f"packets: none, {self.missing}"
        calls = f"calls: the probe in every process of the server, queues={self._how.queues}"
        return Description(
            netlab_version=netlab.__version__,
            title=self._how.title,
            hosts=(Host(HOST, os.uname().release, named),),
            witnesses=(packets, calls, *stamps_witness(self._stamps)),
        )

    def _start(self, spools: Path) -> _Child:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        environment = {
            **os.environ,
            "NETLAB_REPORT_FD": str(write_end),
            "NETLAB_PARENT": str(os.getpid()),
            "NETLAB_SPOOL": str(spools.resolve()),
            "NETLAB_ACTOR": "server",
            "NETLAB_HOST": HOST,
            "NETLAB_QUEUES": self._how.queues,
            "NETLAB_STAMPS": stamps_text(self._stamps),
            "NETLAB_SPOOL_LIMIT": str(self._how.spool_limit_bytes),
        }
        try:
            process = subprocess.Popen(
                python_arguments("netlab.lab.serving", self._orders.as_json(), isolated=False),
                stdin=subprocess.DEVNULL,
                pass_fds=(write_end,),
                env=environment,
                process_group=0,
            )
        finally:
            os.close(write_end)
        return _Child(process, ReportReader(read_end), process.pid)

    # -- while it runs ---------------------------------------------------------------------------

    def _watch(
        self, child: _Child, recorder: Recorder, signals: _Signals, on_start: OnStart
    ) -> None:
        """Carry what is seen into the file until the server's first process has ended."""
        poller = select.poll()
        over = os.pidfd_open(child.pid)
        report = child.report.descriptor
        waits_for = (over, report, signals.fileno(), *(ring.fileno() for ring in self._rings))
        for descriptor in waits_for:
            poller.register(descriptor, select.POLLIN)
        try:
            while True:
                ready = {descriptor for descriptor, _ in poller.poll(TURN_MS)}
                for number in signals.take():
                    with contextlib.suppress(ProcessLookupError):
                        child.process.send_signal(number)
                if report in ready:
                    self._hear(child, on_start)
                    if child.report.descriptor < 0:
                        poller.unregister(report)
                self._pump(recorder)
                if over in ready:
                    self._hear(child, on_start)
                    return
        finally:
            os.close(over)

    def _pump(self, recorder: Recorder) -> None:
        """A full disk ends the recording, never the server."""
        if self._trouble is None:
            try:
                recorder.pump()
            except NetlabError as error:
                self._trouble = error
                sys.stderr.write(f"netlab: {error}; the server goes on\n")

    def _hear(self, child: _Child, on_start: OnStart) -> None:
        for report in child.report.read():
            self._take(child, report, on_start)

    def _take(self, child: _Child, report: dict[str, Any], on_start: OnStart) -> None:
        self._descendants.hear(report)
        if "places" in report:
            child.places = [place["text"] for place in report["places"]]
            self._capture_ports({place["port"] for place in report["places"] if place["port"]})
        if "error" in report:
            child.failure = UsageError(report["error"], report.get("hint", ""))
        if "started" in report:
            child.started = True
            on_start(child.pid, child.places)

    def _capture_ports(self, ports: set[int]) -> None:
        """Now that the kernel has chosen: the filters of the rings, if they must be others."""
        if ports and sorted(ports) != self._ports:
            self._ports = sorted(ports)
            for ring in self._rings:
                ring.set_filter(only_ports(self._ports, SNAPLEN_BYTES))

    # -- after -----------------------------------------------------------------------------------

    def _end(self, child: _Child) -> int:
        """Nobody of the server stays; how its first process ended."""
        if child.process.poll() is None:  # we leave for a reason of our own
            child.process.terminate()
        status = child.process.wait()
        self._descendants.died(child.pid, status)
        until_s = time.monotonic() + ORPHANS_END_WITHIN_S
        self._reap(until_s)
        child.report.close()
        self._descendants.end(ORPHANS_END_WITHIN_S)
        self._reap(time.monotonic() + ORPHANS_END_WITHIN_S)
        return status

    def _reap(self, until_s: float) -> None:
        """Take leave of those whose parent died before them: the kernel made us their parent."""
        while time.monotonic() < until_s:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid:
                self._descendants.died(pid, os.waitstatus_to_exitcode(status))
            else:
                select.select([], [], [], 0.02)

    def _finish(self, recorder: Recorder, spools: Path) -> None:
        from netlab.lab.finish import conclude

        losses = []
        if self.missing:
            reason = self.missing
            losses = [Loss("packets", "frames", None, reason, since_ns=time.time_ns())]
        path = self._how.path
        raw = conclude(
            recorder,
            path,
            spools,
            deaths=self._descendants.deaths(),
            losses=losses,
            trouble=self._trouble,
            journal_limit=self._how.journal_limit,
        ).raw
        self.summary = f"{path}: {len(raw.frames):,} packets, {len(raw.calls):,} calls"
        if raw.stamps:
            self.summary += f", {len(raw.stamps):,} kernel stamps"

    def _told(self, status: int) -> int:
        """An exit status for the shell; one that was killed was not stopped in order."""
        if status < 0:
            name = signal.Signals(-status).name
            sys.stderr.write(f"netlab: the server was ended by {name}; its recording is whole\n")
            return 1
        return status


class _Signals:
    """Notes the signals that are for the server; `fileno` is readable when there are some."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._wake_before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in _PASSED_ON:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_before)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        """For poll."""
        return self._read.fileno()

    def take(self) -> list[int]:
        """Those that came since the last time."""
        with contextlib.suppress(BlockingIOError):
            self._read.recv(4096)
        came, self._came = self._came, []
        return came

    def _note(self, number: int, frame: object) -> None:
        self._came.append(number)
