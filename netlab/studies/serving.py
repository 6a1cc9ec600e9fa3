"""The server core as the server of a study, in any of its modes, and the clients that ask it.

Its answer to a message says who answered: `pid thread`. Some messages ask for more than that:
`crash` ends whoever handles it as a wild pointer would, `sleep 300` keeps it for so many ms,
`switches` is answered with how often the server's threads have left the processor so far, all of
them together.
"""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import threading
import time
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.server import Server
from netlab.server.terms import Mode
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, nth, window
from netlab.studies.sockets import connected
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Params, Window

CRASH = b"crash"
_SWITCHES = re.compile(r"voluntary_ctxt_switches:\s*(\d+)")  # and nonvoluntary_...
ANSWER_BYTES = 100  # more than any answer has


def core(
    probe: Probe, p: Params, mode: str, workers: int = 2, reuse_port: bool = False, port: int = PORT
) -> int:
    """Serve until told to stop; the exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file
    server = Server(
        "0.0.0.0", port, probe=probe, mode=Mode(mode), workers=workers, reuse_port=reuse_port
    )
    server.on("receive", receive)
    return server.start()


def receive(server: Server, session: int, data: bytes) -> None:
    """Do what the message says, and say who did it."""
    word, _, rest = data.decode().partition(" ")
    if data == CRASH:
        signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)
    if word == "sleep":
        time.sleep(int(rest) / 1000)
    answer = f"{os.getpid()} {threading.get_ident()}"
    server.send(session, (f"{switches()}" if word == "switches" else answer).encode())


def switches() -> int:
    """How often the threads of this server, all of its process group, have left the processor.

    man 5 proc_pid_status, of each thread: both when it had to wait and when others took its place.
    """
    count, group = 0, os.getpgrp()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                for status in process.glob("task/[0-9]*/status"):
                    text = status.read_text(encoding="ascii", errors="replace")
                    count += sum(map(int, _SWITCHES.findall(text)))
        except (ProcessLookupError, FileNotFoundError):
            continue  # it ended meanwhile
    return count


def ask(sock: Any, message: bytes) -> str:
    """Send it; the answer, empty at the end of the connection."""
    sock.send(message)
    answer: bytes = sock.recv(ANSWER_BYTES)
    return answer.decode()


def callers(probe: Probe, count: int, port: int = PORT) -> list[Any]:
    """So many connections to the server."""
    return [connected(probe, port=port) for _ in range(count)]


def answers_ns(probe: Probe, socks: list[Any], message: bytes) -> list[int]:
    """Send the message on all connections; how long each waits for its answer, which is read."""
    poll = probe.poll()
    begun_ns, waits = {}, dict[int, int]()
    for sock in socks:
        poll.register(sock, select.POLLIN)
        begun_ns[sock.fileno()] = time.monotonic_ns()
        sock.send(message)
    while len(waits) < len(socks):
        for descriptor, _ in poll.poll(20_000):
            waits[descriptor] = time.monotonic_ns() - begun_ns[descriptor]
            poll.unregister(descriptor)
    for sock in socks:
        sock.recv(ANSWER_BYTES)
    return [waits[sock.fileno()] for sock in socks]


def crash_moment(evidence: Evidence) -> list[Window]:
    """The message that made the server crash and what its client heard of it; where it asked once
    more, that, and how the answer came."""
    sends = evidence.calls("send", host="client", connection=0)
    receives = evidence.calls("recv", host="client", connection=0)
    if len(sends) < 3 or len(receives) < 3:
        return window(*sends[1:], *receives[-1:])
    answers = evidence.frames("s>c", data=True)
    return [
        *window(sends[1], receives[1]),
        *window(sends[2]),
        *window(nth(answers, -1), back(receives[2])),
    ]


REUSEPORT = "reuseport"  # workers as in base, each with a listening socket of its own
MODES = {  # and what they are called in texts
    "single": "one loop",
    "threads": "threads",
    "base": "workers that accept",
    REUSEPORT: "workers with a socket each",
    "process": "master and workers",
}


def with_each_mode(stage: Stage) -> None:
    """Start the core in every mode, each at the next port, run the client, stop them."""
    assert stage.study.client is not None
    for number, mode in enumerate(MODES):
        apart = mode == REUSEPORT
        stage.start("server", core, "base" if apart else mode, 2, apart, PORT + number)
    for number in range(len(MODES)):
        stage.lab.wait_listening("server", PORT + number)
    stage.run("client", stage.study.client)
    stage.lab.stop("server")


def with_core(stage: Stage, *arguments: object) -> None:
    """Start the core so, run the client, stop the core."""
    assert stage.study.client is not None
    stage.start("server", core, *arguments)
    stage.lab.wait_listening("server", PORT)
    stage.run("client", stage.study.client)
    stage.lab.stop("server")
