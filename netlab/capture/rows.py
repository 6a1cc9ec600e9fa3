"""Turns records into text values and back, exactly: for journal fields and packed rows alike.

A value never holds a control character, so that a line is a line and a tab is a tab for whoever
reads the file; None is an absent value, which the empty text is not. Knows nothing of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, Generic, TypeVar

from netlab.model.call import CallRecord, Inheritance, Passed, Ready
from netlab.model.clock import ClockPair
from netlab.model.kernel_event import KernelEvent
from netlab.model.recording import Loss
from netlab.model.sample import Sample
from netlab.model.stamp import StampRecord
from netlab.model.tables import Fate
from netlab.model.wire import Arrival

R = TypeVar("R")

# Controls would break lines and tabs (tshark 4.0 also ends a line at CR); surrogates, with which
# Python spells file names that are not UTF-8, have no UTF-8 of their own.
_UNSAFE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\\\\\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:\\|u([0-9a-f]{4}))")
_ABSENT = r"\N"  # no escaped text reads so: a backslash is followed by itself or by u
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def escape(text: str) -> str:
    """The text on one line of valid UTF-8; `unescape` undoes it exactly."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return _UNSAFE.sub(lambda m: "\\\\" if m[0] == "\\" else f"\\u{ord(m[0]):04x}", text)


def unescape(text: str) -> str:
    """The text that `escape` was given."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else "\\", text)


def _int(text: str) -> int:
    value = int(text)
    if not _INT64_MIN <= value <= _INT64_MAX:
        raise ValueError(f"{text[:24]} does not fit 64 bits")
    return value


def _maybe_int(text: str) -> int | None:
    return None if text == "-" else _int(text)


def _ready(text: str) -> tuple[Ready, ...]:
    found = []
    for item in text.split(",") if text else ():
        fd, inode, events = item.split(":")
        found.append(Ready(_int(fd), _maybe_int(inode), _int(events)))
    return tuple(found)


def _ready_text(items: tuple[Ready, ...]) -> str:
    return ",".join(
        f"{item.fd}:{'-' if item.inode is None else item.inode}:{item.events}" for item in items
    )


def _passed(text: str) -> tuple[Passed, ...]:
    found = (item.split(":") for item in (text.split(",") if text else ()))
    return tuple(Passed(_int(fd), _int(inode)) for fd, inode in found)


def _passed_text(items: tuple[Passed, ...]) -> str:
    return ",".join(f"{item.fd}:{item.inode}" for item in items)


def _words(text: str) -> tuple[str, ...]:
    return tuple(unescape(word) for word in text.split(" "))


def _words_text(words: tuple[str, ...]) -> str:
    return " ".join(escape(word).replace(" ", r"\u0020") for word in words)


def _ints(text: str) -> tuple[int, ...]:
    return tuple(_int(item) for item in text.split(",")) if text else ()


def _ints_text(items: tuple[int, ...]) -> str:
    return ",".join(map(str, items))


Codec = tuple[Callable[[Any], str], Callable[[str], Any]]
INT: Codec = (str, _int)
TEXT: Codec = (escape, unescape)
BYTES: Codec = (bytes.hex, bytes.fromhex)
READY: Codec = (_ready_text, _ready)
PASSED: Codec = (_passed_text, _passed)
INTS: Codec = (_ints_text, _ints)
WORDS: Codec = (_words_text, _words)
FATE: Codec = (str, lambda text: str(Fate(text)))


class Schema(Generic[R]):
    """A record class and how each of its fields is written."""

    def __init__(
        self,
        record: type[R],
        codecs: Mapping[str, Codec],
        nullable: Iterable[str] = (),
        *,
        quick_row: Callable[[R], str] | None = None,
        quick_parse: Callable[[list[str]], R | None] | None = None,
    ):
        """`nullable`: fields that may be None although the class gives them no default.

        `quick_row` writes the values of a record in a packed table, tabs between; `quick_parse`
        reads those of one, or gives None where `parse` has to look.
        """
        self.record = record
        self.quick_row, self.quick_parse = quick_row, quick_parse
        self.names = tuple(codecs)
        self._values = attrgetter(*self.names)
        self._encoders = tuple(encode for encode, _ in codecs.values())
        self._decoders = {name: decode for name, (_, decode) in codecs.items()}
        in_class = [field.name for field in fields(record)]  # type: ignore[arg-type]
        self._positional = list(self.names) == in_class
        defaults = {f.name: f.default for f in fields(record)}  # type: ignore[arg-type]
        may_be_none = set(nullable)
        self.required = tuple(
            name for name in codecs if defaults[name] is MISSING and name not in may_be_none
        )
        self._absent = dict.fromkeys(may_be_none)
        # What an absent value means, by position: the default, which is not written.
        self._defaults = tuple(
            None if defaults[name] is MISSING else defaults[name] for name in codecs
        )

    def texts(self, record: R) -> list[str | None]:
        """The values of a record in the order of `names`; None where it has the default."""
        return [
            None if value is None or (default is not None and value == default) else encode(value)
            for value, default, encode in zip(
                self._values(record), self._defaults, self._encoders, strict=True
            )
        ]

    def lines(self, record: R, prefixes: Sequence[str]) -> list[str]:
        """The values of a record that have not the default, each behind its prefix."""
        defaults, encoders = self._defaults, self._encoders
        return [
            prefixes[place] + encoders[place](value)
            for place, value in enumerate(self._values(record))
            if value is not None and value != defaults[place]
        ]

    def parse(self, texts: Mapping[str, str]) -> R:
        """The record that has these values; names that are not its fields are passed over.

        Raises ValueError when a value is not what its field holds or one that must be is not there.
        """
        values: dict[str, Any] = dict(self._absent)
        decoders = self._decoders
        for name, text in texts.items():
            decode = decoders.get(name)
            if decode is not None:
                values[name] = decode(text)
        for name in self.required:
            if name not in values:
                raise ValueError(f"no {name}")
        return self.record(**values)

    def reader(self, prefix: str) -> Callable[[str], R | None]:
        """A quick `parse` for a head line and lines `prefixNAME=value` in the order netlab writes.

        It gives None where anything is out of that order, missing or doubled: `parse` has to look.
        """
        assert self._positional
        record, defaults = self.record, self._defaults
        decoders = tuple(self._decoders.values())
        needed = [self.names.index(name) for name in self.required]
        lines = "".join(f"(?:{prefix}{name.upper()}=([^\n]*)\n)?" for name in self.names)
        match = re.compile(f"[^\n]*\n{lines}").match
        another = f"\n{prefix}"

        def read(text: str) -> R | None:
            found = match(text)
            if found is None or text.find(another, found.end() - 1) >= 0:
                return None
            values = [
                default if value is None else decode(value)
                for value, decode, default in zip(found.groups(), decoders, defaults, strict=True)
            ]
            if any(values[place] is None for place in needed):
                return None
            return record(*values)

        return read


CALLS = Schema(
    CallRecord,
    {
        "witness": TEXT, "host": TEXT, "actor": TEXT, "pid": INT, "tid": INT, "order": INT,
        "op": TEXT, "fd": INT, "args": TEXT, "entered_ns": INT, "returned_ns": INT,
        "returned_by_ns": INT, "requested_bytes": INT, "result": INT, "errno": TEXT, "flags": INT,
        "inode": INT, "family": TEXT, "kind": TEXT, "local": TEXT, "peer": TEXT, "address": TEXT,
        "new_inode": INT, "peer_inode": INT, "about_inode": INT, "ready": READY,
        "inq_before_bytes": INT, "outq_before_bytes": INT,
        "inq_after_bytes": INT, "outq_after_bytes": INT,
        "tcp_info_before": BYTES, "tcp_info_after": BYTES, "code": TEXT,
        "message_bytes": INTS, "message_addresses": WORDS, "passed": PASSED, "data": BYTES,
    },
    nullable=("fd", "returned_ns"),
)  # fmt: skip
CLOCK_PAIRS = Schema(ClockPair, {"realtime_ns": INT, "monotonic_ns": INT})
INHERITANCES = Schema(
    Inheritance, {"pid": INT, "parent_pid": INT, "time_ns": INT, "inodes": INTS}
)  # fmt: skip
STAMPS = Schema(
    StampRecord,
    {"time_ns": INT, "host": TEXT, "pid": INT, "inode": INT, "what": TEXT, "key": INT},
)

SAMPLES = Schema(
    Sample,
    {
        "time_ns": INT, "within_ns": INT, "host": TEXT, "inode": INT, "cookie": INT, "local": TEXT,
        "peer": TEXT, "state": INT, "rqueue": INT, "wqueue": INT, "tcp_info": BYTES,
        "memory": INTS,
    },
)  # fmt: skip

KERNEL_EVENTS = Schema(
    KernelEvent,
    {
        "time_ns": INT, "host": TEXT, "what": TEXT, "local": TEXT, "peer": TEXT, "inode": INT,
        "state": TEXT, "old_state": TEXT, "reason": TEXT, "errno": TEXT, "length_bytes": INT,
        "snd_nxt": INT, "snd_una": INT, "snd_cwnd": INT, "ssthresh": INT, "srtt_ns": INT,
        "snd_wnd_bytes": INT, "rcv_wnd_bytes": INT,
    },
)  # fmt: skip


def _arrival_row(one: Arrival) -> str:
    """There is one for each frame of a wire, so that it must cost little."""
    arrived = _ABSENT if one.arrived_ns is None else one.arrived_ns
    late = _ABSENT if one.late_ns is None else one.late_ns
    rule = escape(one.rule) if one.rule else _ABSENT
    changed = _ABSENT if one.changed is None else one.changed.hex()
    return f"{one.packet}\t{one.fate}\t{arrived}\t{late}\t{rule}\t{changed}"


_DELIVERED = Fate.DELIVERED.value


def _arrival(texts: list[str]) -> Arrival | None:
    """Most arrivals: delivered, unchanged, with a rule that needs no escape, or none."""
    packet, fate, arrived, late, rule, changed = texts
    if fate != _DELIVERED or changed != _ABSENT or arrived == _ABSENT or late == _ABSENT:
        return None
    if rule == _ABSENT:
        rule = ""
    elif "\\" in rule:
        return None
    return Arrival(_int(packet), _DELIVERED, _int(arrived), _int(late), rule)


ARRIVALS = Schema(
    Arrival,
    {
        "packet": INT, "fate": FATE, "arrived_ns": INT, "late_ns": INT, "rule": TEXT,
        "changed": BYTES,
    },
    quick_row=_arrival_row,
    quick_parse=_arrival,
)  # fmt: skip
LOSSES = Schema(
    Loss,
    {
        "witness": TEXT,
        "what": TEXT,
        "count": INT,
        "reason": TEXT,
        "actor": TEXT,
        "since_ns": INT,
        "pid": INT,
    },
    nullable=("count",),
)


def table_header(schema: Schema[R]) -> bytes:
    """The first line of a packed table: the names of its columns, tabs between."""
    return "\t".join(schema.names).encode() + b"\n"


def table_row(schema: Schema[R], record: R) -> bytes:
    """One record as a line of a packed table."""
    if schema.quick_row is not None:
        return schema.quick_row(record).encode() + b"\n"
    texts = [_ABSENT if text is None else text for text in schema.texts(record)]
    return "\t".join(texts).encode() + b"\n"


def table_records(schema: Schema[R], table: bytes) -> Iterator[R | ValueError]:
    """The records of a packed table; a line that is none gives the error in its place."""
    header, _, body = table.partition(b"\n")
    names = header.decode("utf-8", "replace").split("\t")
    quick = schema.quick_parse if tuple(names) == schema.names else None
    for line in body.split(b"\n"):
        if not line:
            continue
        try:
            texts = line.decode("utf-8").split("\t")
            if len(texts) != len(names):
                raise ValueError(f"{len(texts)} values for {len(names)} columns")
            if quick is not None and (record := quick(texts)) is not None:
                yield record
                continue
            yield schema.parse(
                {name: text for name, text in zip(names, texts, strict=True) if text != _ABSENT}
            )
        except ValueError as error:
            yield error
