"""net.ipv4.tcp_autocorking: small writes wait for a packet that has not left the host yet."""

from __future__ import annotations

import socket
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.flights import SEGMENT
from netlab.studies.moments import back, window
from netlab.studies.parts import BUSY_NS, MS, S
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

RATE = 50_000  # bits a second that each host's own link sends
FRAME = SEGMENT + 66  # with the headers of Ethernet, IPv4 and TCP with timestamps
FRAME_NS = FRAME * 8 * S // RATE
FULL = 2 * SEGMENT
SIZE, PAUSE_MS = 20, 2
QUIET_NS = 200 * MS  # the link can send a whole frame at once again


def write(probe: Probe, sock: Any, p: Params) -> None:
    """Two full segments, of which the link sends one at once; then small ones, one by one."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pause = probe.poll()  # nothing is registered: it waits, and that is all
    time.sleep(QUIET_NS / 1e9)
    sock.send(b"n" * FULL)
    for _ in range(p.writes):
        pause.poll(PAUSE_MS)
        sock.send(b"n" * SIZE)


def client(probe: Probe, p: Params) -> None:
    """Writes, and reads as much from the server."""
    sock = connected(probe)
    write(probe, sock, p)
    sock.recv(FULL + p.writes * SIZE, socket.MSG_WAITALL)
    sock.close()


def server(probe: Probe, p: Params) -> None:
    """Reads all of it, and writes the same."""
    sock = accepted(probe)
    sock.recv(FULL + p.writes * SIZE, socket.MSG_WAITALL)
    write(probe, sock, p)
    sock.close()


def small(evidence: Evidence, direction: str) -> list[int | None]:
    """The timestamps of the segments with small writes, in order, each segment once."""
    found: dict[int, int | None] = {}
    for packet, segment in evidence.frames(direction, data=True):
        if segment.start >= FULL:
            options = packet._options
            found.setdefault(segment.start, options.ts_val if options is not None else None)
    return list(found.values())


def kept_ns(evidence: Evidence) -> int | None:
    """By the timestamps, from when TCP let the full segments go until it let the small writes."""
    first, _ = evidence.frames("c>s", data=True)[0]
    then = first._options.ts_val if first._options is not None else None
    last = small(evidence, "c>s")[-1]
    return None if then is None or last is None else (last - then) * MS


def way_there(evidence: Evidence) -> list[Window]:
    """The full segments and the first small write; the last, until the server has read all."""
    sends = evidence.calls("send", host="client")
    begun = window(*sends[:2])
    return begun + window(*sends[-1:], back(evidence.call("recv", host="server")))


STUDY = Study(
    name="autocork",
    topic=Topic.SMALL_WRITES,
    question="{writes} small writes with TCP_NODELAY, while a packet waits in the host's own queue:"
    " how many segments?",
    setup="Each host's own link sends 50 kbit/s. A client with TCP_NODELAY writes two full segments"
    " and, while the second waits for the link, {writes} times 20 bytes. Then the server does the"
    " same, with net.ipv4.tcp_autocorking=0.",
    prediction="One from the client: TCP_NODELAY switches Nagle off, but the kernel has another"
    " reason to wait. As long as a packet of the connection is in the host's queue, a write is"
    " added to what is there to be sent (autocorking), and that goes when the packet has left. It"
    " would have waited in the queue anyway, and now there is one header for all. At the server"
    " the first write goes to the queue by itself, and others, until enough of the connection lies"
    " there (small queues): for the rest TCP waits all the same.",
    parameters=(Parameter("writes", Kind.COUNT, 5, 2, 20, "of 20 bytes"),),
    server=server,
    client=client,
    wire=lambda p: "delay 130ms",  # no ACK comes, and no loss probe, while the queue is full
    sysctls=lambda p: {"server": {"net.ipv4.tcp_autocorking": "0"}},
    expects=(
        Expect("segments with the client's small writes", Kind.COUNT, lambda p: 1,
               lambda e: len(small(e, "c>s")),
               "net.ipv4.tcp_autocorking in ip-sysctl of Linux; tcp_should_autocork()"),
        Expect("segments with the server's", Kind.COUNT, lambda p: 2,
               lambda e: len(small(e, "s>c")), "tcp_small_queue_check() of Linux",
               more=lambda p: p.writes - 2, otherwise=lambda p: 1,
               because="what is enough depends on the kernel's memory for a segment"),
        Expect("by its timestamp, let go behind the full segments by", Kind.TIME,
               lambda p: FRAME_NS, kept_ns, "tcp_wfree() of Linux: once the packet has left",
               less=2 * MS, more=BUSY_NS,
               because="a timestamp counts milliseconds; where others want the processor, too, the "
               "link's queue and TCP may be left to ksoftirqd, which waits for a turn each time"),
    ),
    moment=way_there,
    options={"link_rates": {"client": RATE, "server": RATE}},
    next="`netlab study nodelay`: what TCP_NODELAY does where no queue is.",
    cause="autocork",
    waits_on="server recv",
)  # fmt: skip
