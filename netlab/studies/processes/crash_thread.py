"""A thread crashes: what do the clients of the other threads see?"""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.quantity import Kind
from netlab.studies.serving import ANSWER_BYTES, CRASH, ask, callers, core, crash_moment
from netlab.studies.sockets import trial
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic


def client(probe: Probe, p: Params) -> Any:
    """Several connections are served; then one of them makes its thread crash."""
    socks = callers(probe, p.clients)
    threads = {ask(sock, b"hello") for sock in socks}
    socks[0].send(CRASH)
    ends = [trial(sock.recv, ANSWER_BYTES) for sock in socks]
    for sock in socks:
        sock.close()
    return {
        "threads": len(threads),
        "processes": len({who.split()[0] for who in threads}),
        "ended": sum(not end["value"] for end in ends),
        "how": ", ".join(sorted({end["error"] or "end" for end in ends})),
    }


def late(probe: Probe, p: Params) -> str:
    """A client that comes when the process is gone."""
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    error: str = trial(sock.connect, ("server", PORT))["error"]
    sock.close()
    return error or "connected"


def experiment(stage: Stage) -> None:
    """A thread for each connection."""
    server = stage.start("server", core, "threads")
    stage.lab.wait_listening("server", PORT)
    stage.run("client", client)
    stage.lab.wait(server)
    stage.run("client", late)


STUDY = Study(
    name="crash-thread",
    topic=Topic.PROCESSES,
    question="One thread of a server has a wild pointer. What do the clients of the others see?",
    setup="A server with a thread for each connection serves {clients} clients. The first one's "
    "message makes its thread crash with SIGSEGV.",
    prediction="The end, all of them. A signal that kills does not kill a thread: it ends the "
    "process, with every thread in it, whichever was hit. The kernel closes all sockets: every "
    "client gets a FIN, in the middle of its talk, and a new one is refused, for nobody listens "
    "any more. (An exception in Python is no crash: it ends with the callback.)",
    parameters=(Parameter("clients", Kind.COUNT, 4, 2, 50, "that are served"),),
    client=client,
    experiment=experiment,
    moment=crash_moment,
    expects=(
        Expect("threads that served them", Kind.COUNT, lambda p: p.clients, told("threads"),
               "the server's mode: one for each connection"),
        Expect("processes that these belong to", Kind.COUNT, lambda p: 1, told("processes"),
               "man 7 pthreads: threads share a process ID"),
        Expect("clients whose connection ended", Kind.COUNT, lambda p: p.clients, told("ended"),
               "man 7 signal: the default action of SIGSEGV terminates the process"),
        Expect("their recv() said", Kind.WORD, lambda p: "end", told("how"),
               "man 2 recv; exit_files() of Linux: FIN, since all was read"),
        Expect("a client that comes later", Kind.WORD, lambda p: "ECONNREFUSED",
               lambda e: e.returned["client#2"], "RFC 9293 3.10.7.1"),
    ),
    claims=(
        Claim("A crash in one thread takes the whole process with it.",
              lambda e: told("ended")(e) == e.p.clients),
    ),
    next="`netlab study crash-worker`: the same with processes.",
)  # fmt: skip
