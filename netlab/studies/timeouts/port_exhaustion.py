"""A client that has used up its ports."""

from __future__ import annotations

import select
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.kernel_states import wait_until
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening, read_to_end, trial
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic

OTHER = PORT + 1
FIRST = 40_000
SECOND_S = 1.1  # TIME-WAIT must be older than 1 s to be taken over


def server(probe: Probe, p: Params) -> None:
    """Accepts at two ports, and closes when the client has; until it speaks."""
    listeners = [listening(probe, 64, OTHER), listening(probe, 64)]
    ready = probe.poll()
    kept = {sock.fileno(): sock for sock in listeners}
    for sock in listeners:
        ready.register(sock, select.POLLIN)
    over = False
    while not over:
        for fd, _ in ready.poll():
            if kept[fd] in listeners:
                sock, _ = kept[fd].accept()
                kept[sock.fileno()] = sock
                ready.register(sock, select.POLLIN)
            else:
                over = over or read_to_end(kept[fd]) > 0
                ready.unregister(fd)
                kept.pop(fd).close()
    for sock in kept.values():
        sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Connects until there is no port, elsewhere, and again after all were closed."""
    socks = [connected(probe) for _ in range(p.ports)]
    more = trial(connected, probe)
    other = connected(probe, port=OTHER)
    for sock in socks:
        sock.close()
    wait_until(PORT, lambda now: now == ["TIME-WAIT"] * p.ports)
    time.sleep(SECOND_S)
    again = trial(connected, probe)
    other.send(b"that is all")
    other.close()
    return {"more": more["error"] or "connected", "again": again["error"] or "connected"}


STUDY = Study(
    name="port-exhaustion",
    topic=Topic.TIMEOUTS,
    question="A busy client's connect() fails with `Cannot assign requested address`. Why?",
    setup="A client may use {ports} ports (net.ipv4.ip_local_port_range; by default 28,232). It "
    "has a connection from each, and wants one more; one to another port of the server; then it "
    "closes all, and tries again. net.ipv4.tcp_tw_reuse is {reuse}.",
    prediction="A connection is known by its two addresses and two ports: three of the four "
    "are given, so there are as many to one server as there are ports. The next connect() fails "
    "with EADDRNOTAVAIL at once, nothing is sent. To another port of the server there is no "
    "such limit. And close() does not help the one who closes first: TIME-WAIT keeps the ports "
    "for 60 s. With tcp_tw_reuse 1 a new connection may take one over after a second, as "
    "timestamps tell old segments from new.",
    parameters=(
        Parameter("ports", Kind.COUNT, 4, 2, 32, "of the client"),
        Parameter("reuse", Kind.COUNT, 0, 0, 1, "tcp_tw_reuse of the client"),
    ),
    server=server,
    client=client,
    sysctls=lambda p: {
        "client": {
            "net.ipv4.ip_local_port_range": f"{FIRST} {FIRST + p.ports - 1}",
            "net.ipv4.tcp_tw_reuse": str(p.reuse),
        }
    },
    expects=(
        Expect("one more connect()", Kind.WORD, lambda p: "EADDRNOTAVAIL",
               lambda e: e.returned["client"]["more"], "man 2 connect"),
        Expect("after all were closed", Kind.WORD,
               lambda p: "connected" if p.reuse else "EADDRNOTAVAIL",
               lambda e: e.returned["client"]["again"],
               "TCP_TIMEWAIT_LEN of Linux; man 7 tcp, tcp_tw_reuse; RFC 6191"),
        Expect("SYNs to the first port", Kind.COUNT, lambda p: p.ports + p.reuse,
               lambda e: sum(f.dport == PORT for f, _ in
                             e.frames("c>s", flags="SYN", connection=None)),
               "__inet_hash_connect() of Linux: refused before anything is sent"),
    ),
    next="`netlab study port-exhaustion --set reuse={not_reuse}`. Better: keep connections, and "
    "let the server close first.",
)  # fmt: skip
