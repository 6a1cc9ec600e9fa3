"""Many processes wait for one connection: how many wake."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.family import ended, forked
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

MASKS = {"plain": select.EPOLLIN, "exclusive": select.EPOLLIN | select.EPOLLEXCLUSIVE}
READY = PORT + len(MASKS)  # a port that is bound once all are asleep
QUIET_S = 0.5  # nobody wakes any more
WITHIN_S = 20
GOT, NOTHING, ASLEEP = 0, 1, 2  # how a worker ends


class Herd:
    """Processes that wait for a connection at one listener, each with an epoll of its own."""

    def __init__(self, probe: Probe, name: str, port: int, count: int) -> None:
        """Start them, and wait until all of them sleep."""
        self.listener = listening(probe, port=port)
        self.listener.setblocking(False)
        self.woken, told = os.pipe()
        stop, self._go = os.pipe()

        def work() -> int:
            return wait_for_one(probe, self.listener, MASKS[name], told, stop)

        self._pids = [forked(probe, f"{name}-{number}", work) for number in range(1, count + 1)]
        os.close(told)
        for _ in self._pids:
            os.read(self.woken, 1)  # it is about to wait
        until_s = time.monotonic() + WITHIN_S
        while not all(map(_sleeps, self._pids)):
            if time.monotonic() > until_s:
                raise TimeoutError(f"the {name} processes do not fall asleep")
            time.sleep(0.01)

    def outcome(self) -> dict[str, int]:
        """Once the connection came: how many woke, and what accept() gave them."""
        woke = len(os.read(self.woken, 1))
        reports = select.poll()
        reports.register(self.woken, select.POLLIN)
        while reports.poll(QUIET_S * 1000) and (told := os.read(self.woken, 1)):
            woke += len(told)
        os.write(self._go, b"g" * len(self._pids))  # accept now; who still sleeps wakes by this
        ends = [ended(pid) for pid in self._pids]
        self.listener.close()
        return {"woke": woke, "got": ends.count(GOT), "nothing": ends.count(NOTHING)}


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def wait_for_one(probe: Probe, listener: Any, mask: int, told: int, stop: int) -> int:
    """A worker: waits, tells that it woke, and accepts once all who wake have told so."""
    epoll = probe.epoll()
    epoll.register(listener, mask)
    epoll.register(stop, select.EPOLLIN)
    os.write(told, b"r")
    woke = [fd for fd, _ in epoll.poll(WITHIN_S)]
    if listener.fileno() not in woke:
        return ASLEEP
    os.write(told, b"w")
    os.read(stop, 1)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return NOTHING
    return GOT


def server(probe: Probe, p: Params) -> Any:
    """One herd after the other waits, then one connection comes for each."""
    herds = [Herd(probe, name, PORT + number, p.processes) for number, name in enumerate(MASKS)]
    ready = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ready.bind(("0.0.0.0", READY))
    found = {name: herd.outcome() for name, herd in zip(MASKS, herds, strict=True)}
    ready.close()
    return found


def client(probe: Probe, p: Params) -> None:
    """One connection to each."""
    for number in range(len(MASKS)):
        sock = connected(probe, port=PORT + number)
        sock.recv(1)
        sock.close()


def experiment(stage: Stage) -> None:
    """The client connects when all of them sleep."""
    program = stage.start("server", server)
    stage.lab.wait_listening("server", READY, within_s=WITHIN_S)
    stage.run("client", client)
    stage.wait(program)
    stage.lab.settle()


def _woke(name: str, what: str = "woke") -> Any:
    return lambda e: e.returned["server"][name][what]


def moment(evidence: Evidence) -> list[Window]:
    """From the connect() until all have woken; and who got the connection."""
    took = call_on(evidence, "accept", host="server")
    woken = [
        call.returned_ns
        for call in evidence.calls("epoll_wait", host="server")
        if call.returned_ns is not None and took is not None and call.returned_ns < took.entered_ns
    ]
    return window(call_on(evidence, "connect", host="client"), *woken) + window(
        took, call_on(evidence, "close", host="server")
    )


STUDY = Study(
    name="thundering-herd",
    topic=Topic.IO_MODELS,
    question="{processes} processes wait for a connection. One comes. How many of them wake?",
    setup="{processes} processes have inherited a listener, and each waits in an epoll of its own. "
    "One client connects. Whoever wakes says so, and when nobody wakes any more all who did "
    "call accept(). The same again, registered with EPOLLEXCLUSIVE.",
    prediction="All {processes}: each epoll has its own entry in the listener's wait queue, "
    "and the kernel wakes every one. One gets the connection, for the others accept() has "
    "nothing (EAGAIN): they were woken for nothing, the thundering herd. With EPOLLEXCLUSIVE "
    "the kernel goes through the queue only until one process has woken.",
    parameters=(Parameter("processes", Kind.COUNT, 8, 1, 64, "that wait"),),
    server=server,
    client=client,
    experiment=experiment,
    expects=(
        Expect("processes that wake", Kind.COUNT, lambda p: p.processes, _woke("plain"),
               "man 2 epoll_ctl, EPOLLEXCLUSIVE: by default all receive an event"),
        Expect("of these get the connection", Kind.COUNT, lambda p: 1, _woke("plain", "got"),
               "man 2 accept"),
        Expect("of these accept() fails with EAGAIN", Kind.COUNT, lambda p: p.processes - 1,
               _woke("plain", "nothing"), "man 2 accept: non-blocking"),
        Expect("with EPOLLEXCLUSIVE: processes that wake", Kind.COUNT, lambda p: 1,
               _woke("exclusive"),
               "man 2 epoll_ctl: one or more; ep_poll_callback() of Linux: one that sleeps"),
        Expect("with EPOLLEXCLUSIVE: get the connection", Kind.COUNT, lambda p: 1,
               _woke("exclusive", "got"),
               "man 2 accept"),
    ),
    next=lambda p: (
        "`netlab study thundering-herd --set processes=64`."
        if p.processes < 64
        else "`netlab study who-accepts`: who is woken, where one is."
    ),
    cause="accept_queue",
    waits_on="client recv",
    claims=(
        Claim("One connection wakes every process that waits for it",
              lambda e: e.returned["server"]["plain"]["woke"] == e.p.processes > 1,
              "if each waits in an epoll of its own, and without EPOLLEXCLUSIVE; of those that "
              "wait in accept() the kernel wakes one (prepare_to_wait_exclusive() of Linux)"),
    ),
    moment=moment,
)  # fmt: skip
