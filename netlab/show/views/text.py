"""View objects -> JSON text: every view has one, and it says what the terminal says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any


def as_json(view: Any) -> str:
    """A view (a dataclass, or a sequence of them) as indented JSON; bytes are hexadecimal."""
    import json  # here: what a terminal shows needs none of it

    return json.dumps(_plain(view), indent=2, ensure_ascii=True)


def json_list(views: Iterable[Any]) -> Iterator[str]:
    """The views as one JSON list, as `as_json` writes it, in pieces."""
    between = "["
    for view in views:
        yield between + as_json([view])[1:-2]
        between = ","
    yield "[]" if between == "[" else "\n]"


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, which would copy every memoryview and fails at that."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (bytes, memoryview)):
        return value.hex()
    return value if value is None or isinstance(value, (int, float)) else str(value)
