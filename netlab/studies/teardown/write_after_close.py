"""The peer has closed, and I write on: the first call succeeds."""

from __future__ import annotations

import select
import signal
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import RTT, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Claim, Expect, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> None:
    """Closes at once."""
    accepted(probe).close()


def client(probe: Probe, p: Params) -> Any:
    """Waits for the end, then writes twice; again once the first was answered."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sock = connected(probe)
    end = len(sock.recv(1))
    first = trial(sock.send, b"still there?")
    broken = probe.poll()
    broken.register(sock, select.POLLERR)
    broken.poll(10_000)
    second = trial(sock.send, b"hello?")
    sock.close()
    return {"end": end, "first": first, "second": second}


def resets(evidence: Evidence) -> int:
    """How many the server's kernel sent."""
    return sum("RST" in (f.tcp_flags or "") for f, _ in evidence.frames("s>c"))


def moment(evidence: Evidence) -> list[Window]:
    """From the close() of the one to the second send() of the other."""
    return window(
        call_on(evidence, "close", host="server"), call_on(evidence, "send", -1, host="client")
    )


STUDY = Study(
    name="write-after-close",
    topic=Topic.TEARDOWN,
    question="The peer has closed. Which send() tells me?",
    setup="A server accepts and closes. The client's recv() returns 0; it sends all the same, "
    "twice.",
    prediction="Not the first: a FIN says only that the peer has no more to send, and a send "
    "is done when the bytes are in the buffer. The peer's kernel answers them with RST. The "
    "second send then fails with EPIPE, and its program is sent SIGPIPE, which by default "
    "ends it.",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("recv() returned", Kind.SIZE, lambda p: 0, lambda e: e.returned["client"]["end"],
               "man 2 recv: end of file"),
        Expect("the first send() returned", Kind.SIZE, lambda p: 12,
               lambda e: e.returned["client"]["first"]["value"], "man 2 send"),
        Expect("the second send() fails with", Kind.WORD, lambda p: "EPIPE",
               lambda e: e.returned["client"]["second"]["error"], "man 2 send, EPIPE"),
        Expect("resets that the server's kernel sent", Kind.COUNT, lambda p: 1, resets,
               "RFC 9293 3.6.1: data that comes after CLOSE is answered by RST"),
    ),
    claims=(
        Claim("A successful send() means that the peer has the bytes",
              lambda e: not e.returned["client"]["first"]["error"] and not resets(e)),
    ),
    next="`netlab study half-close`: when it is right to write on.",
    moment=moment,
)  # fmt: skip
