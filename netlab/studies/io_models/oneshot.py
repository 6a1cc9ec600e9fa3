"""Two workers, one epoll: EPOLLONESHOT gives an event to one of them."""

from __future__ import annotations

import select
import threading
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

SIZE = 100
PATIENCE_S = 0.3  # of a worker
WITHIN_MS = 10_000


def server(probe: Probe, p: Params) -> Any:
    """Two threads wait in the same epoll; none reads before both have come back."""
    sock = accepted(probe)
    epoll = probe.epoll()
    mask = select.EPOLLIN | (select.EPOLLONESHOT if p.oneshot else 0)
    epoll.register(sock, mask)
    handed: list[int] = []

    def work(name: str) -> None:
        probe.name_thread(name)
        handed.append(len(epoll.poll(PATIENCE_S)))

    workers = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sock.recv(SIZE)
    sock.send(b"y")
    poll = probe.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(WITHIN_MS)  # the second message is there
    found = {"workers": sum(handed), "before": len(epoll.poll(0))}
    epoll.modify(sock, mask)
    found["after"] = len(epoll.poll(0))
    sock.recv(SIZE)
    epoll.close()
    sock.close()
    return found


def client(probe: Probe, p: Params) -> None:
    """Sends a message, and another when it is asked."""
    sock = connected(probe)
    sock.send(b"n" * SIZE)
    sock.recv(1)
    sock.send(b"n" * SIZE)
    sock.recv(1)
    sock.close()


def moment(evidence: Evidence) -> list[Window]:
    """From the registration on."""
    first, last = evidence.call("epoll_ctl"), evidence.call("recv", -1, host="server")
    return [(first.entered_ns, last.returned_ns)] if first and last and last.returned_ns else []


STUDY = Study(
    name="oneshot",
    topic=Topic.IO_MODELS,
    question="Two threads wait in one epoll. A message comes. Which of them is told?",
    setup="Both call epoll_wait() on the same epoll, with EPOLLONESHOT where oneshot is 1. "
    "Neither reads until both are back; a wait lasts 0.3 s at most. Then a second message "
    "comes, and the main thread asks, before and after epoll_ctl(EPOLL_CTL_MOD).",
    prediction="Level-triggered, both are: the bytes still lie there when the second one looks, "
    "and two threads are about to read the same message. EPOLLONESHOT turns the registration "
    "off with its first event. So one thread has the connection for itself, until it says "
    "by EPOLL_CTL_MOD that it has done with it; what came meanwhile is reported then.",
    parameters=(Parameter("oneshot", Kind.COUNT, 1, 0, 1, "1: EPOLLONESHOT"),),
    server=server,
    client=client,
    expects=(
        Expect("threads that were told", Kind.COUNT, lambda p: 1 if p.oneshot else 2,
               lambda e: e.returned["server"]["workers"], "man 2 epoll_ctl: EPOLLONESHOT"),
        Expect("second message: reports before EPOLL_CTL_MOD", Kind.COUNT,
               lambda p: 0 if p.oneshot else 1, lambda e: e.returned["server"]["before"],
               "man 2 epoll_ctl: disabled after one event"),
        Expect("and after it", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["server"]["after"],
               "man 2 epoll_ctl: EPOLL_CTL_MOD re-arms; ep_modify() of Linux asks the socket"),
    ),
    moment=moment,
    next=lambda p: (
        "`netlab study oneshot --set oneshot=0`: both are told."
        if p.oneshot
        else "`netlab study oneshot --set oneshot=1`: one is."
    ),
    cause=lambda p: "timer" if p.oneshot else "",
    waits_on="server epoll_wait",
)  # fmt: skip
