"""Turns what Wireshark need not show into netlab's own blocks (local use 0x80004E4C) and back.

Body: magic "NLAB", u16 version, u16 kind, u32 rows (little-endian), then text: JSON for the
description, else a table whose first line names its columns. Readers go by those names, so a later
version may add columns. Others skip these blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from enum import IntEnum
from struct import Struct
from typing import Any, TypeVar

from netlab.capture import pcapng
from netlab.capture.rows import Schema, table_header, table_row
from netlab.model.recording import Description, Host

R = TypeVar("R")

FILE_VERSION = 1
MAGIC = b"NLAB"
_HEAD = Struct("<4sHHI")
_CHUNK_BYTES = 1 << 20  # well below what readers accept in one block


class Kind(IntEnum):
    """What a local-use block holds."""

    DESCRIPTION = 1
    CLOCK_PAIRS = 2
    INHERITANCES = 3
    LOSSES = 4
    CALLS = 5
    STAMPS = 6
    ARRIVALS = 7
    SAMPLES = 8
    KERNEL_EVENTS = 9


def description_block(description: Description) -> bytes:
    """The description; form and version stand in the section header."""
    import json

    fields = asdict(description)
    del fields["form"], fields["file_version"]
    body = _HEAD.pack(MAGIC, FILE_VERSION, Kind.DESCRIPTION, 1) + json.dumps(fields).encode()
    return pcapng.block(pcapng.NETLAB_LOCAL, body)


def table_blocks(kind: Kind, schema: Schema[R], records: Iterable[R]) -> Iterator[bytes]:
    """The records of one kind, in as many blocks as they need; none when there are none."""
    header = table_header(schema)
    rows: list[bytes] = []
    size = 0
    for record in records:
        row = table_row(schema, record)
        if rows and size + len(row) > _CHUNK_BYTES:
            yield _table(kind, header, rows)
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        yield _table(kind, header, rows)


def _table(kind: Kind, header: bytes, rows: list[bytes]) -> bytes:
    head = _HEAD.pack(MAGIC, FILE_VERSION, kind, len(rows))
    return pcapng.block(pcapng.NETLAB_LOCAL, b"".join((head, header, *rows)))


def maybe_parts(body: bytes) -> tuple[int, int, int, bytes] | None:
    """(version, kind, rows, text) of a local-use block; None when it is not netlab's."""
    if len(body) < _HEAD.size or not body.startswith(MAGIC):
        return None
    _, version, kind, rows = _HEAD.unpack_from(body)
    return version, kind, rows, body[_HEAD.size :].rstrip(b"\0")  # padding; text has no NUL


def parse_description(text: bytes) -> Description:
    """The description that `description_block` wrote; raises ValueError when it is none."""
    import json  # here: captures by others need none of it

    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    hosts = tuple(
        Host(_text(h, "name"), _text(h, "kernel"), tuple(map(_pair, _list(h, "sysctls"))))
        for h in _list(found, "hosts")
    )
    return Description(
        netlab_version=_text(found, "netlab_version"),
        title=_text(found, "title"),
        hosts=hosts,
        witnesses=tuple(map(str, _list(found, "witnesses"))),
        notes=tuple(map(str, _list(found, "notes"))),
    )


def _text(found: Any, name: str) -> str:
    value = found.get(name, "") if isinstance(found, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text")
    return value


def _list(found: Any, name: str) -> list[Any]:
    value = found.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return value


def _pair(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("not a name and a value")
    return str(value[0]), str(value[1])
