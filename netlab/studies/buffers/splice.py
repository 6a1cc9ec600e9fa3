"""splice(): bytes go from one socket to another through a pipe, and past the program."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

AT_ONCE = 1 << 16  # what a pipe holds


def origin(probe: Probe, p: Params) -> str:
    """Has the bytes; returns their fingerprint."""
    data = os.urandom(p.size)
    sock = accepted(probe)
    sock.sendall(data)
    sock.close()
    return hashlib.sha256(data).hexdigest()


def proxy(probe: Probe, p: Params) -> Any:
    """Connects a client with the origin, and never holds a byte of what passes."""
    near = accepted(probe)
    far = connected(probe, "origin")
    source, sink = os.pipe()
    passed = 0
    while count := os.splice(far.fileno(), sink, AT_ONCE):
        left = count
        while left:
            left -= os.splice(source, near.fileno(), left)
        passed += count
    os.close(source)
    os.close(sink)
    far.close()
    near.close()
    return passed


def client(probe: Probe, p: Params) -> Any:
    """Reads all; returns its fingerprint."""
    sock = connected(probe)
    digest = hashlib.sha256()
    while data := sock.recv(1 << 16):
        digest.update(data)
    sock.close()
    return digest.hexdigest()


def experiment(stage: Stage) -> None:
    """Origin and proxy first, then the client."""
    behind = stage.start("origin", origin)
    stage.lab.wait_listening("origin", PORT)
    between = stage.start("server", proxy)
    stage.lab.wait_listening("server", PORT)
    stage.run("client", client)
    stage.wait(behind, between)
    stage.lab.settle()


def same(evidence: Evidence) -> str:
    """Whether the client got what the origin sent."""
    return "yes" if evidence.returned["client"] == evidence.returned["origin"] else "no"


def moment(evidence: Evidence) -> list[Window]:
    """The first bytes on their way, and the end: the server calls nothing between."""
    read = call_on(evidence, "recv", host="client")
    data = evidence.frames("s>c", data=True)
    if read is None or len(data) < 4:
        return []
    return [
        *window(back(call_on(evidence, "accept", host="server"))),
        (read.entered_ns, data[3][0].time_ns),
        *window(back(read)),
        *window(call_on(evidence, "close", host="server")),
        *window(call_on(evidence, "recv", -1, host="client")),
    ]


STUDY = Study(
    name="splice",
    topic=Topic.BUFFERS,
    question="A proxy passes on {size}. Must it read them?",
    setup="A client fetches {size} from an origin through a proxy on a third host. The proxy "
    "splices from one socket into a pipe and from the pipe into the other socket.",
    prediction="No: splice() moves the pages in which the bytes lie from one queue to the next. A"
    " pipe is needed between, as that which holds them for a moment. The program only says how "
    "many; it has no buffer, and calls neither recv() nor send(). The client gets every byte.",
    parameters=(Parameter("size", Kind.SIZE, 300_000, 10_000, 2_000_000, "that is fetched"),),
    hosts=("client", "server", "origin"),
    experiment=experiment,
    expects=(
        Expect("bytes that passed through the proxy", Kind.SIZE, lambda p: p.size,
               lambda e: e.returned["server"], "man 2 splice: the number of bytes spliced"),
        Expect("the client has what the origin sent", Kind.WORD, lambda p: "yes", same,
               "man 2 splice"),
    ),
    next="`netlab study sendfile`: from a file.",
    moment=moment,
)  # fmt: skip
