"""A socket that does not block: send() takes what fits, then nothing."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, window
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, read_to_end, trial
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

ASKED = 8 << 20  # far more than all buffers
QUIET_MS = 300  # no ACK comes any more


def server(probe: Probe, p: Params) -> int:
    """Does not read until it is told to."""
    word = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    word.bind(("0.0.0.0", PORT))
    sock = accepted(probe, rcvbuf=p.rcvbuf)
    word.recv(1)
    got = read_to_end(sock)
    sock.close()
    word.close()
    return got


def client(probe: Probe, p: Params) -> Any:
    """Sends without blocking until there is no room, waits for room, and sends once more."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, p.sndbuf)
    sock.connect(("server", PORT))
    sock.setblocking(False)
    data = b"n" * ASKED
    found = {"first": trial(sock.send, data)}
    writable = probe.poll()
    writable.register(sock, select.POLLOUT)
    sent, full = found["first"]["value"], found["first"]
    while not full["error"] or writable.poll(QUIET_MS):  # ACKs still make room
        full = trial(sock.send, data)
        sent += full["value"]
    found["full"], found["sent"] = full, {"value": sent}
    with probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
        teller.sendto(b"n", ("server", PORT))
    found["room"] = {"value": len(writable.poll(10_000))}
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """What the first send() takes; where nothing is taken any more; and what makes room."""
    sends = evidence.calls("send", host="client", connection=0)
    data = evidence.frames("c>s", data=True)
    waits = [call for call in evidence.calls("poll", host="client") if call.returned_ns]
    if not sends or len(data) < 3 or not waits:
        return []
    return [
        (sends[0].entered_ns, data[2][0].time_ns),
        *window(back(sends[0])),
        *window(sends[-1]),
        *window(waits[-1].entered_ns),
        *window(back(call_on(evidence, "recv", host="server"))),
        *window(back(waits[-1])),
    ]


STUDY = Study(
    name="partial-send",
    topic=Topic.BUFFERS,
    question="send() was given 8 MiB and returned less. Where do the rest of the bytes go?",
    setup="A client whose socket does not block sends 8 MiB at once to a server that does not"
    " read (SO_SNDBUF {sndbuf}, the server's SO_RCVBUF {rcvbuf}), and goes on until nothing "
    "is taken any more.",
    prediction="Nowhere: they are still the program's. send() takes what fits into the send "
    "buffer and says how much that was. Full, it fails with EAGAIN. POLLOUT comes again when "
    "the peer reads. The server in the end has every byte that was taken, and no other.",
    parameters=(
        Parameter("sndbuf", Kind.SIZE, 64 << 10, 4096, 200 << 10, "SO_SNDBUF of the client"),
        Parameter("rcvbuf", Kind.SIZE, 64 << 10, 4096, 200 << 10, "SO_RCVBUF of the server"),
    ),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    expects=(
        Expect("the first send takes less than it was given", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if 0 < e.returned["client"]["first"]["value"] < ASKED else "no",
               "man 2 send: non-blocking"),
        Expect("a send into the full buffer fails with", Kind.WORD, lambda p: "EAGAIN",
               lambda e: e.returned["client"]["full"]["error"], "man 2 send"),
        Expect("descriptors that are writable once the server reads", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["client"]["room"]["value"], "man 2 poll: POLLOUT"),
        Expect("bytes taken from the client less those the server read", Kind.SIZE, lambda p: 0,
               lambda e: e.returned["client"]["sent"]["value"] - e.returned["server"],
               "RFC 9293 2.2: reliable"),
    ),
    claims=(
        Claim("send() sends all it is given",
              lambda e: e.returned["client"]["first"]["value"] == ASKED,
              "on a socket that blocks"),
    ),
    next="`netlab study zero-window`: the same server on the wire.",
    moment=moment,
)  # fmt: skip
