"""A window field has 16 bits: how a larger buffer fits."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import nth, window
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Sweep, Topic, Window


def client(probe: Probe, p: Params) -> None:
    """Sends a little, so that windows are offered after the handshake."""
    sock = connected(probe)
    sock.sendall(b"n" * 20_000)
    sock.close()


def scale(p: Params) -> int:
    """How far half of the doubled buffer must be shifted to fit into 16 bits.

    tcp_select_initial_window() of Linux: ilog2(space) - 15.
    """
    return min(max(p.rcvbuf.bit_length() - 1 - 15, 0), 14)


def offered_scale(evidence: Evidence) -> int | None:
    """The option in the SYN-ACK."""
    return evidence.connection.server_wscale


def wrong_windows(evidence: Evidence) -> int:
    """Windows of the server after the handshake that are not its field, shifted."""
    shift = offered_scale(evidence) or 0
    return sum(
        s.seg_wnd_bytes != (f.seg_wnd_raw or 0) << shift
        for f, s in evidence.frames("s>c")
        if "SYN" not in (f.tcp_flags or "")
    )


def moment(evidence: Evidence) -> list[Window]:
    """From the SYN to the first data: what is told there holds for good."""
    first = nth(evidence.frames("c>s", data=True), 0)
    return window(nth(evidence.frames(), 0), first.time_ns if first is not None else None)


STUDY = Study(
    name="window-scale",
    topic=Topic.BUFFERS,
    question="The window field of TCP has 16 bits. How is a window of more than 65,535 bytes "
    "offered?",
    setup="Servers with an SO_RCVBUF of several sizes, set before listen(). A client connects to "
    "each and sends 20,000 bytes.",
    prediction="By a shift, told once in SYN and SYN-ACK, for the life of the connection: window "
    "= field << scale. The kernel takes the least that lets half of the buffer (what counts as "
    "window) fit, so a buffer set after listen() or connect() may come too late. The fields of "
    "SYN and SYN-ACK themselves are not shifted.",
    parameters=(
        Parameter("rcvbuf", Kind.SIZE, 128 << 10, 4096, 200 << 10, "SO_RCVBUF of the server"),
    ),
    server=reads_to_the_end,
    client=client,
    expects=(
        Expect("the scale in the SYN-ACK", Kind.COUNT, scale, offered_scale,
               "RFC 7323 2.2; tcp_select_initial_window() of Linux"),
        Expect("windows that are not field << scale", Kind.COUNT, lambda p: 0, wrong_windows,
               "RFC 7323 2.3"),
    ),
    sweep=Sweep("rcvbuf", (16 << 10, 64 << 10, 200 << 10)),
    next="`netlab study rcvbuf-doubling`, `netlab study autotuning`.",
    moment=moment,
)  # fmt: skip
