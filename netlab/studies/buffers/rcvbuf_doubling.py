"""What setsockopt(SO_RCVBUF) sets, and how much of it is a window."""

from __future__ import annotations

import socket
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected, listening, read_to_end
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

SEGMENT = 1448  # MSS 1460 less 12 bytes of timestamps


def server(probe: Probe, p: Params) -> Any:
    """Sets the buffer before listen(), and reads it back from the accepted socket."""
    listener = listening(probe, rcvbuf=p.rcvbuf)
    sock, _ = listener.accept()
    listener.close()
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    read_to_end(sock)
    sock.close()
    return found


def client(probe: Probe, p: Params) -> None:
    """Connects, and closes."""
    connected(probe).close()


def window(p: Params) -> int:
    """Half of the doubled buffer, in whole segments."""
    return min(p.rcvbuf // SEGMENT * SEGMENT, 65_535)


def offered(evidence: Evidence) -> int | None:
    """The window in the SYN-ACK, which is never scaled."""
    frames = evidence.frames("s>c", flags="SYN ACK")
    return frames[0][0].seg_wnd_raw if frames else None


STUDY = Study(
    name="rcvbuf-doubling",
    topic=Topic.BUFFERS,
    question="I set SO_RCVBUF to {rcvbuf}. What did I get, and what window does the peer see?",
    setup="A server sets SO_RCVBUF to {rcvbuf} before listen(). A client connects.",
    prediction="The kernel doubles it, for its own overhead: getsockopt says twice as much. "
    "Of that, half is offered as window at first, in whole segments: about what was asked for. "
    "The window in the SYN-ACK has 16 bits and no scale.",
    parameters=(Parameter("rcvbuf", Kind.SIZE, 16 << 10, 4096, 100 << 10, "as set"),),
    server=server,
    client=client,
    expects=(
        Expect("getsockopt(SO_RCVBUF)", Kind.SIZE, lambda p: 2 * p.rcvbuf,
               lambda e: e.returned["server"], "man 7 socket: the kernel doubles this value"),
        Expect("the window of the SYN-ACK", Kind.SIZE, window, offered,
               "TCP_DEFAULT_SCALING_RATIO and tcp_select_initial_window() of Linux"),
    ),
    claims=(
        Claim("getsockopt(SO_RCVBUF) gives back what was set",
              lambda e: e.returned["server"] == e.p.rcvbuf),
    ),
    next="`netlab study adv-win-scale`, `netlab study zero-window`.",
)  # fmt: skip
