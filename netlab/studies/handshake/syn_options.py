"""What the two kernels offer each other in the handshake, option by option."""

from __future__ import annotations

from pathlib import Path

from netlab.model.probe import Probe
from netlab.model.tables import Packet
from netlab.studies.evidence import Evidence
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.sockets import connected
from netlab.studies.study import Expect, Parameter, Params, Study, Topic, Window

MTU, IPV4, TCP = 1500, 20, 20
MSS, SACK, TIMESTAMPS, SCALE = 4, 2, 10, 3  # bytes of each option
RMEM_MOST = 6291456  # the third number of tcp_rmem on the lab's hosts
SENT = 3000  # more than two segments


def client(probe: Probe, p: Params) -> None:
    """Sends what does not fit into one segment."""
    sock = connected(probe)
    sock.sendall(b"n" * SENT)
    sock.close()


def header(packet: Packet) -> int | None:
    """The bytes of a frame's TCP header, options and all."""
    if packet.ip_len_bytes is None or packet.payload_len_bytes is None:
        return None
    return packet.ip_len_bytes - IPV4 - packet.payload_len_bytes


def header_of(evidence: Evidence, direction: str, flags: str) -> int | None:
    """That of the first frame with these flags."""
    frames = evidence.frames(direction, flags=flags)
    return header(frames[0][0]) if frames else None


def in_words(p: Params) -> int:
    """The options of the SYN-ACK, each filled up to 4 bytes by no-operations, or by SACK's two."""
    timestamps = SACK + TIMESTAMPS if p.timestamps else 0
    sack = 4 if p.sack and not p.timestamps else 0
    return MSS + timestamps + sack + (SCALE + 1 if p.scaling else 0)


def scale(p: Params) -> int:
    """The shift with which 16 bits can name the largest receive buffer there may be."""
    most = max(RMEM_MOST, int(Path("/proc/sys/net/core/rmem_max").read_text()))
    return min(max(most.bit_length() - 1 - 15, 0), 14)


def is_used(evidence: Evidence, option: str) -> str:
    """Whether both have offered it."""
    one = evidence.connection
    both = {
        "SACK": one.client_sack and one.server_sack,
        "timestamps": one.client_timestamps and one.server_timestamps,
        "scaling": one.client_wscale is not None and one.server_wscale is not None,
    }
    return "yes" if both[option] else "no"


def moment(evidence: Evidence) -> list[Window]:
    """The handshake, and the first data."""
    frames = evidence.frames()
    return [(frames[0][0].time_ns, frames[min(4, len(frames) - 1)][0].time_ns)] if frames else []


STUDY = Study(
    name="syn-options",
    topic=Topic.HANDSHAKE,
    question="A SYN carries no data. What are the 20 bytes behind its header for?",
    setup="A client connects and sends 3,000 bytes. What the server's kernel may answer with is "
    "set by net.ipv4.tcp_timestamps, tcp_sack and tcp_window_scaling.",
    prediction="Offers that can only be made now. MSS: the largest segment I can take (MTU "
    "1,500 - 40). SACK permitted: you may tell me which ranges you have. Timestamps: each "
    "segment carries a clock, which tells the round trip, and costs 12 bytes from now on. "
    "Window scale: my window is to be read with so many zeros behind it, as 16 bits end at "
    "64 KiB. The last three hold only where the SYN-ACK has them as well.",
    parameters=(
        Parameter("timestamps", Kind.COUNT, 1, 0, 1, "tcp_timestamps of the server"),
        Parameter("sack", Kind.COUNT, 1, 0, 1, "tcp_sack of the server"),
        Parameter("scaling", Kind.COUNT, 1, 0, 1, "tcp_window_scaling of the server"),
    ),
    server=reads_to_the_end,
    client=client,
    sysctls=lambda p: {
        "server": {
            "net.ipv4.tcp_timestamps": str(p.timestamps),
            "net.ipv4.tcp_sack": str(p.sack),
            "net.ipv4.tcp_window_scaling": str(p.scaling),
        }
    },
    expects=(
        Expect("TCP header of the SYN", Kind.SIZE,
               lambda p: TCP + MSS + SACK + TIMESTAMPS + 1 + SCALE,
               lambda e: header_of(e, "c>s", "SYN"),
               "RFC 9293 3.2, 2018 2, 7323 2.2 and 3.2: 4 + 2 + 10 + 1 (filler) + 3"),
        Expect("TCP header of the SYN-ACK", Kind.SIZE, lambda p: TCP + in_words(p),
               lambda e: header_of(e, "s>c", "SYN ACK"), "RFC 7323 2.2: only what was offered"),
        Expect("MSS that the client offers", Kind.SIZE, lambda p: MTU - IPV4 - TCP,
               lambda e: e.connection.client_mss, "RFC 9293 3.7.1: MTU less both headers"),
        Expect("window scale that it offers", Kind.COUNT, scale,
               lambda e: e.connection.client_wscale,
               "tcp_select_initial_window() of Linux: from tcp_rmem and net.core.rmem_max"),
        *(
            Expect(f"{name} is in use", Kind.WORD,
                   lambda p, name=name: "yes" if p[name.lower()] else "no",  # type: ignore[misc]
                   lambda e, name=name: is_used(e, name),  # type: ignore[misc]
                   source)
            for name, source in (
                ("SACK", "RFC 2018 2: if both have said so"),
                ("timestamps", "RFC 7323 3.2: if both have sent them"),
                ("scaling", "RFC 7323 2.2: if both have"),
            )
        ),
        Expect("payload of the first full segment", Kind.SIZE,
               lambda p: MTU - IPV4 - TCP - (12 if p.timestamps else 0),
               lambda e: max((s.payload_len_bytes for _, s in e.frames("c>s")), default=None),
               "RFC 7323 3.2: in every segment; RFC 6691: options come out of the MSS"),
    ),
    moment=moment,
    next=lambda p: (
        f"`netlab study syn-options --set timestamps={1 - p.timestamps}`: 12 bytes "
        f"{'more' if p.timestamps else 'less'} in every segment."
    ),
)  # fmt: skip
