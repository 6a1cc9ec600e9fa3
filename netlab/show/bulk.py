"""A capture that the engine read -> Polars frames of its tables, from the arrays as they are.

The columns and their values are those of `frames.frame`; no object is made of a row but for the few
that the general path read. Imports Polars and NumPy: only on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from netlab.correlate.verdict_names import VERDICTS
from netlab.decode import kernels as d
from netlab.decode.numbers import link_name
from netlab.decode.transport import flags_text
from netlab.engine import column_kernels as k
from netlab.engine.columns import DIRECTIONS, NAMES, segment_cells
from netlab.engine.tables import read_alone
from netlab.engine.whole import Whole
from netlab.model.tables import Fate, Tables, columns
from netlab.show.frames import frame

_TYPES: dict[str, Any] = {
    "int": pl.Int64, "str": pl.String, "bool": pl.Boolean, "list": pl.List(pl.Int64),
}  # fmt: skip
_DIRECTIONS = pl.Series(DIRECTIONS)
_CELLS = 1 << 15  # rows of cells at a time


def bulk_frame(whole: Whole, table: str, names: Sequence[str]) -> pl.DataFrame:
    """These columns of a table, in the file's order."""
    if table == "connections":
        return frame(Tables(connections=whole.connections()), table).select(names)
    if table == "packets":
        others = list({**read_alone(whole), **whole.packets_by_row()}.values())
        found = _whole(_packets(whole), frame(Tables(packets=others), table), table)
    else:
        segments = whole.general.tables.segments
        found = _whole(_segments(whole), frame(Tables(segments=segments), table), table)
    return found.select(names)


def _whole(mine: pl.DataFrame, others: pl.DataFrame, table: str) -> pl.DataFrame:
    """Rows of both readers, with the columns that the kernels have no word on."""
    missing = [
        pl.lit(None, _TYPES[column.type]).alias(column.name)
        for column in columns(table)
        if column.name not in mine.columns
    ]
    mine = mine.with_columns(missing).select(others.columns)
    return pl.concat([mine, others]).sort("frame") if others.height else mine


class _Rows:
    """The rows that one reader has a word on, and what their flows are."""

    def __init__(self, whole: Whole) -> None:
        capture = whole.capture
        every = capture.records.rows.array(capture.count)
        known = (every["flow"] >= 0) & (every["marks"] & d.FAULTY == 0)
        left = np.array([row.is_left for row in whole.rows], bool)
        if left.any():
            known &= ~left[np.where(known, every["flow"], 0)]
        self.every = every
        self.places = np.arange(len(every)) if known.all() else np.flatnonzero(known)
        self.rows = every if known.all() else every[self.places]
        self.flow = self.rows["flow"]
        self.backward = self.rows["marks"] & d.BACKWARD
        self.frames = _numbers(capture.records.skipped, self.places)
        clients = np.array([row.client for row in whole.rows], np.uint8)
        self.forward = (clients[self.flow] == self.backward).astype(np.int64)
        self.connection = np.array(whole.connection_of, np.int64)[self.flow]


def _numbers(skipped: list[int], rows: Any) -> Any:
    """Rows as Wireshark numbers their frames."""
    return rows + 1 + (np.searchsorted(np.array(skipped), rows, "right") if skipped else 0)


def _packets(whole: Whole) -> pl.DataFrame:
    of = _Rows(whole)
    rows, back = of.rows, of.backward.astype(np.int64)
    ends = _Ends(whole)
    is_tcp = pl.Series(rows["kind"] == d.TCP)
    is_v6 = pl.Series(rows["marks"] & d.IS_IPV6 != 0)
    interfaces = whole.capture.raw.interfaces
    names = pl.Series([one.name for one in interfaces], dtype=pl.String)
    links = pl.Series([link_name(one.link) for one in interfaces], dtype=pl.String)
    flags = pl.Series([flags_text(number) for number in range(1 << 12)])
    frame = pl.DataFrame(
        {
            "frame": of.frames,
            "time_ns": rows["time_ns"],
            "fate": pl.repeat(Fate.UNKNOWN.value, len(rows), eager=True),
            "interface": names.gather(rows["interface"]),
            "link": links.gather(rows["interface"]),
            "caplen_bytes": _wide(rows["caplen_bytes"]),
            "origlen_bytes": _wide(rows["origlen_bytes"]),
            "vlan": _wide(rows["vlan"]),
            "ip_version": np.where(rows["marks"] & d.IS_IPV6, 6, 4),
            "src": ends.texts.gather(2 * of.flow.astype(np.int64) + back),
            "dst": ends.texts.gather(2 * of.flow.astype(np.int64) + 1 - back),
            "ttl": _wide(rows["ttl"]),
            "ip_id": _wide(rows["ip_id"]),
            "ip_len_bytes": _wide(rows["ip_len_bytes"]),
            "protocol": pl.Series(["UDP", "TCP"]).gather(is_tcp.cast(pl.UInt32)),
            "sport": ends.ports[2 * of.flow.astype(np.int64) + back],
            "dport": ends.ports[2 * of.flow.astype(np.int64) + 1 - back],
            "tcp_flags": flags.gather(rows["flags"] & 0xFFF),
            "seg_seq": _wide(rows["seq"]),
            "seg_ack": _wide(rows["ack"]),
            "seg_wnd_raw": _wide(rows["window"]),
            "payload_off": _wide(rows["payload_off"]),
            "payload_len_bytes": _wide(rows["payload_len_bytes"]),
            "connection": of.connection,
            "direction": _DIRECTIONS.gather(of.forward),
        }
    )
    tcp_only = [
        pl.when(is_tcp).then(pl.col(name)).alias(name)
        for name in ("tcp_flags", "seg_seq", "seg_ack", "seg_wnd_raw")
    ]
    return frame.with_columns(
        *tcp_only,
        pl.when(pl.col("vlan") != d.NO_VLAN).then(pl.col("vlan")).alias("vlan"),
        pl.when(~is_v6).then(pl.col("ip_id")).alias("ip_id"),
    )


def _segments(whole: Whole) -> pl.DataFrame:
    parts = []
    for cells, count in segment_cells(whole, _CELLS):
        values = cells.array(count * k.WIDTH)["value"].reshape(count, k.WIDTH)
        made = {}
        for place, name in enumerate(NAMES):
            column = np.ascontiguousarray(values[:, place])
            known = column != k.NULL
            made[name] = pl.Series(name, column == 1 if name in VERDICTS else column)
            if not known.all():
                made[name] = _where(known, made[name])
        made["direction"] = _DIRECTIONS.gather(made["direction"])
        parts.append(pl.DataFrame(made))
    return pl.concat(parts) if parts else frame(Tables(), "segments").select(NAMES)


def _where(known: Any, values: pl.Series) -> pl.Series:
    """The values, null where they are not known."""
    return pl.select(pl.when(pl.Series(known)).then(values)).to_series()


def _wide(numbers: Any) -> Any:
    return numbers.astype(np.int64)


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
