"""The head of an HTTP/2 frame, and the payloads of all frames that hold no header block.

Read first: RFC 9113 4.1 and 6.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import field
from operator import itemgetter

from netlab.decode.applications import http2_names as names
from netlab.decode.applications.cursor import Cursor, TooShort
from netlab.decode.applications.message import Item
from netlab.model.records import dataclass

_HEADER = 9


@dataclass(slots=True)
class Frame:
    """A frame: its head as items, its payload unless it is only counted."""

    at: int
    size: int  # of the payload
    kind: int
    flags: int
    stream: int
    head: list[Item]
    body: bytes = b""
    first: int = 0  # byte of DATA, which is not kept

    @property
    def body_at(self) -> int:
        return self.at + _HEADER

    @classmethod
    def from_head(cls, head: bytes, at: int) -> Frame:
        """Read nine bytes."""
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:9], "big") & 0x7FFF_FFFF
        meaning = names.MEANING.get(kind, "")
        which = "0: the connection itself" if stream == 0 else str(stream)
        return cls(at, size, kind, flags, stream, [
            Item("length", f"{size:,} bytes", at, at + 3, "", "RFC 9113 4.1"),
            Item("type", f"{names.frame_name(kind)} ({kind})", at + 3, at + 4, meaning,
                 f"RFC 9113 6.{kind + 1}" if kind <= names.CONTINUATION else ""),
            Item("flags", names.flag_names(kind, flags), at + 4, at + 5, "", "RFC 9113 4.1"),
            Item("stream", which, at + 5, at + 9, "Odd: the client opened it.", "RFC 9113 5.1.1"),
        ])  # fmt: skip


def payload(frame: Frame) -> tuple[list[Item], str, str]:
    """Items, the words for one line, and the fault."""
    items: list[Item] = []
    cursor = Cursor(frame.body, frame.body_at)
    told = ""
    try:
        if frame.kind == names.DATA:
            return _data(frame)
        if frame.kind == names.SETTINGS:
            told = _settings(cursor, items, frame)
        elif frame.kind == names.WINDOW_UPDATE:
            number = cursor.number(4, "increment") & 0x7FFF_FFFF
            items.append(
                cursor.item(
                    "increment",
                    f"{number:,} bytes",
                    frame.body_at,
                    "Added to what may still be sent.",
                    "RFC 9113 6.9",
                )
            )
            told = f"{number:,} more bytes"
        elif frame.kind == names.RST_STREAM:
            told = _error(cursor, items)
        elif frame.kind == names.PING:
            text = cursor.take(8, "opaque data").hex()
            items.append(cursor.item("opaque data", text, frame.body_at, "", "RFC 9113 6.7"))
            told = "ack" if frame.flags & names.ACK else ""
        elif frame.kind == names.GOAWAY:
            told = _goaway(cursor, items)
        elif frame.kind == names.PRIORITY:
            items.append(priority(cursor))
        elif frame.size:
            told = f"{frame.size:,} bytes"
    except TooShort as short:
        return items, told, short.fault
    return items, told, ""


def _data(frame: Frame) -> tuple[list[Item], str, str]:
    size, start, stop = frame.size, frame.body_at, frame.body_at + frame.size
    items: list[Item] = []
    fault = ""
    if frame.flags & names.PADDED:
        padding = frame.first
        if size < 1 + padding:
            fault = f"{padding} bytes of padding do not fit"
            padding = max(size - 1, 0)
        items.append(Item("padding", f"{padding} bytes", start, min(start + 1, stop),
                          "Hides how long the body is.", "RFC 9113 6.1"))  # fmt: skip
        start = min(start + 1, stop)
        stop -= padding
    size = max(stop - start, 0)
    text = f"{size:,} byte{'s' * (size != 1)}"
    if size:
        items.append(Item("data", text, start, stop, "A piece of the body.", "RFC 9113 6.1"))
    return items, text, fault


def _settings(cursor: Cursor, items: list[Item], frame: Frame) -> str:
    if frame.flags & names.ACK:
        return "ack"
    told: list[str] = []
    while cursor.left:
        start = cursor.place
        number = cursor.number(2, "setting")
        value = cursor.number(4, "value")
        name, meaning = names.SETTING.get(number, (f"setting 0x{number:04x}", ""))
        items.append(cursor.item(name, f"{value:,}", start, meaning, "RFC 9113 6.5.2"))
        told.append(f"{name}={value}")
    return ", ".join(told)


def _error(cursor: Cursor, items: list[Item]) -> str:
    start = cursor.place
    name = names.error_name(cursor.number(4, "error code"))
    items.append(cursor.item("error code", name, start, "", "RFC 9113 7"))
    return name


def _goaway(cursor: Cursor, items: list[Item]) -> str:
    start = cursor.place
    last = cursor.number(4, "last stream") & 0x7FFF_FFFF
    items.append(cursor.item("last stream", str(last), start,
                             "Those above it were not looked at.", "RFC 9113 6.8"))  # fmt: skip
    told = _error(cursor, items)
    if cursor.left:
        start = cursor.place
        text = cursor.rest().decode("utf-8", "backslashreplace")
        items.append(cursor.item("debug data", text, start, "For people.", "RFC 9113 6.8"))
        told += f": {text}"
    return told


def priority(cursor: Cursor) -> Item:
    """Five bytes of the old scheme: on which stream it depends, and its weight."""
    start = cursor.place
    depends = cursor.number(4, "dependency")
    weight = cursor.number(1, "weight") + 1
    exclusive = ", alone" if depends >> 31 else ""
    text = f"on stream {depends & 0x7FFF_FFFF}{exclusive}, weight {weight}"
    return cursor.item("priority", text, start, "No longer in use.", "RFC 9113 5.3.2")


@dataclass(slots=True)
class Block:
    """The bytes of a header block, and where its pieces stand in the stream."""

    data: bytes = b""
    places: list[tuple[int, int]] = field(default_factory=list)

    def place(self, at: int, *, end: bool = False) -> int:
        """Where a byte of the block stands; an end belongs to the piece that it ends."""
        index = (bisect_left if end else bisect_right)(self.places, at, key=itemgetter(0)) - 1
        inside, outside = self.places[max(index, 0)]
        return outside + at - inside


def block_of(frames: list[Frame]) -> tuple[list[Item], Block, str]:
    """The items of the frames' heads, the block that they hold together, and the fault."""
    items: list[Item] = []
    pieces: list[bytes] = []
    block = Block()
    fault, size = "", 0
    for frame in frames:
        items += frame.head
        cursor = Cursor(frame.body, frame.body_at)
        try:
            if frame.flags & names.PADDED and frame.kind != names.CONTINUATION:
                start = cursor.place
                padding = cursor.number(1, "pad length")
                items.append(
                    cursor.item(
                        "padding",
                        f"{padding} bytes",
                        start,
                        "Hides how long the block is.",
                        "RFC 9113 6.2",
                    )
                )
                if padding > cursor.left:
                    raise TooShort("padding", padding, cursor.left)
                cursor.end -= padding
            if frame.flags & names.HAS_PRIORITY and frame.kind == names.HEADERS:
                items.append(priority(cursor))
            if frame.kind == names.PUSH_PROMISE:
                start = cursor.place
                promised = cursor.number(4, "promised stream") & 0x7FFF_FFFF
                items.append(cursor.item("promised stream", str(promised), start,
                                         "On which it will come.", "RFC 9113 6.6"))  # fmt: skip
        except TooShort as short:
            fault = fault or short.fault
        if len(frame.body) < frame.size:
            fault = fault or "too long to be kept"
        block.places.append((size, cursor.place))
        pieces.append(cursor.rest())
        size += len(pieces[-1])
    block.data = b"".join(pieces)
    return items, block, fault
