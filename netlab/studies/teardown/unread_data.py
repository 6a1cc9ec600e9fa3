"""close() with bytes unread: the peer is told by a reset."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import RTT, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Claim, Expect, Params, Study, Topic, Window

SENT, TAKEN = 1000, 100


def server(probe: Probe, p: Params) -> int:
    """Reads a part, waits until the rest is there, and closes."""
    sock = accepted(probe)
    got = len(sock.recv(TAKEN))
    readable = probe.poll()
    readable.register(sock, 1)
    readable.poll(10_000)
    sock.close()
    return got


def client(probe: Probe, p: Params) -> Any:
    """Sends, and waits for an answer."""
    sock = connected(probe)
    sock.send(b"n" * SENT)
    found = trial(sock.recv, 100)
    sock.close()
    return found


def last_word(evidence: Evidence) -> str | None:
    """How the server ended it."""
    frames = [
        f for f, _ in evidence.frames("s>c") if {"FIN", "RST"} & set((f.tcp_flags or "").split())
    ]
    if not frames:
        return None
    return "RST" if "RST" in (frames[0].tcp_flags or "") else "FIN"


def moment(evidence: Evidence) -> list[Window]:
    """From the send() to what its answer is."""
    return window(
        call_on(evidence, "send", host="client"), call_on(evidence, "recv", host="client")
    )


STUDY = Study(
    name="unread-data",
    topic=Topic.TEARDOWN,
    question="The server read 100 of 1,000 bytes and called close(). What does the client see?",
    setup="A client sends 1,000 bytes and waits. The server reads 100 of them and closes.",
    prediction="Not an orderly end: bytes that the program will never read are lost, and TCP "
    "may not keep that quiet. The kernel sends RST in place of FIN, and the client's recv() "
    "fails with ECONNRESET, even if there was an answer on its way.",
    parameters=(RTT,),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("the server's last word is", Kind.WORD, lambda p: "RST", last_word,
               "RFC 2525 2.17; RFC 9293 3.10.4; tcp_close() of Linux"),
        Expect("the client's recv() fails with", Kind.WORD, lambda p: "ECONNRESET",
               lambda e: e.returned["client"]["error"], "man 2 recv"),
        Expect("bytes the server had read", Kind.SIZE, lambda p: TAKEN,
               lambda e: e.returned["server"], "its program"),
    ),
    claims=(Claim("close() always sends FIN", lambda e: last_word(e) == "FIN"),),
    next="`netlab study linger-zero`: a reset on purpose.",
    moment=moment,
)  # fmt: skip
