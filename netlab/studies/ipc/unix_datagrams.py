"""Datagrams between two processes of one machine: are any lost, or reordered?"""

from __future__ import annotations

import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.moments import back, window
from netlab.studies.parts import MS
from netlab.studies.quantity import Kind
from netlab.studies.sockets import trial
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic, Window

SIZE = 1000
RCVBUF = 8192  # that is asked for
# A datagram of 640 to 1,700 bytes takes 2,048 of the kernel's memory, and 256 for its record of it.
CHARGED = 2304
BOUND_S = 20.0


def client(probe: Probe, p: Params) -> Any:
    """A child sends numbered datagrams to its parent, by a Unix socket and by UDP."""
    unix = _by_unix(probe, p)
    udp = _by_udp(probe, p)
    return {
        "unix": len(unix), "unix in order": unix == sorted(unix),
        "udp": len(udp), "udp in order": udp == sorted(udp),
        "impatient": _impatient(probe, p),
    }  # fmt: skip


def _by_unix(probe: Probe, p: Params) -> list[int]:
    """The numbers that came, while the reader overslept the beginning."""
    sender, receiver = probe.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pid = forked(probe, "sender", lambda: _send(sender, p))
    time.sleep(p.pause / 1e9)
    receiver.settimeout(BOUND_S)
    found = [_number(receiver) for _ in range(p.count)]
    ended(pid)
    sender.close()
    receiver.close()
    return found


def _by_udp(probe: Probe, p: Params) -> list[int]:
    """The same; the reader begins when the sender has ended."""
    receiver = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RCVBUF)
    receiver.bind(("127.0.0.1", PORT))
    sender = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(("127.0.0.1", PORT))
    ended(forked(probe, "sender", lambda: _send(sender, p)))
    receiver.setblocking(False)
    found = []
    try:
        while True:
            found.append(_number(receiver))
    except BlockingIOError:
        sender.close()
        receiver.close()
        return found


def _impatient(probe: Probe, p: Params) -> str:
    """What a sender that does not block is told when nobody reads."""
    sender, receiver = probe.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    error = ""
    for _ in range(p.count):
        error = error or trial(sender.send, bytes(SIZE))["error"]
    sender.close()
    receiver.close()
    return error


def _send(sock: Any, p: Params) -> None:
    for number in range(p.count):
        sock.send(number.to_bytes(4, "big") + bytes(SIZE - 4))


def _number(sock: Any) -> int:
    return int.from_bytes(sock.recv(SIZE)[:4], "big")


def all_came(evidence: Evidence) -> bool:
    """Whether the Unix socket lost and reordered nothing."""
    return bool(told("unix")(evidence) == evidence.p.count and told("unix in order")(evidence))


def _yes(name: str) -> Any:
    return lambda e: "yes" if told(name)(e) else "no"


def moment(evidence: Evidence) -> list[Window]:
    """The last that found room, the one that had to wait, and the recv() that makes room."""
    sends = evidence.calls("send", connection=0)
    longest = max(sends, key=lambda one: (one.returned_ns or 0) - one.entered_ns, default=None)
    if longest is None:
        return []
    number = sends.index(longest)
    taken = [
        one for one in evidence.calls("recv", connection=0) if one.entered_ns > longest.entered_ns
    ]
    return [
        *window(*sends[max(number - 3, 0) : number], longest.entered_ns),
        *window(*taken[:2]),
        *window(back(longest)),
    ]


STUDY = Study(
    name="unix-datagrams",
    topic=Topic.IPC,
    question="{count} datagrams go to a reader that sleeps. How many get lost, or out of order?",
    setup="A child sends {count} numbered datagrams of 1,000 bytes to its parent, which sleeps "
    "for {pause} before it reads: first over a Unix socket, then over UDP on 127.0.0.1 with a "
    "receive buffer of 8,192 bytes, where it reads once all have been sent.",
    prediction="Unix: none, and in order. The kernel puts each into the reader's queue itself, and "
    "when the queue is full the sender must wait: send() blocks. UDP: all but those that found "
    "room. Nothing tells a UDP sender to wait, so what does not fit is thrown away, on the same "
    "machine, without any wire. What is left is in order there, too. A Unix sender that "
    "does not block gets EAGAIN: it loses a message only if its program takes no notice.",
    parameters=(
        Parameter("count", Kind.COUNT, 1000, 500, 20_000, "datagrams"),
        Parameter("pause", Kind.TIME, 200 * MS, 100 * MS, 2000 * MS, "of the reader"),
    ),
    client=client,
    expects=(
        Expect("Unix: datagrams that came", Kind.COUNT, lambda p: p.count, told("unix"),
               "man 7 unix: UNIX domain datagram sockets are always reliable"),
        Expect("Unix: in order", Kind.WORD, lambda p: "yes", _yes("unix in order"),
               "man 7 unix: and don't reorder datagrams"),
        Expect("UDP: datagrams that came", Kind.COUNT, lambda p: 2 * RCVBUF // CHARGED, told("udp"),
               "man 7 socket: SO_RCVBUF is doubled; SKB_TRUESIZE of Linux: 2,304 for each",
               more=1, because="kernels that take one as long as the buffer is not full have one "
               "more"),
        Expect("UDP: in order", Kind.WORD, lambda p: "yes", _yes("udp in order"),
               "one queue on one machine"),
        Expect("Unix, a sender that does not block", Kind.WORD, lambda p: "EAGAIN",
               told("impatient"), "man 2 send, EAGAIN"),
    ),
    claims=(
        Claim("Datagrams over Unix sockets are neither lost nor reordered.", all_came,
              "while both ends live, and the sender blocks or heeds EAGAIN"),
    ),
    next="`netlab study datagram-boundaries`, or --set count=5000.",
    cause="send_buffer",
    waits_on="client send",
    moment=moment,
)  # fmt: skip
