"""Three kinds of Unix sockets: which keep messages apart."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Params, Study, Topic

SIZES = (100, 300, 50)
ROOM = 200
KINDS = {
    "stream": socket.SOCK_STREAM,
    "datagram": socket.SOCK_DGRAM,
    "seqpacket": socket.SOCK_SEQPACKET,
}


def client(probe: Probe, p: Params) -> Any:
    """Sends the same messages through each kind, and takes them with the same calls."""
    found = {}
    for name, kind in KINDS.items():
        one, other = probe.socketpair(socket.AF_UNIX, kind)
        for size in SIZES:
            one.send(b"n" * size)
        other.setblocking(False)
        got = []
        for _ in SIZES:
            data, _, flags, _ = other.recvmsg(ROOM)
            got.append(f"{len(data)}{' cut' if flags & socket.MSG_TRUNC else ''}")
        one.close()
        try:
            got.append("end" if not other.recv(ROOM) else "more")
        except BlockingIOError:
            got.append("EAGAIN")
        except ConnectionResetError:
            got.append("ECONNRESET")
        found[name] = got
        other.close()
    return found


def calls(name: str, *, last: bool = False) -> Any:
    """What the calls of one kind returned; the last one, or those before it."""

    def said(evidence: Evidence) -> str:
        got = evidence.returned["client"][name]
        return str(got[-1]) if last else ", ".join(got[:-1])

    return said


STUDY = Study(
    name="unix-boundaries",
    topic=Topic.IPC,
    question="Messages of 100, 300 and 50 bytes: what does recv(200) return on each Unix socket?",
    setup="A pair of Unix sockets of each kind. Three sends, then three calls with room for 200 "
    "bytes, then the sender closes, and one more.",
    prediction="Stream: 200, 200, 50: bytes, without a border, as in TCP. Datagram and seqpacket: "
    "100, 200, 50: one message a call, the rest of the long one is thrown away (MSG_TRUNC says "
    "so). Seqpacket is both: messages kept apart, and a connection, whose end is told. Datagrams "
    "have no connection, so nobody hears that the sender has gone.",
    client=client,
    expects=(
        Expect("stream", Kind.WORD, lambda p: "200, 200, 50", calls("stream"),
               "man 7 unix: SOCK_STREAM, for a stream-oriented socket"),
        Expect("datagram", Kind.WORD, lambda p: "100, 200 cut, 50", calls("datagram"),
               "man 7 unix: SOCK_DGRAM preserves message boundaries"),
        Expect("seqpacket", Kind.WORD, lambda p: "100, 200 cut, 50", calls("seqpacket"),
               "man 7 unix: SOCK_SEQPACKET preserves message boundaries"),
        Expect("stream, when the sender has closed", Kind.WORD, lambda p: "end",
               calls("stream", last=True), "man 2 recv: end-of-file"),
        Expect("datagram, when the sender has closed", Kind.WORD, lambda p: "EAGAIN",
               calls("datagram", last=True), "unix_release_sock() of Linux tells no datagram peer"),
        Expect("seqpacket, when the sender has closed", Kind.WORD, lambda p: "end",
               calls("seqpacket", last=True), "man 7 unix: connection-oriented"),
    ),
    next="`netlab study sticky-packets`: the same on TCP. Then `netlab study unix-datagrams`.",
)  # fmt: skip
