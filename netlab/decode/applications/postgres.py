"""PostgreSQL's protocol 3: sessions, simple and extended queries, rows, errors, COPY.

Rows that follow each other are one message, and so are the pieces of a copy: what they hold is
counted. Behind SSLRequest and the server's `S` both sides speak TLS. Read first: PostgreSQL's
documentation, "Frontend/Backend Protocol", its sections Message Flow and Message Formats.
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.decode.applications import postgres_fields as fields
from netlab.decode.applications.cursor import Cursor, Unreadable
from netlab.decode.applications.message import Application
from netlab.decode.applications.postgres_words import ALONE, FROM_CLIENT, FROM_SERVER, REPLICATION
from netlab.decode.applications.reading import Cut, Draft, Malformed, Reading, Talk, Tap, counted
from netlab.model.tables import Side

_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_VERSION_3 = (3 << 16, (3 << 16) + 0xFFFF)
_LONGEST_START = 10_000  # the server takes no longer startup packet (MAX_STARTUP_PACKET_LENGTH)
_LONGEST = 1 << 30  # nor, once running, a longer message
_KEPT = 1 << 16  # of a message's body
_KEPT_ROW = 1024
_MOST_ROWS = 16  # told one by one
_HELD = 1 << 16
# Messages that are short by nature; a great length is another protocol's byte.
_SMALL = frozenset("RKZ123nsIcSHXE")


class Postgres(Talk):
    """A client and a PostgreSQL server."""

    protocol = "PostgreSQL"

    def __init__(self) -> None:
        super().__init__()
        self._asked = ""  # what kind of encryption the client asked for and waits to hear about
        self._started = False  # whether the client has said who it is
        self._wanted: int | None = None  # the last authentication request
        self._columns: tuple[list[str], list[bool]] = ([], [])
        self._both = False

    def begins(self, side: Side, head: bytes) -> bool:
        known = FROM_CLIENT if side is Side.CLIENT else FROM_SERVER
        if len(head) < 5 or chr(head[0]) not in known:
            return False
        length = int.from_bytes(head[1:5], "big")
        return 4 <= length <= (_KEPT if chr(head[0]) in _SMALL else _LONGEST >> 6)

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        if tap.side is Side.CLIENT:
            yield from self.hold(tap, lambda: not self._asked, _HELD)
            self._asked = ""
            first = yield from tap.peek(1)
            if not self._started and first == b"\0":
                yield from self._start(tap, draft)
                return
        elif self._asked:
            yield from self._encryption(tap, draft)
            if not self._asked:
                return
        try:
            yield from self._typed(tap, draft)
        finally:
            if tap.side is Side.SERVER:
                self._asked = ""  # an error, mostly: what the client held back goes on

    # -- the beginning --------------------------------------------------------------------------

    def _start(self, tap: Tap, draft: Draft) -> Reading[None]:
        head = yield from tap.peek(8)
        length, code = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if not 8 <= length <= _LONGEST_START:
            raise Malformed(f"no session begins with a packet of {length} bytes")
        draft.whole = length
        data = yield from tap.exactly(length)
        body = Cursor(data, draft.start, 4)
        draft.add(
            "length", str(length), draft.start, body.place, "", fields.source("StartupMessage")
        )
        if _VERSION_3[0] <= code <= _VERSION_3[1]:
            self._started = True
            _read(draft, lambda: fields.startup(draft, body))
        elif code in (_SSL, _GSS):
            self._asked = "TLS" if code == _SSL else "GSSAPI encryption"
            name = "SSLRequest" if code == _SSL else "GSSENCRequest"
            draft.text = f"{self._asked}?"
            draft.add(name, str(code), body.place, body.place + 4,
                      "the server answers with one byte", fields.source(name))  # fmt: skip
        elif code == _CANCEL:
            body.take(4)
            at = body.place
            process = body.number(4) if body.left >= 4 else 0
            draft.add("process", str(process), at, body.place, "", fields.source("CancelRequest"))
            draft.text = f"cancel what process {process} does"
        else:
            draft.text = f"startup of protocol {code >> 16}.{code & 0xFFFF}"
            draft.fault = "only version 3 is read"

    def _encryption(self, tap: Tap, draft: Draft) -> Reading[None]:
        """The one byte that answers an SSLRequest; an old server sends an error instead."""
        answer = yield from tap.peek(1)
        name = "SSLRequest" if self._asked == "TLS" else "GSSENCRequest"
        if answer not in (b"S", b"G", b"N"):
            return
        yield from tap.exactly(1)
        yes = answer != b"N"
        draft.text = f"{self._asked}: {'yes' if yes else 'no'}"
        draft.add("answer", answer.decode(), draft.start, tap.at, "", fields.source(name))
        if answer == b"S":
            self.hand_over_to("tls")
        elif answer == b"G":
            self.give_up("encrypted by GSSAPI")
        self._asked = ""

    # -- messages with a type -------------------------------------------------------------------

    def _typed(self, tap: Tap, draft: Draft) -> Reading[None]:
        letter, length = yield from self._head(tap)
        draft.whole = 1 + length
        self._started = self._started or tap.side is Side.CLIENT
        name = (FROM_CLIENT if tap.side is Side.CLIENT else FROM_SERVER)[letter]
        if name == "DataRow" or (name == "CopyData" and not self._both):
            yield from self._run_of(tap, draft, letter, length)
            return
        draft.text = ALONE.get(name, name)
        base = tap.at
        data = yield from tap.head(length - 4, _KEPT)
        draft.add("type", f"{letter} ({name})", draft.start, draft.start + 1, "",
                  fields.source(name))  # fmt: skip
        draft.add("length", str(length), draft.start + 1, base, "with these four bytes",
                  fields.source(name))  # fmt: skip
        body = Cursor(data, base)
        _read(draft, lambda: self._body(draft, name, body), length - 4 - len(data))

    def _head(self, tap: Tap) -> Reading[tuple[str, int]]:
        """Type and length; Malformed where they cannot be this side's."""
        known = FROM_CLIENT if tap.side is Side.CLIENT else FROM_SERVER
        letter = chr((yield from tap.peek(1))[0])
        if letter not in known:
            raise Malformed(f"no message of the {tap.side} has the type {letter!r}")
        length = int.from_bytes((yield from tap.peek(5))[1:], "big")
        if not 4 <= length <= _LONGEST:
            raise Malformed(f"a message cannot have the length {length}")
        yield from tap.exactly(5)
        return letter, length

    def _body(self, draft: Draft, name: str, body: Cursor) -> None:
        if name in fields.PLAIN:
            fields.PLAIN[name](draft, body)
        elif name == "RowDescription":
            self._columns = fields.columns(draft, body)
        elif name == "Authentication":
            self._wanted = fields.authentication(draft, body)
        elif name == "PasswordMessage":
            fields.password(draft, body, self._wanted)
        elif name in ("Describe", "Close"):
            fields.target(draft, body, name)
        elif name in ("CopyInResponse", "CopyOutResponse", "CopyBothResponse"):
            self._both = name == "CopyBothResponse"
            fields.copy_begins(draft, body, name)
        elif name == "CopyData":
            kind = chr(body.data[0]) if body.data else ""
            draft.text = f"replication: {REPLICATION.get(kind, 'data')}, "
            draft.text += counted(draft.whole - 5, "byte")
        elif name == "CopyDone":
            self._both = False

    def _run_of(self, tap: Tap, draft: Draft, letter: str, length: int) -> Reading[None]:
        """Rows, or pieces of a copy, one behind the other: counted, the first ones told."""
        number = size = 0
        rows = letter == "D"
        thing = "row" if rows else "piece"
        start = draft.start
        while True:
            base = tap.at
            data = yield from tap.head(length - 4, _KEPT_ROW)
            number += 1
            size += length - 4
            if number <= _MOST_ROWS:
                text = _row(data, self._columns) if rows else fields.value_text(
                    data, length - 4, False)  # fmt: skip
                source = fields.source("DataRow" if rows else "CopyData")
                draft.add(f"{thing} {number}", text, start, base + length - 4, "", source)
            things = counted(number, thing)
            draft.text = f"{things}, {counted(size, 'byte')}"
            if rows and number == 1:
                draft.text = f"1 row: {text}" if text else "1 row of no columns"
            elif not rows:
                draft.text = f"copied data: {draft.text}"
            draft.whole = tap.at - draft.start
            start = tap.at
            try:
                following = yield from tap.peek(1)
            except Cut:
                return
            if following != letter.encode():
                return
            _, length = yield from self._head(tap)
            draft.whole = start + 1 + length - draft.start


def _row(data: bytes, columns: tuple[list[str], list[bool]]) -> str:
    try:
        return fields.row_text(Cursor(data), *columns)
    except Unreadable:
        return "longer than is kept of a row" if len(data) >= _KEPT_ROW else "no row"


def _read(draft: Draft, read: Callable[[], object], beyond: int = 0) -> None:
    """Fill the draft; where the bytes do not suffice, its fault says so."""
    try:
        read()
    except Unreadable as bad:
        draft.text = draft.text or "a message"
        if not beyond:  # else they are there, and only not kept
            draft.fault = bad.fault


def _likely(client: bytes, server: bytes) -> bool:
    if len(client) < 8 or client[0]:
        return False
    length, code = int.from_bytes(client[:4], "big"), int.from_bytes(client[4:8], "big")
    if code in (_SSL, _GSS):
        return length == 8
    if code == _CANCEL:
        return length == 16
    return code in (3 << 16, (3 << 16) + 2) and length <= _LONGEST_START and b"user\0" in client


APPLICATION = Application(
    "postgres", "PostgreSQL", frozenset({5432, 5433, 6432}), frozenset(), _likely, Postgres, None
)
