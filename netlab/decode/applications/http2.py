"""HTTP/2 in clear text: frames with their fields, and the header blocks unpacked.

One message is one frame; a header block that goes on in CONTINUATION frames is one with them. DATA
is counted, never kept. Read first: RFC 9113 3.4, 4 and 6.
"""

from __future__ import annotations

import re
from dataclasses import field

from netlab.decode.applications import http2_names as names
from netlab.decode.applications.hpack_block import HpackReader
from netlab.decode.applications.http2_frames import Frame, block_of, payload
from netlab.decode.applications.message import Application, Item, Said
from netlab.decode.applications.unread import Unread
from netlab.model.records import dataclass
from netlab.model.tables import Side

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = 9
_KEPT = 1 << 20  # bytes of a frame that is no DATA: above, it is counted
_LARGEST = (1 << 24) - 1
_BEGINS = re.compile(  # a length of at most 16,384, a type that is known, any flags, a stream
    rb"\x00[\x00-\x40].[\x00-\x0a\x0c\x10].[\x00-\x7f]...", re.DOTALL
)
_UNTOLD_LARGEST = 1 << 14  # RFC 9113 4.2, unless SETTINGS said otherwise


@dataclass(slots=True)
class _Half:
    """One side."""

    side: Side
    unread: Unread = field(default_factory=Unread)
    hpack: HpackReader | None = None
    frame: Frame | None = None  # that was begun
    left: int = 0  # bytes of it that are only counted
    missing: int = 0
    blocks: list[Frame] = field(default_factory=list)  # a header block and what continues it
    lost_from: int | None = None
    why: str = ""
    preface: bool = False  # was seen, or does not come
    fed: bool = False


class Http2:
    """A conversation in HTTP/2. `upgraded`: the method that HTTP/1 asked with before (h2c)."""

    def __init__(self, upgraded: str = "") -> None:
        self._halves = {side: _Half(side) for side in Side}
        self._halves[Side.SERVER].preface = True
        self._upgraded = upgraded

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        if not half.fed:
            half.fed = True
            half.unread.jump(start)
            if start > 0 and not self._upgraded and not (
                side is Side.CLIENT and PREFACE.startswith(data[: len(PREFACE)])
            ):  # fmt: skip
                half.preface = True
                self._lose(half, "the capture begins inside a frame")
        half.unread.add(data, start)
        return self._read(half, last=False)

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        half.fed = half.preface = True
        size = stop - start
        if half.frame is not None and half.left >= size and half.left:
            half.left -= size
            half.missing += size
            half.unread.jump(stop)
            return self._read(half, last=False)
        said = self._given_up(half, f"{size:,} bytes were not captured")
        half.unread.jump(stop)
        self._lose(half, "its beginning was not captured")
        return said

    def end(self, side: Side) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        return self._read(half, last=True) + self._given_up(half, "")

    def _lose(self, half: _Half, why: str) -> None:
        half.lost_from, half.why = half.unread.start, why
        self._hpack(half).lose()

    def _hpack(self, half: _Half) -> HpackReader:
        if half.hpack is None:
            half.hpack = HpackReader()
        return half.hpack

    def _given_up(self, half: _Half, why: str) -> list[Said]:
        """What was begun and will not be ended."""
        stop = half.unread.stop
        said: list[Said] = []
        if half.lost_from is not None:
            if stop > half.lost_from:
                said.append(Said("HTTP/2", half.lost_from, stop, "bytes inside a frame", (),
                                 half.why))  # fmt: skip
        elif half.blocks:
            said.append(self._block(half, why or "no end of the header block", stop))
        elif half.frame is not None or half.unread:
            frame, start = half.frame, half.unread.start
            text = "part of a frame"
            fault = why or f"{len(half.unread)} of {_HEADER} bytes of a frame's head"
            items: tuple[Item, ...] = ()
            if frame is not None:
                start, text, items = frame.at, _text(frame, ""), tuple(frame.head)
                have = stop - frame.at - _HEADER - half.missing
                fault = why or f"{have:,} of {frame.size:,} bytes"
            said.append(Said("HTTP/2", start, stop, text, items, fault))
        half.frame, half.left, half.missing, half.lost_from = None, 0, 0, None
        half.blocks = []
        half.unread.jump(stop)
        return said

    def _read(self, half: _Half, *, last: bool) -> list[Said]:
        said: list[Said] = []
        while True:
            if not half.preface:
                if not self._preface(half, said, last):
                    return said
            elif half.lost_from is not None:
                if not self._found(half, said, last):
                    return said
            elif half.frame is None:
                head = half.unread.peek(_HEADER)
                if len(head) < _HEADER:
                    return said
                if not _plausible(head, _LARGEST):
                    self._lose(half, "no HTTP/2 frame begins like this")
                    half.unread.drop(1)
                    continue
                self._begin(half, head)
            elif not self._frame(half, half.frame, said):
                return said

    def _preface(self, half: _Half, said: list[Said], last: bool) -> bool:
        there = half.unread.peek(len(PREFACE))
        if len(there) < len(PREFACE) and PREFACE.startswith(there) and not last:
            return False
        half.preface = True
        if there == PREFACE:
            at = half.unread.start
            half.unread.drop(len(PREFACE))
            meaning = "No server of HTTP/1 takes this for a request."
            stop = at + len(PREFACE)
            item = Item("magic", "PRI * HTTP/2.0 SM", at, stop, meaning, "RFC 9113 3.4")
            said.append(Said("HTTP/2", at, at + len(PREFACE), "connection preface", (item,)))
        return True

    def _begin(self, half: _Half, head: bytes) -> None:
        at = half.unread.start
        half.unread.drop(_HEADER)
        half.frame = Frame.from_head(head, at)
        counted = half.frame.kind == names.DATA or half.frame.size > _KEPT
        half.left = half.frame.size if counted else 0
        half.missing = 0

    def _frame(self, half: _Half, frame: Frame, said: list[Said]) -> bool:
        """Take what there is of the frame; whether it is whole."""
        if half.left:
            if frame.kind == names.DATA and half.left == frame.size and len(half.unread):
                frame.first = half.unread.peek(1)[0]  # how much padding, where the flag says so
            half.left -= half.unread.drop(half.left)
            if half.left:
                return False
            body = b""
        else:
            counted = frame.kind == names.DATA or frame.size > _KEPT
            need = 0 if counted else frame.size
            if len(half.unread) < need:
                return False
            body = half.unread.take(need)
        half.frame = None
        self._whole(half, frame, body, said)
        return True

    def _whole(self, half: _Half, frame: Frame, body: bytes, said: list[Said]) -> None:
        frame.body = body
        if half.blocks and (
            frame.kind != names.CONTINUATION or frame.stream != half.blocks[0].stream
        ):
            said.append(self._block(half, "no end of the header block", frame.at))
        if frame.kind in (names.HEADERS, names.PUSH_PROMISE) or (
            frame.kind == names.CONTINUATION and half.blocks
        ):
            half.blocks.append(frame)
            if frame.flags & names.END_HEADERS:
                said.append(self._block(half, "", half.unread.start))
            return
        items, told, fault = payload(frame)
        if half.missing:
            fault = f"{half.missing:,} bytes were not captured"
        half.missing = 0
        text = _text(frame, told)
        items = [*frame.head, *items]
        said.append(Said("HTTP/2", frame.at, half.unread.start, text, tuple(items), fault))

    def _block(self, half: _Half, fault: str, stop: int) -> Said:
        """A header block, its frames put together."""
        frames, half.blocks = half.blocks, []
        items, block, why = block_of(frames)
        fields, wrong = self._hpack(half).read(block.data)
        told: dict[str, str] = {}
        for one in fields:
            start, end = block.place(one.start), block.place(one.stop, end=True)
            size = one.stop - one.start
            meaning = f"{one.how}: {size} byte{'s' * (size != 1)} here"
            items.append(Item(one.name, one.value, start, end, meaning, "RFC 7541 6"))
            told.setdefault(one.name, one.value)
        if fault:
            self._hpack(half).lose()
        text = " ".join(filter(None, (told.get(name) for name in (":status", ":method"))))
        if ":path" in told or ":authority" in told:
            text += f" {told.get(':path', told.get(':authority', ''))}"
        return Said("HTTP/2", frames[0].at, stop, _text(frames[0], text.strip()), tuple(items),
                    fault or why or wrong)  # fmt: skip

    def _found(self, half: _Half, said: list[Said], last: bool) -> bool:
        """Look for a frame whose end another one begins at; whether it is at the front now."""
        assert half.lost_from is not None
        while len(half.unread) >= _HEADER:
            at = half.unread.search(_BEGINS)
            if at < 0:
                half.unread.drop(len(half.unread) - _HEADER + 1)
                return False
            half.unread.drop(at)
            head = half.unread.peek(_HEADER)
            if _plausible(head, _UNTOLD_LARGEST):
                size = _HEADER + int.from_bytes(head[:3], "big")
                following = half.unread.peek(_HEADER, size)
                if len(following) < _HEADER and not last:
                    return False
                ends = last and len(half.unread) == size
                if ends or (len(following) == _HEADER
                            and _plausible(following, _UNTOLD_LARGEST)):  # fmt: skip
                    start = half.unread.start
                    if start > half.lost_from:
                        said.append(Said("HTTP/2", half.lost_from, start, "bytes inside a frame",
                                         (), half.why))  # fmt: skip
                    half.lost_from = None
                    return True
            half.unread.drop(1)
        return False


def _text(frame: Frame, told: str) -> str:
    """`HEADERS 1: GET /`, `DATA 1: 5 bytes, end`."""
    name = names.frame_name(frame.kind)
    said = f"{name} {frame.stream}" if frame.stream else name
    ends = frame.kind in (names.DATA, names.HEADERS) and frame.flags & names.END_STREAM
    told = ", ".join(filter(None, (told, "end" if ends else "")))
    return f"{said}: {told}" if told else said


_FIXED = {names.PRIORITY: 5, names.RST_STREAM: 4, names.PING: 8, names.WINDOW_UPDATE: 4}
_OF_A_STREAM = {names.DATA, names.HEADERS, names.PRIORITY, names.RST_STREAM, names.PUSH_PROMISE,
                names.CONTINUATION}  # fmt: skip
_OF_NONE = {names.SETTINGS, names.PING, names.GOAWAY}


def _plausible(head: bytes, largest: int) -> bool:
    """Whether nine bytes are the head of a frame that a sane peer sends."""
    size, kind = int.from_bytes(head[:3], "big"), head[3]
    stream = int.from_bytes(head[5:9], "big")
    if size > largest or stream >> 31 or kind not in names.FRAME:
        return False
    if _FIXED.get(kind, size) != size or (kind == names.SETTINGS and size % 6):
        return False
    return not (kind in _OF_A_STREAM and stream == 0) and not (kind in _OF_NONE and stream)


def _likely(client: bytes, server: bytes) -> bool:
    if client:
        return len(client) >= 16 and PREFACE.startswith(client[: len(PREFACE)])
    # The server's preface is a SETTINGS frame of stream 0.
    return len(server) >= _HEADER and server[3] == names.SETTINGS and server[4] == 0 and (
        _plausible(server[:_HEADER], _UNTOLD_LARGEST)
    )  # fmt: skip


APPLICATION = Application(
    name="http2",
    title="HTTP/2",
    tcp_ports=frozenset(),
    udp_ports=frozenset(),
    likely=_likely,
    conversation=Http2,
    datagram=None,
)
