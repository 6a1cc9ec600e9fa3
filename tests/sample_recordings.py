"""Small recordings for tests: a clean TCP conversation, its calls, and records drawn at random."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from netlab.model.call import CallRecord, Inheritance, Ready
from netlab.model.clock import ClockPair
from netlab.model.frame import DIRECTION_IN, Interface
from netlab.model.kernel_event import KernelEvent
from netlab.model.recording import Description, Host, Loss, RawRecording
from netlab.model.sample import Sample
from netlab.model.stamp import StampRecord

T0_NS = 1_700_000_000_000_000_000
LO = Interface("lo", 1, 65_535)
DESCRIPTION = Description(
    netlab_version="0.1.0",
    title="a test",
    hosts=(Host("localhost", "6.1.0", (("net.ipv4.tcp_sack", "1"),)),),
    witnesses=("packets on lo", "probe in each process"),
    notes=("a note\nof two lines",),
)

SAMPLE = Sample(
    time_ns=T0_NS + 15_000, within_ns=900, host="localhost", inode=21, cookie=4097,
    local="127.0.0.1:40000", peer="127.0.0.1:7", state=1, rqueue=0, wqueue=0,
)  # fmt: skip

Ringed = tuple[int, bytes, int, int]


def ethernet_tcp(client: bool, flags: int, seq: int, ack: int, payload: bytes = b"") -> bytes:
    """A frame of a conversation on loopback, with right checksums."""
    ports = (40_000, 7) if client else (7, 40_000)
    head = b"".join(
        (
            ports[0].to_bytes(2, "big"), ports[1].to_bytes(2, "big"),
            seq.to_bytes(4, "big"), ack.to_bytes(4, "big"),
            bytes((0x50, flags)), b"\x01\xff", b"\0\0\0\0",
        )
    )  # fmt: skip
    addresses = bytes((127, 0, 0, 1)) * 2
    pseudo = addresses + b"\0\x06" + (len(head) + len(payload)).to_bytes(2, "big")
    tcp = head[:16] + checksum(pseudo + head + payload) + head[18:] + payload
    ip = b"\x45\0" + (20 + len(tcp)).to_bytes(2, "big") + b"\0\0\x40\0\x40\x06"
    ip += checksum(ip + b"\0\0" + addresses) + addresses
    return bytes(12) + b"\x08\0" + ip + tcp


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) & 1)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def conversation(payload: bytes = b"x" * 101) -> list[Ringed]:
    """Handshake, one segment and its ACK, teardown: nothing for tshark to flag."""
    syn, ack, psh, fin = 0x02, 0x10, 0x18, 0x11
    after = 1001 + len(payload)
    sent = [
        (1_500, ethernet_tcp(True, syn, 1000, 0)),
        (2_500, ethernet_tcp(False, syn | ack, 5000, 1001)),
        (3_500, ethernet_tcp(True, ack, 1001, 5001)),
        (10_500, ethernet_tcp(True, psh, 1001, 5001, payload)),
        (11_000, ethernet_tcp(False, ack, 5001, after)),
        (20_100, ethernet_tcp(True, fin, after, 5001)),
        (20_500, ethernet_tcp(False, fin, 5001, after + 1)),
        (20_700, ethernet_tcp(True, ack, after + 1, 5002)),
    ]
    return [(T0_NS + at, data, len(data), DIRECTION_IN) for at, data in sent]


def call(op: str, entered: int, returned: int | None, order: int, **more: object) -> CallRecord:
    """A call of the client; times are ns after T0_NS."""
    return replace(
        CallRecord(
            "probe", "localhost", "client", 4711, 4711, order, op, 5, "",
            T0_NS + entered, None if returned is None else T0_NS + returned,
        ),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def calls() -> list[CallRecord]:
    """The client's and the server's calls of `conversation`, in order of entry."""
    server = {"actor": "server", "pid": 4712, "tid": 4712, "fd": 6}
    found = [
        call("connect", 1_000, 4_000, 1, args="127.0.0.1:7", result=0, address="127.0.0.1:7"),
        call("recv", 9_000, 10_999, 1, requested_bytes=4096, result=101, **server),
        call("send", 10_000, 10_900, 2, requested_bytes=101, result=101, args="MSG_NOSIGNAL"),
        call("close", 19_999, 21_000, 3, result=0),
        call("recv", 12_000, 20_200, 2, requested_bytes=4096, result=0, **server),
    ]
    return sorted(found, key=lambda c: (c.entered_ns, c.host, c.pid, c.tid, c.order))


def raw_recording() -> RawRecording:
    """The conversation and its calls as raw material."""
    from netlab.model.frame import Frame

    return RawRecording(
        frames=[
            Frame(n, at, 0, data, size, flags)
            for n, (at, data, size, flags) in enumerate(conversation(), 1)
        ],
        interfaces=[replace(LO, received=8, dropped=0, start_ns=T0_NS, end_ns=T0_NS + 30_000)],
        calls=calls(),
        inheritances=[Inheritance(4713, 4712, T0_NS + 5_000, (17, 18))],
        stamps=[
            StampRecord(T0_NS + 10_400, "localhost", 4711, 21, "scheduled", 100),
            StampRecord(T0_NS + 10_450, "localhost", 4711, 21, "sent", 100),
            StampRecord(T0_NS + 11_100, "localhost", 4711, 21, "acked", 100),
        ],
        samples=[
            replace(SAMPLE, tcp_info=bytes(range(248)), memory=(0, 131_072, 0, 46_080)),
            replace(SAMPLE, inode=20, cookie=4096, state=10, rqueue=1, wqueue=128),
        ],
        kernel_events=[
            KernelEvent(
                T0_NS,
                "localhost",
                "inet_sock_set_state",
                SAMPLE.local,
                SAMPLE.peer,
                20,
                state="ESTABLISHED",
                old_state="SYN-RECEIVED",
            ),
            KernelEvent(
                T0_NS + 9,
                "localhost",
                "tcp_probe",
                SAMPLE.local,
                SAMPLE.peer,
                state="ESTABLISHED",
                length_bytes=100,
                snd_nxt=1,
                snd_una=1,
                snd_cwnd=10,
                srtt_ns=40_000,
                snd_wnd_bytes=65_536,
                rcv_wnd_bytes=65_483,
            ),
            KernelEvent(T0_NS + 10, "localhost", "kfree_skb", reason="NO_SOCKET"),
        ],
        clock_pairs=[ClockPair(T0_NS, 77)],
        losses=[Loss("probe", "calls", 3, "spool limit", "server", T0_NS)],
        description=DESCRIPTION,
    )


INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
NUMBER = st.integers(0, (1 << 63) - 1)
# Any text at all: controls, line ends of every kind, lone surrogates, what looks like our escapes.
TEXT = st.text(st.characters(codec=None, categories=None), max_size=12) | st.sampled_from(
    ["", "\\N", "\\u000a", "\n", "\r\nMESSAGE=x", "a\tb", "\0", "\udcff", "\x1b[31m", "=", "\u2028"]
)
READY = st.builds(Ready, INT64, st.none() | NUMBER, NUMBER)
MAYBE_TEXT, MAYBE_INT = st.none() | TEXT, st.none() | INT64
KERNEL_EVENTS = st.builds(
    KernelEvent, INT64, TEXT, TEXT,
    *[MAYBE_TEXT] * 2, MAYBE_INT, *[MAYBE_TEXT] * 4, *[MAYBE_INT] * 8,
)  # fmt: skip
SAMPLES = st.builds(
    Sample,
    time_ns=INT64, within_ns=INT64, host=TEXT, inode=INT64, cookie=INT64, local=TEXT, peer=TEXT,
    state=INT64, rqueue=INT64, wqueue=INT64, tcp_info=st.none() | st.binary(max_size=40),
    memory=st.lists(INT64, max_size=9).map(tuple),
)  # fmt: skip
CALL_RECORDS = st.builds(
    CallRecord,
    witness=TEXT, host=TEXT, actor=TEXT, pid=INT64, tid=INT64, order=INT64,
    op=TEXT | st.just("send"), fd=MAYBE_INT, args=TEXT,
    entered_ns=NUMBER, returned_ns=st.none() | NUMBER,
    returned_by_ns=MAYBE_INT, requested_bytes=MAYBE_INT, result=MAYBE_INT,
    errno=MAYBE_TEXT | st.just("EAGAIN"), flags=INT64, inode=MAYBE_INT, family=MAYBE_TEXT,
    kind=MAYBE_TEXT, local=MAYBE_TEXT, peer=MAYBE_TEXT, address=MAYBE_TEXT, new_inode=MAYBE_INT,
    peer_inode=MAYBE_INT, about_inode=MAYBE_INT, ready=st.lists(READY, max_size=3).map(tuple),
    inq_before_bytes=MAYBE_INT, outq_before_bytes=MAYBE_INT, inq_after_bytes=MAYBE_INT,
    outq_after_bytes=MAYBE_INT, tcp_info_before=st.none() | st.binary(max_size=40),
    tcp_info_after=st.none() | st.binary(max_size=40), code=MAYBE_TEXT | st.just("a b.py:12"),
)  # fmt: skip
