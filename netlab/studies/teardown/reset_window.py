"""A reset that somebody made up: which of them end a connection."""

from __future__ import annotations

import socket
import struct
from typing import Any

from netlab.model.probe import Probe
from netlab.model.seqnum import seq_add
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, nth, there, window
from netlab.studies.quantity import Kind
from netlab.studies.raw_tcp import RST, SYN, Ends, segment, sender, start_raw
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Expect, Params, Study, Topic, Window

BEHIND, INSIDE, EXACT = -1_000_000, 1_000, 0  # against the number that the server expects next
QUESTION = b"still there?"
ETH_P_ALL = 0x0003
TCP_AT, FLAGS_AT = 14 + 20, 13
SETTLE_MS = 100  # more than the way there and back


def server(probe: Probe, p: Params) -> str:
    """Answers, until the end; how that came."""
    sock = accepted(probe)
    while True:
        found = trial(sock.recv, 100)
        if found["error"] or not found["value"]:
            sock.close()
            return found["error"] or "FIN"
        sock.send(b"yes")


def own_number(taps: socket.socket) -> int:
    """The number of the client's SYN, as it stands in the frame."""
    while True:
        frame = taps.recv(2000)
        if len(frame) <= TCP_AT + FLAGS_AT:
            continue
        _, dport, seq = struct.unpack_from("!HHI", frame, TCP_AT)
        if dport == PORT and frame[TCP_AT + FLAGS_AT] == SYN:
            return int(seq)


def client(probe: Probe, p: Params) -> Any:
    """Asks, with a made-up reset before each question."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as taps:
        sock = connected(probe)
        next_seq = seq_add(own_number(taps), 1)
    sock.settimeout(2)
    own, port = sock.getsockname()
    ends = Ends(own, port, sock.getpeername()[0], PORT)
    found = []
    with sender() as raw:
        for off in (None, BEHIND, INSIDE, EXACT):
            if off is not None:
                seq = seq_add(next_seq, off)
                raw.sendto(segment(ends, RST, seq), (ends.destination, 0))
                probe.poll().poll(SETTLE_MS)
            sock.send(QUESTION)
            next_seq = seq_add(next_seq, len(QUESTION))
            found.append(trial(sock.recv, 100)["error"] or "answered")
    sock.close()
    return found


def experiment(stage: Stage) -> None:
    """The client may make segments up."""
    program = stage.start("server", server)
    stage.lab.wait_listening("server", PORT)
    talker = start_raw(stage, "client", client)
    stage.wait(program, talker)
    stage.lab.settle()


def challenged(evidence: Evidence, number: int) -> int | None:
    """ACKs of the server between a made-up reset and the client's next question."""
    made_up = [f.time_ns for f, _ in evidence.frames("c>s", flags="RST")]
    if number >= len(made_up):
        return None
    later = [f.time_ns for f, _ in evidence.frames("c>s", data=True) if f.time_ns > made_up[number]]
    until_ns = later[0] if later else made_up[number] + 10**9
    return sum(
        made_up[number] < f.time_ns < until_ns for f, _ in evidence.frames("s>c", flags="ACK")
    )


def moment(evidence: Evidence) -> list[Window]:
    """Each made-up reset, and what came of it."""
    made_up = evidence.frames("c>s", flags="RST")
    reads = evidence.calls("recv", host="server", connection=0)
    if len(made_up) < 3 or len(reads) < 2:
        return []
    challenge = [one for one in evidence.frames("s>c") if one[0].time_ns > made_up[1][0].time_ns]
    asked = [
        one for one in evidence.frames("c>s", data=True) if one[0].time_ns > made_up[0][0].time_ns
    ]
    return [
        *window(made_up[0], there(made_up[0][0])),
        *window(nth(asked, 0), back(reads[1])),
        *window(made_up[1], nth(challenge, 0)),
        *window(made_up[2], back(reads[-1])),
        *window(
            call_on(evidence, "send", -1, host="client"),
            call_on(evidence, "recv", -1, host="client"),
        ),
    ]


STUDY = Study(
    name="reset-window",
    topic=Topic.TEARDOWN,
    question="Somebody sends resets in my name. How good must he be at guessing?",
    setup="A client asks and is answered. In between its host sends three made-up resets to the "
    "server: one with a number that is long gone, one a little ahead of what the server "
    "expects, and one with exactly that number. After each the client asks again.",
    prediction="Out of the window: the server takes no notice. In the window, but not the next "
    "number: once that was enough, and a guesser had to try only as often as windows fit into "
    "4 GiB. Since RFC 5961 the server answers with a challenge ACK: if you mean it, send the "
    "number in this. A real peer would; the guesser never sees it. Exactly the next number "
    "ends the connection.",
    server=server,
    client=client,
    experiment=experiment,
    expects=(
        Expect("after one that is out of the window the client is", Kind.WORD,
               lambda p: "answered", lambda e: e.returned["client"][1],
               "RFC 9293 3.10.7.4: silently dropped"),
        Expect("ACKs of the server to it", Kind.COUNT, lambda p: 0, lambda e: challenged(e, 0),
               "the same; tcp_validate_incoming() of Linux"),
        Expect("after one in the window it is", Kind.WORD, lambda p: "answered",
               lambda e: e.returned["client"][2], "RFC 5961 3.2"),
        Expect("ACKs of the server to it", Kind.COUNT, lambda p: 1, lambda e: challenged(e, 1),
               "RFC 5961 3.2: a challenge ACK"),
        Expect("after one with the next number the server's recv() gets", Kind.WORD,
               lambda p: "ECONNRESET", lambda e: e.returned["server"], "RFC 9293 3.10.7.4"),
    ),
    moment=moment,
    next="`netlab study half-open`: a reset that is meant.",
)  # fmt: skip
