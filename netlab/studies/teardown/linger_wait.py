"""SO_LINGER with some seconds: close() waits."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, took_ns
from netlab.studies.moments import call_on, window
from netlab.studies.parts import MS, TURN_NS, S, timer_room
from netlab.studies.programs import until_the_client_has_ended
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, tell, told, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> None:
    """Reads nothing and says nothing; its kernel acknowledges."""
    sock = accepted(probe)
    word = told(probe)
    word.recv(1)
    sock.close()
    word.close()


def client(probe: Probe, p: Params) -> Any:
    """Sends, and closes with SO_LINGER."""
    sock = connected(probe)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, p.linger // S))
    sock.send(b"that is all")
    found = trial(sock.close)
    tell(probe)
    return found


def wire(p: Params) -> str:
    """A round trip; with `cut` the server is never heard of again."""
    rules = [f"delay {p.rtt // 2}ns" if p.rtt else "", "cut after c>s ack 1" if p.cut else ""]
    return "; ".join(filter(None, rules))


def moment(evidence: Evidence) -> list[Window]:
    """From the option until close() is back."""
    return window(
        call_on(evidence, "setsockopt", host="client"), call_on(evidence, "close", host="client")
    )


STUDY = Study(
    name="linger-wait",
    topic=Topic.TEARDOWN,
    question="What does SO_LINGER with {linger} do to close()?",
    setup="A client sets SO_LINGER to {linger}, sends eleven bytes and closes; the round trip "
    "is {rtt}. With cut=1 the wire is cut before.",
    prediction="Without it close() returns at once, and the kernel sends what is left behind the "
    "program's back. With it close() waits until all was acknowledged, the FIN too: a round "
    "trip; or, where no ACK comes, {linger}. And it succeeds either way: it does not say "
    "whether the bytes arrived, nor ever whether the peer's program read them.",
    parameters=(
        Parameter("rtt", Kind.TIME, 200 * MS, 0, 500 * MS, "round trip of the wire"),
        Parameter("linger", Kind.TIME, 2 * S, 1 * S, 10 * S, "SO_LINGER, whole seconds"),
        Parameter("cut", Kind.COUNT, 0, 0, 1, "1: nothing arrives any more"),
    ),
    server=server,
    client=client,
    experiment=until_the_client_has_ended,
    wire=wire,
    expects=(
        Expect("close() takes", Kind.TIME, lambda p: p.linger if p.cut else p.rtt,
               lambda e: took_ns(e.call("close", host="client")),
               "man 7 socket, SO_LINGER; sk_stream_wait_close() of Linux",
               more=lambda p: TURN_NS + timer_room(p.linger) if p.cut else
               3 * TURN_NS + 40 * MS + timer_room(40 * MS),
               because="a turn each for the wire's two frames and the client; the ACK of the FIN "
               "may be delayed by 40 ms, and any timer be 1/8 late, for the timer wheel is"),
        Expect("and fails with", Kind.WORD, lambda p: "nothing",
               lambda e: e.returned["client"]["error"] or "nothing", "man 2 close"),
    ),
    cause="linger",
    waits_on="client close",
    next="`netlab study linger-wait --set cut={not_cut}`, then `netlab study linger-zero`.",
    moment=moment,
)  # fmt: skip
