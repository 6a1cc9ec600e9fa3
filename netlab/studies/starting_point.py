"""A study of your own: change it, and run it with `netlab study ./NAME.py`.

The two functions below are ordinary programs. Each runs on a host of its own, with a wire between
them; `probe` makes the sockets, so that every call is recorded. What they return is evidence.
"""

from __future__ import annotations

import socket

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import window
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> int:
    """Waits for a client, and gives back what it says."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", PORT))
    listener.listen(1)
    sock, _ = listener.accept()
    data = sock.recv(1000)
    sock.send(data)
    sock.recv(1)  # returns when the client has closed
    sock.close()
    listener.close()
    return len(data)


def client(probe: Probe, p: Params) -> None:
    """Says something, and waits for the answer. The server's host is called `server`."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("server", PORT))
    sock.send(b"n" * p.size)
    sock.recv(1000)
    sock.close()


def answer_took_ns(evidence: Evidence) -> int | None:
    """From the client's send until its recv returned.

    `evidence.tables` has all that `netlab inspect` shows.
    """
    send, recv = evidence.call("send", host="client"), evidence.call("recv", host="client")
    if send is None or recv is None or recv.returned_ns is None:
        return None
    return recv.returned_ns - send.entered_ns


def asked_and_answered(evidence: Evidence) -> list[Window]:
    """From the client's send until its recv has returned."""
    return window(evidence.call("send", host="client"), evidence.call("recv", host="client"))


STUDY = Study(
    name="starting-point",
    topic=Topic.LAYERS,
    question="How long does an answer take on a wire with a round trip of {rtt}?",
    setup="A client sends {size} to a server, which sends them back.",
    prediction="One round trip: the time that the bytes are on their way, and next to nothing"
    " else.",
    # What a reader may change with --set, each with its range.
    parameters=(
        Parameter("rtt", Kind.TIME, 100 * MS, 0, 1000 * MS, "round trip of the wire"),
        Parameter("size", Kind.SIZE, 100, 1, 1000, "of the message"),
    ),
    server=server,
    client=client,
    # The rules of the wire, as for `netlab lab --wire`.
    wire=lambda p: f"delay {p.rtt // 2}ns",
    # What is predicted, how it is measured, and how far it may be off (and why that far). Times are
    # in ns. Who is woken may have to wait for its turn: a program, and the wire for each frame.
    expects=(
        Expect("the client has its answer after", Kind.TIME, lambda p: p.rtt, answer_took_ns,
               "half of it there, half of it back", more=4 * TURN_NS,
               because="a turn each for the wire's two frames and two programs"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: p.size,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    # Which part of the ladder is shown, at most 30 rows of it; without this line, all of it.
    moment=asked_and_answered,
    next="`netlab study ./NAME.py --set rtt=200ms`: what a longer way makes of it.",
)  # fmt: skip
