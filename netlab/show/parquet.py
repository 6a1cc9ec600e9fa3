"""Data pages -> a Parquet file, written from its beginning to its end: a pipe will do.

Nothing is compressed: packed differences and runs are small as they are, and packing them costs
less than any compression. All columns may be null. Read first: Parquet's "File format" and
parquet.thrift, Thrift's "compact protocol".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import BinaryIO

from netlab.engine.page_kernels import CHOICE, NUMBER, TRUTH
from netlab.engine.pages import Page
from netlab.model.tables import Column

_MAGIC = b"PAR1"
_GROUP_ROWS = 1 << 18  # at least, but for the last: what is held before it can be written

# Thrift: what a field is.
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
# Parquet: of a value, a column, a page and its encoding.
_TYPES = {"bool": 0, "int": 2, "str": 6}
_OPTIONAL, _UTF8 = 1, 0
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_PLAIN, _RLE, _DELTA, _DICTIONARY = 0, 3, 5, 8
_UNCOMPRESSED = 0

Field = tuple[int, int, bytes]  # its number, what it is, its value


def write_parquet(
    out: BinaryIO, columns: Sequence[Column], texts: Sequence[str], rows: Iterable[Sequence[Page]]
) -> None:
    """Write a table: `rows` are some of its rows at a time, a page of each column.

    What is a text in it is one of `texts`.
    """
    out.write(_MAGIC)
    at = len(_MAGIC)
    groups, total = [], 0
    for held, pages in _grouped(rows, len(columns)):
        begin, chunks = at, []
        for column, its in zip(columns, pages, strict=True):
            chunk, size = _write_chunk(out, at, column, texts, its)
            chunks.append(chunk)
            at += size
        groups.append(
            _struct((1, _LIST, _list(_STRUCT, chunks)), (2, _I64, _number(at - begin)),
                    (3, _I64, _number(held)), (6, _I64, _number(at - begin)))
        )  # fmt: skip
        total += held
    footer = _footer(columns, total, groups)
    out.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)


def _grouped(rows: Iterable[Sequence[Page]], width: int) -> Iterator[tuple[int, list[list[Page]]]]:
    """Of how many rows there are pages, and those of each column: enough for a group."""
    held = 0
    waiting: list[list[Page]] = [[] for _ in range(width)]
    for some in rows:
        for pages, page in zip(waiting, some, strict=True):
            pages.append(page)
        held += some[0].rows
        if held >= _GROUP_ROWS:
            yield held, waiting
            held, waiting = 0, [[] for _ in range(width)]
    if held:
        yield held, waiting


def _write_chunk(
    out: BinaryIO, at: int, column: Column, texts: Sequence[str], pages: Sequence[Page]
) -> tuple[bytes, int]:
    """The pages of a column; what the footer says of them, and how many bytes they are."""
    dictionary = b""
    if column.type == "str":
        values = [text.encode() for text in texts]
        data = b"".join(len(one).to_bytes(4, "little") + one for one in values)
        said = _struct((1, _I32, _number(len(values))), (2, _I32, _number(_PLAIN)))
        dictionary = _page_header(_DICTIONARY_PAGE, data, (7, _STRUCT, said)) + data
    parts = [dictionary]
    encodings = {_RLE, _PLAIN} if dictionary else {_RLE}
    for page in pages:
        encoding = _encoding(page)
        encodings.add(encoding)
        said = _said_of_data(page.rows, encoding)
        parts += _page_header(_DATA_PAGE, page.data, (5, _STRUCT, said)), page.data
    data = b"".join(parts)
    out.write(data)
    rows = sum(page.rows for page in pages)
    present = [page for page in pages if page.present]
    known: list[Field] = [(3, _I64, _number(rows - sum(page.present for page in pages)))]
    if present and column.type == "int":
        known.append((5, _BINARY, _binary(_plain(max(page.high for page in present)))))
        known.append((6, _BINARY, _binary(_plain(min(page.low for page in present)))))
    where: list[Field] = [(9, _I64, _number(at + len(dictionary)))]
    if dictionary:
        where.append((11, _I64, _number(at)))
    size = _number(len(data))
    meta = _struct(
        (1, _I32, _number(_TYPES[column.type])),
        (2, _LIST, _list(_I32, [_number(one) for one in sorted(encodings)])),
        (3, _LIST, _list(_BINARY, [_binary(column.name.encode())])),
        (4, _I32, _number(_UNCOMPRESSED)), (5, _I64, _number(rows)), (6, _I64, size),
        (7, _I64, size), *where, (12, _STRUCT, _struct(*known)),
    )  # fmt: skip
    return _struct((2, _I64, _number(at)), (3, _STRUCT, meta)), len(data)


@cache  # most pages are alike in this
def _said_of_data(rows: int, encoding: int) -> bytes:
    return _struct(
        (1, _I32, _number(rows)), (2, _I32, _number(encoding)),
        (3, _I32, _number(_RLE)), (4, _I32, _number(_RLE)),
    )  # fmt: skip


def _encoding(page: Page) -> int:
    if page.kind == NUMBER:
        return _DELTA if page.is_packed else _PLAIN
    return {CHOICE: _DICTIONARY, TRUTH: _RLE}[page.kind]


def _page_header(kind: int, data: bytes, said: Field) -> bytes:
    size = _number(len(data))
    return _struct((1, _I32, _number(kind)), (2, _I32, size), (3, _I32, size), said)


def _footer(columns: Sequence[Column], rows: int, groups: Sequence[bytes]) -> bytes:
    schema = [_struct((4, _BINARY, _binary(b"root")), (5, _I32, _number(len(columns))))]
    for column in columns:
        fields: list[Field] = [
            (1, _I32, _number(_TYPES[column.type])), (3, _I32, _number(_OPTIONAL)),
            (4, _BINARY, _binary(column.name.encode())),
        ]  # fmt: skip
        if column.type == "str":
            is_string = _struct((1, _STRUCT, _struct()))
            fields += (6, _I32, _number(_UTF8)), (10, _STRUCT, is_string)
        schema.append(_struct(*fields))
    by_type = _struct((1, _STRUCT, _struct()))  # how least and most are compared
    return _struct(
        (1, _I32, _number(1)), (2, _LIST, _list(_STRUCT, schema)), (3, _I64, _number(rows)),
        (4, _LIST, _list(_STRUCT, groups)), (6, _BINARY, _binary(b"netlab")),
        (7, _LIST, _list(_STRUCT, [by_type] * len(columns))),
    )  # fmt: skip


def _plain(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)


# --- Thrift's compact protocol


def _struct(*fields: Field) -> bytes:
    made, last = bytearray(), 0
    for number, kind, value in fields:
        made.append((number - last) << 4 | kind)
        made += value
        last = number
    made.append(0)
    return bytes(made)


def _list(kind: int, values: Sequence[bytes]) -> bytes:
    count = len(values)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + _varint(count)
    return head + b"".join(values)


def _binary(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _number(value: int) -> bytes:
    return _varint(value << 1 ^ value >> 63)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)
