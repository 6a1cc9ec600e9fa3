"""A time-out of the program's own around connect()."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic


def client(probe: Probe, p: Params) -> Any:
    """Connects to a host that is never heard of: with settimeout(), and by hand."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(p.timeout / 1e9)
    found = {"settimeout": trial(sock.connect, ("server", PORT))}
    sock.close()
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    begun_ns = time.monotonic_ns()
    found["connect"] = trial(sock.connect, ("server", PORT))
    writable = probe.poll()
    writable.register(sock, select.POLLOUT)
    ready = writable.poll(p.timeout / 1e6)
    found["poll"] = {"ready": len(ready), "took_ns": time.monotonic_ns() - begun_ns}
    sock.close()
    return found


STUDY = Study(
    name="connect-timeout",
    topic=Topic.HANDSHAKE,
    question="What does settimeout() do to connect()?",
    setup="The wire loses every frame of the server. The client sets a time-out of {timeout} and "
    "connects. Then it does by hand what that does: a non-blocking connect(), and poll() for "
    "POLLOUT.",
    prediction="Python makes the socket non-blocking: connect() returns EINPROGRESS at once, "
    "and the waiting is done by poll(). It raises TimeoutError after {timeout}, though the "
    "kernel has not given up and would send more SYNs. close() ends that.",
    parameters=(
        Parameter("timeout", Kind.TIME, 500 * MS, 1 * MS, 10_000 * MS, "of the program"),
    ),
    client=client,
    wire=lambda p: "drop s>c any",
    expects=(
        Expect("the program gets", Kind.WORD, lambda p: "timed out",
               lambda e: told("settimeout")(e)["error"], "Python's socket module: TimeoutError"),
        Expect("connect() ends after", Kind.TIME, lambda p: p.timeout,
               lambda e: told("settimeout")(e)["took_ns"], "man 2 poll: never early",
               more=MS + TURN_NS,
               because="poll() counts in ms; a turn, until the client runs again"),
        Expect("by hand: connect() gets", Kind.WORD, lambda p: "EINPROGRESS",
               lambda e: told("connect")(e)["error"], "man 2 connect, EINPROGRESS"),
        Expect("poll() finds ready", Kind.COUNT, lambda p: 0, lambda e: told("poll")(e)["ready"],
               "man 2 connect: writable once it is connected, or has failed"),
        Expect("both together took", Kind.TIME, lambda p: p.timeout,
               lambda e: told("poll")(e)["took_ns"], "man 2 poll: never early",
               more=2 * (MS + TURN_NS), because="the same for each"),
        Expect("no reset is sent: frames of the client with RST", Kind.COUNT, lambda p: 0,
               lambda e: sum("RST" in (f.tcp_flags or "") for f, _ in e.frames("c>s")),
               "RFC 9293 3.10.4: CLOSE in SYN-SENT deletes the TCB"),
    ),
    next="The server's side of it: `netlab study accept-queue`.",
    cause="timer",
)  # fmt: skip
