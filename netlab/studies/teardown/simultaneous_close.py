"""Both sides close at the same time."""

from __future__ import annotations

import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.kernel_states import passed
from netlab.studies.moments import call_on, nth, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.teardown.four_way import is_fin

LOOK_NS = 2 * MS
WENT = "CLOSING, TIME-WAIT"


def server(probe: Probe, p: Params) -> Any:
    """Closes as soon as it has accepted, and watches."""
    accepted(probe).close()
    return passed(PORT, "TIME-WAIT")


def client(probe: Probe, p: Params) -> Any:
    """Closes when the server does: half a round trip after it is connected; and watches."""
    sock = connected(probe)
    port = sock.getsockname()[1]
    time.sleep(p.rtt / 2e9)
    sock.close()
    return passed(port, "TIME-WAIT")


def went(evidence: Evidence, host: str) -> str:
    """The states that a host's connection went through, behind its first FIN."""
    found = [state for state, _ in evidence.returned[host]]
    return ", ".join(state for state in found if state != "FIN-WAIT-1")


def closing_ns(evidence: Evidence) -> int | None:
    """How long the client's kernel had it in CLOSING."""
    return next((ns for state, ns in evidence.returned["client"] if state == "CLOSING"), None)


def longer_ns(evidence: Evidence) -> int | None:
    """That, less the time between the frames that begin and end it, as they came."""
    fins = [packet for packet, _ in evidence.frames("s>c") if is_fin(packet)]
    own = next((segment for packet, segment in evidence.frames("c>s") if is_fin(packet)), None)
    seen_ns = closing_ns(evidence)
    if not fins or fins[0].arrived_ns is None or own is None or seen_ns is None:
        return None
    acks = [
        packet.arrived_ns
        for packet, segment in evidence.frames("s>c")
        if packet.arrived_ns is not None and (segment.ack or 0) > own.seq
    ]
    return seen_ns - (acks[0] - fins[0].arrived_ns) if acks else None


def moment(evidence: Evidence) -> list[Window]:
    """From the first close() on."""
    return window(call_on(evidence, "close", host="client"), nth(evidence.frames(), -1))


STUDY = Study(
    name="simultaneous-close",
    topic=Topic.TEARDOWN,
    question="What if both sides call close() in the same moment?",
    setup="On a wire with a round trip of {rtt} the server closes when it has accepted. The "
    "client closes at about that time: their FINs meet on the way.",
    prediction="Nobody was first. Each has sent its FIN and, in place of the ACK of it, gets "
    "the other's: it acknowledges that and is in CLOSING until its own is acknowledged. Then "
    "both are in TIME-WAIT, and both wait 60 s. Each end has seen the same four frames.",
    parameters=(
        Parameter("rtt", Kind.TIME, 400 * MS, 200 * MS, 1000 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("behind FIN-WAIT-1 the client's went through", Kind.WORD, lambda p: WENT,
               lambda e: went(e, "client"), "RFC 9293 3.6, figure 13"),
        Expect("the server's", Kind.WORD, lambda p: WENT, lambda e: went(e, "server"),
               "the same"),
        Expect("the client was in CLOSING from the other's FIN to the ACK of its own; longer by",
               Kind.TIME, lambda p: 0, longer_ns, "RFC 9293 3.6: until its FIN is acknowledged",
               less=TURN_NS + LOOK_NS, more=TURN_NS + LOOK_NS,
               otherwise=lambda p: -p.rtt // 2,  # as if the other's FIN had ended it
               because="it is looked at every 2 ms, by a program that may have to wait for its turn"
               ),
        Expect("FINs that left before the other's had come", Kind.COUNT, lambda p: 2,
               lambda e: crossed(e), "RFC 9293 3.6: CLOSING"),
    ),
    next="`netlab study four-way-close`: one after the other.",
    moment=moment,
)  # fmt: skip


def crossed(evidence: Evidence) -> int:
    """FINs that met another on their way."""
    fins = [packet for packet, _ in evidence.frames() if is_fin(packet)]
    return sum(
        any(
            other.direction != fin.direction
            and other.arrived_ns is not None
            and fin.time_ns < other.arrived_ns
            and other.time_ns < (fin.arrived_ns or fin.time_ns)
            for other in fins
        )
        for fin in fins
    )
