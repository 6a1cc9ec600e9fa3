"""The wire's process as netlab sees it: starts it in the house, hears from it, stops it.

Knows the messages of `wire.orders` and nothing of what the wire does with a frame.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from netlab.lab.become import Orders
from netlab.lab.hosts import House, environment, hint_about_us, python_arguments
from netlab.lab.network.plan import MTU_BYTES, WIRE, Plan
from netlab.lab.syscalls import CAP_NET_RAW
from netlab.lab.wire.orders import COUNT, Report, Side, report_from, stop
from netlab.lab.wire.orders import Orders as WireOrders
from netlab.model.errors import CheckFailed, NetlabError, error_from
from netlab.server.messages import control

_WAY_IN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Wiring:
    """A wire that was asked for. `fileno()` is readable when `hear` has something."""

    def __init__(
        self, house: House, plan: Plan, rules: str, spools: Path, *, spool_limit_bytes: int
    ) -> None:
        """Start it; it carries frames once `ready` is set."""
        self.ready = False
        self.report: Report | None = None  # once it has stopped
        self.trouble: NetlabError | None = None
        self.counted: tuple[int, int] | None = None  # frames, and on their way; None: not yet heard
        self.over = False  # nothing will be heard any more
        self._sock, theirs = control.pair()
        with theirs:
            self._start(house, spools, theirs)
        sides = tuple(
            Side(
                name=host.name,
                interface=host.name,
                mac=host.mac,
                addresses=(f"{host.ipv4.ip}", f"{host.ipv6.ip}"),
                is_server=host.name == plan.server,
            )
            for host in plan.hosts
        )
        folder = os.open(spools, _WAY_IN)
        try:
            orders = WireOrders(sides, rules, MTU_BYTES, spool_limit_bytes)
            # If it is gone, the house tells why it could not be started.
            with suppress(BrokenPipeError, ConnectionResetError):
                control.send(self._sock, orders.as_message(), (folder,))
        finally:
            os.close(folder)
        self._sock.setblocking(False)

    def _start(self, house: House, spools: Path, theirs: socket.socket) -> None:
        """As whoever may write the spools: root's wire is that user as well."""
        owner = spools.stat()
        someone_else = house.as_root and owner.st_uid != 0
        user = [owner.st_uid, owner.st_gid, owner.st_gid] if someone_else else None
        orders = Orders(
            argv=python_arguments("netlab.lab.wire.forward", "0"),
            env=environment(),
            fd_names=["0"],  # the control connection is its standard input
            user=user,
            keep=[CAP_NET_RAW],
            hint=hint_about_us(),
        )
        house.launch(WIRE, WIRE, orders, (theirs.fileno(),))

    def fileno(self) -> int:
        """The control connection's descriptor, for poll."""
        return self._sock.fileno()

    def hear(self) -> None:
        """Take in what it has said. Never blocks."""
        while not self.over:
            try:
                received = control.receive(self._sock)
            except BlockingIOError:
                return
            if received is None:
                self.over = True
                return
            message, _ = received
            if message["event"] == "ready":
                self.ready = True
            elif message["event"] == "counted":
                self.counted = message["frames"], message["on_their_way"]
            elif message["event"] == "stopped":
                self.report = report_from(message)
            else:  # failed, or a fault of the lab
                self.trouble = self.trouble or error_from(message)

    def died(self, status: int, words: str) -> None:
        """Its process has ended; `words` is the last line that it may have written."""
        if self.report is None and self.trouble is None:
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            self.trouble = CheckFailed(f"the wire died ({how})", words if status > 0 else "")
        self.over = True

    def count(self) -> None:
        """Ask how many frames are on their way; `counted` will say."""
        self.counted = None
        with suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            control.send(self._sock, COUNT)

    def stop(self, within_ms: int) -> None:
        """Ask it to carry what is on its way, for so long at the most, and to end."""
        with suppress(BrokenPipeError, ConnectionResetError):  # it is over already
            control.send(self._sock, stop(within_ms))

    def close(self) -> None:
        """Hear no more: the wire ends."""
        self._sock.close()
