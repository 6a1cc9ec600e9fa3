"""A capture that the engine read -> Polars frames of its tables, from the arrays as they are.

The columns and their values are those of `frames.frame`; no object is made of a row but for the few
that the general path read. Imports Polars and NumPy: only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import polars as pl

from netlab.decode import kernels as d
from netlab.decode.numbers import link_name
from netlab.decode.transport import flags_text
from netlab.engine import column_kernels as k
from netlab.engine import text_kernels as t
from netlab.engine.columns import NAMES, TEXTS, place_of, segment_cells
from netlab.engine.tables import read_alone
from netlab.engine.whole import Whole
from netlab.model.tables import Fate, Tables, columns
from netlab.show.bulk_verdicts import verdict_columns
from netlab.show.frames import frame

T = TypeVar("T")

_TYPES: dict[str, Any] = {
    "int": pl.Int64, "str": pl.String, "bool": pl.Boolean, "list": pl.List(pl.Int64),
}  # fmt: skip
_TEXTS = pl.Series(TEXTS)
_CELLS = 1 << 15  # rows of cells at a time


Range = tuple[int, int]  # of rows of the file: first, and one past the last


class Bulk:
    """The tables of a capture as frames, whole or in parts."""

    def __init__(self, whole: Whole) -> None:
        self.whole = whole

    @cached_property
    def ends(self) -> _Ends:
        return _Ends(self.whole)

    @cached_property
    def flows(self) -> _Flows:
        return _Flows(self.whole)

    def frame(self, table: str, names: Sequence[str], part: Range | None = None) -> pl.DataFrame:
        """These columns of a table, in the file's order; of packets and segments also a part."""
        whole = self.whole
        if table == "connections":
            return frame(Tables(connections=whole.connections()), table).select(names)
        part = part or (0, whole.capture.count)
        wanted = list(dict.fromkeys(["frame", *names]))
        if table == "packets":
            general = _within(whole.packets_by_row(), part)
            others = [*read_alone(whole, range(*part)).values(), *general]
            made, there = _packets(self, part, wanted), frame(Tables(packets=others), table)
        else:
            made = _segments(self, part, wanted)
            there = frame(Tables(segments=_within(whole.segments_by_row(), part)), table)
        return _both(made, there, table, wanted).select(names)


def bulk_frame(whole: Whole, table: str, names: Sequence[str]) -> pl.DataFrame:
    """These columns of a table, in the file's order."""
    return Bulk(whole).frame(table, names)


def _within(rows: dict[int, T], part: Range) -> list[T]:
    """Of what the general path made, that in a part."""
    return [item for row, item in rows.items() if part[0] <= row < part[1]]


def _both(made: pl.DataFrame, there: pl.DataFrame, table: str, names: list[str]) -> pl.DataFrame:
    """Rows of both readers, with the columns that the kernels have no word on."""
    missing = [
        pl.lit(None, _TYPES[column.type]).alias(column.name)
        for column in columns(table)
        if column.name in names and column.name not in made.columns
    ]
    made = made.with_columns(missing).select(names)
    return pl.concat([made, there.select(names)]).sort("frame") if there.height else made


class _Flows:
    """What is known of each flow, as arrays."""

    def __init__(self, whole: Whole) -> None:
        rows = whole.rows
        self.left = np.array([row.is_left for row in rows], bool)
        self.clients = np.array([row.client for row in rows], np.uint8)
        self.connections = np.array(whole.connection_of, np.int64)


class _Rows:
    """The rows that one reader has a word on, and what their flows are."""

    def __init__(self, bulk: Bulk, part: Range) -> None:
        capture, flows = bulk.whole.capture, bulk.flows
        every = capture.records.rows.array(capture.count)[part[0] : part[1]]
        known = (every["flow"] >= 0) & (every["marks"] & d.FAULTY == 0)
        if flows.left.any():
            known &= ~flows.left[np.where(known, every["flow"], 0)]
        self.places = np.arange(len(every)) if known.all() else np.flatnonzero(known)
        self.rows = every if known.all() else every[self.places]
        self.flow = self.rows["flow"]
        self.backward = self.rows["marks"] & d.BACKWARD
        self.frames = _numbers(capture.records.skipped, self.places + part[0])
        self.forward = (flows.clients[self.flow] == self.backward).astype(np.int64)
        self.connection = flows.connections[self.flow]


def _numbers(skipped: list[int], rows: Any) -> Any:
    """Rows as Wireshark numbers their frames."""
    return rows + 1 + (np.searchsorted(np.array(skipped), rows, "right") if skipped else 0)


def _packets(bulk: Bulk, part: Range, names: Sequence[str]) -> pl.DataFrame:
    of, capture = _Rows(bulk, part), bulk.whole.capture
    rows = of.rows
    source = 2 * of.flow.astype(np.int64) + of.backward
    target = 2 * of.flow.astype(np.int64) + 1 - of.backward
    is_tcp, is_v6 = rows["kind"] == d.TCP, rows["marks"] & d.IS_IPV6 != 0
    interfaces = capture.raw.interfaces

    def number(name: str, known: Any = None) -> Any:
        wide = rows[name].astype(np.int64)
        return wide if known is None else _where(known, wide)

    def by_interface(texts: list[str]) -> pl.Series:
        return pl.Series(texts, dtype=pl.String).gather(rows["interface"])

    def flags() -> pl.Series:
        texts = pl.Series([flags_text(number) for number in range(1 << 12)])
        return _where(is_tcp, texts.gather(rows["flags"] & 0xFFF))

    made: dict[str, Callable[[], Any]] = {
        "frame": lambda: of.frames,
        "time_ns": lambda: rows["time_ns"],
        "fate": lambda: pl.repeat(Fate.UNKNOWN.value, len(rows), eager=True),
        "interface": lambda: by_interface([one.name for one in interfaces]),
        "link": lambda: by_interface([link_name(one.link) for one in interfaces]),
        "caplen_bytes": lambda: number("caplen_bytes"),
        "origlen_bytes": lambda: number("origlen_bytes"),
        "vlan": lambda: number("vlan", rows["vlan"] != d.NO_VLAN),
        "ip_version": lambda: np.where(is_v6, 6, 4),
        "src": lambda: bulk.ends.texts.gather(source),
        "dst": lambda: bulk.ends.texts.gather(target),
        "ttl": lambda: number("ttl"),
        "ip_id": lambda: number("ip_id", ~is_v6),
        "ip_len_bytes": lambda: number("ip_len_bytes"),
        "protocol": lambda: pl.Series(["UDP", "TCP"]).gather(is_tcp.astype(np.uint32)),
        "sport": lambda: bulk.ends.ports[source],
        "dport": lambda: bulk.ends.ports[target],
        "tcp_flags": flags,
        "seg_seq": lambda: number("seq", is_tcp),
        "seg_ack": lambda: number("ack", is_tcp),
        "seg_wnd_raw": lambda: number("window", is_tcp),
        "payload_off": lambda: number("payload_off"),
        "payload_len_bytes": lambda: number("payload_len_bytes"),
        "connection": lambda: of.connection,
        "direction": lambda: _TEXTS.gather(of.forward),
    }
    return _made(made, names)


def _segments(bulk: Bulk, part: Range, names: Sequence[str]) -> pl.DataFrame:
    places = {name: place_of(name) for name in NAMES if name in names}
    frames = []
    for cells, room, count in segment_cells(bulk.whole, _CELLS, part, with_general=False):
        values = cells.array(room * k.WIDTH)["value"].reshape(k.WIDTH, room)[:, :count]
        known: dict[int, Any] = {}
        made = {}
        for name, place in places.items():
            column = values[place.cell].copy()  # the cells are used again
            if place.cell not in known:
                known[place.cell] = column != k.NULL
            if place.kind == t.TRUTH:
                made[name] = pl.Series(name, column & (1 << place.bit) != 0)
            else:
                made[name] = pl.Series(name, column)
            if not known[place.cell].all():
                made[name] = _where(known[place.cell], made[name])
            if place.kind == t.CHOICE:
                made[name] = _TEXTS.gather(made[name])
        frames.append(pl.DataFrame(made))
    found = pl.concat(frames) if frames else frame(Tables(), "segments").select(list(places))
    return found.with_columns(verdict_columns(bulk.whole, bulk.flows.left, part, names))


def _made(made: dict[str, Callable[[], Any]], names: Sequence[str]) -> pl.DataFrame:
    """Of the columns those that are wanted."""
    return pl.DataFrame({name: make() for name, make in made.items() if name in names})


def _where(known: Any, values: Any) -> pl.Series:
    """The values, null where they are not known."""
    return pl.select(pl.when(pl.Series(known)).then(pl.Series(values))).to_series()


class _Ends:
    """The address text and the port of both ends of each flow, one behind the other."""

    def __init__(self, whole: Whole) -> None:
        known: dict[tuple[int, int], str] = {}
        texts = []
        for row in whole.rows:
            for end in (0, 1):
                key = row.ip_version, row.ends[end][0]
                text = known.get(key)
                if text is None:
                    text = known[key] = row.text(end)
                texts.append(text)
        self.texts = pl.Series(texts, dtype=pl.String)
        self.ports = np.array([port for row in whole.rows for _, port in row.ends], np.int64)
