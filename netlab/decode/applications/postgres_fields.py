"""The body of one PostgreSQL message -> its text and fields.

Must not know the connection around it. Read first: PostgreSQL's documentation, "Message Formats".
"""

from __future__ import annotations

from collections.abc import Callable

from netlab.decode.applications.cursor import Cursor
from netlab.decode.applications.postgres_words import (
    AUTHENTICATION,
    ERROR_FIELDS,
    TRANSACTION,
    TYPES,
    state_name,
)
from netlab.decode.applications.reading import Draft, brief, counted, text_of

MOST = 64  # columns or parameters told one by one
LONGEST_QUERY = 2048  # characters of a query that its field keeps
_SHORT_QUERY = 160


def source(name: str) -> str:
    """Where the documentation describes a message."""
    return f"PostgreSQL Message Formats, {name}"


def _named(name: bytes, thing: str) -> str:
    return f"{thing} {text_of(name)}" if name else f"unnamed {thing}"


def _sql(text: bytes) -> str:
    return " ".join(brief(text, _SHORT_QUERY).split())


def startup(draft: Draft, body: Cursor) -> None:
    """Version and settings of a new session."""
    at = body.place
    major, minor = body.number(2), body.number(2)
    draft.add("protocol version", f"{major}.{minor}", at, body.place, "", source("StartupMessage"))
    found: dict[str, str] = {}
    while body.left > 1:
        at = body.place
        name, value = text_of(body.text()), text_of(body.text())
        found[name] = value
        draft.add(name, value, at, body.place, "a setting of the session", source("StartupMessage"))
    user = found.get("user", "")
    draft.text = f"startup {major}.{minor} as {user}, database {found.get('database') or user}"
    if found.get("replication", "") in ("true", "on", "1", "yes", "database"):
        draft.text += ", for replication"


def authentication(draft: Draft, body: Cursor) -> int:
    """Its number, which tells what the client's next message is."""
    at = body.place
    number = body.number(4)
    words, meaning = AUTHENTICATION.get(number, (f"authentication of kind {number}", ""))
    draft.text = words
    draft.add("authentication", f"{words} ({number})", at, body.place, meaning,
              source("Authentication"))  # fmt: skip
    at = body.place
    if number == 10:
        mechanisms = []
        while body.left > 1:
            mechanisms.append(text_of(body.text()))
        draft.add("mechanisms", ", ".join(mechanisms), at, body.place, "",
                  source("AuthenticationSASL"))  # fmt: skip
        draft.text += f": {', '.join(mechanisms)}"
    elif number == 5:
        draft.add("salt", body.take(4).hex(), at, body.place, "", source("Authentication"))
    elif number in (8, 11, 12):
        data = body.take(body.left)
        draft.add("data", brief(data, 256), at, body.place, "", source("Authentication"))
    return number


def password(draft: Draft, body: Cursor, wanted: int | None) -> None:
    """The client's answer to an authentication request; only that request tells its form."""
    at = body.place
    if wanted == 10:
        mechanism = text_of(body.text())
        draft.add("mechanism", mechanism, at, body.place, "", source("SASLInitialResponse"))
        size = body.signed(4)
        at = body.place
        draft.add("data", brief(body.take(max(0, size)), 256), at, body.place, "",
                  source("SASLInitialResponse"))  # fmt: skip
        draft.text = f"SASL begins with {mechanism}"
    elif wanted in (11, 12):
        draft.add("data", brief(body.take(body.left), 256), at, body.place, "",
                  source("SASLResponse"))  # fmt: skip
        draft.text = "SASL response"
    elif wanted in (3, 5):
        draft.add("password", text_of(body.text()), at, body.place,
                  "hashed with the salt" if wanted == 5 else "as it is, readable by anyone",
                  source("PasswordMessage"))  # fmt: skip
        draft.text = "password (MD5)" if wanted == 5 else "password"
    else:
        draft.text = f"authentication data, {counted(body.left, 'byte')}"


def query(draft: Draft, body: Cursor) -> None:
    """A simple query: one or several statements as text."""
    at = body.place
    text = body.text()
    draft.add("query", text_of(text[:LONGEST_QUERY]), at, body.place, "", source("Query"))
    draft.text = _sql(text) or "an empty query"


def parse(draft: Draft, body: Cursor) -> None:
    """A statement to prepare."""
    at = body.place
    name = body.text()
    draft.add("statement", _named(name, "statement"), at, body.place, "", source("Parse"))
    at = body.place
    text = body.text()
    draft.add("query", text_of(text[:LONGEST_QUERY]), at, body.place, "", source("Parse"))
    at = body.place
    types = [_type(body.number(4)) for _ in range(min(body.number(2), MOST))]
    if types:
        draft.add("parameter types", ", ".join(types), at, body.place, "", source("Parse"))
    draft.text = f"parse {text_of(name)}: {_sql(text)}" if name else f"parse: {_sql(text)}"


def _type(oid: int) -> str:
    return TYPES.get(oid, f"type {oid}") if oid else "not told"


def value_text(data: bytes | None, size: int, binary: bool) -> str:
    """A value as it stands: text, or the hex of a binary one."""
    if data is None:
        return "null"
    if binary or b"\0" in data:
        return f"0x{data.hex()}" if size <= 16 else f"({counted(size, 'byte')})"
    return brief(data, 48, size)


def bind(draft: Draft, body: Cursor) -> None:
    """Parameters for a prepared statement."""
    at = body.place
    portal, statement = body.text(), body.text()
    draft.add("portal and statement",
              f"{_named(portal, 'portal')}, {_named(statement, 'statement')}", at, body.place,
              "a portal is a statement with its parameters, to be run", source("Bind"))  # fmt: skip
    formats = [body.number(2) for _ in range(body.number(2))]
    number = body.number(2)
    shown = []
    for index in range(number):
        at = body.place
        size = body.signed(4)
        data = None if size < 0 else body.take(size)
        form = formats[0] if len(formats) == 1 else (formats[index : index + 1] or [0])[0]
        text = value_text(data, max(0, size), form == 1)
        if index < MOST:
            shown.append(text)
        draft.add(f"parameter {index + 1}", text, at, body.place, "", source("Bind"))
    draft.text = "bind" + (f" {text_of(portal)}" if portal else "")
    draft.text += f" to {text_of(statement)}" if statement else ""
    draft.text += f", {counted(number, 'parameter')}"
    if shown:
        draft.text += f": {', '.join(shown[:8])}{', ...' if number > 8 else ''}"


def target(draft: Draft, body: Cursor, verb: str) -> None:
    """Describe and Close name a statement or a portal."""
    at = body.place
    kind = "statement" if body.take(1) == b"S" else "portal"
    name = body.text()
    draft.add(kind, _named(name, kind), at, body.place, "", source(verb))
    draft.text = f"{verb.lower()} {_named(name, kind)}"


def execute(draft: Draft, body: Cursor) -> None:
    """Run a portal."""
    at = body.place
    portal = body.text()
    most = body.number(4)
    draft.add("portal", _named(portal, "portal"), at, body.place - 4, "", source("Execute"))
    rows = f"at most {counted(most, 'row')}" if most else "all rows"
    draft.add("rows wanted", rows, body.place - 4, body.place, "", source("Execute"))
    draft.text = f"execute{' ' + text_of(portal) if portal else ''}, {rows}"


def columns(draft: Draft, body: Cursor) -> tuple[list[str], list[bool]]:
    """The names of a result's columns, and which are binary."""
    at = body.place
    number = body.number(2)
    draft.add("columns", str(number), at, body.place, "", source("RowDescription"))
    names: list[str] = []
    binary: list[bool] = []
    for _ in range(number):
        at = body.place
        name = text_of(body.text())
        body.take(6)  # table and column that it is from
        kind = _type(body.number(4))
        body.take(6)  # size and modifier of the type
        binary.append(body.number(2) == 1)
        if len(names) < MOST:
            names.append(name)
        draft.add(f"column {len(binary)}", f"{name} {kind}", at, body.place, "",
                  source("RowDescription"))  # fmt: skip
    more = ", ..." if number > 12 else ""
    draft.text = f"{counted(number, 'column')}: {', '.join(names[:12])}{more}"
    return names, binary


def row_text(body: Cursor, names: list[str], binary: list[bool]) -> str:
    """`id = 1, name = abc`"""
    shown = []
    number = body.number(2)
    for index in range(min(number, 16)):
        size = body.signed(4)
        data = None if size < 0 else body.take(size)
        form = index < len(binary) and binary[index]
        text = value_text(data, max(0, size), form)
        shown.append(f"{names[index]} = {text}" if index < len(names) else text)
    return ", ".join(shown) + (", ..." if number > 16 else "")


def complete(draft: Draft, body: Cursor) -> None:
    """`SELECT 1: 1 row`"""
    at = body.place
    tag = text_of(body.text())
    draft.add("command tag", tag, at, body.place, "the command, and how many rows it was about",
              source("CommandComplete"))  # fmt: skip
    word = tag.split(" ")
    draft.text = tag
    if len(word) > 1 and word[-1].isdigit() and word[-1].isascii():
        draft.text = f"{tag}: {counted(int(word[-1][:18]), 'row')}"


def error(draft: Draft, body: Cursor) -> None:
    """`error 42P01: relation "x" does not exist`, or a notice."""
    found: dict[str, str] = {}
    while body.left:
        at = body.place
        letter = chr(body.number(1))
        if letter == "\0":
            break
        text = text_of(body.text())
        found.setdefault(letter, text)
        meaning = state_name(text) if letter == "C" else ""
        draft.add(ERROR_FIELDS.get(letter, f"field {letter}"), text[:LONGEST_QUERY], at, body.place,
                  meaning, "PostgreSQL Error and Notice Message Fields")  # fmt: skip
    severity = found.get("V", found.get("S", "")).lower()
    word = severity if severity in ("error", "notice", "warning", "info", "log", "debug") else (
        f"{severity} error" if severity else "error")  # fmt: skip
    draft.text = f"{word} {found.get('C', '')}: {found.get('M', '')[:200]}"
    if "D" in found:
        draft.text += f" ({found['D'][:200]})"


def setting(draft: Draft, body: Cursor) -> None:
    """A setting of the server that clients care about."""
    at = body.place
    name, value = text_of(body.text()), text_of(body.text())
    draft.add(name, value, at, body.place, "", source("ParameterStatus"))
    draft.text = f"{name} is {value}"


def key(draft: Draft, body: Cursor) -> None:
    """What a CancelRequest must name."""
    at = body.place
    process = body.number(4)
    draft.add("process", str(process), at, body.place, "that serves this session",
              source("BackendKeyData"))  # fmt: skip
    at = body.place
    draft.add("secret key", body.take(body.left).hex(), at, body.place,
              "who knows it may cancel its queries", source("BackendKeyData"))  # fmt: skip
    draft.text = f"served by process {process}, with a key to cancel"


def ready(draft: Draft, body: Cursor) -> None:
    """Whether a transaction is open."""
    at = body.place
    status = chr(body.number(1))
    draft.text = TRANSACTION.get(status, f"ready, status {status}")
    draft.add("transaction", status, at, body.place, draft.text, source("ReadyForQuery"))


def notification(draft: Draft, body: Cursor) -> None:
    """What a session told all that LISTEN to a channel."""
    at = body.place
    process = body.number(4)
    channel, payload = text_of(body.text()), body.text()
    draft.add("channel", channel, at + 4, body.place - len(payload) - 1, "",
              source("NotificationResponse"))  # fmt: skip
    draft.text = f"notification on {channel} from process {process}: {brief(payload, 80)}"


def parameters(draft: Draft, body: Cursor) -> None:
    """The types of a statement's parameters."""
    at = body.place
    types = [_type(body.number(4)) for _ in range(body.number(2))]
    draft.add("parameter types", ", ".join(types[:MOST]), at, body.place, "",
              source("ParameterDescription"))  # fmt: skip
    draft.text = counted(len(types), "parameter") + (f": {', '.join(types[:12])}" if types else "")


def copy_begins(draft: Draft, body: Cursor, name: str) -> None:
    """The form of the data that follows."""
    at = body.place
    form = "binary" if body.number(1) else "text"
    number = body.number(2)
    draft.add("format", f"{form}, {counted(number, 'column')}", at, body.place, "", source(name))
    who = {"CopyInResponse": "copy: send the data", "CopyOutResponse": "copy: the data follows"}
    draft.text = f"{who.get(name, 'copy in both directions')} ({form}, "
    draft.text += f"{counted(number, 'column')})"


def copy_fail(draft: Draft, body: Cursor) -> None:
    """Why the client gives its copy up."""
    at = body.place
    why = text_of(body.text())
    draft.add("reason", why, at, body.place, "", source("CopyFail"))
    draft.text = f"copy given up: {why[:200]}"


def negotiate(draft: Draft, body: Cursor) -> None:
    """The server's answer to a minor version that it does not know."""
    at = body.place
    minor = body.number(4) & 0xFFFF
    draft.add("newest minor version", str(minor), at, body.place, "",
              source("NegotiateProtocolVersion"))  # fmt: skip
    draft.text = f"the server knows no newer protocol than 3.{minor}"


PLAIN: dict[str, Callable[[Draft, Cursor], object]] = {
    "Query": query,
    "Parse": parse,
    "Bind": bind,
    "Execute": execute,
    "CopyFail": copy_fail,
    "CommandComplete": complete,
    "ErrorResponse": error,
    "NoticeResponse": error,
    "ParameterStatus": setting,
    "BackendKeyData": key,
    "ReadyForQuery": ready,
    "NotificationResponse": notification,
    "ParameterDescription": parameters,
    "NegotiateProtocolVersion": negotiate,
}
