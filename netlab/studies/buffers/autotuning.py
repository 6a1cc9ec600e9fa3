"""A receive buffer that nobody set: the kernel makes it larger as it is used."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence, Frame
from netlab.studies.parts import MS, delay
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import connected
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Curves, Expect, Parameter, Params, Study, Topic

BEGINS_WITH = 131_072  # the middle number of net.ipv4.tcp_rmem in the lab
SIZE = 1 << 20
SERVERS = {"server": 1, "fixed": 0}  # tcp_moderate_rcvbuf of each, in the order of the connections


def client(probe: Probe, p: Params) -> None:
    """Sends a mebibyte to each server."""
    for host in SERVERS:
        sock = connected(probe, host)
        sock.sendall(b"n" * SIZE)
        sock.close()


def experiment(stage: Stage) -> None:
    """Both servers listen; the client goes to one after the other."""
    for host in SERVERS:
        stage.start(host, reads_to_the_end)
        stage.lab.wait_listening(host, PORT)
    stage.run("client", client)
    stage.wait(*stage.started)
    stage.lab.settle()


def acks(evidence: Evidence, host: str) -> list[Frame]:
    """What a server acknowledged, each with the window that it then offered."""
    return evidence.frames("s>c", flags="ACK", connection=[*SERVERS].index(host))


def largest_window(evidence: Evidence, host: str) -> int:
    """The largest that a server offered."""
    return max((segment.seg_wnd_bytes or 0 for _, segment in acks(evidence, host)), default=0)


def took_ns(evidence: Evidence, host: str) -> int:
    """From the first ACK to the last."""
    every = acks(evidence, host)
    return every[-1][0].time_ns - every[0][0].time_ns


def table(evidence: Evidence) -> list[list[str]]:
    """The windows, and how long the mebibyte took with them."""
    rows = [["tcp_moderate_rcvbuf", "first window", "largest", "last byte after"]]
    for host, moderate in SERVERS.items():
        first = acks(evidence, host)[0][1].seg_wnd_bytes or 0
        rows.append([
            f"{moderate}", shown(Kind.SIZE, first),
            shown(Kind.SIZE, largest_window(evidence, host)),
            shown(Kind.TIME, took_ns(evidence, host)),
        ])  # fmt: skip
    return rows


def curves(evidence: Evidence) -> Curves:
    """The windows over time, each from its server's first ACK."""
    return Curves(
        "the window that the server offers, over time",
        tuple((f"tcp_moderate_rcvbuf {SERVERS[host]}", _windows(evidence, host))
              for host in SERVERS),
        Kind.TIME, Kind.SIZE,
    )  # fmt: skip


def _windows(evidence: Evidence, host: str) -> tuple[tuple[int, int], ...]:
    every = acks(evidence, host)
    begun_ns = every[0][0].time_ns
    return tuple((packet.time_ns - begun_ns, ack.seg_wnd_bytes or 0) for packet, ack in every)


def _grew(host: str, word: str) -> Expect:
    return Expect(
        f"with {SERVERS[host]}: a window was larger than the buffer at first", Kind.WORD,
        lambda p: word,
        lambda e: "yes" if largest_window(e, host) > BEGINS_WITH else "no",
        "tcp_rcv_space_adjust() of Linux; ip-sysctl, tcp_moderate_rcvbuf",
    )  # fmt: skip


def _read(host: str) -> Expect:
    return Expect(f"bytes that the server read with {SERVERS[host]}", Kind.SIZE, lambda p: SIZE,
                  lambda e: e.returned[host], "RFC 9293 2.2")  # fmt: skip


STUDY = Study(
    name="autotuning",
    topic=Topic.BUFFERS,
    question="Nobody set SO_RCVBUF. Is the receive buffer large enough for a wire with a round "
    "trip of {rtt}?",
    setup="A client sends a mebibyte to each of two servers over a wire with a round trip of "
    "{rtt}. Their buffers begin with 131,072 bytes (net.ipv4.tcp_rmem); "
    "net.ipv4.tcp_moderate_rcvbuf is 1 at the one, as everywhere, and 0 at the other.",
    prediction="With 1 the kernel makes it so: it measures how much the program takes in each "
    "round trip, and makes the buffer twice as large as that, up to the largest of tcp_rmem. The "
    "window grows beyond the whole buffer that was there at first. With 0, or once SO_RCVBUF was"
    " set, the buffer stays, and its window is what one round trip can carry: the same mebibyte "
    "takes longer.",
    parameters=(
        Parameter("rtt", Kind.TIME, 50 * MS, 20 * MS, 200 * MS, "round trip of the wire"),
    ),
    hosts=("client", *SERVERS),
    experiment=experiment,
    wire=delay,
    sysctls=lambda p: {
        host: {"net.ipv4.tcp_moderate_rcvbuf": f"{moderate}"} for host, moderate in SERVERS.items()
    },
    expects=(
        _grew("server", "yes"),
        _grew("fixed", "no"),
        _read("server"),
        _read("fixed"),
        Expect("the same mebibyte took longer with", Kind.WORD, lambda p: "0",
               lambda e: f"{SERVERS[max(SERVERS, key=lambda host: took_ns(e, host))]}",
               "RFC 9293 3.8.6: a window in a round trip"),
    ),
    connection=None,
    table=table,
    curves=curves,
    next="`netlab study window-rtt`: what a window and a round trip make of the throughput.",
)  # fmt: skip
