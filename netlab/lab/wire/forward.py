"""The wire's process: carries every frame between the hosts, and notes each in its spool.

Started in the wire's network namespace, after the veth ends are made and before the hosts' go up:

    ours, theirs = control.pair()
    python_arguments("netlab.lab.wire.forward", str(theirs's number))     # with that fd inherited
    control.send(ours, Orders(sides, rules).as_message(), (spool_folder_fd,))
    control.receive(ours)   # {"event": "ready", "pid": ...}, or "failed": error_from(message)
    ...                     # "fault" or "failed" may come at any time
    control.send(ours, stop(within_ms=2000))
    control.receive(ours)   # {"event": "stopped", ...}: report_from(message)

The messages are those of `orders`. It needs CAP_NET_RAW until it is ready, then it gives up every
privilege, and as root becomes the owner of the spool folder, so that whoever reads the spool may.
It ends with status 0 after `stopped`, at the end of the control connection, and on SIGTERM, then
without waiting for what is on its way; it dies with its parent. Nothing is buffered in it: killed,
it leaves a spool that reads (see `journal_writer`), and frames on their way have no fate in it.

Timing: between frames it sleeps in select (no time-out of it is rounded up to milliseconds, as
those of poll and epoll are), which it leaves a little before a frame is due, and looks again and
again for the rest. The clock is CLOCK_REALTIME, as all stamps: a step of it while frames are on
their way moves them. Reference counts do the freeing: the garbage collector, which would stop us,
runs only when nothing happens for a second.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any

from netlab.lab.syscalls import give_up_privileges, set_time_slice, set_timer_slack
from netlab.lab.wire.carriers import Carrier, Plain, Ruled
from netlab.lab.wire.journal_writer import Journal
from netlab.lab.wire.orders import Orders, Report, counted, orders_from
from netlab.lab.wire.port import Port
from netlab.model.errors import CheckFailed, NetlabError, UsageError
from netlab.server.family.process import die_with_parent
from netlab.server.messages import control

_TICK_S = 1.0
_LOOK_EVERY_NS = 5_000_000  # at the control connection, while there is always a frame to carry
_TURN = 16  # frames of one host in a row, when there are those of others
_EARLY_NS = 20_000  # what an idle machine takes to wake us up
_SLICE_NS = 100_000


def main(arguments: list[str]) -> None:
    """Run as `forward CONTROL_FD`; returns when the wire is over."""
    with ExitStack() as opened:
        sock = opened.enter_context(socket.socket(fileno=int(arguments[0])))
        sock.set_inheritable(False)
        received = control.receive(sock)
        if received is None:
            return
        message, (folder,) = received
        opened.callback(os.close, folder)
        try:
            forwarder = _begin(sock, orders_from(message), folder, opened)
            _be_quick()
            _tell(sock, {"event": "ready", "pid": os.getpid()})
            forwarder.run()
        except NetlabError as error:
            _tell(sock, {"event": "failed", **error.as_message()})


def _begin(sock: socket.socket, orders: Orders, folder: int, opened: ExitStack) -> Forwarder:
    """Open everything. Raises NetlabError."""
    ports = [
        opened.enter_context(closing(Port.open(side.interface, orders.mtu_bytes)))
        for side in orders.sides
    ]
    _become_owner(folder)
    wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the lab decides
    try:
        journal = Journal(folder, limit_bytes=orders.spool_limit_bytes)
    except OSError as error:
        raise UsageError(
            f"no room for the wire's spool: {(error.strerror or '').lower()}",
            "free some space or write elsewhere with -o FILE",
        ) from error
    opened.callback(journal.close)
    return Forwarder(sock, wake, ports, journal, _carrier(orders, ports, journal), orders)


def _carrier(orders: Orders, ports: Sequence[Port], journal: Journal) -> Carrier:
    if not orders.rules.strip():
        return Plain(ports, orders.sides, journal)
    from netlab.lab.wire.grammar import rules_from_text
    from netlab.lab.wire.link import Wire
    from netlab.lab.wire.outcomes import End

    ends = [
        End(side.name, bytes.fromhex(side.mac.replace(":", "")), side.addresses, side.is_server)
        for side in orders.sides
    ]
    wire = Wire(rules_from_text(orders.rules), ends)
    if wire.plain:
        return Plain(ports, orders.sides, journal)
    return Ruled(ports, orders.sides, journal, wire)


class Forwarder:
    """The loop: frames, what is due, control."""

    def __init__(
        self,
        sock: socket.socket,
        wake: int,
        ports: Sequence[Port],
        journal: Journal,
        carrier: Carrier,
        orders: Orders,
    ) -> None:
        self._sock = sock
        self._wake = wake
        self._ports = tuple(ports)
        self._journal = journal
        self._carrier = carrier
        self._orders = orders
        self._watched: list[Any] = [sock, wake, *ports]
        self._lost = 0
        self._looked_ns = [time.time_ns()] * len(ports)  # when losses of each port were last read
        self._told: set[tuple[str, str]] = set()
        self._over = False
        self._stop_by_ns: int | None = None

    def run(self) -> None:
        """Carry until told to stop; tells how it went if anybody asked."""
        look_ns = 0
        while not self._over:
            busy = self._round()
            now_ns = time.monotonic_ns()
            if not busy or now_ns >= look_ns:
                look_ns = now_ns + _LOOK_EVERY_NS
                self._look(busy)
        self._count_losses()
        if self._stop_by_ns is not None:
            _tell(self._sock, self._report().as_message())

    def _round(self) -> bool:
        """Carry some frames of each host, and what is due; whether there may be more at once."""
        carrier, busy = self._carrier, False
        for number, port in enumerate(self._ports):
            if carrier.carry(number, _TURN):
                busy = True
            if port.losing:
                self._count_losses()
        next_ns = carrier.next_ns()
        if next_ns is not None and next_ns <= (now_ns := time.time_ns()):
            carrier.send_due(now_ns)
            busy = True
        return busy

    def _look(self, busy: bool) -> None:
        """Wait until there is something to do (not when `busy`), and do what control asks."""
        waited_s = 0.0 if busy else self._wait_s()
        readable, _, _ = select.select(self._watched, (), (), waited_s)
        if not readable and waited_s == _TICK_S:
            gc.collect()
            self._count_losses()
        if self._wake in readable:
            os.read(self._wake, 4096)
            self._over = True
        if self._sock in readable:
            self._obey(idle=not busy and readable == [self._sock])
        for port in readable:
            if isinstance(port, Port):
                port.clear_error()
        if self._carrier.faults.keys() - self._told:
            self._tell_faults()
        if self._stop_by_ns is not None:
            idle = not busy and not readable and self._carrier.next_ns() is None
            self._over = self._over or idle or time.monotonic_ns() >= self._stop_by_ns

    def _wait_s(self) -> float:
        """How long nothing is to be done that we know of; 0 when it is not worth a sleep."""
        most_ns = int(_TICK_S * 1e9)
        next_ns = self._carrier.next_ns()
        if self._stop_by_ns is not None:
            if next_ns is None:
                return 0.0
            most_ns = min(most_ns, self._stop_by_ns - time.monotonic_ns())
        if next_ns is None:
            return _TICK_S
        left_ns = next_ns - _EARLY_NS - time.time_ns()
        return max(min(left_ns, most_ns), 0) / 1e9

    def _obey(self, *, idle: bool) -> None:
        """What control asks; `idle`: no host has sent anything that was not taken yet."""
        received = control.receive(self._sock)
        if received is None:
            self._over = True
            self._stop_by_ns = None  # nobody is there to be told
            return
        message, descriptors = received
        for descriptor in descriptors:
            os.close(descriptor)
        if message["do"] == "count":
            carrier = self._carrier
            # A copy that is late has no frame that is left: it is the time of the next that tells.
            least = 0 if idle and carrier.next_ns() is None else 1
            _tell(self._sock, counted(carrier.frames, max(carrier.left, least)))
        elif message["do"] == "stop":
            self._stop_by_ns = time.monotonic_ns() + int(message["within_ms"]) * 1_000_000

    def _count_losses(self) -> None:
        for number, port in enumerate(self._ports):
            since_ns, self._looked_ns[number] = self._looked_ns[number], time.time_ns()
            if lost := port.losses():
                self._lost += lost
                name = self._orders.sides[number].name
                reason = f"the wire's receive queue of {name} was full"
                self._journal.lost(lost, number, since_ns, reason)

    def _tell_faults(self) -> None:
        for host, fault in self._carrier.faults.keys() - self._told:
            self._told.add((host, fault))
            error = CheckFailed(f"a frame of {host} cannot be carried", fault)
            _tell(self._sock, {"event": "fault", **error.as_message()})

    def _report(self) -> Report:
        carrier = self._carrier
        return Report(
            frames=carrier.frames,
            frame_bytes=carrier.frame_bytes,
            made=carrier.made,
            left=carrier.left,
            fired=carrier.fired(),
            vain=carrier.vain(),
            refused=tuple(carrier.refused.items()),
            lost=self._lost,
            unrecorded=self._journal.lost_frames + self._journal.lost_fates,
        )


def _become_owner(folder: int) -> None:
    """Be whom the spool folder belongs to, without any privilege, and die with the parent."""
    owner = os.fstat(folder)
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
    give_up_privileges()
    die_with_parent(signal.SIGKILL)  # the change of identity would have made it forgotten


def _be_quick() -> None:
    """Be woken up in time, and let nothing but frames take time from now on."""
    set_timer_slack(1)
    set_time_slice(_SLICE_NS)
    gc.collect()
    gc.freeze()
    gc.disable()


def _tell(sock: socket.socket, message: control.Message) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody is there any more
        control.send(sock, message)
