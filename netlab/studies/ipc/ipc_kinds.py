"""What each kind of IPC can: its direction, who may have it, borders, the longest message, order.

Every cell of the table is tried but one: how long a message may be is asked only where there are
borders. Bytes without borders have no messages ("-"), and kill() has no argument for any.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from netlab.model.probe import Probe
from netlab.server.plain import PlainProbe
from netlab.studies.evidence import Evidence
from netlab.studies.family import ended, forked
from netlab.studies.ipc import peer_death
from netlab.studies.quantity import Kind, shown
from netlab.studies.study import Expect, Params, Study, Topic
from netlab.studies.talks import MOST_BYTES, STRANGER, End, Talk, limit, talks

KINDS = (
    "pipe", "named pipe", "socketpair", "Unix stream", "Unix datagram", "Unix seqpacket", "TCP",
    "POSIX queue", "System V queue", "signal", "shared memory", "semaphore",
)  # fmt: skip
ONE_WAY, BOTH_WAYS, SHARED = "one way", "both ways", "shared"
KIN, NO_BYTES = "kin", "no bytes"
SOCKET_OVERHEAD_BYTES = 32  # unix_dgram_sendmsg() of Linux: at most the send buffer less these
COLUMNS = ("direction", "who", "borders", "longest", "order")


def client(probe: Probe, p: Params) -> Any:
    """For each kind a cell of each column; the stranger is one program for all of them."""
    with contextlib.ExitStack() as after:
        every = talks(PlainProbe(), after)  # what is said once, to try it, tells no story
        found = {talk.name: _tried(talk) for talk in every}
        found["signal"] = _signals(probe)
        places = {talk.name: talk.place for talk in every} | {"signal": os.getpid()}
        command = [sys.executable, "-I", "-c", STRANGER, json.dumps(places)]
        subprocess.run(command, check=True)
        for talk in every:
            found[talk.name]["who"] = _who(talk)
        came = signal.sigtimedwait({signal.SIGUSR2}, 0)
        found["signal"]["who"] = "any by pid" if came is not None else KIN
    return found


def _who(talk: Talk) -> str:
    with contextlib.suppress(BlockingIOError):
        talk.heard()
        return f"any {talk.by}"
    return KIN


def _tried(talk: Talk) -> dict[str, Any]:
    there, back = _arrives(talk.ours, talk.its), _arrives(talk.its, talk.ours)
    own = there and back and _arrives(talk.ours, talk.ours)
    with contextlib.suppress(BlockingIOError):
        talk.its.take()  # what did not come back to us
    direction = SHARED if own else BOTH_WAYS if there and back else ONE_WAY
    borders = _two(talk, b"abc", b"defgh", {
        b"abc": "kept", b"abcdefgh": "none", b"defgh": "overwritten", b"": NO_BYTES,
    })  # fmt: skip
    order = _two(
        talk, b"1", b"2", {b"1": "in order", b"12": "in order", b"2": "the last", b"": "-"}
    )
    if talk.urgent is not None and talk.urgent() == b"2":
        order = talk.order
    return {
        "direction": direction,
        "borders": borders,
        "longest": _longest(talk) if talk.has_borders else "-",
        "order": order,
    }


def _arrives(one: End, other: End) -> bool:
    try:
        one.put(b"n")
        other.take()
    except OSError:
        return False
    return True


def _two(talk: Talk, first: bytes, second: bytes, words: dict[bytes, str]) -> str:
    """What the first take after two puts gave, in a word; all that is left is taken, too."""
    talk.ours.put(first)
    talk.ours.put(second)
    got = talk.its.take()
    with contextlib.suppress(BlockingIOError):
        talk.its.take()
    return words.get(got, got.decode())


def _longest(talk: Talk) -> int:
    """The longest message that is taken, in bytes."""
    fits, too_long = 0, MOST_BYTES
    while too_long - fits > 1:
        size = (fits + too_long) // 2
        try:
            talk.ours.put(bytes(size))
        except (OSError, ValueError):  # the packages' word for EMSGSIZE and EINVAL
            too_long = size
            continue
        talk.its.take()
        fits = size
    return fits


def _signals(probe: Probe) -> dict[str, Any]:
    """Two processes that send each other signals; all of them are blocked, and taken."""
    low, high = signal.SIGRTMIN, signal.SIGRTMIN + 1
    every = {low, high, signal.SIGUSR1, signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, every)
    us = os.getpid()

    def child() -> int:
        came = signal.sigwait({signal.SIGUSR1})
        for number in (high, low, signal.SIGUSR1, signal.SIGUSR1):
            os.kill(us, number)
        return came

    pid = forked(probe, "child", child)
    os.kill(pid, signal.SIGUSR1)
    there = ended(pid) == signal.SIGUSR1
    first = signal.sigtimedwait({low, high}, 0)
    back = first is not None
    signal.sigtimedwait({high}, 0)
    twice = 0
    while signal.sigtimedwait({signal.SIGUSR1}, 0) is not None:
        twice += 1
    return {
        "direction": BOTH_WAYS if there and back else ONE_WAY,
        "borders": "2 are 1" if twice == 1 else f"{twice} of 2",
        "longest": NO_BYTES,  # kill() has no argument for any
        "order": "low first" if first is not None and first.si_signo == low else "in order",
    }


def cells_of(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """What was found, by kind and column."""
    found: dict[str, dict[str, Any]] = evidence.returned["client"]
    return found


def table(evidence: Evidence) -> list[list[str]]:
    """A row for each kind."""
    rows = [["", *COLUMNS]]
    for name in KINDS:
        cells = [cells_of(evidence)[name][column] for column in COLUMNS]
        rows.append([name, *(shown(Kind.SIZE, c) if isinstance(c, int) else c for c in cells)])
    return rows


def _row(name: str, said: str, source: str) -> Expect:
    """All of a kind but how long a message may be."""

    def measured(evidence: Evidence) -> str:
        found = cells_of(evidence)[name]
        words = [found[column] for column in COLUMNS if column != "longest"]
        return ", ".join(word for word in words if word != "-")

    return Expect(name, Kind.WORD, lambda p: said, measured, source)


def _most(name: str, bytes_: Callable[[Params], int], source: str) -> Expect:
    return Expect(f"longest message, {name}", Kind.SIZE, bytes_,
                  lambda e: cells_of(e)[name]["longest"], source)  # fmt: skip


def datagram_bytes(p: Params) -> int:
    """A Unix datagram has to fit into the send buffer, and nobody has set that."""
    return limit("net/core/wmem_default") - SOCKET_OVERHEAD_BYTES


STUDY = Study(
    name="ipc-kinds",
    topic=Topic.IPC,
    question="What can each kind of IPC: which way, between whom, with which messages?",
    setup="For each kind a process tries: to send there, back, and to itself; two messages, and "
    "what one receive then gives; ever longer ones; and one that is to come before an older one. "
    "Then a program that was started anew, and inherited nothing, tries to say something to each, "
    "and knows only names and numbers. Only the answers are noted, "
    "not the calls.",
    prediction="Direction: a pipe goes one way, sockets go both ways, each end has its own; what "
    "is shared has no ends: who puts may take his own again. Who: what has no name is for kin, "
    "that is who inherits its descriptor (or is handed it); any process that may can open a path, "
    "a name, a key or a port, and any process of the same user can signal a pid. "
    "Borders: bytes run together in pipes and in streams; queues, datagrams and seqpackets keep "
    "messages apart, up to a longest one. Two standard signals are one, and carry no bytes; "
    "memory has what was written last; a semaphore only counts. Order: only queues let a later "
    "message come first, by its priority or its type, and of real-time signals the lowest comes "
    "first.",
    client=client,
    connection=None,
    lacks=peer_death.lacks,
    table=table,
    expects=(
        _row("pipe", "one way, kin, none, in order", "man 7 pipe: unidirectional; a byte stream"),
        _row("named pipe", "one way, any by path, none, in order", "man 7 fifo"),
        _row("socketpair", "both ways, kin, none, in order", "man 2 socketpair"),
        _row("Unix stream", "both ways, any by path, none, in order", "man 7 unix"),
        _row("Unix datagram", "both ways, any by path, kept, in order",
             "man 7 unix: preserves message boundaries; reliable and does not reorder"),
        _row("Unix seqpacket", "both ways, any by path, kept, in order",
             "man 7 unix: connection-oriented, preserves message boundaries"),
        _row("TCP", "both ways, any by port, none, in order", "RFC 9293 2.2, 3.9.1"),
        _row("POSIX queue", "shared, any by name, kept, priority", "man 7 mq_overview"),
        _row("System V queue", "shared, any by key, kept, by type", "man 2 msgrcv: msgtyp"),
        _row("signal", "both ways, any by pid, 2 are 1, low first",
             "man 7 signal: standard signals do not queue; man 2 kill"),
        _row("shared memory", "shared, any by name, overwritten, the last",
             "man 7 shm_overview"),
        _row("semaphore", "shared, any by name, no bytes", "man 7 sem_overview"),
        _most("Unix datagram", datagram_bytes, "unix_dgram_sendmsg() of Linux: the default send "
              "buffer, net.core.wmem_default, less 32"),
        _most("Unix seqpacket", datagram_bytes, "the same"),
        _most("POSIX queue", lambda p: limit("fs/mqueue/msgsize_max"), "man 7 mq_overview"),
        _most("System V queue", lambda p: limit("kernel/msgmax"), "man 2 msgsnd: MSGMAX"),
    ),
    next="`netlab study peer-death`: how each shows that its other end has died.",
)  # fmt: skip
