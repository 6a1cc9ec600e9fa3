"""TIME-WAIT: who closes first must remember."""

from __future__ import annotations

import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.kernel_states import known, states, wait_until
from netlab.studies.moments import call_on, nth, window
from netlab.studies.parts import MS, RTT, TICK_NS, TURN_NS, S, delay, timer_room
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

LASTS_NS = 60 * S


def server(probe: Probe, p: Params) -> int:
    """Closes when the client has; for how long its kernel then knew the connection, in ns."""
    sock = accepted(probe)
    sock.recv(1)
    begun_ns = time.monotonic_ns()
    sock.close()
    wait_until(PORT, lambda now: not now)
    return time.monotonic_ns() - begun_ns


def client(probe: Probe, p: Params) -> Any:
    """Closes first; looks at the connection at once, and again after a while."""
    sock = connected(probe)
    port = sock.getsockname()[1]
    sock.close()
    wait_until(port, lambda now: now == ["TIME-WAIT"])
    first = known(port)
    other = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound = trial(other.bind, ("0.0.0.0", port))
    other.close()
    time.sleep(p.watch / 1e9)
    return {
        "states": [one.state for one in first],
        "expires_ns": max((one.expires_ns for one in first), default=0),
        "bind": bound["error"] or "bound",
        "later": states(port),
    }


def experiment(stage: Stage) -> None:
    """It may take longer than other studies."""
    program = stage.start("server", server)
    stage.lab.wait_listening("server", PORT)
    watcher = stage.start("client", client)
    stage.lab.wait(watcher, within_s=stage.p.watch / 1e9 + 60)
    stage.wait(program, watcher)


def moment(evidence: Evidence) -> list[Window]:
    """From the first close() on."""
    return window(call_on(evidence, "close", host="client"), nth(evidence.frames(), -1))


STUDY = Study(
    name="time-wait",
    topic=Topic.TIMEOUTS,
    question="Both sides have closed, and all is acknowledged. What does TIME-WAIT wait for?",
    setup="A client closes first, the server after it. The client asks its kernel at once, and "
    "again after {watch} (sock_diag, which `ss -o` asks too).",
    prediction="For whatever may still be under way: a copy of the server's FIN, if the client's "
    "last ACK was lost, and old segments that a new connection between the same ports might "
    "take for its own. Only the side that closed first waits, without any process: 60 s in "
    "Linux (RFC 9293: twice the maximum segment lifetime, 4 minutes). Its port is taken that "
    "long. The server's kernel forgets as soon as the last ACK is there.",
    full={"watch": 70 * S},
    parameters=(
        Parameter("watch", Kind.TIME, 1 * S, 1 * S, 75 * S, "from the first look to the second"),
        RTT,
    ),
    server=server,
    client=client,
    experiment=experiment,
    wire=delay,
    expects=(
        Expect("the client's timer still has, at first", Kind.TIME, lambda p: LASTS_NS,
               lambda e: e.returned["client"]["expires_ns"], "TCP_TIMEWAIT_LEN of Linux",
               less=2 * MS + 2 * TURN_NS + TICK_NS, more=2 * TICK_NS,
               because="a look every 2 ms, by a program that may lose its turn, twice; it counts "
               "ticks"),
        Expect("its connections in TIME-WAIT at the second look", Kind.COUNT,
               lambda p: int(p.watch < LASTS_NS + timer_room(LASTS_NS)),
               lambda e: e.returned["client"]["later"].count("TIME-WAIT"), "RFC 9293 3.6.1",
               less=lambda p: int(LASTS_NS <= p.watch < LASTS_NS + timer_room(LASTS_NS)),
               because="after 60 s the timer wheel may be up to 1/8 late"),
        Expect("bind() to its port meanwhile", Kind.WORD, lambda p: "EADDRINUSE",
               lambda e: e.returned["client"]["bind"], "man 2 bind"),
        Expect("the server's kernel forgets, after its close(), in", Kind.TIME,
               lambda p: p.rtt, lambda e: e.returned["server"],
               "RFC 9293 3.6: LAST-ACK, until its FIN is acknowledged",
               more=3 * TURN_NS + 2 * MS, otherwise=lambda p: LASTS_NS,
               because="a look every 2 ms, and a turn each for the wire's two frames and who "
               "looks"),
    ),
    next="`netlab study time-wait --full`: its end. Then `netlab study reuse-address`: a "
    "server that closed first, and is to start again.",
    moment=moment,
)  # fmt: skip
