"""A send buffer that is full: send() waits, and returns before anything has arrived."""

from __future__ import annotations

import socket
import time

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, nth, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, read_to_end
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

RTT_NS = 20 * MS


def server(probe: Probe, p: Params) -> int:
    """Does something else before it reads."""
    sock = accepted(probe, rcvbuf=p.buffers)
    time.sleep(p.sleep / 1e9)
    got = read_to_end(sock)
    sock.close()
    return got


def client(probe: Probe, p: Params) -> int:
    """One call for all of it."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, p.buffers)
    sock.connect(("server", PORT))
    sent = sock.send(b"n" * p.size)
    sock.close()
    return sent


def first_read_ns(evidence: Evidence) -> int | None:
    """When the server came to read."""
    call = evidence.call("recv", host="server")
    return None if call is None else call.entered_ns


def waited_ns(evidence: Evidence) -> int | None:
    """How long send() took, but for what it took after the server had come to read."""
    call, read_ns = evidence.call("send", host="client"), first_read_ns(evidence)
    if call is None or call.returned_ns is None or read_ns is None:
        return None
    return min(call.returned_ns, read_ns) - call.entered_ns


def after_first_read(evidence: Evidence) -> str | None:
    """Whether send() returned later than the server called recv()."""
    call, read_ns = evidence.call("send", host="client"), first_read_ns(evidence)
    if call is None or call.returned_ns is None or read_ns is None:
        return None
    return "yes" if call.returned_ns > read_ns else "no"


def still_here(evidence: Evidence) -> str:
    """Whether the client's kernel still had bytes when send() returned."""
    call = evidence.call("send", host="client")
    if call is None or call.outq_after_bytes is None:
        return "not seen"
    return "yes" if call.outq_after_bytes > 0 else "no"


def moment(evidence: Evidence) -> list[Window]:
    """What send() begins with; where the window closes; what lets it return."""
    sent, read = call_on(evidence, "send", host="client"), call_on(evidence, "recv", host="server")
    data = evidence.frames("c>s", data=True)
    if sent is None or len(data) < 3:
        return []
    shut = nth([one for one in evidence.frames("s>c") if one[1].seg_wnd_bytes == 0], 0)
    return [
        (sent.entered_ns, data[2][0].time_ns),
        *window(shut),
        *window(read),
        *window(back(sent)),
    ]


STUDY = Study(
    name="blocking-send",
    topic=Topic.BUFFERS,
    question="A client sends {size} to a server that sleeps for {sleep}. When does send() return,"
    " and what does that mean?",
    setup="SO_SNDBUF of the client and SO_RCVBUF of the server are {buffers}: much less than what"
    " is sent. The socket blocks, and one send() is given all of it.",
    prediction="Not before the server reads: send() copies bytes into the send buffer, and waits "
    "for room when that is full. It is not full until the receive buffer on the other side is. "
    "When it returns, the last byte has been copied, and no more: a good part of the rest is "
    "still in the client's kernel. Whether the server got it, no send() ever says.",
    parameters=(
        Parameter("sleep", Kind.TIME, 600 * MS, 300 * MS, 5000 * MS, "of the server"),
        Parameter("buffers", Kind.SIZE, 32 << 10, 8 << 10, 128 << 10, "SO_SNDBUF and SO_RCVBUF"),
        Parameter("size", Kind.SIZE, 1 << 20, 1 << 20, 2 << 20, "that is sent"),
    ),
    server=server,
    client=client,
    wire=lambda p: delay(Params({"rtt": RTT_NS})),
    expects=(
        Expect("send() waits as long as the server sleeps", Kind.TIME, lambda p: p.sleep,
               waited_ns, "man 2 send: it blocks when the message does not fit",
               less=TURN_NS, more=RTT_NS // 2 + 3 * TURN_NS,
               because="its sleep begins half a round trip later; the client may come a turn late "
               "to its send(), and so may the wire with the ACK, the server to accept() and from "
               "its sleep"),
        Expect("it returns after the server has begun to read", Kind.WORD, lambda p: "yes",
               after_first_read, "there is no room before"),
        Expect("and returns before the server has all", Kind.WORD, lambda p: "yes", still_here,
               "man 2 send: no indication of failure to deliver is implicit"),
        Expect("bytes that one send() took", Kind.SIZE, lambda p: p.size,
               lambda e: e.returned["client"], "POSIX send(): blocking, it takes all"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: p.size,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    next="`netlab study partial-send`: the same for a socket that does not block.",
    cause="peer_window",
    moment=moment,
)  # fmt: skip
