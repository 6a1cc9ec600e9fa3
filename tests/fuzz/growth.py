"""Captures made to be slow to read: each kind of any length, for a test of how the time grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from struct import pack

from netlab.model.seqnum import SEQ_MASK

SYN, ACK, PUSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04
Frames = Iterator[bytes]


def capture(frames: Frames) -> bytes:
    """A pcap of these frames, a microsecond apart."""
    parts = [pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    for at_us, frame in enumerate(frames):
        head = 1_700_000_000 + at_us // 10**6, at_us % 10**6, len(frame), len(frame)
        parts += (pack("<IIII", *head), frame)
    return b"".join(parts)


def ip(
    payload: bytes, protocol: int, *, ident: int = 1, fragment: int = 0, back: bool = False
) -> bytes:
    """An Ethernet frame with an IPv4 packet between two hosts."""
    hosts = b"\n\0\0\2\n\0\0\1" if back else b"\n\0\0\1\n\0\0\2"
    head = pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident & 0xFFFF, fragment, 64, protocol, 0)
    return bytes(12) + b"\x08\0" + head + hosts + payload


def tcp(
    seq: int, ack: int, flags: int, payload: bytes = b"", *, back: bool = False, port: int = 40_000,
    options: bytes = b"", window: int = 500, server: int = 80,
) -> bytes:  # fmt: skip
    """A segment of a connection; `back`: of its server."""
    ports = (server, port) if back else (port, server)
    words = (20 + len(options)) << 2
    head = pack("!HHIIBBHHH", *ports, seq & SEQ_MASK, ack & SEQ_MASK, words, flags, window, 0, 0)
    return ip(head + options + payload, 6, back=back)


def udp(payload: bytes, source: int, target: int) -> bytes:
    """A datagram."""
    return ip(pack("!HHHH", source, target, 8 + len(payload), 0) + payload, 17)


def handshake(server: int = 80) -> Frames:
    """The first three frames."""
    yield tcp(999, 0, SYN, server=server)
    yield tcp(4999, 1000, SYN | ACK, back=True, server=server)
    yield tcp(1000, 5000, ACK, server=server)


def backwards(count: int) -> Frames:
    """Each segment lies before the one before it, a gap between."""
    yield from handshake()
    for number in range(count):
        yield tcp(1000 + (count - number) * 20, 5000, ACK | PUSH, b"0123456789")


def scattered(count: int) -> Frames:
    """Segments in any order, answered with SACK blocks of any place."""
    random = Random(1)
    yield from handshake()
    for _ in range(count // 2):
        yield tcp(1000 + random.randrange(count) * 10, 5000, ACK | PUSH, b"0123456789")
        edges = [1000 + random.randrange(count) * 10 for _ in range(3)]
        blocks = b"".join(pack("!II", edge, edge + 10) for edge in edges)
        yield tcp(5000, 1000, ACK, back=True, options=b"\1\1\5\x1a" + blocks)


def again_and_again(count: int) -> Frames:
    """One segment, resent for ever."""
    yield from handshake()
    for _ in range(count):
        yield tcp(1000, 5000, ACK | PUSH, b"0123456789")


def never_acknowledged(count: int) -> Frames:
    """All of it is out, and each ACK is a duplicate."""
    yield from handshake()
    for number in range(count // 2):
        yield tcp(1000 + number * 10, 5000, ACK | PUSH, b"0123456789")
        yield tcp(5000, 1000, ACK, back=True)


def same_ports(count: int) -> Frames:
    """A new connection of the same two ports with every frame."""
    for number in range(count):
        yield tcp(number * 100_000, 0, SYN)


def connections(count: int) -> Frames:
    """A connection, or a datagram, of its own in every frame."""
    for number in range(count):
        if number % 2:
            yield udp(b"x", 1024 + number % 60_000, 1024 + number // 60_000)
        else:
            yield tcp(number, 0, SYN, port=1024 + number % 60_000)


def closed_windows(count: int) -> Frames:
    """Zero windows, probes and updates in turn."""
    yield from handshake()
    for _ in range(count // 3):
        yield tcp(5000, 1000, ACK, back=True, window=0)
        yield tcp(1000, 5000, ACK, b"x")
        yield tcp(5000, 1000, ACK, back=True, window=7)


def fragments_of_one(count: int) -> Frames:
    """One packet, in overlapping fragments that never end."""
    for number in range(count):
        yield ip(bytes(16), 17, ident=7, fragment=0x2000 | number % 8000)


def fragments_of_many(count: int) -> Frames:
    """First fragments of as many packets."""
    for number in range(count):
        yield ip(bytes(16), 17, ident=number, fragment=0x2000 | number % 5)


def _stream(count: int, server: int, asked: bytes, answered: bytes) -> Frames:
    yield from handshake(server)
    sent = got = 0
    for _ in range(count // 2):
        yield tcp(1000 + sent, 5000 + got, ACK | PUSH, asked, server=server)
        sent += len(asked)
        yield tcp(5000 + got, 1000 + sent, ACK | PUSH, answered, back=True, server=server)
        got += len(answered)


def http_byte_by_byte(count: int) -> Frames:
    """A header that grows by one byte a segment."""
    yield from handshake()
    begun = b"GET / HTTP/1.1\r\nX: "
    yield tcp(1000, 5000, ACK | PUSH, begun)
    for number in range(count):
        yield tcp(1000 + len(begun) + number, 5000, ACK | PUSH, b"a")


def http_chunks(count: int) -> Frames:
    """A body of chunks of a byte each."""
    yield from handshake()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield tcp(5000, 1000, ACK | PUSH, head, back=True)
    for number in range(count):
        yield tcp(5000 + len(head) + number * 6, 1000, ACK | PUSH, b"1\r\na\r\n", back=True)


def many_requests(count: int) -> Frames:
    """Short requests and answers."""
    return _stream(count, 80, b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n")


def empty_tls_records(count: int) -> Frames:
    """Records of application data that hold nothing."""
    return _stream(count, 443, b"\x17\3\3\0\0" * 9, b"\x17\3\3\0\0" * 9)


def empty_http2_frames(count: int) -> Frames:
    """The preface, then frames of nine bytes."""
    yield from handshake()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    yield tcp(1000, 5000, ACK | PUSH, preface)
    for number in range(count):
        frames = b"\0\0\0\4\1\0\0\0\0" * 9
        yield tcp(1000 + len(preface) + number * len(frames), 5000, ACK | PUSH, frames)


def looping_names(count: int) -> Frames:
    """DNS whose names point at each other."""
    body = pack("!HHHHHH", 1, 0x8180, 1, 30, 0, 0) + b"\xc0\x0c\0\1\0\1"
    body += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4" * 30
    for _ in range(count):
        yield udp(body, 53, 5353)


def noise(count: int) -> Frames:
    """A stream without a protocol, on a port that has one."""
    random = Random(2)
    return _stream(count, 80, random.randbytes(700), random.randbytes(700))


KINDS: dict[str, Callable[[int], Frames]] = {
    kind.__name__: kind
    for kind in (
        backwards, scattered, again_and_again, never_acknowledged, same_ports, connections,
        closed_windows, fragments_of_one, fragments_of_many, http_byte_by_byte, http_chunks,
        many_requests, empty_tls_records, empty_http2_frames, looping_names, noise,
    )
}  # fmt: skip
