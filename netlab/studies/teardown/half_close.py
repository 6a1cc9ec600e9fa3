"""shutdown(SHUT_WR): I have said all, and still listen."""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, nth, there, window
from netlab.studies.parts import RTT, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, read_to_end
from netlab.studies.study import Claim, Expect, Params, Study, Topic, Window

ANSWER = 5000


def server(probe: Probe, p: Params) -> int:
    """Answers when the client has said all, in several pieces."""
    sock = accepted(probe)
    got = read_to_end(sock)
    for _ in range(5):
        sock.send(b"n" * (ANSWER // 5))
    sock.close()
    return got


def client(probe: Probe, p: Params) -> int:
    """Says all, ends its own direction, and reads the answer."""
    sock = connected(probe)
    sock.send(b"a question")
    sock.shutdown(socket.SHUT_WR)
    got = read_to_end(sock)
    sock.close()
    return got


def after_fin(evidence: Evidence) -> int:
    """Bytes that the server sent after it had the client's FIN."""
    fins = [f for f, _ in evidence.frames("c>s") if "FIN" in (f.tcp_flags or "")]
    if not fins:
        return 0
    return sum(
        s.payload_len_bytes for f, s in evidence.frames("s>c") if f.time_ns > fins[0].time_ns
    )


def moment(evidence: Evidence) -> list[Window]:
    """The FIN leaves; it arrives, and the server begins to answer; the answer arrives."""
    asked = call_on(evidence, "shutdown", host="client")
    got = call_on(evidence, "recv", host="client")
    fin = nth([one for one in evidence.frames("c>s") if "FIN" in (one[0].tcp_flags or "")], 0)
    if asked is None or got is None:
        return []
    return [
        *window(call_on(evidence, "send", host="client"), asked, got.entered_ns),
        *window(there(fin), call_on(evidence, "send", host="server")),
        *window(there(nth(evidence.frames("s>c", data=True), 0)), back(got)),
    ]


STUDY = Study(
    name="half-close",
    topic=Topic.TEARDOWN,
    question="Can I still receive after I have said that I am done?",
    setup="A client sends a question, calls shutdown(SHUT_WR) and reads on. The server reads "
    "to the end of the stream and only then answers with 5,000 bytes.",
    prediction="Yes. The FIN ends the client's direction alone: the server's recv() returns "
    "0, and it may send for as long as it likes. This is how a client without a length in its"
    " protocol says where the question ends.",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("bytes that the client received after its FIN", Kind.SIZE, lambda p: ANSWER,
               lambda e: e.returned["client"], "RFC 9293 3.6: CLOSE means no more data to send"),
        Expect("bytes on the wire after it", Kind.SIZE, lambda p: ANSWER, after_fin, "the same"),
        Expect("the question was read whole", Kind.SIZE, lambda p: 10,
               lambda e: e.returned["server"], "man 2 shutdown"),
    ),
    claims=(
        Claim("After FIN nothing can be received any more", lambda e: e.returned["client"] == 0),
    ),
    next="`netlab study four-way-close`.",
    moment=moment,
)  # fmt: skip
