"""Several sends, one recv: TCP keeps the order of bytes, and nobody's messages apart."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.model.tables import Role
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, window
from netlab.studies.parts import RTT, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> Any:
    """Waits until all messages are there, and takes them with one recv."""
    sock = accepted(probe)
    whole = p.messages * p.size
    # Not by recv: it would take the first bytes, and the others alone are fewer than it waits for.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, whole)
    all_there = probe.poll()
    all_there.register(sock, select.POLLIN)
    all_there.poll()
    got = len(sock.recv(2 * whole))
    sock.close()
    return got


def client(probe: Probe, p: Params) -> None:
    """Sends so many messages, each with a call of its own, and waits for the end."""
    sock = connected(probe)
    for _ in range(p.messages):
        sock.send(b"n" * p.size)
    sock.recv(1)
    sock.close()


def calls_read_by_first_recv(evidence: Evidence) -> int | None:
    """How many sends the first recv of the server has bytes of."""
    call = evidence.call("recv", host="server")
    if call is None or call.start is None or call.stop is None:
        return None
    return sum(
        other.start is not None and other.stop is not None
        and other.start < call.stop and other.stop > call.start
        for other in evidence.calls("send", host="client")
    )  # fmt: skip


def frames_with_data(evidence: Evidence) -> int:
    """How many frames carried them."""
    return len(evidence.frames("c>s", data=True))


def seen(evidence: Evidence) -> str:
    """What the recording shows."""
    frames = frames_with_data(evidence)
    carried = {
        (span.call, span.frame) for span in evidence.tables.spans if span.role == Role.CARRIED
    }
    shared = len(carried) - len({frame for _, frame in carried})
    return (
        f"The messages left in {frames} frame{'' if frames == 1 else 's'}"
        + (f", of which some held bytes of several sends ({shared} more)" if shared else "")
        + ". Neither the frames nor the recv follow the sends."
    )


def moment(evidence: Evidence) -> list[Window]:
    """The first messages; the last one, and the recv() that returns them all."""
    sends = evidence.calls("send", host="client")
    return window(*sends[:2]) + window(*sends[-1:], back(call_on(evidence, "recv", host="server")))


STUDY = Study(
    name="sticky-packets",
    topic=Topic.BUFFERS,
    question="Each message was sent with a call of its own ({messages} of them). Why does one "
    "recv() return them all?",
    setup="A client sends {messages} messages of {size}, each with a send() of its own. The "
    "server comes to read when all of them are there. The round trip is {rtt}.",
    prediction="TCP carries a stream of bytes. The receiver's kernel keeps what came in one "
    "queue, and recv() takes what is there, up to the size that was asked for: all messages "
    "at once. To tell them apart, the bytes themselves must say where a message ends: a "
    "length in front, or a terminator.",
    parameters=(
        Parameter("messages", Kind.COUNT, 5, 1, 100, "how many"),
        Parameter("size", Kind.SIZE, 100, 1, 1000, "of each"),
        RTT,  # longer than the sends take: else it is chance how many leave before an ACK is back
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("bytes that the first recv() returned", Kind.SIZE, lambda p: p.messages * p.size,
               lambda e: e.returned["server"], "RFC 9293 2.2: a stream of octets"),
        Expect("sends whose bytes it returned", Kind.COUNT, lambda p: p.messages,
               calls_read_by_first_recv, "man 7 tcp: no record boundaries"),
    ),
    seen=seen,
    claims=(
        Claim("TCP keeps message boundaries", lambda e: calls_read_by_first_recv(e) == 1),
    ),
    next="`netlab serve --help`, the options on framing; `netlab study datagram-boundaries`: UDP "
    "keeps messages apart.",
    moment=moment,
)  # fmt: skip
