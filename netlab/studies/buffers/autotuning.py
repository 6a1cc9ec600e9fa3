"""A receive buffer that nobody set: the kernel makes it larger as it is used."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, Frame
from netlab.studies.parts import MS, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import connected
from netlab.studies.study import Curves, Expect, Parameter, Params, Study, Topic

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


def acks(evidence: Evidence) -> list[Frame]:
    """What the server acknowledged, each with the window that it then offered."""
    return evidence.frames("s>c", flags="ACK")


def table(evidence: Evidence) -> list[list[str]]:
    """The first window, the first that is larger than the whole buffer had been, the largest."""
    every = acks(evidence)
    wide = [ack for ack in every if (ack[1].seg_wnd_bytes or 0) > BEGINS_WITH]
    largest = max(every, key=lambda ack: ack[1].seg_wnd_bytes or 0)
    rows = [["ACK of the server", "after", "acknowledged so far", "window offered"]]
    for name, ack in (
        ("the first", every[0]),
        ("the first above 131,072 B", wide[0] if wide else None),
        ("the largest window", largest),
    ):
        if ack is None:
            rows.append([name, "never", "", ""])
            continue
        packet, segment = ack
        rows.append([
            name,
            shown(Kind.TIME, packet.time_ns - every[0][0].time_ns),
            shown(Kind.SIZE, (segment.ack or 1) - 1),
            shown(Kind.SIZE, segment.seg_wnd_bytes or 0),
        ])  # fmt: skip
    return rows


def curves(evidence: Evidence) -> Curves:
    """The window over time, and how much had been acknowledged by then."""
    begun_ns = acks(evidence)[0][0].time_ns
    points = [(packet.time_ns - begun_ns, segment) for packet, segment in acks(evidence)]
    return Curves(
        "bytes over time",
        (
            ("the window that the server offers", tuple(
                (ns, segment.seg_wnd_bytes or 0) for ns, segment in points)),
            ("acknowledged so far", tuple((ns, (segment.ack or 1) - 1) for ns, segment in points)),
        ),
        Kind.TIME, Kind.SIZE,
    )  # fmt: skip


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
    table=table,
    curves=curves,
    next="`netlab study autotuning --set moderate=0`, and `netlab study window-rtt`.",
)  # fmt: skip
