"""TLS: records, and the handshake messages that cross them, as far as nothing is encrypted yet.

One message is one record, or the records that a handshake message runs through. What is encrypted
is counted; nothing here decrypts. Read first: RFC 8446 5 and 6, RFC 5246 6.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import field

from netlab.decode.applications import tls_names as names
from netlab.decode.applications.message import Application, Item, Said
from netlab.decode.applications.tls_handshake import Agreed, handshake
from netlab.decode.applications.unread import Unread
from netlab.model.records import dataclass
from netlab.model.tables import Side

_HEADER = 5
_LARGEST = 16_384 + 2_048  # RFC 5246 6.2.3
_CIPHER_CHANGE, _ALERT, _HANDSHAKE, _APPLICATION, _HEARTBEAT = 20, 21, 22, 23, 24
_TLS_1_3 = 0x0304
_SHORTEST_SSL2 = 9  # bytes: type, version, three lengths
_SSL2_VERSIONS = (b"", b"\0", b"\3", b"\0\2", b"\3\0", b"\3\1", b"\3\2", b"\3\3")
_BEGINS = re.compile(rb"[\x14-\x18]\x03[\x00-\x04]")
_LARGEST_HANDSHAKE = 1 << 18  # a claimed length above this is taken for encrypted bytes


@dataclass(slots=True)
class _Half:
    """One side."""

    side: Side
    unread: Unread = field(default_factory=Unread)
    changed: bool = False  # its cipher: in TLS 1.3 that means nothing
    lost_from: int | None = None  # where what is no record, or follows a gap, begins
    why: str = ""
    # A handshake message that goes on in the next record: its bytes, and where each piece stands.
    begun: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, int]] = field(default_factory=list)  # in `begun`, in the stream
    begun_at: int = 0  # of the first record that holds it
    items: list[Item] = field(default_factory=list)
    inner: list[Said] = field(default_factory=list)
    fed: bool = False


class Tls:
    """A conversation in TLS."""

    def __init__(self) -> None:
        self._halves = {side: _Half(side) for side in Side}
        self._agreed = Agreed()

    def feed(self, side: Side, data: bytes, start: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        if not half.fed:
            half.fed = True
            half.unread.jump(start)
            head = data[:_HEADER]
            if start > 0 and not (_is_header if len(head) == _HEADER else _may_begin)(head):
                half.lost_from, half.why = start, "the capture begins inside a record"
        half.unread.add(data, start)
        return self._read(half, last=False)

    def gap(self, side: Side, start: int, stop: int) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        said = self._given_up(half, f"{stop - start:,} bytes were not captured")
        half.unread.jump(stop)
        half.fed = True
        half.lost_from, half.why = stop, "its beginning was not captured"
        return said

    def end(self, side: Side) -> list[Said]:
        """See `Conversation`."""
        half = self._halves[side]
        said = self._read(half, last=True)
        return said + self._given_up(half, "")

    def _given_up(self, half: _Half, why: str) -> list[Said]:
        """What was begun and will not be ended."""
        said: list[Said] = []
        stop = half.unread.stop
        if half.lost_from is not None:
            if stop > half.lost_from:
                said.append(Said("TLS", half.lost_from, stop, "bytes inside a record", (),
                                 half.why))  # fmt: skip
            half.lost_from = None
        elif half.unread or half.begun:
            head = half.unread.peek(_HEADER)
            need = _HEADER + int.from_bytes(head[3:5], "big") if len(head) == _HEADER else _HEADER
            fault = why or f"{len(half.unread):,} of {need:,} bytes"
            text = names.CONTENT.get(head[0], "part of a record") if head else "handshake"
            start = half.unread.start
            if half.begun:
                start, text = half.begun_at, _begun_text(half)
                fault = why or "a handshake message without its end"
            said.append(Said("TLS", start, stop, text, tuple(half.items), fault,
                             tuple(half.inner)))  # fmt: skip
        self._forget(half)
        half.unread.jump(stop)
        return said

    def _forget(self, half: _Half) -> None:
        half.begun.clear()
        half.places, half.items, half.inner = [], [], []

    def _read(self, half: _Half, *, last: bool) -> list[Said]:
        said: list[Said] = []
        while True:
            if half.lost_from is not None and not self._found(half, said, last):
                return said
            head = half.unread.peek(_HEADER)
            if len(head) < _HEADER:
                if head and not _may_begin(head):
                    self._lose(half, said)
                    continue
                return said
            if not _is_header(head):
                if half.unread.start == 0 and _is_ssl2(head):
                    if not self._ssl2(half, said):
                        return said
                    continue
                self._lose(half, said)
                continue
            size = int.from_bytes(head[3:5], "big")
            if len(half.unread) < _HEADER + size:
                return said
            at = half.unread.start
            said += self._record(half, head, half.unread.take(_HEADER + size)[_HEADER:], at)

    def _lose(self, half: _Half, said: list[Said]) -> None:
        if half.begun:
            at = half.unread.start
            said.append(Said("TLS", half.begun_at, at, _begun_text(half), tuple(half.items),
                             "a handshake message without its end", tuple(half.inner)))  # fmt: skip
            self._forget(half)
        half.lost_from, half.why = half.unread.start, "no TLS record begins like this"

    def _found(self, half: _Half, said: list[Said], last: bool) -> bool:
        """Look for a record whose end another one begins at; whether it is at the front now."""
        assert half.lost_from is not None
        while len(half.unread) >= _HEADER:
            # Not the byte that was no record's first when the way was lost.
            skip = 1 if half.why.startswith("no TLS") and half.unread.start == half.lost_from else 0
            at = half.unread.search(_BEGINS, skip)
            if at < 0:
                half.unread.drop(len(half.unread) - 2)  # which may be the first of three
                return False
            half.unread.drop(at)
            head = half.unread.peek(_HEADER)
            if len(head) < _HEADER:
                return False
            if _is_header(head):
                size = _HEADER + int.from_bytes(head[3:5], "big")
                following = half.unread.peek(_HEADER, size)
                if len(following) < _HEADER and not last:
                    return False
                ends = last and len(half.unread) == size
                if ends or (len(following) == _HEADER and _is_header(following)):
                    start = half.unread.start
                    if start > half.lost_from:
                        said.append(Said("TLS", half.lost_from, start, "bytes inside a record",
                                         (), half.why))  # fmt: skip
                    half.lost_from = None
                    return True
            half.unread.drop(1)
        return False

    def _record(self, half: _Half, head: bytes, body: bytes, at: int) -> list[Said]:
        kind = head[0]
        items = _header_items(head, at)
        stop = at + _HEADER + len(body)
        plain = kind == _HANDSHAKE and (bool(half.begun) or self._is_plain(half, body))
        said: list[Said] = []
        if half.begun and not plain:
            said.append(Said("TLS", half.begun_at, at, _begun_text(half), tuple(half.items),
                             "a handshake message without its end", tuple(half.inner)))  # fmt: skip
            self._forget(half)
        if plain:
            return said + self._handshakes(half, items, body, at)
        text, fault = f"{names.CONTENT[kind]}, {len(body):,} bytes", ""
        bytes_are = "encrypted bytes"
        if kind == _CIPHER_CHANGE:
            text, bytes_are = "change cipher spec", "message"
            half.changed = True
        elif kind == _ALERT and len(body) == 2:
            return [*said, _alert(items, body, at)]
        elif kind == _HEARTBEAT and not half.changed and self._agreed.version != _TLS_1_3:
            text, fault = _heartbeat(items, body, at)
            bytes_are = ""
        elif kind != _APPLICATION:
            text = f"encrypted {names.CONTENT[kind]}, {len(body):,} bytes"
        if bytes_are:
            items.append(Item(bytes_are, f"{len(body):,} byte{'s' * (len(body) != 1)}",
                              at + _HEADER, stop, *_BODY_MEANING.get(kind, ("", ""))))  # fmt: skip
        return [*said, Said("TLS", at, stop, text, tuple(items), fault)]

    def _is_plain(self, half: _Half, body: bytes) -> bool:
        """Whether a handshake record begins a message that can be read.

        Where no server hello was seen, its look tells: what is encrypted hardly ever says its
        length.
        """
        if not body or body[0] not in names.HANDSHAKE:
            return False
        size = int.from_bytes(body[1:4], "big")
        if half.changed and self._agreed.version is None:
            return 4 + size == len(body)
        if half.changed and self._agreed.version is not None and self._agreed.version < _TLS_1_3:
            return False
        return len(body) < 4 or size <= _LARGEST_HANDSHAKE

    def _handshakes(self, half: _Half, items: list[Item], body: bytes, at: int) -> list[Said]:
        if not half.begun:
            half.begun_at = at
        half.items += items
        half.places.append((len(half.begun), at + _HEADER))
        half.begun += body
        while len(half.begun) >= 4:
            size = 4 + int.from_bytes(half.begun[1:4], "big")
            if len(half.begun) < size:
                break
            message = handshake(bytes(half.begun[:size]), 0, self._agreed)
            half.inner.append(_placed(message, half.places))
            del half.begun[:size]
            half.places = _moved(half.places, size)
        if half.begun:
            return []
        text = "; ".join(inner.text for inner in half.inner) or "handshake, empty"
        fault = next((inner.fault for inner in half.inner if inner.fault), "")
        stop = at + _HEADER + len(body)
        said = Said("TLS", half.begun_at, stop, text, tuple(half.items), fault, tuple(half.inner))
        self._forget(half)
        return [said]

    def _ssl2(self, half: _Half, said: list[Said]) -> bool:
        """A client hello in SSL 2.0's form, which asks for more than that (RFC 5246 E.2)."""
        head = half.unread.peek(5)
        size = 2 + (int.from_bytes(head[:2], "big") & 0x7FFF)
        if len(half.unread) < size:
            return False
        version = names.version_name(int.from_bytes(head[3:5], "big"))
        items = (
            Item("length", f"{size - 2} bytes", 0, 2, "", "RFC 5246 E.2"),
            Item("handshake type", "client hello (1)", 2, 3, "", "RFC 5246 E.2"),
            Item("version", version, 3, 5, "The highest the client speaks.", "RFC 5246 E.2"),
        )
        half.unread.drop(size)
        said.append(Said("TLS", 0, size, f"client hello in SSL 2.0's form, {version}", items))
        return True


def _is_header(head: bytes) -> bool:
    if len(head) < _HEADER or head[0] not in names.CONTENT or head[1] != 3 or head[2] > 4:
        return False
    size = int.from_bytes(head[3:5], "big")
    return size <= _LARGEST and (size > 0 or head[0] == _APPLICATION)


def _may_begin(head: bytes) -> bool:
    """Whether fewer bytes than a header may be the beginning of one."""
    if _is_ssl2(head):
        return True
    return head[0] in names.CONTENT and head[1:2] in (b"", b"\x03") and head[2:3] <= b"\x04"


def _is_ssl2(head: bytes) -> bool:
    """Whether up to five bytes begin a client hello in SSL 2.0's form (RFC 5246 E.2)."""
    if not head or not head[0] & 0x80 or head[2:3] not in (b"", b"\x01"):
        return False
    if len(head) >= 2 and int.from_bytes(head[:2], "big") & 0x7FFF < _SHORTEST_SSL2:
        return False
    return head[3:5] in _SSL2_VERSIONS


def _header_items(head: bytes, at: int) -> list[Item]:
    kind, version = names.CONTENT[head[0]], int.from_bytes(head[1:3], "big")
    size = int.from_bytes(head[3:5], "big")
    return [
        Item("content type", f"{kind} ({head[0]})", at, at + 1,
             "What the record holds; in TLS 1.3 what is encrypted calls itself application data.",
             "RFC 8446 5.1"),
        Item("record version", names.version_name(version), at + 1, at + 3,
             "Frozen: the hellos say which version it is.", "RFC 8446 5.1"),
        Item("record length", f"{size:,} bytes", at + 3, at + 5, "", "RFC 8446 5.1"),
    ]  # fmt: skip


_BODY_MEANING = {
    _APPLICATION: ("Data of the protocol above, and the tag that proves it whole.", "RFC 8446 5.2"),
    _CIPHER_CHANGE: ("From here on this side encrypts; in TLS 1.3 it means nothing.",
                     "RFC 8446 5"),
    _HANDSHAKE: ("A handshake message that only the two ends can read.", "RFC 5246 6.2.3"),
    _ALERT: ("An alert that only the two ends can read.", "RFC 5246 6.2.3"),
}  # fmt: skip


def _alert(items: list[Item], body: bytes, at: int) -> Said:
    level = {1: "warning", 2: "fatal"}.get(body[0], str(body[0]))
    what = names.ALERT.get(body[1], f"alert {body[1]}")
    start = at + _HEADER
    items += [
        Item("level", f"{level} ({body[0]})", start, start + 1,
             "A fatal one ends the connection.", "RFC 8446 6"),
        Item("description", f"{what} ({body[1]})", start + 1, start + 2, "", "RFC 8446 6"),
    ]  # fmt: skip
    return Said("TLS", at, start + 2, f"alert: {what} ({level})", tuple(items))


def _heartbeat(items: list[Item], body: bytes, at: int) -> tuple[str, str]:
    """What it is, and whether it asks for more than it brought: that is Heartbleed."""
    start = at + _HEADER
    if len(body) < 3:
        return "heartbeat", f"{len(body)} of 3 bytes"
    what = {1: "heartbeat request", 2: "heartbeat response"}.get(body[0], "heartbeat")
    size = int.from_bytes(body[1:3], "big")
    items += [
        Item("heartbeat type", what, start, start + 1, "", "RFC 6520 4"),
        Item("payload length", f"{size:,} bytes", start + 1, start + 3,
             "A receiver must drop a message that is shorter than it says.", "RFC 6520 4"),
    ]  # fmt: skip
    if size + 3 + 16 > len(body) and body[0] in (1, 2):
        return what, f"claims {size:,} bytes of payload, has {max(len(body) - 3, 0):,}"
    return what, ""


def _begun_text(half: _Half) -> str:
    begun = names.HANDSHAKE.get(half.begun[0], "handshake message") if half.begun else ""
    return "; ".join([*(inner.text for inner in half.inner), begun])


def _placed(message: Said, places: list[tuple[int, int]]) -> Said:
    """A message whose offsets count in the bytes put together, with its offsets in the stream."""

    begins = [begin for begin, _ in places]

    def place(at: int, *, end: bool = False) -> int:
        """An end belongs to the piece that it ends, not to the one that begins there."""
        index = (bisect_left if end else bisect_right)(begins, at) - 1
        inside, outside = places[max(index, 0)]
        return outside + at - inside

    items = tuple(
        Item(i.name, i.text, place(i.start), place(i.stop, end=i.stop > i.start), i.meaning,
             i.source)
        for i in message.items
    )  # fmt: skip
    start, stop = place(message.start), place(message.stop, end=True)
    return Said(message.protocol, start, stop, message.text, items, message.fault)


def _moved(places: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """The places when `size` bytes have gone from the front."""
    kept: list[tuple[int, int]] = []
    for begin, stands in places:
        if begin <= size:
            kept = [(0, stands + size - begin)]
        else:
            kept.append((begin - size, stands))
    return kept


def _likely(client: bytes, server: bytes) -> bool:
    if client:
        if len(client) >= _HEADER and _is_ssl2(client[:_HEADER]):
            return True
        if not _is_header(client[:_HEADER]):
            return False
        if client[0] == _HANDSHAKE:
            return client[5:6] in (b"", b"\x01")  # a client hello
        return _chain(client)
    return _is_header(server[:_HEADER]) and _chain(server)


def _chain(data: bytes) -> bool:
    """Whether a second record begins where the first one ends."""
    size = _HEADER + int.from_bytes(data[3:5], "big")
    return _is_header(data[size : size + _HEADER]) or len(data) == size


APPLICATION = Application(
    name="tls",
    title="TLS",
    tcp_ports=frozenset({443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 5061, 8443, 8883}),
    udp_ports=frozenset(),
    likely=_likely,
    conversation=Tls,
    datagram=None,
)
