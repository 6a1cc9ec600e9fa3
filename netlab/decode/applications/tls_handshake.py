"""One TLS handshake message -> its fields; the two hellos with all that was offered and chosen.

Read first: RFC 8446 4 (TLS 1.3), RFC 5246 7.4 (TLS 1.2), RFC 8422 5 (curves in it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from netlab.decode.applications import tls_names as names
from netlab.decode.applications.cursor import Cursor, TooShort
from netlab.decode.applications.message import Item, Said
from netlab.decode.applications.x509_names import subject
from netlab.model.records import dataclass

# RFC 8446 4.1.3: a server hello with this random asks the client to begin again.
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_SERVER_NAME, _GROUPS, _SIGNATURES, _ALPN = 0, 10, 13, 16
_SIGNATURES_CERT, _SHORTEST_PSK_MODES, _VERSIONS, _KEY_SHARE = 50, 45, 43, 51


@dataclass(slots=True)
class Agreed:
    """What both sides' hellos said that later bytes depend on."""

    version: int | None = None  # None: no server hello was seen


@dataclass(slots=True)
class _Hello:
    """What one hello says, for its one line."""

    name: str = ""
    protocols: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    suite: int = 0
    retry: bool = False


def handshake(data: bytes, at: int, agreed: Agreed) -> Said:
    """One whole message with its four bytes of type and length; `at` is its offset."""
    cursor = Cursor(data, at)
    kind = cursor.number(1, "type")
    what = names.HANDSHAKE.get(kind, f"handshake message {kind}")
    items = [cursor.item("handshake type", f"{what} ({kind})", at, "", "RFC 8446 4")]
    start = cursor.place
    size = cursor.number(3, "length")
    items.append(cursor.item("length", f"{size:,} bytes", start, "", "RFC 8446 4"))
    fault, text = "", what
    read = _READ.get(kind)
    try:
        if read is not None:
            text = read(cursor, items, agreed)
    except TooShort as short:
        fault = short.fault
    return Said("TLS", at, at + len(data), text, tuple(items), fault)


def _client_hello(cursor: Cursor, items: list[Item], agreed: Agreed) -> str:
    del agreed
    hello = _Hello()
    _hello_begins(cursor, items)
    suites = cursor.counted(2, "cipher suites")
    while suites.left >= 2:
        start = suites.place
        text = names.suite_name(suites.number(2, "cipher suite"))
        items.append(suites.item("cipher suite", text, start, "", "RFC 8446 4.1.2"))
    start = cursor.place
    methods = cursor.counted(1, "compression methods").rest()
    text = "none" if methods == b"\0" else methods.hex(" ")
    items.append(cursor.item("compression", text, start, "Long since off: it leaked secrets.",
                             "RFC 8446 4.1.2"))  # fmt: skip
    _extensions(cursor, items, hello, client=True)
    said = "client hello" + (f" for {hello.name}" if hello.name else "")
    return ", ".join([said, *hello.protocols])


def _server_hello(cursor: Cursor, items: list[Item], agreed: Agreed) -> str:
    hello = _Hello()
    version, random = _hello_begins(cursor, items)
    start = cursor.place
    hello.suite = cursor.number(2, "cipher suite")
    suite = names.suite_name(hello.suite)
    items.append(cursor.item("cipher suite", suite, start, "The one that the server chose.",
                             "RFC 8446 4.1.3"))  # fmt: skip
    start = cursor.place
    method = cursor.number(1, "compression method")
    items.append(cursor.item("compression", "none" if method == 0 else str(method), start))
    try:
        _extensions(cursor, items, hello, client=False)
    finally:
        agreed.version = hello.versions[0] if hello.versions else version
    if random == _RETRY:
        return f"hello retry request, {names.version_name(agreed.version)}"
    return ", ".join(["server hello", names.version_name(agreed.version), suite, *hello.protocols])


def _hello_begins(cursor: Cursor, items: list[Item]) -> tuple[int, bytes]:
    start = cursor.place
    version = cursor.number(2, "version")
    items.append(cursor.item("version", names.version_name(version), start,
                             "From TLS 1.3 on it says 1.2, and an extension the truth.",
                             "RFC 8446 4.1.2"))  # fmt: skip
    start = cursor.place
    random = cursor.take(32, "random")
    meaning = "Makes the keys of each connection others."
    if random == _RETRY:
        meaning = "This one means: begin again with what I name."
    items.append(cursor.item("random", random.hex(), start, meaning, "RFC 8446 4.1.2"))
    start = cursor.place
    session = cursor.counted(1, "session id").rest()
    items.append(cursor.item("session id", session.hex() or "empty", start,
                             "Names a session to resume; in TLS 1.3 only for old boxes.",
                             "RFC 8446 4.1.2"))  # fmt: skip
    return version, random


def _extensions(cursor: Cursor, items: list[Item], hello: _Hello, *, client: bool) -> None:
    if not cursor.left:
        return
    extensions = cursor.counted(2, "extensions")
    while extensions.left:
        start = extensions.place
        kind = extensions.number(2, "extension type")
        body = extensions.counted(2, "extension")
        name = names.numbered(names.EXTENSION, kind)
        size = body.left
        try:
            text = _extension_text(kind, body, hello, client)
        except TooShort as short:
            text = short.fault
        meaning, source = names.EXTENSION_MEANING.get(kind, ("", "RFC 8446 4.2"))
        if name == "GREASE":
            meaning, source = "Means nothing: it keeps servers used to the unknown.", "RFC 8701 3"
        said = text or (f"{size:,} byte{'s' * (size != 1)}" if size else "present")
        items.append(extensions.item(name, said, start, meaning, source))


def _extension_text(kind: int, body: Cursor, hello: _Hello, client: bool) -> str:
    if kind == _SERVER_NAME and body.left:
        entries = body.counted(2, "server names")
        if entries.number(1, "name type") == 0:
            hello.name = entries.counted(2, "host name").rest().decode("utf-8", "backslashreplace")
        return hello.name
    if kind == _ALPN:
        entries = body.counted(2, "protocols")
        while entries.left:
            name = entries.counted(1, "protocol").rest().decode("utf-8", "backslashreplace")
            hello.protocols.append(name)
        return ", ".join(hello.protocols)
    if kind == _VERSIONS:
        listed = body.counted(1, "versions") if client else body
        hello.versions = _numbers(listed)
        return ", ".join(names.version_name(version) for version in hello.versions)
    if kind == _GROUPS:
        groups = _numbers(body.counted(2, "groups"))
        return ", ".join(names.numbered(names.GROUP, group) for group in groups)
    if kind in (_SIGNATURES, _SIGNATURES_CERT):
        schemes = _numbers(body.counted(2, "signature algorithms"))
        return ", ".join(names.numbered(names.SIGNATURE, scheme) for scheme in schemes)
    if kind == _KEY_SHARE:
        return _key_shares(body, client)
    if kind == _SHORTEST_PSK_MODES:
        modes = body.counted(1, "modes").rest()
        known = {0: "psk_ke", 1: "psk_dhe_ke"}
        return ", ".join(known.get(mode, str(mode)) for mode in modes)
    return ""


def _key_shares(body: Cursor, client: bool) -> str:
    shares: list[str] = []
    entries = body.counted(2, "key shares") if client else body
    while entries.left:
        group = names.numbered(names.GROUP, entries.number(2, "group"))
        if not client and not entries.left:  # a retry request names the group alone
            return group
        size = len(entries.counted(2, "key").rest())
        shares.append(f"{group} ({size:,} byte{'s' * (size != 1)})")
    return ", ".join(shares)


def _numbers(cursor: Cursor) -> list[int]:
    found = []
    while cursor.left >= 2:
        found.append(cursor.number(2, "number"))
    return found


def _certificate(cursor: Cursor, items: list[Item], agreed: Agreed) -> str:
    """The chain; in TLS 1.3 it is encrypted, unless a key log was applied, and has more fields."""
    if agreed.version == 0x0304:
        cursor.counted(1, "request context")
    chain = cursor.counted(3, "certificates")
    first = ""
    count = 0
    while chain.left:
        start = chain.place
        der = chain.counted(3, "certificate").rest()
        whom = subject(der)
        if agreed.version == 0x0304:
            chain.counted(2, "extensions")
        text = f"{len(der):,} bytes" + (f", for {whom}" if whom else "")
        meaning = "Signs the one before it." if count else "The sender's own, with its public key."
        items.append(chain.item("certificate", text, start, meaning, "RFC 5246 7.4.2"))
        first = first or whom
        count += 1
    more = f" and {count - 1} more" if count > 1 else ""
    return f"certificate{f' for {first}' if first else '' if count else ', none'}{more}"


def _server_key_exchange(cursor: Cursor, items: list[Item], agreed: Agreed) -> str:
    del agreed
    if cursor.data[cursor.at : cursor.at + 1] != b"\x03":  # not a named curve
        return "server key exchange"
    start = cursor.place
    cursor.number(1, "curve type")
    group = names.numbered(names.GROUP, cursor.number(2, "group"))
    items.append(cursor.item("group", group, start, "The key exchange is made in it.",
                             "RFC 8422 5.4"))  # fmt: skip
    start = cursor.place
    size = len(cursor.counted(1, "public key").rest())
    items.append(cursor.item("public key", f"{size} bytes", start, "", "RFC 8422 5.4"))
    return f"server key exchange, {group}"


def _session_ticket(cursor: Cursor, items: list[Item], agreed: Agreed) -> str:
    if agreed.version == 0x0304:
        return "new session ticket"
    start = cursor.place
    seconds = cursor.number(4, "lifetime")
    items.append(
        cursor.item(
            "lifetime",
            f"{seconds:,} s",
            start,
            "How long the server will know it, it thinks.",
            "RFC 5077 3.3",
        )
    )
    start = cursor.place
    size = len(cursor.counted(2, "ticket").rest())
    items.append(cursor.item("ticket", f"{size:,} bytes", start,
                             "The server's state, sealed; the client only keeps it.",
                             "RFC 5077 3.3"))  # fmt: skip
    return "new session ticket"


_READ: dict[int, Callable[[Cursor, list[Item], Agreed], str]] = {
    1: _client_hello,
    2: _server_hello,
    4: _session_ticket,
    11: _certificate,
    12: _server_key_exchange,
}
