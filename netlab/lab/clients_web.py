"""Clients of the web's servers: HTTP over a connection that stays, and WebSocket over it.

Both speak their protocol by hand, so that what a library on the other side makes of it is checked
by something else, and need nothing but the standard library. Read first: client.py,
RFC 6455 1.2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

import netlab
from netlab.lab.client import Client, Failed
from netlab.lab.pattern import pattern

FOLDER = Path(netlab.__file__).parent  # what the server of a run serves: our own source
FILE = "server/handlers/http.py"
PAGE = "server/handlers/"  # a list of what is in that folder
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_KEY = base64.b64encode(bytes(range(16)))
_BINARY, _CLOSE = 0x2, 0x8
_FIN, _MASKED = 0x80, 0x80
_CLOSE_NORMAL = (1000).to_bytes(2, "big")


class Http(Client):
    """Gets a file and a page in turn, or so many bytes of the file where a size was asked for."""

    _file = (FOLDER / FILE).read_bytes()
    _rest = b""  # read behind the answer before
    _number = 0  # of requests

    def _exchange(self, start: int) -> None:
        """One request and its answer; `start` says which part of the file."""
        size = self._orders.size_bytes
        self._number += 1
        if size:
            first = start % len(self._file)
            wanted = self._file[first : first + size]
            headers, body = self._get(FILE, f"Range: bytes={first}-{first + len(wanted) - 1}\r\n")
            span = f"bytes {first}-{first + len(wanted) - 1}/{len(self._file)}"
            if headers.get("content-range") != span:
                raise Failed(f"the server sent {headers.get('content-range')}, not {span}")
        elif self._number % 2:
            wanted = self._file
            _, body = self._get(FILE)
        else:
            _, body = self._get(PAGE)
            wanted = body if FILE.rpartition("/")[2].encode() in body else b""
        if body != wanted:
            raise Failed("the body is not what the file holds")

    def _get(self, name: str, more: str = "") -> tuple[Mapping[str, str], bytes]:
        """Headers by lower-case name, and the body. Raises Failed when it is refused."""
        self._ask(name, more)
        status, headers = self._head()
        if status not in (200, 206):
            raise Failed(f"the server answered {status} to GET /{name}")
        length = int(headers.get("content-length", "0"))
        body, self._rest = self._rest, b""  # there is one answer at a time
        while len(body) < length:
            piece = self._socket.recv(min(self._orders.recv_size_bytes, length - len(body)))
            if not piece:
                raise Failed("the server closed in the middle of an answer")
            body += piece
        if len(body) > length:
            raise Failed(f"the server sent {len(body) - length} bytes more than the answer has")
        return headers, body

    def _ask(self, name: str, more: str) -> None:
        host = self._orders.host
        authority = f"{f'[{host}]' if ':' in host else host}:{self._orders.port}"
        self._put(f"GET /{name} HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n".encode())

    def _head(self) -> tuple[int, Mapping[str, str]]:
        while b"\r\n\r\n" not in self._rest:
            piece = self._socket.recv(self._orders.recv_size_bytes)
            if not piece:
                raise Failed("the server closed in the middle of an answer")
            self._rest += piece
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return status_and_headers(head)


def status_and_headers(head: bytes) -> tuple[int, Mapping[str, str]]:
    """What stands before the empty line. Raises Failed where that is no answer of HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest.partition(" ")[0]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdecimal()):
        raise Failed("the server does not speak HTTP")
    pairs = [line.partition(":") for line in lines]
    return int(status), {name.lower(): value.strip() for name, _, value in pairs}


class WebSocket(Http):
    """Upgrades the connection, then sends messages that come back; closes as the protocol asks."""

    def converse(self) -> None:
        """Shake hands first."""
        self._shake_hands()
        super().converse()

    def _shake_hands(self) -> None:
        self._ask(
            "",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {_KEY.decode()}\r\nSec-WebSocket-Version: 13\r\n",
        )
        status, headers = self._head()
        accept = base64.b64encode(hashlib.sha1(_KEY + _GUID).digest()).decode()
        if status != 101 or headers.get("sec-websocket-accept") != accept:
            raise Failed(f"the server answered {status} to an upgrade")

    def _exchange(self, start: int) -> None:
        """One message as one frame; the answer may be in several."""
        stop = start + self._orders.size_bytes
        self._put(frame_bytes(_BINARY, pattern(start, stop)))
        while start < stop:
            opcode, payload = self._frame()
            if opcode not in (0, _BINARY) or not payload or start + len(payload) > stop:
                raise Failed(f"the server sent a frame of kind {opcode}, {len(payload)} bytes")
            self._check(payload, start)
            start += len(payload)

    def _say_goodbye(self) -> None:
        """A close frame each; then it is the server's turn to close the connection."""
        self._put(frame_bytes(_CLOSE, _CLOSE_NORMAL))
        opcode, payload = self._frame()
        if opcode != _CLOSE or payload[:2] != _CLOSE_NORMAL:
            raise Failed("the server did not close as it was asked")
        if self._rest or self._socket.recv(1):
            raise Failed("the server sent more behind its close frame")
        self._socket.close()

    def _frame(self) -> tuple[int, bytes]:
        """The next frame's kind and what it carries; a server's frames have no mask."""
        first, second = self._read(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self._read(2 if length == 126 else 8), "big")
        return first & 0x0F, self._read(length)

    def _read(self, size: int) -> bytes:
        data, self._rest = self._rest[:size], self._rest[size:]
        return data + self._take(size - len(data))


def frame_bytes(opcode: int, payload: bytes) -> bytes:
    """One whole frame of a client. The mask is all zeros: it is there, and what is masked can be
    read in the packets."""
    length = len(payload)
    if length < 126:
        head = bytes([_FIN | opcode, _MASKED | length])
    elif length < 1 << 16:
        head = bytes([_FIN | opcode, _MASKED | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([_FIN | opcode, _MASKED | 127]) + length.to_bytes(8, "big")
    return head + bytes(4) + payload
