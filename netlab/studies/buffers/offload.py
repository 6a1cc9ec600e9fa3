"""Segmentation offload: the stack hands down one large packet where the wire would have many."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import SEGS_OUT, connected, listening, read_to_end, tcp_info
from netlab.studies.study import PORT, Expect, Parameter, Params, Study, Topic, Window

SEGMENT = 1448
FRAME = 1514  # the MTU, and Ethernet's header
SIZE = 1 << 20
MOST = 1 << 16  # of a packet with offload: GSO_LEGACY_MAX_SIZE of Linux


def given(device: str, what: str) -> int:
    """How many packets or bytes a network device has been given to send."""
    return int(Path(f"/sys/class/net/{device}/statistics/tx_{what}").read_text())


def sends(sock: Any, device: str) -> dict[str, int]:
    """Send a mebibyte: segments of the connection, packets of the device."""
    packets, size = given(device, "packets"), given(device, "bytes")
    sock.sendall(b"n" * SIZE)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)  # all was acknowledged
    found = {"segments": tcp_info(sock, SEGS_OUT), "packets": given(device, "packets") - packets}
    found["each"] = (given(device, "bytes") - size) // found["packets"]
    sock.close()
    return found


def for_100(counted: dict[str, int]) -> int:
    """Packets for each 100 segments."""
    return 100 * counted["packets"] // counted["segments"]


def client(probe: Probe, p: Params) -> Any:
    """Once to the server, over a link without offload; once to itself, over one with it."""
    found = {"off": sends(connected(probe), "eth0")}
    listener = listening(probe)
    sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, p.segment)
    sock.connect(("127.0.0.1", PORT))
    mine, _ = listener.accept()
    reader = threading.Thread(target=lambda: (read_to_end(mine), mine.close()))
    reader.start()
    found["on"] = sends(sock, "lo")
    reader.join()
    listener.close()
    return found


def seen(evidence: Evidence) -> str:
    """How large they were."""
    found = evidence.returned["client"]
    return (
        f"A packet had {found['off']['each']:,} bytes on the link, on average, and "
        f"{found['on']['each']:,} on the loopback device, the ACKs of the reader counted."
    )


def moment(evidence: Evidence) -> list[Window]:
    """The mebibyte in one call, and how it leaves the host where the link has no offload."""
    call, sent = call_on(evidence, "sendall", host="client"), evidence.frames("c>s", data=True)
    return window(call.entered_ns, sent[5][0].time_ns) if call and len(sent) > 5 else []


STUDY = Study(
    name="segmentation-offload",
    topic=Topic.BUFFERS,
    question="A capture shows frames of 60,000 bytes on a link whose MTU is 1,500. Who sends "
    "such frames?",
    setup="A client sends a mebibyte twice, in segments of at most {segment}: to a server, over a"
    " link whose offloads are off as everywhere in the lab, and to itself over the loopback "
    "device, which has them. Segments are counted by TCP_INFO, packets by the device.",
    prediction="Nobody: with segmentation offload TCP hands down one packet of up to 64 KiB, "
    "once through the stack instead of forty times, and the device (or the kernel, just before "
    "it) cuts it into segments. A capture is taken before that. So a device with offload is "
    "given far fewer packets than the connection sends segments: 16 for a mebibyte, if all were as "
    "large, and as many ACKs come back. Without offload it is given as many as there are segments"
    "; only ACKs and a FIN go alone.",
    parameters=(
        Parameter("segment", Kind.SIZE, SEGMENT, 536, SEGMENT, "MSS of the loopback connection"),
    ),
    server=reads_to_the_end,
    client=client,
    expects=(
        Expect("offload off: packets for 100 segments", Kind.COUNT, lambda p: 100,
               lambda e: for_100(e.returned["client"]["off"]),
               "Documentation/networking/segmentation-offloads.rst",
               less=1, more=1, because="SYN and ACKs of the handshake came before the count"),
        Expect("offload on: packets for the mebibyte, both ways", Kind.COUNT,
               lambda p: 2 * SIZE // MOST, lambda e: e.returned["client"]["on"]["packets"],
               "tcp_tso_autosize() of Linux: up to 64 KiB each; RFC 9293 3.8.6.3: an ACK for each",
               less=SIZE // MOST, more=4 * SIZE // MOST, otherwise=lambda p: SIZE // p.segment,
               because="an ACK may tell of more than one; a packet is as large as the congestion "
               "window at first, and half of what the reader's window is (tcp_bound_to_half_wnd())"
               "; the reader's program opens that by ACKs of its own"),
        Expect("on: a packet has more bytes than a full frame, on average", Kind.WORD,
               lambda p: "yes",
               lambda e: "yes" if e.returned["client"]["on"]["each"] > FRAME else "no",
               "the same: up to 64 KiB"),
        Expect("off: it has more", Kind.WORD, lambda p: "no",
               lambda e: "yes" if e.returned["client"]["off"]["each"] > FRAME else "no",
               "the MTU, 1,500 bytes"),
    ),
    moment=moment,
    seen=seen,
    next="`netlab study one-message`.",
)  # fmt: skip
