"""View objects -> JSON text: every view has one, and it says what the terminal says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any


def as_json(view: Any) -> str:
    """A view (a dataclass, or a sequence of them) as indented JSON; bytes are hexadecimal."""
    import json  # here: what a terminal shows needs none of it

    plain = [asdict(row) for row in view] if isinstance(view, (list, tuple)) else asdict(view)
    return json.dumps(plain, indent=2, default=_text, ensure_ascii=True)


def _text(value: object) -> str:
    return value.hex() if isinstance(value, (bytes, memoryview)) else str(value)
