"""The common arguments of calls -> the values that `values` makes of them, several times as fast.

Most calls of a busy program have a descriptor, a string, a number, and NULLs, or one event of an
epoll: those shapes have a pattern each. Whatever else is left to `values.parse_arguments`, and a
test holds both to the same answer.
"""

from __future__ import annotations

import re
from functools import lru_cache

from netlab.capture.strace.values import (
    Group,
    Text,
    Value,
    descriptor_from_token,
    string_from_token,
)

_NAME = r'<(?:[A-Za-z0-9_-]+:\[[^"\\<>]*(?:->[^"\\<>]*)?\]|/[^"\\<>]*)>'
_WORD = r"[A-Za-z0-9_|+-]+"
_ARGUMENT = rf'(?:(-?\d+{_NAME})|("[^"\\]*+(?:\\.[^"\\]*+)*+"(?:\.\.\.)?)|({_WORD}))'
_FLAT = re.compile(_ARGUMENT + rf"(?:, {_ARGUMENT})?" * 5 + r"\Z", re.DOTALL)
# read, write, recvfrom and sendto without an address: most of what most programs call.
_BUFFER = re.compile(
    rf'(\d+{_NAME}), ("[^"\\]*+(?:\\.[^"\\]*+)*+"(?:\.\.\.)?), (\d+)'
    rf"(?:, ({_WORD}), NULL, (NULL|0))?\Z",
    re.DOTALL,
)
_ONE_EVENT = re.compile(
    rf"(-?\d+{_NAME}), \[\{{events=({_WORD}), data=\{{u32=(\d+), u64=(\d+)\}}\}}\]"
    rf", (\d+), (-?\d+)(?:, (NULL), (\d+))?\Z"
)
# The same few thousand descriptors come again and again.
descriptor = lru_cache(maxsize=16_384)(descriptor_from_token)
_EMPTY, _EMPTY_CUT = Text(b"", True), Text(b"", False)


def maybe_flat(text: str) -> Group | None:
    """The values of arguments of one of the common shapes; None: look closer."""
    match = _BUFFER.match(text)
    if match is not None:
        named, string, size, flags, length = match.groups()
        items: list[Value] = [descriptor(named), _text(string), size]
        if flags is not None:
            items += [flags, "NULL", length]
        return Group(items=items)
    match = _FLAT.match(text)
    if match is None:
        return _maybe_one_event(text)
    found = match.groups()
    items = []
    for place in range(0, 18, 3):
        named, string, word = found[place : place + 3]
        if word is not None:
            items.append(word)
        elif named is not None:
            items.append(descriptor(named))
        elif string is not None:
            items.append(_text(string))
        else:
            break
    return Group(items=items)


def _text(string: str) -> Text:
    if string == '""':
        return _EMPTY
    return _EMPTY_CUT if string == '""...' else string_from_token(string)


def _maybe_one_event(text: str) -> Group | None:
    match = _ONE_EVENT.match(text)
    if match is None:
        return None
    epoll, events, low, data, room, timeout, null, size = match.groups()
    event = Group({"events": events, "data": Group({"u32": low, "u64": data})})
    items: list[Value] = [descriptor(epoll), Group(items=[event]), room, timeout]
    if null is not None:
        items += [null, size]
    return Group(items=items)
