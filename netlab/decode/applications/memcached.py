"""memcached's text protocol: commands, values counted, replies joined to what they answer.

Replies come in the order of the commands and name none; what is told `noreply` gets none. The meta
commands (mg, ms, ...) are named; the binary protocol, out of use since memcached 1.6, is not read.
Read first: memcached's doc/protocol.txt, whose headings the fields cite.
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
from netlab.model.tables import Side

_SOURCE = "memcached protocol.txt, {}"
_STORAGE = frozenset({"set", "add", "replace", "append", "prepend", "cas"})
_COMMANDS = {
    "set": ("Storage commands", "stores a value under a key"),
    "add": ("Storage commands", "stores a value if the key is not there"),
    "replace": ("Storage commands", "stores a value if the key is there"),
    "append": ("Storage commands", "adds bytes behind a value"),
    "prepend": ("Storage commands", "adds bytes before a value"),
    "cas": ("Storage commands", "stores a value if nobody changed it since it was asked for"),
    "get": ("Retrieval command", "asks for the values of keys"),
    "gets": ("Retrieval command", "asks for values, each with the number that cas wants"),
    "gat": ("Get And Touch", "asks for values and gives their keys so long to live"),
    "gats": ("Get And Touch", "gat, each value with the number that cas wants"),
    "delete": ("Deletion", "removes a key"),
    "incr": ("Increment/Decrement", "adds to a number"),
    "decr": ("Increment/Decrement", "takes from a number"),
    "touch": ("Touch", "gives a key so many seconds to live"),
    "stats": ("Statistics", "asks for the server's figures"),
    "flush_all": ("Other commands", "makes all values there stale"),
    "version": ("Other commands", "asks for the server's version"),
    "verbosity": ("Other commands", "how much the server logs"),
    "quit": ("Other commands", "ends the connection"),
    "mg": ("Meta Get", "asks for a value, or facts about it, by flags"),
    "ms": ("Meta Set", "stores a value, with flags"),
    "md": ("Meta Delete", "removes a key, with flags"),
    "ma": ("Meta Arithmetic", "adds to a number or takes from it, with flags"),
    "mn": ("Meta No-Op", "asks for nothing, so that its reply ends those before it"),
    "me": ("Meta Debug", "asks for what the server knows of a key"),
}
_REPLIES = {
    "STORED": "the value is stored",
    "NOT_STORED": "the command's condition did not hold",
    "EXISTS": "somebody changed the value since",
    "NOT_FOUND": "the key is not there",
    "DELETED": "the key is removed",
    "TOUCHED": "the key lives on",
    "OK": "",
    "ERROR": "no command of this name",
    "CLIENT_ERROR": "the command is not written as it should be",
    "SERVER_ERROR": "the server cannot",
    "VERSION": "",
    "END": "nothing more",
    "HD": "done, or there",
    "EN": "the key is not there",
    "NF": "the key is not there",
    "NS": "not stored",
    "EX": "somebody changed the value since",
    "MN": "all replies before this one are there",
    "ME": "",
    "RESET": "",
    "BUSY": "",
}
_KEPT = 1024
_MOST_SHOWN = 8
_WORD = re.compile(r"[a-z_]{2,9}\Z")
_SIZE = re.compile(r"[0-9]{1,10}\Z")
_STORES = re.compile(
    rb"(set|add|replace|append|prepend) [^\s\x00-\x20]{1,250} \d{1,10} -?\d{1,10} \d{1,10}"
    rb"( noreply)?\r\n"
    rb"|gets? [^\s\x00-\x20]{1,250}( [^\s\x00-\x20]{1,250})*\r\n"
)
_ANSWERS = re.compile(
    rb"(STORED|END|VALUE [^\r\n]{1,300}|NOT_FOUND|STAT [^\r\n]+|VERSION [^\r\n]+)\r\n"
)


class Memcached(Talk):
    """A client and a memcached server."""

    protocol = "memcached"

    def __init__(self) -> None:
        super().__init__()
        self._asked: deque[str] = deque()
        self._joined = True

    def begins(self, side: Side, head: bytes) -> bool:
        word = text_of(head.split(b"\r\n")[0].split(b" ")[0])
        if side is Side.CLIENT:
            return word in _COMMANDS
        return word in _REPLIES or word in ("VALUE", "STAT", "VA")

    def missed(self, side: Side) -> None:
        self._joined = False
        self._asked.clear()

    def message(self, tap: Tap, draft: Draft) -> Reading[None]:
        if tap.side is Side.CLIENT:
            yield from self._command(tap, draft)
        else:
            yield from self._reply(tap, draft)

    # -- the client -----------------------------------------------------------------------------

    def _command(self, tap: Tap, draft: Draft) -> Reading[None]:
        line = yield from tap.line()
        words = text_of(line).split(" ")
        name = words[0]
        if not _WORD.match(name):
            raise Malformed(f"no command: {brief(line, 24)!r}")
        section, meaning = _COMMANDS.get(name, ("Commands", ""))
        source = _SOURCE.format(section)
        draft.add("command", name, draft.start, draft.start + len(name), meaning, source)
        at = draft.start + len(name) + 1
        if len(words) > 1:
            draft.add("arguments", " ".join(words[1:]), at, draft.start + len(line), "", source)
        draft.text = brief(line, 200)
        silent = words[-1] == "noreply"
        size = _size_of(name, words)
        if size is not None:
            key = words[1]
            draft.text = f"{name} {key[:200]}: {counted(size, 'byte')}"
            yield from self._value(tap, draft, size)
            draft.text += _lifetime(words[3]) if name in _STORAGE else ""
        draft.text += ", no reply wanted" if silent and size is not None else ""
        if name in ("mg", "ms", "md", "ma") and "q" in words[2:]:
            self._joined = False  # it gets no reply if all goes as usual
            self._asked.clear()
        if self._joined and not silent and name != "quit":
            self._asked.append(" ".join(words[:2])[:80])

    @staticmethod
    def _value(tap: Tap, draft: Draft, size: int) -> Reading[None]:
        start = tap.at
        draft.whole = start + size + 2 - draft.start
        data = yield from tap.head(size, _KEPT)
        draft.add("value", brief(data, 64, size), start, tap.at, "", _SOURCE.format("Values"))
        if (yield from tap.exactly(2)) != b"\r\n":
            raise Malformed(f"no line end behind {counted(size, 'byte')} of a value")

    # -- the server -----------------------------------------------------------------------------

    def _reply(self, tap: Tap, draft: Draft) -> Reading[None]:
        values: list[str] = []
        number = figures = 0
        while True:
            start = tap.at
            line = yield from tap.line()
            words = text_of(line).split(" ")
            name = words[0]
            if name in ("VALUE", "VA"):
                size = (
                    words[3]
                    if name == "VALUE" and len(words) > 3
                    else words[min(1, len(words) - 1)]
                )
                if not _SIZE.match(size):
                    raise Malformed(f"no value: {brief(line, 24)!r}")
                number += 1
                key = words[1] if name == "VALUE" else "value"
                if len(values) < _MOST_SHOWN:
                    values.append(f"{key[:80]} ({counted(int(size), 'byte')})")
                draft.add("value of", " ".join(words[1:]), start, tap.at,
                          "key, flags and bytes", _SOURCE.format("Retrieval command"))  # fmt: skip
                yield from self._value(tap, draft, int(size))
                draft.whole = 0
                if name == "VA":
                    break
            elif name == "STAT":
                figures += 1
                draft.add(words[1] if len(words) > 1 else "", " ".join(words[2:]), start, tap.at,
                          "", _SOURCE.format("Statistics"))  # fmt: skip
            elif name in _REPLIES or (line.isdigit() and not number):
                source = _SOURCE.format("Error strings" if "ERROR" in name else "Commands")
                draft.add("reply", text_of(line), start, tap.at, _REPLIES.get(name, ""), source)
                draft.text = brief(line, 200)
                break
            else:
                raise Malformed(f"no reply: {brief(line, 24)!r}")
        if number:
            more = ", ..." if number > len(values) else ""
            draft.text = f"{', '.join(values)}{more}"
        elif figures:
            draft.text = counted(figures, "figure")
        elif draft.text == "END":
            draft.text = "nothing found"
        self._join(draft)

    def _join(self, draft: Draft) -> None:
        if not self._joined:
            return
        if not self._asked:
            self._joined = False  # a reply to what was sent before the capture began
            return
        asked = self._asked.popleft()
        draft.text = f"{asked}: {draft.text}"
        meaning = "replies come in the order of the commands"
        draft.add("answers", asked, draft.start, draft.start, meaning, _SOURCE.format("Commands"))


def _size_of(name: str, words: list[str]) -> int | None:
    """How many bytes of a value follow a command; None: none follow."""
    if name in _STORAGE:
        place = 4
    elif name == "ms":
        place = 2
    else:
        return None
    if len(words) <= place or not _SIZE.match(words[place]):
        raise Malformed(f"no size of a value: {' '.join(words)[:24]!r}")
    return int(words[place])


def _lifetime(seconds: str) -> str:
    """Up to 30 days it is a time to live, beyond a time since 1970 (Expiration times)."""
    return f", for {seconds} s" if _SIZE.match(seconds) and 0 < int(seconds) <= 2_592_000 else ""


def _likely(client: bytes, server: bytes) -> bool:
    if not _STORES.match(client):
        return False
    return not server or bool(_ANSWERS.match(server))


APPLICATION = Application(
    "memcached", "memcached", frozenset({11211}), frozenset(), _likely, Memcached, None
)
