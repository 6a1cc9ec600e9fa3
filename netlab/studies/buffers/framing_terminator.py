"""Messages in a stream of bytes, told apart by a byte that ends each of them."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

MESSAGES = (b"first", b"", b"a third one, which is longer than the others", b"the last")
TRAITOR = b"two\nlines"  # has the terminator inside
END = b"\n"


def messages(p: Params) -> list[bytes]:
    """What the client has to say."""
    return [*MESSAGES, *([TRAITOR] if p.inside else [])]


def server(probe: Probe, p: Params) -> Any:
    """Keeps what came until there is a terminator in it."""
    sock = accepted(probe)
    kept, found = b"", []
    while data := sock.recv(p.room):
        kept += data
        *whole, kept = kept.split(END)  # what is behind the last one is not whole yet
        found += whole
    sock.close()
    return [message.decode() for message in found]


def client(probe: Probe, p: Params) -> None:
    """Sends the stream in pieces that have nothing to do with the messages."""
    sock = connected(probe)
    stream = b"".join(message + END for message in messages(p))
    for start in range(0, len(stream), p.piece):
        sock.send(stream[start : start + p.piece])
    sock.close()


def seen(evidence: Evidence) -> str:
    """What the recording shows."""
    sends = len(evidence.calls("send", host="client"))
    recvs = sum(bool(call.result) for call in evidence.calls("recv", host="server"))
    return (
        f"{sends} calls of send() and {recvs} of recv() moved them; neither number is that of "
        "the messages."
    )


def same(evidence: Evidence) -> str:
    """Whether they are what the client had to say, in that order."""
    said = [message.decode() for message in messages(evidence.p)]
    return "yes" if evidence.returned["server"] == said else "no"


def moment(evidence: Evidence) -> list[Window]:
    """The first pieces that are sent, and the first that are read."""
    reads = evidence.calls("recv", host="server", connection=0)
    return window(*evidence.calls("send", host="client", connection=0)[:3]) + window(*reads[:8])


STUDY = Study(
    name="framing-terminator",
    topic=Topic.BUFFERS,
    question="Messages end with a newline. Does the reader find them, however they are cut?",
    setup="A client sends a few lines as one stream, {piece} to a call, so that most calls end "
    "within a line. The server calls recv() with room for {room}, and keeps what it has until "
    "a newline is in it.",
    prediction="All of them, the empty one too. The reader needs memory between two calls: what"
    " came behind the last newline belongs to a line whose rest is still on its way. The price: "
    "no message may have the terminator inside. With inside=1 one has, and becomes two.",
    parameters=(
        Parameter("piece", Kind.SIZE, 7, 1, 1000, "that is sent with a call"),
        Parameter("room", Kind.SIZE, 16, 1, 1000, "that a recv() asks for"),
        Parameter("inside", Kind.COUNT, 0, 0, 1, "1: a message has the terminator inside"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("messages that the server found", Kind.COUNT,
               lambda p: len(MESSAGES) + 2 * p.inside, lambda e: len(e.returned["server"]),
               "RFC 9293 2.2: the order of bytes is kept, and nothing else"),
        Expect("they are the client's, in its order", Kind.WORD,
               lambda p: "no" if p.inside else "yes", same, "the same"),
    ),
    seen=seen,
    next="`netlab study framing-terminator --set inside={not_inside}`, and "
    "`netlab study framing-length`.",
    moment=moment,
)  # fmt: skip
