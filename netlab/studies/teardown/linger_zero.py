"""SO_LINGER with zero: close() throws the connection away."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.teardown.unread_data import last_word


def server(probe: Probe, p: Params) -> None:
    """Sets SO_LINGER to 0 seconds, and closes."""
    sock = accepted(probe)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Waits for an answer."""
    sock = connected(probe)
    found = trial(sock.recv, 100)
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """The client's recv(), which the reset ends."""
    return window(call_on(evidence, "recv", host="client"))


STUDY = Study(
    name="linger-zero",
    topic=Topic.TEARDOWN,
    question="What does SO_LINGER with 0 seconds do to close()?",
    setup="A server sets SO_LINGER to zero seconds and closes; nothing is unread, nothing "
    "unsent.",
    prediction="close() sends RST at once and forgets the connection: no FIN, no TIME-WAIT, "
    "and what was still to be sent would be lost. The client's recv() fails with ECONNRESET.",
    # A reset that came before connect() is back would end that in place of the recv().
    parameters=(
        Parameter("rtt", Kind.TIME, 40 * MS, TURN_NS, 1000 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("the server's last word is", Kind.WORD, lambda p: "RST", last_word,
               "man 7 socket, SO_LINGER; RFC 9293 3.10.5: ABORT"),
        Expect("the client's recv() fails with", Kind.WORD, lambda p: "ECONNRESET",
               lambda e: e.returned["client"]["error"], "man 2 recv"),
        Expect("the recording's verdict", Kind.WORD, lambda p: "rst",
               lambda e: e.connection.close_kind, "RFC 9293 3.5.2"),
    ),
    moment=moment,
    next="`netlab study four-way-close`: the orderly end.",
)  # fmt: skip
