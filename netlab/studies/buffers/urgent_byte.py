"""MSG_OOB: one byte of the stream that is marked, and that read() goes around."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, there, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> Any:
    """Waits for the urgent byte, then reads before it, itself, and behind it."""
    sock = accepted(probe)
    if p.inline:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    marked = probe.poll()
    marked.register(sock, select.POLLPRI)
    marked.poll()
    before = sock.recv(100).decode()  # ends at the mark, whatever is behind it
    apart = trial(sock.recv, 1, socket.MSG_OOB)
    rest = ""
    while data := sock.recv(100):
        rest += data.decode()
    sock.close()
    return [before, apart["error"] or "U", rest]


def client(probe: Probe, p: Params) -> None:
    """Three sends; the second is urgent."""
    sock = connected(probe)
    sock.send(b"abc")
    sock.send(b"U", socket.MSG_OOB)
    sock.send(b"def")
    sock.close()


def marked(evidence: Evidence) -> str:
    """Whether a frame said where the urgent byte is."""
    flags = [frame.tcp_flags or "" for frame, _ in evidence.frames("c>s", data=True)]
    return "yes" if any("URG" in one for one in flags) else "no"


def moment(evidence: Evidence) -> list[Window]:
    """The three writes; the urgent byte's arrival; what the server then reads.

    In order of time: a busy client may write the third when the server has read the second.
    """
    sends = evidence.calls("send", host="client", connection=0)
    reads = evidence.calls("recv", host="server", connection=0)
    urgent = [f for f, _ in evidence.frames("c>s", data=True) if "URG" in (f.tcp_flags or "")]
    return sorted(
        [
            *window(*sends[:2]),
            *window(*map(there, urgent[:1])),
            *window(back(evidence.call("poll", host="server")), *reads[:2]),
            *window(*sends[2:3]),
            *window(*map(back, reads[2:3])),
        ]
    )


STUDY = Study(
    name="urgent-byte",
    topic=Topic.BUFFERS,
    question="One byte is sent with MSG_OOB. Does it overtake the others?",
    setup="A client sends abc, then U with MSG_OOB, then def. The server waits for POLLPRI, then "
    "calls recv(), recv(MSG_OOB), and recv() to the end; with inline=1 it has set SO_OOBINLINE.",
    prediction="No: it travels in the same stream, at its place, and the header points to it. "
    "The receiver hears of it by POLLPRI (and SIGURG). A recv() stops at the mark, so that the "
    "program knows where it is; recv(MSG_OOB) fetches the byte, and the next recv() goes on "
    "behind it. With SO_OOBINLINE it stays where it is, and recv(MSG_OOB) fails with EINVAL. "
    "Only the last urgent byte is one: RFC 6093 advises against using it.",
    parameters=(Parameter("inline", Kind.COUNT, 0, 0, 1, "1: with SO_OOBINLINE"),),
    server=server,
    client=client,
    expects=(
        Expect("recv(), recv(MSG_OOB), recv() to the end", Kind.WORD,
               lambda p: "abc, EINVAL, Udef" if p.inline else "abc, U, def",
               lambda e: ", ".join(e.returned["server"]), "man 7 tcp; man 2 recv, MSG_OOB"),
        Expect("a frame has the URG flag", Kind.WORD, lambda p: "yes", marked,
               "RFC 9293 3.8.5; RFC 6093"),
    ),
    next="`netlab study urgent-byte --set inline={not_inline}`.",
    moment=moment,
)  # fmt: skip
