"""Every call, blocking, non-blocking and with a time-out: what it does when it cannot be done."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import back, call_on, there, window
from netlab.studies.parts import MS, TURN_NS, delay
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import connected, listening, read_exactly, read_to_end
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

WAITS = 1  # the connection whose calls have to wait
FULL, BACK = PORT + 1, PORT + 2  # a listener whose queue is full; the client's own
BUFFER_BYTES = 8192
QUIET_MS = 300  # and two round trips: no ACK comes any more
LINGER_S = 5
NO_LIMIT = None  # of time: what settimeout() is given for a socket that blocks
MODES = ("blocking", "non-blocking", "with a time-out")
RECEIVES = ("recv", "recvfrom", "recvmsg")
SENDS = ("send", "sendto", "sendmsg", "sendfile")
_READS = dict.fromkeys(RECEIVES, ("1 byte", "EAGAIN", "TimeoutError"))
_WRITES = dict.fromkeys(SENDS[:-1], ("1 byte", "EAGAIN", "TimeoutError"))
_WAITS = dict.fromkeys(("select", "poll", "epoll_wait"), ("1 ready", "0 ready", "0 ready"))
KERNELS, LINGERING = "sendfile", "close, SO_LINGER"
CALLS = {
    "accept": ("a socket", "EAGAIN", "TimeoutError"),
    "connect": ("done", "EINPROGRESS", "TimeoutError"),
    **_READS,
    **_WRITES,
    KERNELS: ("1 byte", "EAGAIN", "EAGAIN"),
    **_WAITS,
    LINGERING: ("done", "done", "done"),
    "close": ("done", "done", "done"),
}
NEVER_WAIT = ("close",)
# Which have a time-out of Python's: a method of a socket, or an argument of a wait.
TIMED = [name for name in CALLS if name not in (KERNELS, LINGERING, *NEVER_WAIT)]
Found = dict[str, list[dict[str, Any]]]  # by call, for each mode


def server(probe: Probe, p: Params) -> None:
    """Does what it is told: connect back, send a byte, or read all that was sent so far."""
    full = listening(probe, 0, FULL)
    listener = listening(probe, rcvbuf=BUFFER_BYTES)
    command, _ = listener.accept()
    data, _ = listener.accept()
    got = 0
    while word := command.recv(1):
        if word == b"c":
            connected(probe, "client", BACK).close()
        elif word == b"r":
            data.send(b"n")
        else:
            (so_far,) = struct.unpack("!I", command.recv(4, socket.MSG_WAITALL))
            read_exactly(data, so_far - got)
            got = so_far
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
    found: Found = {name: [{}, {}, {}] for name in CALLS}

    def tried(name: str, mode: int, word: bytes, call: Callable[[], Any]) -> str:
        begun_ns = time.monotonic_ns()
        if limits[mode] is NO_LIMIT and word:
            command.send(word)
        text = outcome(call)
        found[name][mode] = {"text": text, "took_ns": time.monotonic_ns() - begun_ns}
        return text

    for mode, limit_s in enumerate(limits):
        listener.settimeout(limit_s)
        tried("accept", mode, b"c", listener.accept)
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(limit_s)
        port = PORT if limit_s is NO_LIMIT else FULL
        tried("connect", mode, b"", lambda: sock.connect(("server", port)))  # noqa: B023
        sock.close()
        data.settimeout(limit_s)
        tried("recv", mode, b"r", lambda: data.recv(10))
        tried("recvfrom", mode, b"r", lambda: data.recvfrom(10)[0])
        tried("recvmsg", mode, b"r", lambda: data.recvmsg(10)[0])
    poll, epoll = probe.poll(), probe.epoll()
    poll.register(data, select.POLLIN)
    epoll.register(data, select.EPOLLIN)
    for mode, limit_s in enumerate(limits):
        limit_ms = None if limit_s is None else limit_s * 1000
        for name, call in (
            ("select", lambda: probe.select([data], [], [], limit_s)[0]),  # noqa: B023
            ("poll", lambda: poll.poll(limit_ms)),  # noqa: B023
            ("epoll_wait", lambda: epoll.poll(limit_s)),  # noqa: B023
        ):
            tried(name, mode, b"r", call)
            if limit_s is NO_LIMIT:
                data.recv(10)
    for mode, limit_s in enumerate(limits):
        for name, linger_s in (("close", 0), (LINGERING, LINGER_S)):
            sock = connected(probe)
            sock.send(b"n")
            if linger_s:
                option = struct.pack("ii", 1, linger_s)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            sock.settimeout(limit_s)
            tried(name, mode, b"", sock.close)
    _into_full_buffers(probe, p, data, tried)
    epoll.close()
    for sock in (data, command, stuffing, listener):
        sock.close()
    return found


def _into_full_buffers(probe: Probe, p: Params, data: Any, tried: Callable[..., str]) -> None:
    """The calls that send. Before each one that blocks the buffers are filled again: it makes the
    server read all that is in them."""
    memory = os.memfd_create("a byte")
    os.write(memory, b"n")
    calls: dict[str, Callable[[], int]] = {
        "send": lambda: data.send(b"n"),
        "sendto": lambda: data.sendto(b"n", ("server", PORT)),
        "sendmsg": lambda: data.sendmsg([b"n"]),
        KERNELS: lambda: probe.sendfile(data, memory, 0, 1),
    }
    quiet_ms = QUIET_MS + 2 * p.rtt // MS
    sent = fill(probe, data, quiet_ms)
    for mode, limit_s in ((1, 0), (2, p.timeout / 1e9)):
        data.settimeout(limit_s)
        for name in SENDS:
            tried(name, mode, b"", calls[name])
    for name in SENDS:
        data.settimeout(NO_LIMIT)
        sent += tried(name, 0, b"w" + struct.pack("!I", sent), calls[name]) == "1 byte"
        sent += fill(probe, data, quiet_ms) if name != SENDS[-1] else 0
    os.close(memory)


def fill(probe: Probe, data: Any, quiet_ms: int) -> int:
    """Send until nothing fits any more, at either end; how many bytes did."""
    data.setblocking(False)
    writable = probe.poll()
    writable.register(data, select.POLLOUT)
    sent = 0
    while writable.poll(quiet_ms):
        sent += _until_full(data)
    # Writable is said only of a socket that has room for a good part of its buffer.
    return sent + _until_full(data)


def _until_full(data: Any) -> int:
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += data.send(b"n" * BUFFER_BYTES)
    return sent


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


def as_said(evidence: Evidence, mode: int, least_ns: int, calls: Iterable[str]) -> int:
    """How many of these did in this mode what was predicted, and took as long at least."""
    return sum(
        cells(evidence)[name][mode]["text"] == CALLS[name][mode]
        and cells(evidence)[name][mode]["took_ns"] >= least_ns
        for name in calls
    )


def lingered(evidence: Evidence) -> int:
    """In how many modes close() waited for the ACK of its FIN."""
    return sum(as_said(evidence, mode, evidence.p.rtt, [LINGERING]) for mode in range(len(MODES)))


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
            if MODES[mode] != "non-blocking" or text == "done":
                text += f", {shown(Kind.TIME, cell['took_ns'])}"
            row.append(text)
        rows.append(row)
    return [["", *MODES], *rows]


def middle_ns(evidence: Evidence) -> int:
    """The median of the calls with a time-out."""
    return int(median(cells(evidence)[name][2]["took_ns"] for name in TIMED))


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
    "full, recv(), recvfrom(), recvmsg() and the three waits without bytes, send(), sendto(), "
    "sendmsg() and sendfile() into full buffers, and close(), also with SO_LINGER: blocking, "
    "non-blocking, and with a time-out of {timeout}. When it blocks, and only then, it first asks "
    "the server over another connection to make the call possible, which takes a round trip of "
    "{rtt} (connect() then goes to a listener with room).",
    prediction="Blocking: it waits until it can be done. Non-blocking: it fails at once with "
    "EAGAIN, in Python BlockingIOError; connect() with EINPROGRESS, as the SYN is on its way. "
    "With settimeout(): TimeoutError, not before the time is up; but that is kept by the methods "
    "of a Python socket, and sendfile() is the kernel's: to that the socket is non-blocking. "
    "A wait that finds nothing is no error in any mode: it returns that nothing is ready. close() "
    "leaves what is to be done to the kernel; with SO_LINGER it waits for the ACK of its FIN, in "
    "every mode: it does not ask whether the socket blocks.",
    parameters=(
        Parameter("timeout", Kind.TIME, 30 * MS, 1 * MS, 1000 * MS, "of the calls that have one"),
        # Some twenty of them, each a few round trips, in the minute that a program has.
        Parameter("rtt", Kind.TIME, 40 * MS, 0, 500 * MS, "round trip of the wire"),
    ),
    server=server,
    client=client,
    wire=delay,
    expects=(
        Expect("blocking: calls that wait a round trip, and are done", Kind.COUNT,
               lambda p: len(TIMED) + 1, lambda e: as_said(e, 0, e.p.rtt, [*TIMED, KERNELS]),
               "man 2 accept, connect, recv, send, sendfile, select, poll, epoll_wait"),
        Expect("non-blocking: calls that do as predicted", Kind.COUNT, lambda p: len(TIMED) + 1,
               lambda e: as_said(e, 1, 0, [*TIMED, KERNELS]),
               "the same, EAGAIN and EINPROGRESS; time-out 0"),
        Expect("with a time-out: calls that do, and not before it", Kind.COUNT,
               lambda p: len(TIMED), lambda e: as_said(e, 2, e.p.timeout, TIMED),
               "Python, socket.settimeout(); man 2 poll: never early"),
        Expect("the median of them took", Kind.TIME, lambda p: p.timeout, middle_ns,
               "the same", more=MS + TURN_NS,
               because="poll() counts in ms; a turn, until the client runs again"),
        Expect("sendfile() into a full buffer with a time-out", Kind.WORD, lambda p: "EAGAIN",
               lambda e: cells(e)[KERNELS][2]["text"], "man 2 sendfile; Python, os.sendfile()"),
        Expect("close() with SO_LINGER: modes in which it waits a round trip", Kind.COUNT,
               lambda p: len(MODES), lingered,
               "inet_release() of Linux takes the time of SO_LINGER, and looks for no O_NONBLOCK"),
    ),
    table=table,
    connection=WAITS,
    next="`netlab study rcvtimeo`: a time-out that the kernel keeps.",
    cause=lambda p: "peer_window" if p.rtt > p.timeout else "",
    waits_on="client send",
    moment=moment,
)  # fmt: skip
