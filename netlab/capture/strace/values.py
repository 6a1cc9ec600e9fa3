"""The arguments of a call as strace prints them -> values: a small parser of that notation.

    3<TCP:[127.0.0.1:80->127.0.0.1:4000]>, {sa_family=AF_INET, sin_port=htons(80)}, [16 => 0]

Numbers and flags stay words. Whatever is none of this notation raises ValueError; hostile text
(names of files and programs, contents of messages) is inside of quotes or escaped, and only that.
What this module must not know: which call it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache

from netlab.model.records import dataclass

# Behind a number: `<socket:[12]>`, `<TCP:[1.2.3.4:5->6.7.8.9:10]>`, `<UNIX-STREAM:[1->2,@"n"]>`,
# `</dev/null<char 1:3>>`. In paths < and > are escaped; -xx escapes every character.
DESCRIPTOR_NAME = (
    r'<(?:[A-Za-z0-9_-]+:\[(?:"(?:[^"\\]|\\.)*"|[^"])*?\]>|[^<>]*(?:<[^<>]*>[^<>]*)?>)'
)
_TOKEN = re.compile(
    r"\s*(?:"
    r'(?P<string>@?"[^"\\]*+(?:\\.[^"\\]*+)*+"(?:\.\.\.)?)'
    rf"|(?P<fd>(?:-?\d+|AT_FDCWD){DESCRIPTOR_NAME}(?:\(deleted\))?)"
    r"|(?P<comment>/\*.*?\*/)"
    r"|(?P<arrow>=>)"
    r"|(?P<more>\.\.\.)"
    r"|(?P<mark>[][{}(),=])"
    r'|(?P<word>[^\s"\[\]{}(),=]+)'
    r")",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_ALL_HEX = re.compile(rb"(?:\\x[0-9a-f]{2})+")  # what -xx makes of everything
_NAMED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f", b"a": b"\a", b"b": b"\b"}
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string; `whole`: it was not cut off at strace's -s."""

    data: bytes
    whole: bool
    abstract: bool = False  # @"name" of a Unix socket


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A descriptor, and its name where strace prints it (-y, -yy)."""

    fd: int
    name: str | None


@dataclass(slots=True)
class Group:
    """A {structure}, a [list], or the arguments of a call: named and unnamed values in order."""

    fields: dict[str, Value] = field(default_factory=dict)
    items: list[Value] = field(default_factory=list)  # the unnamed ones
    whole: bool = True  # False: `...` stands for more of them


@dataclass(frozen=True, slots=True)
class Applied:
    """`htons(80)`."""

    name: str
    arguments: Group


@dataclass(frozen=True, slots=True)
class Changed:
    """`16 => 0`: before the call, and after it."""

    before: Value
    after: Value


Value = str | Text | Descriptor | Group | Applied | Changed


def parse_arguments(text: str) -> Group:
    """The values of a call's parentheses; `text` is what stands between them."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._kind = ""
        self._token = ""
        self._advance()

    def whole(self) -> Group:
        found = self._group("")
        if self._kind:
            raise ValueError(f"{self._token!r} is out of place")
        return found

    def _advance(self) -> None:
        while True:
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                if self._text[self._at :].strip():
                    raise ValueError(f"nothing known begins at {self._text[self._at :][:20]!r}")
                self._kind = self._token = ""
                return
            self._at = match.end()
            self._kind = match.lastgroup or ""
            if self._kind != "comment":
                self._token = match[self._kind]
                return

    def _group(self, end: str) -> Group:
        """Values up to `end`, which is passed; commas between them, or (sets of select) blanks."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("nested too deep")
        found = Group()
        while self._kind:
            token = self._token
            if self._kind == "mark" and token == ",":
                self._advance()
            elif self._kind == "mark" and token == end:
                break
            elif self._kind == "more":
                found.whole = False
                self._advance()
            else:
                self._item(found)
        if end:
            if not self._kind:
                raise ValueError(f"no {end!r}")
            self._advance()
        self._depth -= 1
        return found

    def _item(self, found: Group) -> None:
        is_word, word = self._kind == "word", self._token
        value = self._value()
        if is_word and value == word and self._kind == "mark" and self._token == "=":
            self._advance()
            value = self._value()
            if self._kind == "arrow":
                self._advance()
                value = Changed(value, self._value())
            found.fields[word] = value
            return
        if self._kind == "arrow":
            self._advance()
            value = Changed(value, self._value())
        found.items.append(value)

    def _value(self) -> Value:
        kind, token = self._kind, self._token
        if kind == "string":
            self._advance()
            return string_from_token(token)
        if kind == "fd":
            self._advance()
            return descriptor_from_token(token)
        if kind == "word":
            self._advance()
            if self._kind == "mark" and self._token == "(":
                self._advance()
                return Applied(token, self._group(")"))
            return token
        if kind == "mark" and token in "{[":
            self._advance()
            return self._group("}" if token == "{" else "]")
        if kind == "mark" and token == "=":  # `name=` of nothing, or `==` in a condition
            self._advance()
            return ""
        raise ValueError(f"{token!r} is out of place")


def string_from_token(token: str) -> Text:
    """`"a\\0b"...` -> its bytes."""
    abstract = token.startswith("@")
    whole = not token.endswith("...")
    body = token[1 + abstract : -1 if whole else -4]
    return Text(unescaped(body), whole, abstract)


def unescaped(body: str) -> bytes:
    """The bytes that strace's escapes stand for."""
    raw = body.encode("latin-1", "replace")
    if b"\\" not in raw:
        return raw
    if _ALL_HEX.fullmatch(raw):  # 20 times faster, and with contents it is most of a log
        return bytes.fromhex(raw.replace(b"\\x", b"").decode())
    return _ESCAPE.sub(_byte, raw)


def _byte(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes.fromhex(code[1:].decode())
    if code.isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _NAMED.get(code, code)


def descriptor_from_token(token: str) -> Descriptor:
    """`3<socket:[12]>` -> 3 and its name; a path that was deleted loses that word."""
    number, _, name = token.partition("<")
    name = name.removesuffix("(deleted)")[:-1]
    fd = int(number) if number != "AT_FDCWD" else -100
    if name.startswith("\\x"):  # -xx; a Unix socket's own name keeps its escapes within quotes
        name = unescaped(name).decode("latin-1")
    return Descriptor(fd, name)


def number_from(value: Value | None) -> int | None:
    """A word that is a number (`5`, `0x10`, `-1`, `010` in octal), the descriptor's, or None."""
    if isinstance(value, Descriptor):
        return value.fd
    return _number(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _number(value: str) -> int | None:
    try:
        if value.startswith("0") and value[1:].isdigit():
            return int(value, 8)
        return int(value, 0)
    except ValueError:
        return None


def text_of(value: Value) -> str:
    """The value as it was written, as far as that is kept; bytes as hexadecimal."""
    if isinstance(value, str):
        return value
    if isinstance(value, Text):
        return "0x" + value.data.hex() + ("" if value.whole else "...")
    if isinstance(value, Descriptor):
        return str(value.fd)
    if isinstance(value, Applied):
        return f"{value.name}({', '.join(_texts(value.arguments))})"
    if isinstance(value, Changed):
        return f"{text_of(value.before)} => {text_of(value.after)}"
    return "{" + ", ".join(_texts(value)) + "}"


def _texts(group: Group) -> Iterator[str]:
    for name, value in group.fields.items():
        yield f"{name}={text_of(value)}"
    yield from map(text_of, group.items)
