"""select(): three lists in, three lists out, and where it ends."""

from __future__ import annotations

import fcntl
import os
import select
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.crowd import take_the_limit, too_few
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening
from netlab.studies.study import Claim, Expect, Params, Study, Topic

SETSIZE = 1024  # __FD_SETSIZE, include/uapi/linux/posix_types.h
NAMES = ("quiet", "ended", "spoke")


def server(probe: Probe, p: Params) -> Any:
    """Asks select() about three connections; then about a descriptor with a high number."""
    take_the_limit()
    listener = listening(probe)
    socks = [listener.accept()[0] for _ in NAMES]
    named = dict(zip(socks, NAMES, strict=True))
    spoke = socks[-1]
    probe.select([spoke], [], [], 10)  # its byte was sent last
    readable, writable, _ = probe.select(socks, socks, [], 0)
    spoke.recv(10)
    again, _, _ = probe.select(socks, [], [], 0)
    high = fcntl.fcntl(spoke.fileno(), fcntl.F_DUPFD_CLOEXEC, SETSIZE)
    try:
        probe.select([], [high], [], 0)
        limit = "taken"
    except ValueError:
        limit = "refused"
    poll = probe.poll()
    poll.register(high, select.POLLOUT)
    polled = len(poll.poll(0))
    os.close(high)
    for sock in (*socks, listener):
        sock.close()
    return {
        "readable": _words(named, readable),
        "writable": _words(named, writable),
        "again": _words(named, again),
        "number": high,
        "limit": limit,
        "polled": polled,
    }


def _words(named: dict[Any, str], socks: list[Any]) -> str:
    return ", ".join(named[sock] for sock in socks) or "none"


def client(probe: Probe, p: Params) -> None:
    """Three connections: says nothing on one, ends another, says something on the third."""
    quiet, ended, spoke = (connected(probe) for _ in NAMES)
    ended.close()
    spoke.send(b"n")
    quiet.recv(1)  # until the server closes
    quiet.close()
    spoke.close()


def _found(what: str) -> Any:
    return lambda e: e.returned["server"][what]


STUDY = Study(
    name="select",
    topic=Topic.IO_MODELS,
    question="Of three clients one is quiet, one has closed, one has spoken. What says select()?",
    setup="A server hands select() its three connections, as candidates for reading and for "
    "writing. It reads what there is, and asks once more. Then it asks about a copy "
    "of a descriptor that has the number 1,024.",
    prediction="Readable means that recv() would not wait: there are bytes, or the end, which "
    "recv() tells by returning none. The end stays readable for ever, so who does not close "
    "such a socket goes in circles. Writable are all: there is room in their send buffers. "
    "A descriptor of 1,024 is refused, though it is alone: the set is an array of 1,024 "
    "bits, and the number is the place in it. poll() takes it.",
    server=server,
    client=client,
    expects=(
        Expect("readable", Kind.WORD, lambda p: "ended, spoke", _found("readable"), "man 2 select"),
        Expect("writable", Kind.WORD, lambda p: ", ".join(NAMES), _found("writable"),
               "man 2 select; tcp_poll() of Linux: the peer's end closes one direction"),
        Expect("readable, after its bytes were read", Kind.WORD, lambda p: "ended",
               _found("again"), "man 2 select: also end-of-file"),
        Expect("one descriptor, number 1,024, select()", Kind.WORD, lambda p: "refused",
               _found("limit"), "man 2 select: FD_SETSIZE is 1,024; Python raises ValueError"),
        Expect("one descriptor, number 1,024, poll(): ready", Kind.COUNT, lambda p: 1,
               _found("polled"), "man 2 poll"),
    ),
    connection=2,
    lacks=lambda: too_few(SETSIZE + 1),
    next="`netlab study wait-cost`: what it costs to hand over a long list each time.",
    claims=(
        Claim("select() ends at 1,024",
              lambda e: e.returned["server"]["limit"] == "refused",
              "by the number of a descriptor, not by how many there are"),
    ),
)  # fmt: skip
