"""Streams that are made to take long: the time is that of their bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from spoken import C, said
from test_http2_messages import frame
from test_tls_messages import counted, handshake, record

from netlab.decode.applications.http1 import Http1
from netlab.decode.applications.http2 import PREFACE, Http2
from netlab.decode.applications.message import Conversation
from netlab.decode.applications.tls import Tls
from netlab.decode.applications.websocket import WebSocket

SIZE = 20_000


def tiny_records(count: int) -> bytes:
    """A chain of empty certificates, each byte in a record of its own."""
    chain = handshake(11, counted(3, counted(3) * (count // 3)))
    return b"".join(record(22, chain[at : at + 1]) for at in range(len(chain)))


def tiny_continuations(count: int) -> bytes:
    frames = [frame(9, 0, 1, b"\x82") for _ in range(count)]
    return PREFACE + frame(1, 0, 1, b"\x82") + b"".join(frames) + frame(9, 4, 1, b"")


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMS = {
    "records of one byte": (Tls, tiny_records),
    "continuations of one byte": (Http2, tiny_continuations),
    "nearly records": (Tls, lambda n: b"GET" + b"\x16\x03\x01\xff\xff" * n),
    "records that lead nowhere": (Tls, lambda n: b"GET" + b"\x16\x03\x01\0\1" * n),
    "nearly frames": (Http2, lambda n: PREFACE + b"\xff" * 9 + bytes(n)),
    "one line": (Http1, lambda n: b"a" * n),
    "many lines": (Http1, lambda n: b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * n),
    "no lines": (Http1, lambda n: b"\n" * n),
    "chunks of one byte": (Http1, lambda n: CHUNKED + b"1\r\na\r\n" * n),
    "fragments of nothing": (WebSocket, lambda n: b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * n),
}  # fmt: skip


def took(make: Callable[[], Conversation], stream: bytes) -> float:
    pieces = [C(stream[at : at + 1460]) for at in range(0, len(stream), 1460)]
    start = time.process_time()
    said(make, *pieces)
    return time.process_time() - start


@pytest.mark.parametrize("name", STREAMS)
def test_twice_the_bytes_take_twice_the_time(name: str) -> None:
    make, stream = STREAMS[name]
    small, large = stream(SIZE // 8), stream(SIZE)
    least = min(took(make, small) for _ in range(2))
    # Eight times the bytes: 64 times the time would be the square. Much is left to a busy machine,
    # which may hold up any of them: what is slow is slow each time.
    assert any(took(make, large) < max(least, 0.002) * 30 for _ in range(3)), name
