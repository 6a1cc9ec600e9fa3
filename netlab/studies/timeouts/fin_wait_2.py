"""I have closed, the other has not: for how long the kernel waits for it."""

from __future__ import annotations

import select
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.kernel_states import passed
from netlab.studies.moments import call_on, nth, window
from netlab.studies.parts import BUSY_NS, MS, S, delay, first_rto_ns, timer_room
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, tell, told, trial
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> Any:
    """Reads to the end, does not close, and speaks once the other has waited long enough."""
    word = told(probe)
    sock = accepted(probe)
    sock.recv(1)
    word.recv(1)
    found = trial(sock.send, b"at last")
    broken = probe.poll()
    broken.register(sock, select.POLLERR)
    broken.poll(10_000)
    sock.close()
    word.close()
    return found


def client(probe: Probe, p: Params) -> Any:
    """Closes, and watches what its kernel does with the connection."""
    sock = connected(probe)
    port = sock.getsockname()[1]
    sock.close()
    found = passed(port)
    tell(probe)
    return found


def lasted_ns(evidence: Evidence) -> int | None:
    """How long the client's kernel had it in FIN-WAIT-2."""
    return next((ns for state, ns in evidence.returned["client"] if state == "FIN-WAIT-2"), None)


def waits_ns(p: Params) -> int:
    """tcp_fin_timeout or 3.5 RTO."""
    return max(p.timeout, first_rto_ns(p) * 7 // 2)


def moment(evidence: Evidence) -> list[Window]:
    """From the close() to the RST."""
    return window(call_on(evidence, "close", host="client"), nth(evidence.frames(), -1))


STUDY = Study(
    name="fin-wait-2",
    topic=Topic.TIMEOUTS,
    question="I called close(). The peer's program never does. How long does my kernel remember?",
    setup="A client connects and closes. The server reads the end of the stream and keeps its "
    "socket. net.ipv4.tcp_fin_timeout of the client is {timeout}, by default 60 s.",
    prediction="The FIN is acknowledged, and the client's kernel waits in FIN-WAIT-2 for the "
    "other one. RFC 9293 would let it wait for ever; but no program holds this socket any "
    "more, so Linux gives up after {timeout}, or after 3.5 retransmission time-outs where that is "
    "longer, and forgets. Nothing is sent then. The server, "
    "in CLOSE-WAIT, may still send: its bytes are answered by RST.",
    parameters=(
        Parameter("timeout", Kind.TIME, 2 * S, 2 * S, 10 * S, "tcp_fin_timeout, whole seconds"),
        Parameter("rtt", Kind.TIME, 40 * MS, 0, 400 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    wire=delay,
    sysctls=lambda p: {"client": {"net.ipv4.tcp_fin_timeout": str(p.timeout // S)}},
    expects=(
        Expect("the client's kernel had it in FIN-WAIT-2 for", Kind.TIME, waits_ns,
               lasted_ns, "man 7 tcp, tcp_fin_timeout; tcp_fin_time() of Linux",
               less=BUSY_NS, more=lambda p: timer_room(waits_ns(p)) + 11 * BUSY_NS,
               because="the timer wheel is up to 1/8 late; who looks every 2 ms sees begin and end "
               "late; a trip that was late counts 3 x 3.5 times"),
        Expect("the last of its states", Kind.WORD, lambda p: "FIN-WAIT-2",
               lambda e: e.returned["client"][-1][0], "tcp_time_wait() of Linux"),
        Expect("FINs of the server until then", Kind.COUNT, lambda p: 0,
               lambda e: sum("FIN" in (f.tcp_flags or "") for f, _ in e.frames("s>c")),
               "RFC 9293 3.6: only its program can say so"),
        Expect("resets that its late bytes get", Kind.COUNT, lambda p: 1,
               lambda e: sum("RST" in (f.tcp_flags or "") for f, _ in e.frames("c>s")),
               "RFC 9293 3.5.2, case 1"),
    ),
    next="`netlab study close-wait`: the other side of it.",
    moment=moment,
)  # fmt: skip
