"""A server that is to start again while connections of the old one are in TIME-WAIT."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.kernel_states import wait_until
from netlab.studies.moments import call_on, nth, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import PORT, Expect, Params, Study, Topic, Window

CASES = ((0, 0), (0, 1), (1, 0), (1, 1))  # SO_REUSEADDR of the old listener, and of the new


def bound(probe: Probe, reuse: int, port: int) -> Any:
    """A socket that is to listen at a port."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    sock.bind(("0.0.0.0", port))
    return sock


def server(probe: Probe, p: Params) -> Any:
    """Serves a client at each of four ports and closes first; then begins anew."""
    listeners: list[Any] = []
    for number, (old, _) in reversed(list(enumerate(CASES))):  # the first port is ready last
        listeners.insert(0, bound(probe, old, PORT + number))
        listeners[0].listen(1)
    found = []
    for number, (_, new) in enumerate(CASES):
        sock, _ = listeners[number].accept()
        sock.close()
        listeners[number].close()
        wait_until(PORT + number, lambda now: now == ["TIME-WAIT"])
        again = trial(bound, probe, new, PORT + number)
        found.append(again["error"] or "bound")
    return found


def client(probe: Probe, p: Params) -> None:
    """A connection to each, which ends when the server closes it."""
    for number in range(len(CASES)):
        sock = connected(probe, port=PORT + number)
        sock.recv(1)
        sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """From the server that closes first on."""
    return window(call_on(evidence, "close", host="server"), nth(evidence.frames(), -1))


STUDY = Study(
    name="reuse-address",
    topic=Topic.TIMEOUTS,
    question="My server ended and does not start again: `Address already in use`. Why?",
    setup="A server closes a connection first, which is in TIME-WAIT then, and closes its "
    "listener; no process has the port any more. A new socket is bound to it: without "
    "SO_REUSEADDR, and with, where the old one had it not, and where it had.",
    prediction="TIME-WAIT takes the port for 60 s. SO_REUSEADDR says that this is no reason to "
    "refuse: TCP tells old and new connections apart by both ends. But Linux asks both sockets: "
    "the option helps only where the old listener had it as well (its connections inherit it). "
    "So set it always, before bind(), from the first start on.",
    server=server,
    client=client,
    expects=tuple(
        Expect(f"bind(): {'with' if old else 'without'} it before, "
               f"{'with' if new else 'without'} it now", Kind.WORD,
               lambda p, both=old and new: "bound" if both else "EADDRINUSE",  # type: ignore[misc]
               lambda e, number=number: e.returned["server"][number],  # type: ignore[misc]
               "man 7 socket, SO_REUSEADDR; inet_csk_bind_conflict() of Linux")
        for number, (old, new) in enumerate(CASES)
    ),
    next="`netlab study reuse-port`: two listeners at once.",
    moment=moment,
)  # fmt: skip
