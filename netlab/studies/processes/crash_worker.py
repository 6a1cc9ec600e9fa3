"""A worker process crashes: what do the clients of the other workers see?"""

from __future__ import annotations

from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.quantity import Kind
from netlab.studies.serving import ANSWER_BYTES, CRASH, ask, crash_moment, with_core
from netlab.studies.sockets import connected, trial
from netlab.studies.stage import Stage
from netlab.studies.study import Claim, Expect, Params, Study, Topic

WORKERS, EACH, MOST = 2, 2, 100


def client(probe: Probe, p: Params) -> Any:
    """Connections to both workers; then the first one makes its worker crash."""
    who: list[str] = []
    socks: list[Any] = []
    while len(socks) < MOST and (len(set(who)) < WORKERS or min(map(who.count, who)) < EACH):
        socks.append(connected(probe))
        who.append(ask(socks[-1], b"hello"))
    socks[0].send(CRASH)
    hit = [sock for sock, worker in zip(socks, who, strict=True) if worker == who[0]]
    spared = [sock for sock, worker in zip(socks, who, strict=True) if worker != who[0]]
    hit_ports = [sock.getsockname()[1] for sock in hit]
    ends = [trial(sock.recv, ANSWER_BYTES) for sock in hit]
    after = [ask(sock, b"hello") for sock in spared]
    late = connected(probe)
    last = ask(late, b"hello")
    for sock in (*socks, late):
        sock.close()
    return {
        "hit": len(hit),
        "ended": sum(not end["value"] for end in ends),
        "spared": len(spared),
        "served": sum(map(bool, after)),
        "hit ports": hit_ports,
        "late": "served" if last and last != who[0] else "not served",
    }


def experiment(stage: Stage) -> None:
    """A process for each worker, each with a listening socket of its own."""
    with_core(stage, "base", WORKERS, True)


def last_words(evidence: Evidence) -> str:
    """With what the kernel of the server ended the connections of the worker that crashed."""
    hit = {c.connection for c in evidence.tables.connections
           if c.client_port in told("hit ports")(evidence)}  # fmt: skip
    words = set()
    for number in hit:
        flags = " ".join(f.tcp_flags or "" for f, _ in evidence.frames("s>c", connection=number))
        words.add("RST" if "RST" in flags else "FIN" if "FIN" in flags else "nothing")
    return " and ".join(sorted(words))


def survives(evidence: Evidence) -> bool:
    """Whether all clients of the other process went on."""
    return bool(told("spared")(evidence) == told("served")(evidence) >= EACH)


STUDY = Study(
    name="crash-worker",
    topic=Topic.PROCESSES,
    question="One worker process of a server crashes. Whose clients hear of it?",
    setup="A server of two worker processes, each with connections of its own. Clients connect "
    "until each worker has two of them; the first one's message makes its worker crash with "
    "SIGSEGV. Then the others ask again, and a new client comes.",
    prediction="Only its own: their sockets were in that process, so the kernel closes them, "
    "and its clients get a FIN, as after any close(): the wire does not tell a crash. The "
    "other worker has another memory and other descriptors: its clients notice nothing. A new "
    "client is served, for the manager has seen its child die and has forked another.",
    client=client,
    experiment=experiment,
    moment=crash_moment,
    by_lot=True,  # whose connection a new one becomes is told by a hash of its ports
    expects=(
        Expect("clients of that worker that were not cut off", Kind.COUNT, lambda p: 0,
               lambda e: told("hit")(e) - told("ended")(e), "exit_files() of Linux"),
        Expect("on the wire they hear", Kind.WORD, lambda p: "FIN", last_words,
               "RFC 9293 3.6: all that they had sent was read; else it would be RST (SHLD-3)"),
        Expect("clients of the other that were not served", Kind.COUNT, lambda p: 0,
               lambda e: told("spared")(e) - told("served")(e),
               "man 2 fork: separate memory, descriptors of its own"),
        Expect("a client that comes later", Kind.WORD, lambda p: "served", told("late"),
               "man 2 waitpid: the parent learns of it"),
    ),
    claims=(
        Claim("A process survives another's crash.", survives,
              "where they share no memory and hold no lock in common"),
    ),
    next="`netlab study crash-behind-master`: where not even its own clients hear of it.",
)  # fmt: skip
