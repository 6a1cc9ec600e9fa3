"""select, poll and epoll with a timeout: what each returns, and how late."""

from __future__ import annotations

import select
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import window
from netlab.studies.parts import BUSY_NS, MS, TURN_NS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.timeouts.rcvtimeo import server

PAGES = {"epoll": "epoll_wait"}


def client(probe: Probe, p: Params) -> Any:
    """Waits with each of the three for bytes that do not come."""
    sock = connected(probe)
    poller = probe.poll()
    poller.register(sock, select.POLLIN)
    epoll = probe.epoll()
    epoll.register(sock, select.EPOLLIN)
    seconds = p.timeout / 1e9
    found = {}
    for name, wait in (
        ("select", lambda: probe.select([sock], [], [], seconds)[0]),
        ("poll", lambda: poller.poll(p.timeout / MS)),
        ("epoll", lambda: epoll.poll(seconds)),
    ):
        begun_ns = time.monotonic_ns()
        ready = wait()
        found[name] = [len(ready), time.monotonic_ns() - begun_ns]
    epoll.close()
    sock.close()
    return found


def _waited(name: str) -> Expect:
    return Expect(
        f"{name} returned after", Kind.TIME, lambda p: p.timeout,
        lambda e: e.returned["client"][name][1], f"man 2 {PAGES.get(name, name)}: never early",
        more=MS + TURN_NS,
        because="two of them count milliseconds; a turn, until the client runs again",
    )  # fmt: skip


def moment(evidence: Evidence) -> list[Window]:
    """The three waits."""
    return window(evidence.call("select"), evidence.call("epoll_wait"))


STUDY = Study(
    name="poll-timeout",
    topic=Topic.TIMEOUTS,
    question="Nothing comes within {timeout}. What do select(), poll() and epoll_wait() say?",
    setup="A client waits with each of the three, one after the other; the server never sends.",
    prediction="All return zero descriptors, which is no error, after {timeout} and not before. "
    "select takes microseconds, poll and epoll_wait milliseconds: Python rounds up.",
    parameters=(Parameter("timeout", Kind.TIME, 150 * MS, 1 * MS, 5000 * MS, "of each"),),
    server=server,
    client=client,
    expects=(
        Expect("descriptors that they reported, in all", Kind.COUNT, lambda p: 0,
               lambda e: sum(found[0] for found in e.returned["client"].values()),
               "man 2 poll: a value of zero indicates that the system call timed out"),
        _waited("select"), _waited("poll"), _waited("epoll"),
    ),
    next="`netlab study settimeout`.",
    cause=lambda p: "timer" if p.timeout >= BUSY_NS else "",
    moment=moment,
)  # fmt: skip
