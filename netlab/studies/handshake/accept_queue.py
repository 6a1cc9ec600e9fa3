"""Connections that nobody accepts: how many the kernel keeps, and what it does with the rest."""

from __future__ import annotations

import select
import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.sockets import listening, trial
from netlab.studies.study import PORT, Claim, Expect, Parameter, Params, Study, Topic

MORE = 3  # clients beyond those that find a place
PATIENCE_S = 0.5  # of those that find a place; on a loaded machine some need a moment
LAST_TIMEOUT_MS = 1500  # of the last: longer than a SYN waits before it is sent again


def server(probe: Probe, p: Params) -> None:
    """Listens, and does not accept until somebody says so."""
    listener = listening(probe, p.backlog)
    told = probe.socket(socket.AF_INET, socket.SOCK_DGRAM)
    told.bind(("0.0.0.0", PORT))
    told.recv(1)
    told.close()
    listener.close()


def client(probe: Probe, p: Params) -> Any:
    """So many connections as find a place, and some more; then the word to the server.

    Those that found one are closed when the server has reset them: otherwise a FIN would race.
    """
    socks, connected = [], []
    for _ in range(p.backlog + 1):
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE_S)
        socks.append(sock)
        try:
            sock.connect(("server", PORT))
            connected.append(sock)
        except TimeoutError:
            pass
    ready = probe.poll()
    for number in range(MORE):
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        socks.append(sock)
        if number == MORE - 1:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LAST_TIMEOUT_MS)
            if trial(sock.connect, ("server", PORT))["error"] == "":
                connected.append(sock)
            continue
        sock.setblocking(False)
        sock.connect_ex(("server", PORT))
        ready.register(sock, select.POLLOUT)
    found = {descriptor for descriptor, _ in ready.poll(0)}
    connected += [sock for sock in socks if sock.fileno() in found]
    for sock in socks:
        if sock not in connected:
            sock.close()
    with probe.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
        teller.sendto(b"n", ("server", PORT))
    for sock in connected:
        sock.setblocking(True)
        trial(sock.recv, 1)
        sock.close()
    return len(connected)


def silent(evidence: Evidence) -> set[int]:
    """Connections whose SYN got no answer."""
    answered = {s.connection for _, s in evidence.frames("s>c", flags="SYN ACK", connection=None)}
    asked = {s.connection for _, s in evidence.frames("c>s", flags="SYN", connection=None)}
    return asked - answered


def unanswered(evidence: Evidence) -> int:
    """How many there are."""
    return len(silent(evidence))


def dropped(evidence: Evidence) -> int | None:
    """The last client, whose SYN got no answer, and was sent again."""
    return max(silent(evidence), default=None)


def table(evidence: Evidence) -> list[list[str]]:
    """What became of each client: those that got in, and those that did not."""
    silent_ones = silent(evidence)
    rows = [["client", "SYNs", "the server's kernel", "connect()"]]
    asked = sorted({s.connection for _, s in evidence.frames("c>s", flags="SYN", connection=None)})
    for number, connection in enumerate(asked, 1):
        syns = len(evidence.frames("c>s", flags="SYN", connection=connection))
        got_in = connection not in silent_ones
        rows.append(
            [f"{number}", f"{syns}"]
            + (["SYN ACK", "connected"] if got_in else ["no answer: dropped", "not connected"])
        )
    return rows


STUDY = Study(
    name="accept-queue",
    topic=Topic.HANDSHAKE,
    question="A server is too busy to accept(). How many clients still connect?",
    setup="A server calls listen(fd, {backlog}) and never accept(). "
    "Clients connect one after the other, as many as find a place; then three more, the "
    "last of which waits in connect(), for 1.5 s (TCP_USER_TIMEOUT).",
    prediction="The queue holds one more than the backlog, {backlog} + 1: the kernel compares"
    " with `greater than`. Those clients are connected, and do not know that no program has "
    "heard of them. Of the next ones the kernel drops the SYN without a word: to them the "
    "host is silent, and they send it again, after a second.",
    parameters=(Parameter("backlog", Kind.COUNT, 5, 0, 128, "of listen()"),),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    expects=(
        Expect("connects that succeed", Kind.COUNT, lambda p: p.backlog + 1,
               lambda e: e.returned["client"], "sk_acceptq_is_full() of Linux; man 2 listen"),
        Expect("clients whose SYN is dropped", Kind.COUNT, lambda p: MORE, unanswered,
               "tcp_conn_request() of Linux: no answer, so that a retry may succeed"),
    ),
    claims=(
        Claim("connect() succeeds only once the server has called accept()",
              lambda e: e.returned["client"] == 0),
        Claim("listen(fd, N) lets N clients wait", lambda e: e.returned["client"] == e.p.backlog),
    ),
    next=lambda p: (
        "`netlab study accept-queue --set backlog=0`: one client is still let in."
        if p.backlog
        else "`netlab study accept-queue --set backlog=5`; `netlab study backlog-sizes`."
    ),
    connection=dropped,
    table=table,
    cause="backlog_full",
    waits_on="client connect",
)  # fmt: skip
