"""A receive buffer that nobody set: the kernel makes it larger as it is used."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.parts import MS, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic

BEGINS_WITH = 131_072  # the middle number of net.ipv4.tcp_rmem in the lab
SIZE = 1 << 20


def client(probe: Probe, p: Params) -> None:
    """Sends a mebibyte."""
    sock = connected(probe)
    sock.sendall(b"n" * SIZE)
    sock.close()


def largest_window(evidence: Evidence) -> int:
    """The largest that the server offered."""
    return max((s.seg_wnd_bytes or 0 for _, s in evidence.frames("s>c")), default=0)


def seen(evidence: Evidence) -> str:
    """What the recording shows."""
    windows = [s.seg_wnd_bytes or 0 for _, s in evidence.frames("s>c")]
    return f"The server's window was {windows[0]:,} bytes at first, {max(windows):,} at most."


STUDY = Study(
    name="autotuning",
    topic=Topic.BUFFERS,
    question="Nobody set SO_RCVBUF. Is the receive buffer large enough for a wire with a round "
    "trip of {rtt}?",
    setup="A client sends a mebibyte over a wire with a round trip of {rtt}. The server's buffer "
    "begins with 131,072 bytes (net.ipv4.tcp_rmem); net.ipv4.tcp_moderate_rcvbuf is {moderate}.",
    prediction="With 1 the kernel makes it so: it measures how much the program takes in each "
    "round trip, and makes the buffer twice as large as that, up to the largest of tcp_rmem. The "
    "window grows beyond the whole buffer that was there at first. With 0, or once SO_RCVBUF was"
    " set, the buffer stays, and its window is what one round trip can carry.",
    parameters=(
        Parameter("moderate", Kind.COUNT, 1, 0, 1, "net.ipv4.tcp_moderate_rcvbuf of the server"),
        Parameter("rtt", Kind.TIME, 50 * MS, 20 * MS, 200 * MS, "round trip of the wire"),
    ),
    server=reads_to_the_end,
    client=client,
    wire=delay,
    sysctls=lambda p: {"server": {"net.ipv4.tcp_moderate_rcvbuf": f"{p.moderate}"}},
    expects=(
        Expect("a window was larger than the buffer at first", Kind.WORD,
               lambda p: "yes" if p.moderate else "no",
               lambda e: "yes" if largest_window(e) > BEGINS_WITH else "no",
               "tcp_rcv_space_adjust() of Linux; ip-sysctl, tcp_moderate_rcvbuf"),
        Expect("bytes that the server read", Kind.SIZE, lambda p: SIZE,
               lambda e: e.returned["server"], "RFC 9293 2.2"),
    ),
    seen=seen,
    connection=None,
    next="`netlab study autotuning --set moderate=0`, and `netlab study window-rtt`.",
)  # fmt: skip
