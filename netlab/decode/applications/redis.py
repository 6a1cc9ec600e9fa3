"""Redis: commands and replies, in RESP2 and RESP3, pipelined, inline, and published messages.

Replies carry no name of what they answer: they come in the order of the commands, so each is joined
to its command as long as both sides were seen from the same point on, and no command was sent that
switches replies off. Read first: the Redis serialization protocol specification (redis.io), its
sections "Arrays", "Bulk strings", "Inline commands" and "Pushes".
"""

from __future__ import annotations

import re
from collections import deque

from netlab.decode.applications.message import Application
from netlab.decode.applications.reading import (
    Draft,
    Malformed,
    Reading,
    Talk,
    Tap,
    brief,
    counted,
    text_of,
)
from netlab.decode.applications.redis_words import (
    COMMANDS,
    CONFIRMATIONS,
    KINDS,
    PUBLISHED,
    SECTIONS,
)
from netlab.model.records import dataclass
from netlab.model.tables import Side

_SPEC = "Redis protocol, {}"
_KEPT = 1024  # of a bulk string
_AGGREGATES = "*%~>|"
_COUNT = re.compile(rb"(-?[0-9]{1,19})\Z")
_PLAIN = re.compile(r"[!#-&(-~]{1,40}\Z")  # needs no quotes
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9._-]*\Z")
_WORD = re.compile(rb"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s]+)")
_ESCAPED = re.compile(rb"\\(.)")
_CLIENT = re.compile(rb"\*[1-9][0-9]{0,6}\r\n\$[1-9][0-9]{0,3}\r\n[A-Za-z]")
_SERVER = re.compile(rb"[+:$*_#,(%~>|]|-[A-Z]")
_MOST_SHOWN = 8  # values in a message's line
_DEEPEST = 128  # values in values; Redis itself goes no deeper than some ten
_MOST_VALUES = 64  # kept of a message


@dataclass(slots=True)
class _Value:
    """A value that ended: its kind, its first bytes, and how many they are."""

    kind: str
    data: bytes
    size: int
    depth: int

    def text(self) -> str:
        if self.kind == "_":
            return "nil"
        if self.kind == "#":
            return {b"t": "true", b"f": "false"}.get(self.data, text_of(self.data))
        if self.kind in "-!":
            return f"error {brief(self.data, 160, self.size)}"
        if self.kind == "$":
            return quoted(self.data, self.size)
        if self.kind == "=":
            return quoted(self.data[4:], self.size - 4)
        return brief(self.data, 80, self.size) or '""'


@dataclass(slots=True)
class _Open:
    """An aggregate of which values are still to come; `left` is None where an end mark tells."""

    kind: str
    left: int | None
    size: int

    def text(self) -> str:
        things = "pair" if self.kind in "%|" else "value"
        return counted(self.size, things) if self.size >= 0 else f"{things}s up to an end mark"


class Redis(Talk):
    """A client and a Redis server."""

    protocol = "Redis"

    def __init__(self) -> None:
        super().__init__()
        # What the next replies answer: a command in words, and how many confirmations it gets.
        self._asked: deque[tuple[str, int]] = deque()
        self._joined = True
        self._channels: dict[str, set[bytes]] = {"": set(), "p": set(), "s": set()}

    def begins(self, side: Side, head: bytes) -> bool:
        return bool((_CLIENT if side is Side.CLIENT else _SERVER).match(head))

    def missed(self, side: Side) -> None:
        self._joined = False
        self._asked.clear()

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        first = yield from tap.peek(1)
        if tap.side is Side.CLIENT and first != b"*":
            yield from self._inline(tap, draft)
            return
        values, top = yield from self._values(tap, draft)
        if tap.side is Side.CLIENT:
            self._command(draft, [value for value in values if value.depth == 1], top)
        else:
            self._reply(draft, values, top)

    # -- values ---------------------------------------------------------------------------------

    def _values(self, tap: Tap, draft: Draft) -> Reading[tuple[list[_Value], _Open | None]]:
        """The first values that are no aggregates, and the outermost aggregate."""
        values: list[_Value] = []
        stack: list[_Open] = []
        top: _Open | None = None
        whole = False
        while not whole:
            start = tap.at
            line = yield from tap.line()
            kind, rest = chr(line[0]) if line else "", line[1:]
            if kind == "." and stack and stack[-1].left is None:
                stack[-1].left = 0
            elif kind not in KINDS:
                raise Malformed(f"no value begins with {brief(line, 16)!r}")
            elif kind in _AGGREGATES and not rest.startswith(b"-"):
                if len(stack) == _DEEPEST:
                    raise Malformed(f"values in values more than {_DEEPEST} deep")
                opened = _opened(kind, rest)
                draft.add(KINDS[kind][0], opened.text(), start, tap.at, KINDS[kind][1],
                          _SPEC.format(SECTIONS[kind]))  # fmt: skip
                if not stack and kind != "|":
                    top = opened
                stack.append(opened)
            else:
                value = yield from self._value(tap, draft, kind, rest, len(stack))
                attribute = any(one.kind == "|" for one in stack[:_MOST_SHOWN])
                if not stack or (len(values) < _MOST_VALUES and not attribute):
                    values.append(value)
                place = top.size - (stack[0].left or 0) if top and len(stack) == 1 else None
                if tap.side is Side.CLIENT and place is not None:
                    _add_word(draft, value, place, start, tap.at)
                else:
                    name, meaning = KINDS[value.kind]
                    draft.add(name, value.text(), start, tap.at, meaning,
                              _SPEC.format(SECTIONS[value.kind]))  # fmt: skip
                whole = _one_less(stack)
            while stack and stack[-1].left == 0:
                if stack.pop().kind != "|":  # an attribute stands before a value, and is none
                    whole = _one_less(stack)
        return values, top

    def _value(self, tap: Tap, draft: Draft, kind: str, rest: bytes, depth: int) -> Reading[_Value]:
        if kind in "*%~>|":
            return _Value("_", b"", 0, depth)  # *-1 is RESP2's null array
        if kind not in "$!=":
            return _Value(kind, rest, len(rest), depth)
        if rest == b"?":
            return (yield from self._chunks(tap, depth))
        size = _count(rest)
        if size < 0:
            return _Value("_", b"", 0, depth)
        if not depth:
            draft.whole = tap.at + size + 2 - draft.start
        data = yield from tap.head(size, _KEPT)
        if (yield from tap.exactly(2)) != b"\r\n":
            raise Malformed(f"no line end behind {counted(size, 'byte')} of a string")
        return _Value(kind, data, size, depth)

    def _chunks(self, tap: Tap, depth: int) -> Reading[_Value]:
        """RESP3's string of unknown length: parts, and one of no bytes as the end."""
        kept, size = bytearray(), 0
        while True:
            line = yield from tap.line()
            part = _count(line[1:]) if line[:1] == b";" else -1
            if part < 0:
                raise Malformed("no part of a string where one must be")
            if part == 0:
                return _Value("$", bytes(kept), size, depth)
            kept += yield from tap.head(part, max(0, _KEPT - len(kept)))
            size += part
            yield from tap.exactly(2)

    # -- what the client says -------------------------------------------------------------------

    def _inline(self, tap: Tap, draft: Draft) -> Reading[None]:
        start = tap.at
        line = yield from tap.line()
        words = _words(line)
        if not words:
            draft.text = "an empty line, which is no command"
            return
        if not _NAME.match(words[0]):
            raise Malformed(f"no command: {brief(line, 24)!r}")
        values = [_Value("$", word, len(word), 1) for word in words]
        draft.add("inline command", text_of(line), start, tap.at,
                  "a command as a person types it, split at its spaces",
                  _SPEC.format("Inline commands"))  # fmt: skip
        name = text_of(words[0]).upper()
        if name in COMMANDS:
            start += len(line) - len(line.lstrip())
            draft.add("command", name, start, start + len(words[0]), COMMANDS[name],
                      f"redis.io, {name}")  # fmt: skip
        self._command(draft, values, None)

    def _command(self, draft: Draft, values: list[_Value], top: _Open | None) -> None:
        if not values:
            draft.text = "an array of nothing, which is no command"
            return
        name = text_of(values[0].data).upper() or '""'
        count = max(len(values), top.size if top else 0)
        shown = [value.text() for value in values[1 : 1 + _MOST_SHOWN]]
        draft.text = " ".join([name, *shown])
        if count > 1 + _MOST_SHOWN:
            draft.text += f" ... ({counted(count - 1, 'argument')})"
        self._ask(name, [value.data for value in values[1:]], count - 1)

    def _ask(self, name: str, arguments: list[bytes], count: int) -> None:
        second = arguments[0].upper() if arguments else b""
        third = arguments[1].upper() if len(arguments) > 1 else b""
        silent = name == "CLIENT" and second == b"REPLY" and third in (b"OFF", b"SKIP")
        if silent or name in ("MONITOR", "PSYNC", "SYNC"):
            self._joined = False
            self._asked.clear()
        if not self._joined:
            return
        confirmations = 0
        if name.lower() in CONFIRMATIONS:
            confirmations = count or max(1, len(self._channels[_prefix(name.lower())]))
        key = f" {brief(arguments[0], 24)}" if arguments and name in COMMANDS else ""
        self._asked.append((name + key, confirmations))

    # -- what the server says -------------------------------------------------------------------

    def _reply(self, draft: Draft, values: list[_Value], top: _Open | None) -> None:
        word = text_of(values[0].data).lower() if values and top else ""
        if word in CONFIRMATIONS and len(values) >= 2:
            self._confirmed(draft, word, values)
            return
        if word in PUBLISHED and len(values) >= 3:
            channel, payload = values[-2], values[-1]
            draft.text = f"message on {channel.text()}: {payload.text()}"
            if word == "pmessage":
                draft.text += f" (matches {values[1].text()})"
            return
        said = _in_words(values, top)
        if top is not None and top.kind == ">":
            draft.text = f"push: {said}"
            return
        is_error = top is None and bool(values) and values[-1].kind in "-!"
        asked = self._next(is_error)
        draft.text = f"{asked}: {said}" if asked else said
        if asked:
            draft.add("answers", asked, draft.start, draft.start,
                      "replies come in the order of the commands",
                      _SPEC.format("Request-Response model"))  # fmt: skip

    def _next(self, is_error: bool) -> str:
        """The command that a reply answers; where it cannot be known, nothing."""
        while self._asked:
            asked, confirmations = self._asked.popleft()
            if not confirmations or is_error:
                return asked
        self._joined = False  # a reply to what was sent before the capture began
        return ""

    def _confirmed(self, draft: Draft, word: str, values: list[_Value]) -> None:
        channel, number = values[1], values[-1]
        leaves = "unsub" in word
        draft.text = f"{word}d {'from' if leaves else 'to'} {channel.text()}"
        if number.kind == ":" and number.data.isdigit():
            draft.text += f", {counted(int(number.data[:9]), 'subscription')} now"
        held = self._channels[_prefix(word)]
        if leaves:
            held.discard(channel.data)
        else:
            held.add(channel.data)
        if self._asked and self._asked[0][0].partition(" ")[0].lower() == word:
            asked, left = self._asked.popleft()
            if left > 1:
                self._asked.appendleft((asked, left - 1))


def _words(line: bytes) -> list[bytes]:
    """The words of an inline command; what stands in quotes is one."""
    words = []
    for double, single, plain in _WORD.findall(line):
        words.append(_ESCAPED.sub(rb"\1", double) or single.replace(b"\\'", b"'") or plain)
    return words


def _add_word(draft: Draft, value: _Value, place: int, start: int, stop: int) -> None:
    """A command's name, or one of its arguments."""
    if place:
        draft.add(f"argument {place}", value.text(), start, stop, "", _SPEC.format("Bulk strings"))
        return
    name = text_of(value.data).upper() or '""'
    source = f"redis.io, {name}" if name in COMMANDS else _SPEC.format("Bulk strings")
    draft.add("command", name, start, stop, COMMANDS.get(name, ""), source)


def _prefix(word: str) -> str:
    """Which channels a word is about: p for patterns, s for those of a shard."""
    return word.removesuffix("unsubscribe").removesuffix("subscribe")


def _opened(kind: str, count: bytes) -> _Open:
    if count == b"?":
        return _Open(kind, None, -1)
    size = _count(count)
    return _Open(kind, size * 2 if kind in "%|" else size, size)


def _one_less(stack: list[_Open]) -> bool:
    """A value ended: count it in what holds it. Whether nothing does."""
    if stack and stack[-1].left is not None:
        stack[-1].left -= 1
    return not stack


def _count(text: bytes) -> int:
    if not _COUNT.match(text):
        raise Malformed(f"{brief(text, 16)!r} is no length")
    return int(text)


def quoted(data: bytes, size: int) -> str:
    """A string as one word: plain where it can be, else in quotes, else only its size."""
    text = text_of(data[:_KEPT])
    if size == len(data) and _PLAIN.match(text):
        return text
    if size <= 40 and text.isprintable():
        return f'"{text}"'
    return f"({counted(size, 'byte')})"


def _in_words(values: list[_Value], top: _Open | None) -> str:
    if top is None:
        return values[-1].text()
    text = top.text()
    words = [value.text() for value in values[:_MOST_SHOWN]]
    if top.kind == "%" and all(value.depth == 1 for value in values):
        words = [" = ".join(words[at : at + 2]) for at in range(0, len(words), 2)]
    shown = ", ".join(words)
    more = ", ..." if len(values) > _MOST_SHOWN else ""
    return f"{text}: {shown}{more}" if shown else text


def _likely(client: bytes, server: bytes) -> bool:
    return bool(_CLIENT.match(client))


APPLICATION = Application(
    "redis", "Redis", frozenset({6379, 6380, 16379, 26379}), frozenset(), _likely, Redis, None
)
