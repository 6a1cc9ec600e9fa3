"""Every call, blocking, non-blocking and with a time-out: what it does when it cannot be done."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, there, window
from netlab.studies.parts import MS, RTT, TURN_NS, delay
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import connected, listening, read_to_end
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

WAITS = 1  # the connection whose calls have to wait
FULL, BACK = PORT + 1, PORT + 2  # a listener whose queue is full; the client's own
BUFFER_BYTES = 8192
QUIET_MS = 300  # and two round trips: no ACK comes any more
NO_LIMIT = None  # of time: what settimeout() is given for a socket that blocks
MODES = ("blocking", "non-blocking", "with a time-out")
CALLS = {
    "accept": ("a socket", "EAGAIN", "TimeoutError"),
    "connect": ("done", "EINPROGRESS", "TimeoutError"),
    "recv": ("1 byte", "EAGAIN", "TimeoutError"),
    "recvfrom": ("1 byte", "EAGAIN", "TimeoutError"),
    "recvmsg": ("1 byte", "EAGAIN", "TimeoutError"),
    "send": ("1 byte", "EAGAIN", "TimeoutError"),
    "select": ("1 ready", "0 ready", "0 ready"),
    "poll": ("1 ready", "0 ready", "0 ready"),
    "epoll_wait": ("1 ready", "0 ready", "0 ready"),
}
Found = dict[str, list[dict[str, Any]]]  # by call, for each mode


def server(probe: Probe, p: Params) -> None:
    """Does what it is told: connect back, send a byte, or read all that was sent."""
    full = listening(probe, 0, FULL)
    listener = listening(probe, rcvbuf=BUFFER_BYTES)
    command, _ = listener.accept()
    data, _ = listener.accept()
    while (word := command.recv(1)) != b"w":
        if word == b"c":
            connected(probe, "client", BACK).close()
        else:
            data.send(b"n")
    read_to_end(data)
    for sock in (data, command, listener, full):
        sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Each call three times; only for the blocking one the server is told to make it possible."""
    limits = (NO_LIMIT, 0, p.timeout / 1e9)
    listener = listening(probe, port=BACK)
    command = connected(probe)
    data = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    data.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    data.connect(("server", PORT))
    stuffing = connected(probe, port=FULL)
    found: Found = {name: [] for name in CALLS}

    def tried(name: str, limit_s: float | None, word: bytes, call: Callable[[], Any]) -> None:
        begun_ns = time.monotonic_ns()
        if limit_s is NO_LIMIT and word:
            command.send(word)
        text = outcome(call)
        found[name].append({"text": text, "took_ns": time.monotonic_ns() - begun_ns})

    for limit_s in limits:
        listener.settimeout(limit_s)
        tried("accept", limit_s, b"c", listener.accept)
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(limit_s)
        port = PORT if limit_s is NO_LIMIT else FULL
        tried("connect", limit_s, b"", lambda: sock.connect(("server", port)))  # noqa: B023
        sock.close()
        data.settimeout(limit_s)
        tried("recv", limit_s, b"r", lambda: data.recv(10))
        tried("recvfrom", limit_s, b"r", lambda: data.recvfrom(10)[0])
        tried("recvmsg", limit_s, b"r", lambda: data.recvmsg(10)[0])
    poll, epoll = probe.poll(), probe.epoll()
    poll.register(data, select.POLLIN)
    epoll.register(data, select.EPOLLIN)
    for limit_s in limits:
        limit_ms = None if limit_s is None else limit_s * 1000
        for name, call in (
            ("select", lambda: probe.select([data], [], [], limit_s)[0]),  # noqa: B023
            ("poll", lambda: poll.poll(limit_ms)),  # noqa: B023
            ("epoll_wait", lambda: epoll.poll(limit_s)),  # noqa: B023
        ):
            tried(name, limit_s, b"r", call)
            if limit_s is NO_LIMIT:
                data.recv(10)
    fill(probe, data, QUIET_MS + 2 * p.rtt // MS)
    for limit_s in (0, p.timeout / 1e9, NO_LIMIT):
        data.settimeout(limit_s)
        tried("send", limit_s, b"w", lambda: data.send(b"n"))
    found["send"] = [found["send"][-1], *found["send"][:-1]]
    epoll.close()
    for sock in (data, command, stuffing, listener):
        sock.close()
    return found


def fill(probe: Probe, data: Any, quiet_ms: int) -> None:
    """Send until nothing fits any more, at either end."""
    data.setblocking(False)
    writable = probe.poll()
    writable.register(data, select.POLLOUT)
    while writable.poll(quiet_ms):
        outcome(lambda: data.send(b"n" * BUFFER_BYTES))
    # Writable is said of a socket that has room for a good part of its buffer only.
    while outcome(lambda: data.send(b"n")) != "EAGAIN":
        pass


def outcome(call: Callable[[], Any]) -> str:
    """What a call returned or raised, in words."""
    try:
        result = call()
    except TimeoutError:
        return "TimeoutError"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    if isinstance(result, list):
        return f"{len(result)} ready"
    if isinstance(result, tuple):
        result[0].close()
        return "a socket"
    if result is None:
        return "done"
    count = result if isinstance(result, int) else len(result)
    return f"{count} byte" + ("s" if count != 1 else "")


def cells(evidence: Evidence) -> Found:
    """What was found."""
    found: Found = evidence.returned["client"]
    return found


def as_said(evidence: Evidence, mode: int, least_ns: int) -> int:
    """How many calls did in this mode what was predicted, and took as long at least."""
    return sum(
        cells(evidence)[name][mode]["text"] == words[mode]
        and cells(evidence)[name][mode]["took_ns"] >= least_ns
        for name, words in CALLS.items()
    )


def table(evidence: Evidence) -> list[list[str]]:
    """What each call did; how long it took, where it waited."""
    rows = []
    for name, words in CALLS.items():
        row = [name]
        for mode, predicted in enumerate(words):
            cell = cells(evidence)[name][mode]
            text = cell["text"]
            if text != predicted:
                text += f" (predicted {predicted})"
            if MODES[mode] != "non-blocking":
                text += f", {shown(Kind.TIME, cell['took_ns'])}"
            row.append(text)
        rows.append(row)
    return [["", *MODES], *rows]


def middle_ns(evidence: Evidence) -> int:
    """The median of the calls with a time-out."""
    return int(median(modes[2]["took_ns"] for modes in cells(evidence).values()))


def moment(evidence: Evidence) -> list[Window]:
    """recv() in three ways; send() that finds its buffer full, and what makes room in it.

    A wait that finds nothing is on no connection.
    """
    recvs = [call_on(evidence, "recv", mode, host="client", connection=WAITS) for mode in range(3)]
    sent = evidence.longest("client send")
    done_ns = back(sent)
    told_ns = [there(frame) for frame, _ in evidence.frames("s>c", connection=WAITS)]
    in_time = [one for one in told_ns if one is not None and done_ns is not None and one < done_ns]
    return [
        *(one for recv in recvs for one in window(recv)),
        *window(sent.entered_ns if sent is not None else None),
        *window(*in_time[-1:], done_ns),
    ]


STUDY = Study(
    name="every-call",
    topic=Topic.IO_MODELS,
    question="What does each call do when there is nothing to do for it yet?",
    setup="A client calls accept() without a client, connect() to a listener whose queue is "
    "full, recv(), recvfrom(), recvmsg() and the three waits without bytes, send() into full "
    "buffers: blocking, non-blocking, and with a time-out of {timeout}. When it blocks, and "
    "only then, it first asks the server over another connection to make the call possible, which "
    "takes a round trip of {rtt} (connect() then goes to a listener with room).",
    prediction="Blocking: it waits until it can be done. Non-blocking: it fails at once with "
    "EAGAIN, in Python BlockingIOError; connect() with EINPROGRESS, as the SYN is on its way. "
    "With settimeout(): TimeoutError, not before the time is up. A wait that finds nothing "
    "is no error in any mode: it returns that nothing is ready.",
    parameters=(
        Parameter("timeout", Kind.TIME, 30 * MS, 1 * MS, 1000 * MS, "of the calls that have one"),
        RTT,
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("blocking: calls that wait a round trip, and are done", Kind.COUNT,
               lambda p: len(CALLS), lambda e: as_said(e, 0, e.p.rtt),
               "man 2 accept, connect, recv, send, select, poll, epoll_wait"),
        Expect("non-blocking: calls that do as predicted", Kind.COUNT, lambda p: len(CALLS),
               lambda e: as_said(e, 1, 0), "the same, EAGAIN and EINPROGRESS; time-out 0"),
        Expect("with a time-out: calls that do, and not before it", Kind.COUNT,
               lambda p: len(CALLS), lambda e: as_said(e, 2, e.p.timeout),
               "Python, socket.settimeout(); man 2 poll: never early"),
        Expect("the median of them took", Kind.TIME, lambda p: p.timeout, middle_ns,
               "the same", more=MS + TURN_NS,
               because="poll() counts in ms; a turn, until the client runs again"),
    ),
    table=table,
    connection=WAITS,
    next="`netlab study rcvtimeo`: a time-out that the kernel keeps.",
    cause=lambda p: "peer_window" if p.rtt > p.timeout else "",
    waits_on="client send",
    moment=moment,
)  # fmt: skip
