"""Messages in a stream of bytes, told apart by a length in front of each of them."""

from __future__ import annotations

import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.buffers.framing_terminator import MESSAGES, TRAITOR, seen
from netlab.studies.evidence import Evidence
from netlab.studies.moments import window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

HEADER = struct.Struct("!I")  # the length, in network byte order
SAID = (*MESSAGES, TRAITOR)


def server(probe: Probe, p: Params) -> Any:
    """Keeps what came until a length and as many bytes are there."""
    sock = accepted(probe)
    kept, found, cut_headers = b"", [], 0
    while data := sock.recv(p.room):
        kept += data
        while len(kept) >= HEADER.size:
            (length,) = HEADER.unpack_from(kept)
            stop = HEADER.size + length
            if len(kept) < stop:
                break
            found.append(kept[HEADER.size : stop].decode())
            kept = kept[stop:]
        cut_headers += 0 < len(kept) < HEADER.size
    sock.close()
    return {"found": found, "cut headers": cut_headers, "over": len(kept)}


def client(probe: Probe, p: Params) -> None:
    """Sends the stream in pieces that have nothing to do with the messages."""
    sock = connected(probe)
    stream = b"".join(HEADER.pack(len(message)) + message for message in SAID)
    for start in range(0, len(stream), p.piece):
        sock.send(stream[start : start + p.piece])
    sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """The first pieces that are sent, and the first that are read."""
    reads = evidence.calls("recv", host="server", connection=0)
    return window(*evidence.calls("send", host="client", connection=0)[:3]) + window(*reads[:8])


STUDY = Study(
    name="framing-length",
    topic=Topic.BUFFERS,
    question="Each message has its length in front. What may a reader not assume?",
    setup="A client sends five messages, each with its length before it as a number of 4 bytes,"
    " as one stream, {piece} to a call. The server calls recv() with room for {room}.",
    prediction="Nothing about where a recv() ends: not even the 4 bytes of a length need come "
    "together. A reader that keeps what it has until length and message are whole finds all of"
    " them, whatever bytes they hold; newlines inside do no harm. The price: the length must be "
    "known before the first byte is sent, and one that is wrong or hostile must be refused.",
    parameters=(
        Parameter("piece", Kind.SIZE, 7, 1, 1000, "that is sent with a call"),
        Parameter("room", Kind.SIZE, 3, 1, 1000, "that a recv() asks for"),
    ),
    server=server,
    client=client,
    expects=(
        Expect("messages that the server found", Kind.COUNT, lambda p: len(SAID),
               lambda e: len(e.returned["server"]["found"]),
               "RFC 9293 2.2: the order of bytes is kept, and nothing else"),
        Expect("they are the client's, in its order", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if e.returned["server"]["found"] == [m.decode() for m in SAID]
               else "no", "the same"),
        Expect("bytes that belong to no message", Kind.SIZE, lambda p: 0,
               lambda e: e.returned["server"]["over"], "each length was right"),
    ),
    seen=lambda e: f"{seen(e)} {e.returned['server']['cut headers']} times a recv() ended within "
    "a length.",
    next="`netlab study datagram-boundaries`: UDP keeps messages apart.",
    moment=moment,
)  # fmt: skip
