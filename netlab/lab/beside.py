"""The recorder of `netlab.record`, a process beside the caller's: orders -> a finished file.

It carries what the witnesses see into the recording while the caller's block runs. A thread would
make the watched program wait for the interpreter's lock. It is no child of the caller, who may wait
for any child of theirs; its own session keeps the terminal's signals away. The recording ends when
the caller says so, or when there is no caller any more.

Messages from the caller: orders (with the caller's pidfd and the ring's socket, if there is one),
`end`; to the caller: `ready`, then `done`, or `failed` at any time. Read `inprocess` for that side.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import netlab
from netlab.capture.bpf import SNAPLEN_BYTES
from netlab.capture.probe.spool import SpoolReader
from netlab.capture.probe.stamps import stamps_from_text
from netlab.capture.ring import PacketRing
from netlab.lab import sysctls
from netlab.lab.departures import Departures
from netlab.lab.recorder import Recorder, begin, stamps_witness
from netlab.model.errors import NetlabError
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, Host, Loss
from netlab.server.messages import control

HOST = "localhost"
_TURN_MS = 50  # how long the ring is waited for at most
_SAMPLED = {
    "calls": "queue lengths around each call",
    "events": "queue lengths when a call would block and at close",
    "off": "no queue lengths",
}


def main(arguments: list[str]) -> None:
    """Run as `beside CONTROL_FD`; returns once the file is finished."""
    if os.fork():
        os._exit(0)  # the caller waits for this one: what follows is nobody's child
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(arguments[0])) as sock:
        sock.set_inheritable(False)
        received = control.receive(sock)
        if received is None:
            return  # the caller is gone already
        orders, descriptors = received
        try:
            _record(sock, orders, descriptors)
            answer: control.Message = {"event": "done"}
        except NetlabError as error:
            answer = {"event": "failed", **error.as_message()}
        _tell(sock, answer)


def _record(sock: socket.socket, orders: control.Message, descriptors: list[int]) -> None:
    """Begin, carry until it is over, finish. Raises NetlabError."""
    caller, *ring_sockets = descriptors
    path, limit = Path(orders["path"]), int(orders["journal_limit"])
    with ExitStack() as opened:
        opened.callback(os.close, caller)
        rings = [
            opened.enter_context(PacketRing.from_socket(socket.socket(fileno=descriptor)))
            for descriptor in ring_sockets
        ]
        recording, spools = begin(
            path,
            description=_description(path, orders),
            interfaces=[Interface(orders["interface"], LINK_ETHERNET, SNAPLEN_BYTES)],
            journal_limit=limit,
        )
        opened.callback(recording.close)
        departures = opened.enter_context(Departures())
        recorder = Recorder(recording, rings, SpoolReader(spools), departures)
        losses = []
        if orders["missing"]:
            reason = orders["missing"]
            losses = [Loss("packets", "frames", None, reason, since_ns=time.time_ns())]
        _tell(sock, {"event": "ready", "spools": str(spools.resolve())})
        trouble = _carry(sock, caller, rings, recorder)
        from netlab.lab.finish import conclude  # takes its time: nobody should wait for it before

        conclude(recorder, path, spools, losses=losses, trouble=trouble, journal_limit=limit)


def _carry(
    sock: socket.socket, caller: int, rings: list[PacketRing], recorder: Recorder
) -> NetlabError | None:
    """Pump until it is over. A full disk ends the recording, never the caller's program."""
    poller = select.poll()
    for over in (sock.fileno(), caller):
        poller.register(over, select.POLLIN)
    for ring in rings:
        poller.register(ring, select.POLLIN)
    trouble: NetlabError | None = None
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(_TURN_MS)}
        if sock.fileno() in ready:
            control.receive(sock)  # unread, it would make our answer unreadable (ECONNRESET)
            return trouble
        if caller in ready:
            return trouble
        if trouble is not None:
            continue
        try:
            recorder.pump()
        except NetlabError as error:
            trouble = error
            for ring in rings:
                poller.unregister(ring)  # it stays readable now


def _tell(sock: socket.socket, message: control.Message) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the caller is gone, the file is there
        control.send(sock, message)


def _description(path: Path, orders: control.Message) -> Description:
    """What the recording says of itself."""
    settings = sysctls.read_all((*(name for name, _ in sysctls.BASELINE), *sysctls.FACTS))
    packets = f"packets: a TPACKET_V3 ring on {orders['interface']}"
    witnesses = (
        "packets: none, for want of the right to capture" if orders["missing"] else packets,
        f"calls: the probe in the process, {_SAMPLED[orders['queues']]}"
        + (", TCP_INFO around each call" if orders["tcp_info"] else ""),
        *stamps_witness(stamps_from_text(orders["stamps"])),
    )
    named = tuple((setting.name, setting.value or "") for setting in settings)
    return Description(
        netlab_version=netlab.__version__,
        title=f'netlab.record("{path.name}")',
        hosts=(Host(HOST, os.uname().release, named),),
        witnesses=witnesses,
    )
