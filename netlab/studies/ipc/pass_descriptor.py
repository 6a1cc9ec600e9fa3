"""A connection that is handed to another process, while its client notices nothing."""

from __future__ import annotations

import os
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Claim, Expect, Params, Study, Topic, Window


def server(probe: Probe, p: Params) -> Any:
    """Forks a child, accepts, reads the question, and hands the connection to the child."""
    ours, other = probe.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = forked(probe, "child", lambda: child(probe, other))
    other.close()
    sock = accepted(probe)
    question = sock.recv(100)
    socket.send_fds(ours, [question], [sock.fileno()])
    sock.close()
    return {"child": pid, "status": ended(pid), "us": os.getpid()}


def child(probe: Probe, line: Any) -> None:
    """Takes the connection, and answers with its own number."""
    question, (descriptor,), _, _ = socket.recv_fds(line, 100, 1)
    sock = probe.adopt(socket.socket(fileno=descriptor))
    sock.send(question + b" answered by %d" % os.getpid())
    sock.recv(1)
    sock.close()


def client(probe: Probe, p: Params) -> str:
    """Asks, and says who answered."""
    sock = connected(probe)
    sock.send(b"question")
    answer: str = sock.recv(100).decode()
    sock.close()
    return answer


def fins_between(evidence: Evidence) -> int:
    """FINs of the server before its answer: what close() in the parent would have sent."""
    frames = evidence.frames("s>c")
    answer = next(number for number, (_, segment) in enumerate(frames) if segment.payload_len_bytes)
    return sum("FIN" in (packet.tcp_flags or "") for packet, _ in frames[:answer])


def question_to_answer(evidence: Evidence) -> list[Window]:
    """From the client's send to the return of its recv."""
    asked = evidence.call("send", host="client")
    answered = evidence.call("recv", host="client")
    if asked is None or answered is None or answered.returned_ns is None:
        return []
    return [(asked.entered_ns, answered.returned_ns)]


def who(evidence: Evidence) -> str:
    """Whose number stands in the answer."""
    number = int(evidence.returned["client"].rpartition(" ")[2])
    return {told("child", "server")(evidence): "the child"}.get(number, "somebody else")


STUDY = Study(
    name="pass-descriptor",
    topic=Topic.IPC,
    question="Can a process hand a connection that it has accepted to another process?",
    setup="A server forks a child, accepts a connection after that, reads the question, sends "
    "question and descriptor to the child over a Unix socket (SCM_RIGHTS), and closes its own. "
    "The child answers.",
    prediction="Yes, with a Unix socket. What travels is not the number: the kernel "
    "gives the receiver a descriptor of its own for the same socket. So close() in the first "
    "process says nothing on the wire, for it was not the last one; the stream goes on at the byte "
    "where the first has stopped, and the client cannot tell who answers.",
    server=server,
    client=client,
    moment=question_to_answer,
    expects=(
        Expect("who answered", Kind.WORD, lambda p: "the child", who,
               "man 7 unix, SCM_RIGHTS; man 3 cmsg"),
        Expect("FINs of the server before the answer", Kind.COUNT, lambda p: 0, fins_between,
               "man 2 close: resources are freed with the last descriptor"),
    ),
    claims=(
        Claim("Only the process that accepted a connection can use it.",
              lambda e: who(e) != "the child",
              "unless it forks afterwards, or passes the descriptor over a Unix socket"),
    ),
    next="`netlab study who-accepts`: workers that accept for themselves.",
)  # fmt: skip
