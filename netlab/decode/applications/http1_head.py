"""The head of an HTTP/1 message, line by line -> its items, and what says where its body ends.

Read first: RFC 9112 2 to 6. Lines are taken as they come, so that a head in many segments is read
once; a bare LF ends a line, too (RFC 9112 2.2).
"""

from __future__ import annotations

import re
from dataclasses import field

from netlab.decode.applications.message import Item
from netlab.model.records import dataclass

# Before a request that capture or sender did not begin with, other bytes may stand: these are sure.
REQUEST = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE|PROPFIND|REPORT)"
    rb" [^\s\x00]{1,65535} HTTP/1\.[0-9]\r?\n"
)
RESPONSE = re.compile(rb"HTTP/1\.[0-9] [1-5][0-9]{2}(?: [^\r\n]*)?\r?\n")
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\x00]+) (HTTP/1\.[0-9])")
_STATUS_LINE = re.compile(r"(HTTP/1\.[0-9]) ([1-9][0-9]{2})(?: (.*))?")
_DIGITS = re.compile(r"[0-9]{1,19}")

_STATUS = {
    1: "Not the answer yet: a final one follows.",
    2: "It worked.",
    3: "More is to be done: mostly another place, or what the client has is still good.",
    4: "The client's fault, says the server.",
    5: "The server's fault, says the server.",
}
_MEANINGS = {
    "host": ("Which of the server's sites is meant; required in HTTP/1.1.", "RFC 9110 7.2"),
    "content-length": ("How many bytes the body has.", "RFC 9110 8.6"),
    "transfer-encoding": ("How the body is cut on its way: chunked ends itself.", "RFC 9112 6.1"),
    "connection": ("What holds only for this hop: close, keep-alive, upgrade.", "RFC 9110 7.6.1"),
    "upgrade": ("Protocols that the client would rather speak on here.", "RFC 9110 7.8"),
    "expect": ("100-continue: the body waits for the server's word.", "RFC 9110 10.1.1"),
    "te": ("Which transfer codings and trailers the client takes.", "RFC 9110 10.1.4"),
    "trailer": ("Which fields come behind the body.", "RFC 9110 6.6.2"),
    "content-type": ("What the body is.", "RFC 9110 8.3"),
    "content-encoding": ("How the body was compressed at its source.", "RFC 9110 8.4"),
    "content-range": ("Which part of the whole the body is.", "RFC 9110 14.4"),
    "range": ("Only a part is asked for.", "RFC 9110 14.2"),
    "accept": ("What the client would take, and rather.", "RFC 9110 12.5.1"),
    "accept-encoding": ("Which compressions the client can undo.", "RFC 9110 12.5.3"),
    "accept-ranges": ("Whether parts can be asked for.", "RFC 9110 14.3"),
    "user-agent": ("The program that asks, by its own account.", "RFC 9110 10.1.5"),
    "server": ("The program that answers, by its own account.", "RFC 9110 10.2.4"),
    "date": ("When the message was made.", "RFC 9110 6.6.1"),
    "location": ("Where to go on.", "RFC 9110 10.2.2"),
    "etag": ("A name for this state of the resource.", "RFC 9110 8.8.3"),
    "last-modified": ("When the resource last changed.", "RFC 9110 8.8.2"),
    "if-none-match": ("Only if it is not the one that the client has.", "RFC 9110 13.1.2"),
    "if-modified-since": ("Only if it changed since.", "RFC 9110 13.1.3"),
    "cache-control": ("Who may keep it, and for how long.", "RFC 9111 5.2"),
    "set-cookie": ("What the client shall say in later requests.", "RFC 6265 4.1"),
    "cookie": ("What the server told the client earlier.", "RFC 6265 4.2"),
    "authorization": ("Who asks, with proof.", "RFC 9110 11.6.2"),
    "keep-alive": ("How long an idle connection stays; HTTP/1.0's habit.", "RFC 2068 19.7.1.1"),
    "sec-websocket-key": ("A nonce: its hash in the answer proves that it was read.",
                          "RFC 6455 4.1"),
    "sec-websocket-accept": ("The hash of the client's nonce.", "RFC 6455 4.2.2"),
    "sec-websocket-extensions": ("What else the frames may do: compression.", "RFC 6455 9.1"),
    "sec-websocket-protocol": ("What is spoken inside the frames.", "RFC 6455 11.3.4"),
}  # fmt: skip


@dataclass(slots=True)
class Head:
    """The head of one message, as far as it was read."""

    start: int
    request: bool  # else a response
    protocol: str = "HTTP/1.1"
    method: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    items: list[Item] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)  # of several, joined by ", "
    fault: str = ""

    @property
    def begun(self) -> bool:
        return bool(self.items)

    def first_line(self, line: bytes, at: int) -> bool:
        """Read the request or status line; whether it is one."""
        text = line.decode("latin-1")
        pattern = _REQUEST_LINE if self.request else _STATUS_LINE
        match = pattern.fullmatch(text)
        if match is None:
            return False

        def item(name: str, group: int, meaning: str, source: str) -> Item:
            return Item(name, match[group], at + match.start(group), at + match.end(group),
                        meaning, source)  # fmt: skip

        if self.request:
            self.method, self.target, self.protocol = match[1], match[2], match[3]
            if self.target.split() != [self.target]:  # RFC 9112 3.2: invalid, yet it happens
                self.fault = "white space in the target"
            self.items += [
                item("method", 1, "What is to be done with the target.", "RFC 9110 9"),
                item("target", 2, "What it is to be done with.", "RFC 9112 3.2"),
                item("version", 3, "The highest the client speaks.", "RFC 9112 2.3"),
            ]
        else:
            self.protocol, self.status = match[1], int(match[2])
            self.reason = (match[3] or "").strip()
            self.items += [
                item("version", 1, "The highest the server speaks.", "RFC 9112 2.3"),
                item("status", 2, _STATUS.get(self.status // 100, ""), "RFC 9110 15"),
            ]
            if match[3]:
                self.items.append(item("reason", 3, "For people; programs pass it over.",
                                       "RFC 9112 4"))  # fmt: skip
        return True

    def line(self, line: bytes, at: int, *, trailer: bool = False) -> None:
        """Read one field line, of the head or behind a chunked body."""
        text = line.decode("latin-1")
        if text[:1] in (" ", "\t") and self.items:  # the value goes on (obs-fold, RFC 9112 5.2)
            before = self.items[-1]
            folded = f"{before.text} {text.strip()}"
            self.items[-1] = Item(before.name, folded, before.start, at + len(line),
                                  before.meaning, before.source)  # fmt: skip
            if before.name in self.fields:
                self.fields[before.name] += f" {text.strip()}"
            return
        name, colon, value = text.partition(":")
        if not colon or not name or name != name.strip():
            self.fault = self.fault or f"a field line without a clean name: {text[:40]!r}"
            self.items.append(Item("unread line", text, at, at + len(line)))
            return
        lower, value = name.lower(), value.strip(" \t")
        meaning, source = _MEANINGS.get(lower, ("", "RFC 9112 6.5" if trailer else "RFC 9112 5"))
        self.items.append(Item(lower, value, at, at + len(line), meaning, source))
        if not trailer:
            known = self.fields.get(lower)
            self.fields[lower] = value if known is None else f"{known}, {value}"

    def words(self, name: str) -> list[str]:
        """A field that is a list, in lower case: `Connection: Upgrade, close`."""
        return [word.strip().lower() for word in self.fields.get(name, "").split(",")]

    @property
    def upgrades(self) -> bool:
        return "upgrade" in self.words("connection") and "upgrade" in self.fields

    def body(self, asked: str) -> tuple[str, int]:
        """How the body ends, of RFC 9112 6.3: `none`, `length` with it, `chunked`, `close`.

        `asked`: the method that a response answers.
        """
        if not self.request and (asked == "HEAD" or self.status // 100 == 1
                                 or self.status in (204, 304)):  # fmt: skip
            return "none", 0
        codings = self.words("transfer-encoding")
        if "transfer-encoding" in self.fields:
            if codings[-1] == "chunked":
                return "chunked", 0
            if self.request:
                self.fault = self.fault or "a transfer coding that does not end the body"
            return "close", 0
        if "content-length" in self.fields:
            sizes = set(self.words("content-length"))
            size = sizes.pop()
            if sizes or not _DIGITS.fullmatch(size):
                self.fault = self.fault or "Content-Length is no number"
                return ("none" if self.request else "close"), 0
            return "length", int(size)
        return ("none" if self.request else "close"), 0

    @property
    def text(self) -> str:
        if self.request:
            return f"{self.method} {self.target}"
        kind = self.fields.get("content-type", "").partition(";")[0].strip()
        said = f"{self.status} {self.reason}".strip()
        return f"{said}, {kind}" if kind else said
