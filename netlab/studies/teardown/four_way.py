"""An orderly end: each direction is closed by itself."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence, Frame
from netlab.studies.moments import call_on, there, window
from netlab.studies.parts import MS, RTT, TURN_NS, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Claim, Expect, Params, Study, Topic, Window


def client(probe: Probe, p: Params) -> None:
    """Says something, and closes first."""
    sock = connected(probe)
    sock.send(b"that is all")
    sock.close()


def closing(evidence: Evidence) -> list[Frame]:
    """The frames from the first FIN on."""
    frames = evidence.frames()
    first = next((n for n, (f, _) in enumerate(frames) if is_fin(f)), len(frames))
    return frames[first:]


def is_fin(packet: Packet) -> bool:
    """Whether a frame has FIN."""
    return "FIN" in (packet.tcp_flags or "")


def last_gap_ns(evidence: Evidence) -> int | None:
    """From the client's FIN to the last ACK."""
    frames = closing(evidence)
    return frames[-1][0].time_ns - frames[0][0].time_ns if frames else None


def in_time_wait(evidence: Evidence) -> str:
    """Which end was in TIME-WAIT, if one was."""
    return next((str(s.side) for s in evidence.tables.end_states if s.state == "TIME-WAIT"), "")


def moment(evidence: Evidence) -> list[Window]:
    """The client's close(); its FIN at the server, whose program closes; and the last ACK."""
    fins = [frame for frame, _ in closing(evidence) if is_fin(frame)]
    if len(fins) < 2:
        return []
    last = evidence.frames()[-1][0]
    return [
        *window(call_on(evidence, "close", host="client")),
        *window(there(fins[0]), call_on(evidence, "close", host="server")),
        *window(there(fins[-1]), last.time_ns),
        *window(there(last)),
    ]


STUDY = Study(
    name="four-way-close",
    topic=Topic.TEARDOWN,
    question="How many frames end a connection, and who has to say goodbye?",
    setup="A client sends eleven bytes and closes. The server reads to the end and closes, too.",
    prediction="Each side ends its own direction with a FIN, and each FIN is acknowledged: "
    "four frames, or three where the server's program closes before its kernel has sent the "
    "ACK, which then rides on the FIN. The client, which closed first, sends the last ACK, a "
    "round trip after its FIN, and keeps the connection in TIME-WAIT.",
    parameters=(RTT,),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    expects=(
        Expect("FINs", Kind.COUNT, lambda p: 2,
               lambda e: sum(is_fin(f) for f, _ in e.frames()), "RFC 9293 3.6"),
        Expect("frames from the first FIN on", Kind.COUNT, lambda p: 4,
               lambda e: len(closing(e)), "RFC 9293 3.6, figure 12", less=1,
               because="a FIN may carry the other's ACK"),
        Expect("the last one comes from the client", Kind.WORD, lambda p: "c>s",
               lambda e: str(closing(e)[-1][1].direction), "RFC 9293 3.6"),
        Expect("from the first FIN to the last ACK", Kind.TIME, lambda p: p.rtt, last_gap_ns,
               "RFC 9293 3.6", more=3 * TURN_NS,
               otherwise=lambda p: p.rtt + 200 * MS,  # a FIN is sent again then
               because="a turn each for the wire's two FINs, and the server"),
        Expect("the recording's verdict: closed by", Kind.WORD, lambda p: "client",
               lambda e: e.connection.closed_by, "the first FIN"),
        Expect("the server read", Kind.SIZE, lambda p: 11, lambda e: e.returned["server"],
               "RFC 9293 3.6: a FIN comes after all data"),
    ),
    moment=moment,
    claims=(
        Claim("TIME-WAIT is a fault",
              lambda e: e.connection.close_kind != "fin" or not in_time_wait(e)),
        Claim("TIME-WAIT is the server's", lambda e: in_time_wait(e) == "server",
              "if it closes first"),
    ),
    next="`netlab study half-close`: one direction ends, the other goes on.",
)  # fmt: skip
