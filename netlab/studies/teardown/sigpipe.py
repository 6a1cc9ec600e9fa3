"""SIGPIPE: the signal that ends a program which writes to nobody."""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, trial
from netlab.studies.study import Expect, Params, Study, Topic, Window
from netlab.studies.teardown.write_after_close import server


def client(probe: Probe, p: Params) -> Any:
    """Writes after a reset: with SIGPIPE caught, kept away, and left as it is."""
    caught: list[int] = []
    signal.signal(signal.SIGPIPE, lambda number, frame: caught.append(number))
    sock = connected(probe)
    sock.recv(1)
    sock.send(b"still there?")
    broken = probe.poll()
    broken.register(sock, select.POLLERR)
    broken.poll(10_000)
    found = {"plain": trial(sock.send, b"hello?")["error"], "signals": len(caught)}
    found["quiet"] = trial(sock.send, b"hello?", socket.MSG_NOSIGNAL)["error"]
    found["more"] = len(caught) - found["signals"]
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.write(sock.fileno(), b"hello?")
        os._exit(0)  # it does not come to that
    _, status = os.waitpid(child, 0)
    found["ended"] = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no"
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """From the end of the stream to the last write."""
    return window(
        call_on(evidence, "recv", host="client"), call_on(evidence, "send", -1, host="client")
    )


STUDY = Study(
    name="sigpipe",
    topic=Topic.TEARDOWN,
    question="My program ended without a word as it wrote to a socket. What was that?",
    setup="A server closes; a client's first send() is answered by a reset. Then it writes again: "
    "with a handler for SIGPIPE, with the flag MSG_NOSIGNAL, and in a child process that has "
    "left the signal as it is.",
    prediction="SIGPIPE. write() to a connection that is over fails with EPIPE, and the kernel "
    "sends the signal as well, which by default ends the process: made for `yes | head`, and "
    "a trap for servers. Python ignores it from its start on; in C, ignore it, or give "
    "MSG_NOSIGNAL to each send(). EPIPE is told either way.",
    server=server,
    client=client,
    expects=(
        Expect("send() fails with", Kind.WORD, lambda p: "EPIPE",
               lambda e: e.returned["client"]["plain"], "man 2 send"),
        Expect("signals that the handler saw", Kind.COUNT, lambda p: 1,
               lambda e: e.returned["client"]["signals"],
               "man 7 signal; sk_stream_error() of Linux"),
        Expect("with MSG_NOSIGNAL it fails with", Kind.WORD, lambda p: "EPIPE",
               lambda e: e.returned["client"]["quiet"], "man 2 send"),
        Expect("signals more", Kind.COUNT, lambda p: 0, lambda e: e.returned["client"]["more"],
               "man 2 send, MSG_NOSIGNAL"),
        Expect("the child was ended by", Kind.WORD, lambda p: "SIGPIPE",
               lambda e: e.returned["client"]["ended"], "man 7 signal: default action Term"),
    ),
    moment=moment,
    next="`netlab study write-after-close`: why the first send() succeeded.",
)  # fmt: skip
