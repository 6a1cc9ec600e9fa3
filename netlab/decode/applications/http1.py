"""HTTP/1: requests and responses with their bodies, until another protocol takes over.

Bodies are counted, never kept. Where bytes are missing or are no HTTP, reading goes on at the next
line that can only be the first of a message. Read first: RFC 9112 6.3, 9.2 and 9.3.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import field, replace
from enum import Enum, auto

from netlab.decode.applications.http1_head import REQUEST, RESPONSE, Head
from netlab.decode.applications.message import Application, Conversation, Item, Said
from netlab.decode.applications.tunnel import Tunnel
from netlab.decode.applications.unread import Unread
from netlab.model.records import dataclass
from netlab.model.tables import Side

_LONGEST_LINE = 1 << 20
_MOST_CHUNKS = 64  # are items of their own; those behind are counted
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class _Phase(Enum):
    """What the next bytes of a side are."""

    FIRST = auto()  # a request or status line
    FIELDS = auto()
    BODY = auto()  # of known length
    UNTIL_CLOSE = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    HELD = auto()  # what they are, the server's answer to an upgrade says
    LOST = auto()  # no HTTP, or from inside a message


@dataclass(slots=True)
class _Half:
    """One side."""

    side: Side
    unread: Unread = field(default_factory=Unread)
    phase: _Phase = _Phase.FIRST
    head: Head | None = None
    looked: int = 0  # bytes of the unread ones in which no line's end is
    body_start: int = 0
    body_stop: int | None = None  # of a chunked one, behind its last chunk's size
    body_bytes: int = 0
    left: int = 0  # bytes of body or chunk still to come
    chunks: int = 0
    missing: int = 0  # bytes of the body that no frame holds
    rule: str = ""  # how the body ends
    fault: str = ""
    fed: bool = False
    ready: list[Said] = field(default_factory=list)  # what the other side's bytes released

    def taken(self) -> list[Said]:
        ready, self.ready = self.ready, []
        return ready


_INSIDE = "bytes inside a message"
_UNLIKE = "no HTTP/1 message begins like this"
_NO_HTTP = "bytes that are no HTTP"
_RULES = {
    "length": "Content-Length says how long it is.",
    "chunked": "It comes in chunks, each with its size; one of size 0 ends it.",
    "close": "It goes on until the connection ends.",
}


class Http1:
    """A conversation in HTTP/1."""

    def __init__(self) -> None:
        self._halves = {side: _Half(side) for side in Side}
        self._asked: deque[Head] = deque()  # requests without a final answer
        self._next: Conversation | None = None  # that took over

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        if self._next is not None:
            return half.taken() + self._next.feed(side, data, start)
        if not half.fed and start > 0:  # the capture began later
            half.phase = _Phase.LOST
            half.fault = "the capture begins inside a message"
            half.unread.jump(start)
        half.fed = True
        half.unread.add(data, start)
        before = half.taken()
        said = self._read(half)
        return before + said + half.taken()

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        if self._next is not None:
            return half.taken() + self._next.gap(side, start, stop)
        half.fed = True
        size = stop - start
        if half.phase is _Phase.UNTIL_CLOSE or (
            half.phase in (_Phase.BODY, _Phase.CHUNK) and half.left >= size
        ):
            half.missing += size
            half.body_bytes += size
            half.left -= size
            half.unread.jump(stop)
            return half.taken() + self._read(half)
        said = half.taken() + self._broken(
            half, f"{size:,} bytes were not captured", half.unread.stop
        )
        half.phase = _Phase.LOST
        half.fault = "its beginning was not captured"
        half.looked = 0
        half.unread.jump(stop)
        return said

    def end(self, side: Side) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        if self._next is not None:
            return half.taken() + self._next.end(side)
        if half.phase is _Phase.HELD:
            self._release()
        said = half.taken()
        if half.phase is _Phase.UNTIL_CLOSE:
            return [*said, self._whole(half)]
        return said + self._broken(half, _unfinished(half), half.unread.stop)

    @property
    def _client_held(self) -> bool:
        return self._halves[Side.CLIENT].phase is _Phase.HELD

    def _release(self) -> None:
        """No other protocol came: what was held is HTTP."""
        client = self._halves[Side.CLIENT]
        client.phase = _Phase.FIRST
        client.ready += self._read(client)

    def _broken(self, half: _Half, why: str, stop: int) -> list[Said]:
        """What was begun and will not be ended."""
        if half.phase is _Phase.LOST:
            start = half.unread.start - half.body_bytes
            half.body_bytes = 0
            return [_lost(half, start, stop)] if start < stop else []
        if half.head is None:
            if not half.unread:
                return []
            text = "part of a first line"
            return [Said("HTTP/1.1", half.unread.start, stop, text, (), why)]
        half.fault = half.fault or why
        return [self._whole(half, stop)]

    def _whole(self, half: _Half, stop: int | None = None) -> Said:
        """The message that was read, and the side ready for the next."""
        head = half.head
        assert head is not None
        if half.rule in _RULES:
            end = half.unread.start if stop is None else stop
            end = end if half.body_stop is None else half.body_stop
            size = f"{half.body_bytes:,} byte{'s' * (half.body_bytes != 1)}"
            if half.rule == "chunked":
                size += f" in {half.chunks:,} chunk{'s' * (half.chunks != 1)}"
            if half.body_bytes or half.rule != "close":
                body = Item("body", size, half.body_start, end, _RULES[half.rule], "RFC 9112 6.3")
                head.items.append(body)
        fault = head.fault or half.fault
        if half.missing and not fault:
            fault = f"{half.missing:,} bytes of the body were not captured"
        stop = half.unread.start if stop is None else stop
        if head.items[-1].stop > stop or half.left:  # a chunk that did not come whole
            head.items = [
                replace(item, stop=min(item.stop, stop)) if item.stop > stop else item
                for item in head.items
            ]
        said = Said(head.protocol, head.start, stop, head.text, tuple(head.items), fault)
        half.phase, half.head, half.fault, half.rule = _Phase.FIRST, None, "", ""
        half.body_stop = None
        half.chunks = half.body_bytes = half.missing = 0
        return said

    def _read(self, half: _Half) -> list[Said]:
        said: list[Said] = []
        while self._next is None and half.phase is not _Phase.HELD and len(half.unread):
            if half.phase is _Phase.LOST:
                if not self._resume(half, said):
                    break
            elif half.phase in (_Phase.BODY, _Phase.CHUNK, _Phase.UNTIL_CLOSE):
                self._body(half, said)
            else:
                line = self._line(half)
                if line is None:
                    break
                self._take_line(half, *line, said)
        return said

    def _line(self, half: _Half) -> tuple[bytes, int] | None:
        """The next line without its end and where it begins; None: it is not whole yet."""
        size = half.unread.find(b"\n", half.looked)
        if size < 0:
            half.looked = len(half.unread)
            if half.looked > _LONGEST_LINE:
                size = half.looked - 1
            else:
                return None
        half.looked = 0
        at = half.unread.start
        return half.unread.take(size + 1).rstrip(b"\r\n"), at

    def _take_line(self, half: _Half, line: bytes, at: int, said: list[Said]) -> None:
        if half.phase is _Phase.FIRST:
            if not line:  # RFC 9112 2.2: an empty line before a request is passed over
                return
            head = Head(at, half.side is Side.CLIENT)
            if line == b"PRI * HTTP/2.0" and head.request:
                self._to_http2(half, at)
            elif head.first_line(line, at):
                half.head, half.phase = head, _Phase.FIELDS
            else:
                half.phase, half.fault = _Phase.LOST, _UNLIKE
                half.body_bytes = half.unread.start - at
            return
        begun = half.head
        assert begun is not None
        if half.phase is _Phase.FIELDS:
            if line:
                begun.line(line, at)
            else:
                self._head_ends(half, begun, said)
        elif half.phase is _Phase.TRAILER:
            if line:
                begun.line(line, at, trailer=True)
            else:
                said += self._message_ends(half)
        elif half.phase is _Phase.CHUNK_END:
            if line:
                self._bad_chunk(half, "no line ends a chunk", said)
            else:
                half.phase = _Phase.CHUNK_SIZE
        else:
            self._chunk_size(half, begun, line, at, said)

    def _chunk_size(self, half: _Half, head: Head, line: bytes, at: int, said: list[Said]) -> None:
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            self._bad_chunk(half, "a chunk's size is no number", said)
            return
        half.left = int(match[1], 16)
        if half.left == 0:
            half.phase, half.body_stop = _Phase.TRAILER, half.unread.start
            return
        half.phase = _Phase.CHUNK
        half.chunks += 1
        if half.chunks <= _MOST_CHUNKS:
            text = f"{half.left:,} byte{'s' * (half.left != 1)}"
            stop = half.unread.start + half.left
            head.items.append(Item("chunk", text, at, stop, "Size in hexadecimal, then the bytes.",
                                   "RFC 9112 7.1"))  # fmt: skip

    def _bad_chunk(self, half: _Half, why: str, said: list[Said]) -> None:
        half.fault = why
        said.append(self._whole(half))
        half.phase, half.fault = _Phase.LOST, "behind a chunk that could not be read"

    def _body(self, half: _Half, said: list[Said]) -> None:
        count = len(half.unread)
        if half.phase is not _Phase.UNTIL_CLOSE:
            count = min(count, half.left)
            half.left -= count
        half.body_bytes += half.unread.drop(count)
        if half.phase is _Phase.CHUNK and half.left == 0:
            half.phase = _Phase.CHUNK_END
        elif half.phase is _Phase.BODY and half.left == 0:
            said += self._message_ends(half)

    def _head_ends(self, half: _Half, head: Head, said: list[Said]) -> None:
        asked = None
        if not head.request and head.status // 100 != 1 and self._asked:
            asked = self._asked.popleft()
        method = asked.method if asked is not None else ""
        tunnel = method == "CONNECT" and head.status // 100 == 2
        half.rule, half.left = ("none", 0) if tunnel else head.body(method)
        half.body_start = half.unread.start
        if head.request:
            self._asked.append(head)
        if half.rule == "length" and half.left > 0:
            half.phase = _Phase.BODY
        elif half.rule == "chunked":
            half.phase = _Phase.CHUNK_SIZE
        elif half.rule == "close":
            half.phase = _Phase.UNTIL_CLOSE
        else:
            if not head.request and head.status == 101:
                self._switch(half, head, said)
                return
            said += self._message_ends(half)
            if tunnel:
                self._hand_over(Tunnel())
        if asked is not None and not tunnel and self._client_held:
            self._release()

    def _message_ends(self, half: _Half) -> list[Said]:
        head = half.head
        assert head is not None
        said = [self._whole(half)]
        if head.request and (head.upgrades or head.method == "CONNECT"):
            half.phase = _Phase.HELD
        return said

    def _resume(self, half: _Half, said: list[Said]) -> bool:
        """Find where the next message begins; whether there is more to read."""
        size = half.unread.find(b"\n", half.looked)
        if size < 0:
            half.looked = len(half.unread)
            if half.looked > _LONGEST_LINE:
                half.body_bytes += half.unread.drop(half.looked)
                half.looked = 0
            return False
        half.looked = 0
        line = half.unread.peek(size + 1)
        match = (REQUEST if half.side is Side.CLIENT else RESPONSE).search(line)
        if match is None:
            half.body_bytes += half.unread.drop(size + 1)
            return True
        half.body_bytes += half.unread.drop(match.start())
        at = half.unread.start
        if half.body_bytes:
            said.append(_lost(half, at - half.body_bytes, at))
        half.body_bytes, half.fault, half.phase = 0, "", _Phase.FIRST
        return True

    def _switch(self, half: _Half, head: Head, said: list[Said]) -> None:
        """101: both sides go on in the protocol that the answer names (RFC 9110 7.8)."""
        said += self._message_ends(half)
        names = head.words("upgrade")
        asked = self._asked.popleft() if self._asked else None
        if "websocket" in names:
            from netlab.decode.applications.websocket import WebSocket

            extensions = head.fields.get("sec-websocket-extensions", "")
            self._hand_over(WebSocket(extensions))
        elif "h2c" in names:
            from netlab.decode.applications.http2 import Http2

            method = asked.method if asked is not None else ""
            self._hand_over(Http2(upgraded=method))
        else:
            self._hand_over(Tunnel())

    def _to_http2(self, half: _Half, at: int) -> None:
        from netlab.decode.applications.http2 import Http2

        rest = half.unread.take(len(half.unread))
        half.unread.jump(at)
        half.unread.add(b"PRI * HTTP/2.0\r\n" + rest, at)
        self._hand_over(Http2())

    def _hand_over(self, following: Conversation) -> None:
        self._next = following
        for half in self._halves.values():
            if half.unread:
                at = half.unread.start
                half.ready += following.feed(half.side, half.unread.take(len(half.unread)), at)


def _lost(half: _Half, start: int, stop: int) -> Said:
    text = _NO_HTTP if half.fault == _UNLIKE else _INSIDE
    return Said("HTTP/1.1", start, stop, text, (), half.fault)


def _unfinished(half: _Half) -> str:
    if half.phase is _Phase.BODY:
        there = half.body_bytes - half.missing
        return f"{there:,} of {half.body_bytes + half.left:,} bytes of the body"
    if half.phase in (_Phase.CHUNK, _Phase.CHUNK_SIZE, _Phase.CHUNK_END, _Phase.TRAILER):
        return f"no end: {half.body_bytes:,} bytes in {half.chunks:,} chunks"
    return "the head has no end"


def _likely(client: bytes, server: bytes) -> bool:
    if client:
        return REQUEST.match(client) is not None
    return RESPONSE.match(server) is not None


APPLICATION = Application(
    name="http",
    title="HTTP/1.1",
    tcp_ports=frozenset({80, 3128, 8000, 8008, 8080, 8888}),
    udp_ports=frozenset(),
    likely=_likely,
    conversation=Http1,
    datagram=None,
)
