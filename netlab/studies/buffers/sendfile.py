"""sendfile(): a file goes out without the program ever having its bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SENDFILE = 1  # the connection on which it is used
CHUNK = 16 << 10


def server(probe: Probe, p: Params) -> Any:
    """Sends a file twice: read and sent in pieces, then with sendfile."""
    listener = listening(probe)
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(p.size))
        file.flush()
        reads = 0
        sock, _ = listener.accept()
        while data := os.pread(file.fileno(), CHUNK, reads * CHUNK):
            sock.sendall(data)
            reads += 1
        sock.close()
        sock, _ = listener.accept()
        offset, calls = 0, 0
        while offset < p.size:
            offset += probe.sendfile(sock, file.fileno(), offset, p.size - offset)
            calls += 1
        sock.close()
    listener.close()
    return {"reads": reads, "calls": calls}


def client(probe: Probe, p: Params) -> Any:
    """Fetches both, and takes their fingerprints."""
    found = []
    for _ in range(2):
        sock = connected(probe)
        digest = hashlib.sha256()
        while data := sock.recv(1 << 16):
            digest.update(data)
        sock.close()
        found.append(digest.hexdigest())
    return found


def pieces(p: Params) -> int:
    """Of the file."""
    return -(-p.size // CHUNK)


def same(evidence: Evidence) -> str:
    """Whether the client got the same bytes both times."""
    first, second = evidence.returned["client"]
    return "yes" if first == second else "no"


def sent(evidence: Evidence, connection: int) -> int:
    """Bytes that the server sent, each once."""
    return evidence.tables.connections[connection].server_bytes


def moment(evidence: Evidence) -> list[Window]:
    """The one call: how it begins and how it ends."""
    call = call_on(evidence, "sendfile", host="server", connection=SENDFILE)
    data = evidence.frames("s>c", data=True, connection=SENDFILE)
    if call is None or len(data) < 4:
        return []
    return [
        (call.entered_ns, data[3][0].time_ns),
        *window(back(call), call_on(evidence, "close", host="server", connection=SENDFILE)),
    ]


STUDY = Study(
    name="sendfile",
    topic=Topic.BUFFERS,
    question="A server sends a file of {size}. What does sendfile() spare?",
    setup="A server sends the same file to two clients: to the first by reading 16 KiB and sending"
    " them, again and again; to the second with sendfile().",
    prediction="Two calls for each piece, and two copies of every byte: from the page cache into "
    "the program, and from there into the send buffer. sendfile() is told a file and a socket; "
    "the send buffer then points at the pages of the file, and the program sees none of it. One "
    "call does all, as long as the socket blocks. On the wire there is no difference.",
    parameters=(Parameter("size", Kind.SIZE, 300_000, 20_000, 2_000_000, "of the file"),),
    server=server,
    client=client,
    expects=(
        Expect("calls of sendfile()", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["server"]["calls"], "man 2 sendfile"),
        Expect("calls of read, and as many of send, in its place", Kind.COUNT, pieces,
               lambda e: e.returned["server"]["reads"], "16 KiB at a time"),
        Expect("the client got the same bytes both times", Kind.WORD, lambda p: "yes", same,
               "man 2 sendfile: the same bytes"),
        Expect("bytes on the wire, second time less first", Kind.SIZE, lambda p: 0,
               lambda e: sent(e, 1) - sent(e, 0),
               "the receiver cannot tell"),
    ),
    connection=SENDFILE,
    next="`netlab study splice`: the same from a socket.",
    moment=moment,
)  # fmt: skip
