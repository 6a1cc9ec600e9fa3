"""A conversation as a playbook: who sends what, and what is said to have been said.

said(Http1, C(b"GET / ..."), S(b"HTTP/1.1 ..."), gap(Side.SERVER, 7))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from netlab.decode.applications.message import Conversation, Item, Said
from netlab.model.tables import Side


@dataclass(frozen=True)
class Turn:
    """Bytes of a side, or a gap in them."""

    side: Side
    data: bytes = b""
    missing: int = 0


def C(data: bytes) -> Turn:
    return Turn(Side.CLIENT, data)


def S(data: bytes) -> Turn:
    return Turn(Side.SERVER, data)


def gap(side: Side, size: int) -> Turn:
    return Turn(side, missing=size)


Spoken = dict[Side, list[Said]]


def said(make: Callable[[], Conversation], *turns: Turn, starts: int = 0) -> Spoken:
    """What both sides said, each in order; their streams begin at `starts`."""
    talk = make()
    at = dict.fromkeys(Side, starts)
    spoken: Spoken = {side: [] for side in Side}
    for turn in turns:
        side, start = turn.side, at[turn.side]
        if turn.missing:
            spoken[side] += talk.gap(side, start, start + turn.missing)
        else:
            spoken[side] += talk.feed(side, turn.data, start)
        at[side] += turn.missing or len(turn.data)
    for side in Side:
        spoken[side] += talk.end(side)
    check_places(spoken, at)
    return spoken


def check_places(spoken: Spoken, stops: dict[Side, int]) -> None:
    """Messages and fields stand inside the stream, and what is inside a message inside it."""
    for side, messages in spoken.items():
        for message in messages:
            assert 0 <= message.start <= message.stop <= stops[side], message
            _check_items(message)


def _check_items(message: Said) -> None:
    for item in message.items:
        assert message.start <= item.start <= item.stop <= message.stop, (item, message)
    for inner in message.inner:
        assert message.start <= inner.start <= inner.stop <= message.stop
        _check_items(inner)


def cut(turns: Iterable[Turn], *places: int) -> list[Turn]:
    """The same with each turn's bytes cut at these places of it."""
    found: list[Turn] = []
    for turn in turns:
        if turn.missing:
            found.append(turn)
            continue
        edges = [0, *(p for p in sorted(places) if 0 < p < len(turn.data)), len(turn.data)]
        found += [Turn(turn.side, turn.data[a:b]) for a, b in pairwise(edges)]
    return found


def everywhere(make: Callable[[], Conversation], *turns: Turn) -> Spoken:
    """What is said, and is the same wherever one cut is made, and byte by byte."""
    whole = said(make, *turns)
    longest = max(len(turn.data) for turn in turns)
    for place in range(1, longest):
        assert said(make, *cut(turns, place)) == whole, place
    assert said(make, *cut(turns, *range(longest))) == whole
    return whole


def texts(messages: Iterable[Said]) -> list[str]:
    return [message.text for message in messages]


def item(message: Said, name: str) -> Item:
    return next(one for one in message.items if one.name == name)


def items(message: Said) -> dict[str, str]:
    return {one.name: one.text for one in message.items}


def checked(message: Said, stream: bytes, **values: bytes) -> None:
    """Fields that stand where they say, named with `_` for blanks."""
    for name, value in values.items():
        known = {one.name for one in message.items}
        one = item(message, name if name in known else name.replace("_", " "))
        assert stream[one.start : one.stop] == value, one
