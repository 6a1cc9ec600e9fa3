"""A server does not wait for ever for a silent client."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, nth, window
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SILENT, BEATING = 0, 1  # the connections
BEATS = 6
EVERY = 2  # heartbeats in the time that the server allows


def server(probe: Probe, p: Params) -> Any:
    """Closes a connection on which nothing came for too long; serves two, one after the other."""
    listener = listening(probe)
    found = []
    for _ in (SILENT, BEATING):
        sock, _ = listener.accept()
        sock.settimeout(p.idle / 1e9)
        ended = "client"
        try:
            while sock.recv(100):
                pass
        except TimeoutError:
            ended = "server"
        sock.close()
        found.append({"ended": ended})
    listener.close()
    return found


def client(probe: Probe, p: Params) -> None:
    """Has nothing to say for a long time; on its second connection it says that."""
    for number in (SILENT, BEATING):
        sock = connected(probe)
        readable = probe.poll()
        readable.register(sock, select.POLLIN)
        for _ in range(BEATS):
            if readable.poll(p.idle / 1e6 / EVERY):
                break
            if number == BEATING:
                sock.send(b".")
        sock.close()


def lasted_ns(evidence: Evidence, number: int) -> int | None:
    """From the end of the handshake to the first FIN."""
    frames = evidence.frames(connection=number)
    fins = [f.time_ns for f, _ in frames if "FIN" in (f.tcp_flags or "")]
    return fins[0] - frames[2][0].time_ns if fins else None


def moment(evidence: Evidence) -> list[Window]:
    """From when the server waits until both have closed."""
    return window(
        call_on(evidence, "recv", host="server", connection=SILENT),
        nth(evidence.frames(connection=SILENT), -1),
    )


def _expects(number: int, who: str, ended: str, lasts: Callable[[Params], int],
             turns: int) -> tuple[Expect, ...]:  # fmt: skip
    return (
        Expect(f"{who}: the connection was ended by the", Kind.WORD, lambda p: ended,
               lambda e: e.returned["server"][number]["ended"], "the programs"),
        Expect(f"{who}: it lasted", Kind.TIME, lasts, lambda e: lasted_ns(e, number),
               "man 2 poll: never early", more=lambda p: (MS + TURN_NS) * turns,
               because="poll() counts in ms; a turn each for the wire, the server's accept() and "
               "its recv(), or with heartbeats for the client each time"),
    )  # fmt: skip


STUDY = Study(
    name="idle-timeout",
    topic=Topic.TIMEOUTS,
    question="A client connects and says nothing. How long does the server keep it?",
    setup="A server calls settimeout({idle}) and closes when nothing came in that time. A "
    "client connects and has nothing to say. Then it connects again, and sends a heartbeat (a byte "
    "that says nothing but `I am there`) every half of that time, six times, and closes.",
    prediction="TCP itself has no time-out for silence: an idle connection costs no frame and "
    "may last for years. So the server's program must end it, after {idle}, or its descriptors "
    "run out. Each byte begins the time anew: a client with heartbeats stays as long as it "
    "likes, which is what they are for.",
    parameters=(
        Parameter("idle", Kind.TIME, 500 * MS, 200 * MS, 5_000 * MS, "that the server allows"),
    ),
    server=server,
    client=client,
    expects=(
        *_expects(SILENT, "silent", "server", lambda p: p.idle, 3),
        *_expects(BEATING, "heartbeats", "client", lambda p: BEATS * p.idle // EVERY,
                  BEATS + 1),
    ),
    next="`netlab study slow-client`: one who says a little, now and then.",
    cause="timer",
    waits_on="server recv",
    moment=moment,
)  # fmt: skip
