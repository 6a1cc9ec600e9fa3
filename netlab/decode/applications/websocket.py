"""WebSocket: messages of one frame or several, and the control frames between them.

Of a payload only its beginning is kept. What permessage-deflate compressed is named, not unpacked.
Read first: RFC 6455 5 and 7, RFC 7692 6.
"""

from __future__ import annotations

from dataclasses import field

from netlab.decode.applications.message import Application, Item, Said
from netlab.decode.applications.unread import Unread
from netlab.model.records import dataclass
from netlab.model.tables import Side

_KEPT = 256  # bytes of a message's payload
_MOST_FRAMES = 64  # have items of their own
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_OPCODES = {_CONTINUATION: "continuation", _TEXT: "text", _BINARY: "binary", _CLOSE: "close",
            _PING: "ping", _PONG: "pong"}  # fmt: skip
_CODES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension missing",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}


@dataclass(slots=True)
class _Message:
    """One message as far as it was read."""

    start: int
    opcode: int
    compressed: bool
    items: list[Item] = field(default_factory=list)
    kept: bytearray = field(default_factory=bytearray)
    size: int = 0
    frames: int = 0
    fault: str = ""


@dataclass(slots=True)
class _Frame:
    """The frame whose payload is being read."""

    message: _Message
    fin: bool
    left: int
    key: bytes  # empty: not masked
    turned: int = 0  # bytes of the payload that were read, for the key's place


@dataclass(slots=True)
class _Half:
    """One side."""

    side: Side
    unread: Unread = field(default_factory=Unread)
    begun: _Message | None = None  # in fragments
    frame: _Frame | None = None
    lost_from: int | None = None
    why: str = ""
    fed: bool = False
    missing: int = 0


class WebSocket:
    """A conversation in WebSocket's frames. `extensions`: what the server agreed to."""

    def __init__(self, extensions: str = "") -> None:
        self._halves = {side: _Half(side) for side in Side}
        self._deflates = "permessage-deflate" in extensions

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        if not half.fed:
            half.fed = True
            half.unread.jump(start)
        half.unread.add(data, start)
        return self._read(half)

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        half.fed = True
        size = stop - start
        frame = half.frame
        if frame is not None and frame.left >= size:
            frame.left -= size
            frame.turned += size
            frame.message.size += size
            frame.message.fault = f"{size:,} bytes were not captured"
            half.unread.jump(stop)
            return self._read(half)
        said = self._given_up(half, f"{size:,} bytes were not captured")
        half.unread.jump(stop)
        half.lost_from, half.why = stop, "behind bytes that were not captured"
        return said

    def end(self, side: Side) -> list[Said]:
        """See `Conversation`."""
        return self._given_up(self._halves[side], "")

    def _given_up(self, half: _Half, why: str) -> list[Said]:
        said: list[Said] = []
        stop = half.unread.stop
        if half.lost_from is not None:
            if stop > half.lost_from:
                said.append(Said("WebSocket", half.lost_from, stop, "bytes inside a frame", (),
                                 half.why))  # fmt: skip
        else:
            begun = [half.begun] if half.begun is not None else []
            if half.frame is not None and half.frame.message is not half.begun:
                begun.append(half.frame.message)
            for message in begun:
                missing = half.frame.left if half.frame is not None else 0
                message.fault = (
                    message.fault
                    or why
                    or (
                        f"{missing:,} bytes of a frame are missing"
                        if missing
                        else "no last fragment"
                    )
                )
                said.append(_said(message, stop))
            if not begun and half.unread:
                have = len(half.unread)
                said.append(Said("WebSocket", half.unread.start, stop, "part of a frame", (),
                                 why or f"{have} bytes of a frame's head"))  # fmt: skip
        half.begun = half.frame = half.lost_from = None
        half.unread.jump(stop)
        return said

    def _read(self, half: _Half) -> list[Said]:
        said: list[Said] = []
        while half.lost_from is None:
            if half.frame is None and not self._head(half, said):
                break
            frame = half.frame
            if frame is not None and not self._payload(half, frame, said):
                break
        return said

    def _head(self, half: _Half, said: list[Said]) -> bool:
        """Read a frame's head; whether there was one, or none can be."""
        head = half.unread.peek(14)
        if len(head) < 2:
            return False
        opcode, masked, short = head[0] & 15, bool(head[1] & 0x80), head[1] & 0x7F
        wide = {126: 2, 127: 8}.get(short, 0)
        length = 2 + wide + 4 * masked
        if (wrong := self._wrong(half, head[0], short)) != "":
            half.lost_from, half.why = half.unread.start, wrong
            if half.begun is not None:
                half.begun.fault = half.begun.fault or "no last fragment"
                said.append(_said(half.begun, half.unread.start))
                half.begun = None
            return False
        if len(head) < length:
            return False
        size = int.from_bytes(head[2 : 2 + wide], "big") if wide else short
        key = head[2 + wide : length] if masked else b""
        at = half.unread.start
        half.unread.drop(length)
        message = half.begun
        if message is None or opcode & 8:
            message = _Message(at, opcode, bool(head[0] & 0x40))
        fin = bool(head[0] & 0x80)
        message.frames += 1
        if message.frames <= _MOST_FRAMES:
            message.items += _head_items(head, at, size, key, self._deflates)
        if masked is not (half.side is Side.CLIENT):
            who = "the client's frame is not" if half.side is Side.CLIENT else "a server's frame is"
            message.fault = message.fault or f"{who} masked"
        half.frame = _Frame(message, fin, size, key)
        return True

    def _wrong(self, half: _Half, first: int, short: int) -> str:
        """Why two bytes begin no frame, or nothing."""
        opcode = first & 15
        if opcode not in _OPCODES:
            return f"no frame has opcode {opcode}"
        if first & 0x30 or (first & 0x40 and opcode & 8):
            return "reserved bits are set"
        if opcode & 8 and (short > 125 or not first & 0x80):
            return "a control frame that is long or in fragments"
        if opcode == _CONTINUATION and half.begun is None:
            return "a continuation of nothing"
        if opcode in (_TEXT, _BINARY) and half.begun is not None:
            return "a message inside a message"
        return ""

    def _payload(self, half: _Half, frame: _Frame, said: list[Said]) -> bool:
        """Take what there is of a frame's payload; whether it is whole."""
        message = frame.message
        at = half.unread.start
        keeps = min(_KEPT - len(message.kept), frame.left)
        data = half.unread.peek(keeps) if keeps > 0 else b""
        if frame.key:
            data = bytes(
                byte ^ frame.key[place % 4] for place, byte in enumerate(data, frame.turned)
            )
        message.kept += data
        count = half.unread.drop(frame.left)
        frame.left -= count
        frame.turned += count
        message.size += count
        if frame.left:
            return False
        if frame.turned and message.frames <= _MOST_FRAMES:
            start = at + count - frame.turned
            text = f"{frame.turned:,} byte{'s' * (frame.turned != 1)}"
            meaning = "To be read with the key." if frame.key else ""
            message.items.append(Item("payload", text, start, at + count, meaning, "RFC 6455 5.2"))
        half.frame = None
        if not frame.fin:
            half.begun = message
            return True
        if message is half.begun:
            half.begun = None
        said.append(_said(message, at + count))
        return True


def _head_items(head: bytes, at: int, size: int, key: bytes, deflates: bool) -> list[Item]:
    opcode = head[0] & 15
    wide = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    fin = "last" if head[0] & 0x80 else "more follow"
    items = [
        Item("fin", fin, at, at + 1, "Whether the message ends with this frame.", "RFC 6455 5.2"),
        Item("opcode", f"{_OPCODES[opcode]} ({opcode})", at, at + 1, "", "RFC 6455 5.2"),
        Item("length", f"{size:,} bytes", at + 1, at + 2 + wide, "7 bits; 126 and 127 say that "
             "16 or 64 bits follow.", "RFC 6455 5.2"),
    ]  # fmt: skip
    if head[0] & 0x40:
        known = "" if deflates else ", as it seems: the agreement was not captured"
        items.insert(1, Item("compressed", f"permessage-deflate{known}", at, at + 1,
                             "The message is compressed by itself.", "RFC 7692 6"))  # fmt: skip
    if key:
        start = at + 2 + wide
        items.append(Item("masking key", key.hex(), start, start + 4,
                          "Turns the client's bytes, so that no proxy takes them for HTTP.",
                          "RFC 6455 5.3"))  # fmt: skip
    return items


def _said(message: _Message, stop: int) -> Said:
    name = _OPCODES[message.opcode]
    text = f"{name}, {message.size:,} byte{'s' * (message.size != 1)}"
    kept = bytes(message.kept)
    items = list(message.items)
    if message.frames > 1:
        text += f" in {message.frames:,} fragments"
    if message.compressed:
        text += ", compressed"
    elif message.opcode == _CLOSE:
        text = _close(kept, items)
    elif message.opcode != _BINARY and kept:
        more = "…" if message.size > len(kept) else ""
        says = kept.decode("utf-8", "ignore" if more else "backslashreplace") + more
        items.append(Item("text", says, message.start, message.start, "", "RFC 6455 5.6"))
        text += f": {says}"
    return Said("WebSocket", message.start, stop, text, tuple(items), message.fault)


def _close(kept: bytes, items: list[Item]) -> str:
    if len(kept) < 2:
        return "close"
    code = int.from_bytes(kept[:2], "big")
    name = _CODES.get(code, "")
    reason = kept[2:].decode("utf-8", "backslashreplace")
    at = items[-1].start if items else 0
    items.append(Item("close code", f"{code} {name}".strip(), at, at + 2, "Why it ends.",
                      "RFC 6455 7.4.1"))  # fmt: skip
    if reason:
        items.append(Item("reason", reason, at + 2, at + len(kept), "For people.",
                          "RFC 6455 5.5.1"))  # fmt: skip
    return f"close {code} {name}".strip() + (f": {reason}" if reason else "")


def _likely(client: bytes, server: bytes) -> bool:
    """Frames have no sign of their own: an upgrade begins them, or somebody says so."""
    del client, server
    return False


APPLICATION = Application(
    name="websocket",
    title="WebSocket",
    tcp_ports=frozenset(),
    udp_ports=frozenset(),
    likely=_likely,
    conversation=WebSocket,
    datagram=None,
)
