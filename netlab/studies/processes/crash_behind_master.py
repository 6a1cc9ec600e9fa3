"""A worker crashes that has no sockets of its own: a master in front holds them."""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence, told
from netlab.studies.quantity import Kind
from netlab.studies.serving import CRASH, ask, callers, crash_moment, with_core
from netlab.studies.sockets import trial
from netlab.studies.stage import Stage
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

PATIENCE_S = 0.5


def client(probe: Probe, p: Params) -> Any:
    """One client makes its worker crash, waits in vain, and asks again."""
    socks = callers(probe, p.clients)
    before = [ask(sock, b"hello") for sock in socks]
    socks[0].settimeout(PATIENCE_S)
    lost = trial(ask, socks[0], CRASH)
    socks[0].settimeout(None)
    after = [ask(sock, b"hello") for sock in socks]
    for sock in socks:
        sock.close()
    return {
        "lost": lost["error"] or "answered",
        "open": sum(map(bool, after)),
        "another": "yes" if after[0] != before[0] else "no",
    }


def experiment(stage: Stage) -> None:
    """A master that holds the connections, and two workers behind it."""
    with_core(stage, "process", 2)


def goodbyes(evidence: Evidence) -> int:
    """What the server's kernel sent to end the connection, before its client did."""
    theirs = [packet.time_ns for packet, _ in evidence.frames("c>s") if _ends(packet)]
    ours = [packet.time_ns for packet, _ in evidence.frames("s>c") if _ends(packet)]
    return sum(not theirs or time_ns < theirs[0] for time_ns in ours)


def _ends(packet: Packet) -> bool:
    return bool({"FIN", "RST"} & set((packet.tcp_flags or "").split()))


STUDY = Study(
    name="crash-behind-master",
    topic=Topic.PROCESSES,
    question="Can a worker crash and no client lose its connection?",
    setup="A master process accepts, reads and writes, and hands each message to one of two "
    "workers behind it. One of {clients} clients makes its worker crash, waits 0.5 s for an "
    "answer, and asks again on the same connection.",
    prediction="Yes: the sockets are the master's, and the master lives. The message that was "
    "being handled is lost, since nobody else knows what to do with it: no answer to that one, "
    "ever. On the wire there is nothing to see of a crash, no FIN, no RST: only an answer "
    "that does not come. The next one comes, from the worker that was forked in its place.",
    parameters=(Parameter("clients", Kind.COUNT, 4, 2, 50, "that are served"),),
    client=client,
    experiment=experiment,
    moment=crash_moment,
    expects=(
        Expect("connections that are still open and served", Kind.COUNT, lambda p: p.clients,
               told("open"), "man 2 close: the last descriptor is the master's"),
        Expect("the answer to the message that did it", Kind.WORD, lambda p: "timed out",
               told("lost"), "who has it, is gone"),
        Expect("another process answers then", Kind.WORD, lambda p: "yes", told("another"),
               "man 2 waitpid: the parent learns of it"),
        Expect("FIN or RST of the server in that connection, before the client's", Kind.COUNT,
               lambda p: 0, goodbyes, "the socket was not closed"),
    ),
    next="`netlab study crash-thread`, `netlab study crash-worker`: what others lose.",
    cause="timer",
    waits_on="client recv",
)  # fmt: skip
