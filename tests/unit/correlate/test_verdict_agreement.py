"""Verdicts are tshark's and connections are Zeek's, on captures by others; a table shows it.

.ci/test -s tests/unit/correlate/test_verdict_agreement.py
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deliberate_differences import (
    TSHARK_HIDES,
    TSHARK_SILENT,
    ZEEK,
    Offers,
    Zeek,
    window_reason,
)
from tshark_verdicts import (
    NUMBERS,
    TIMES,
    assert_same_initial_rtts,
    judged_by_netlab,
    judged_by_tshark,
    shows_nothing,
)

from netlab.capture.files import read_raw
from netlab.correlate.verdicts import VERDICTS
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording
from netlab.model.seqnum import SEQ_MODULUS
from netlab.model.tables import Connection, Segment, Tables

csv.field_size_limit(1 << 30)

_COMPLETENESS = "completeness_final"
_DERIVED = ("tcp.seq", "tcp.ack", "tcp.window_size", "tcp.stream", _COMPLETENESS)
_ZEEK_COLUMNS = (
    "orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "conn_state", "history", "missed_bytes",
)  # fmt: skip


@dataclass
class Compared:
    """A capture beside what tshark said of it."""

    name: str
    tables: Tables
    frames: int = 0
    said: Counter[str] = field(default_factory=Counter)
    differ: list[str] = field(default_factory=list)
    silent: int = 0
    hidden: int = 0  # verdicts on a segment of which tshark shows nothing
    derived: Counter[str] = field(default_factory=Counter)
    unscaled: int = 0  # windows of which netlab does not know the scale
    initial_rtts: int = 0


@pytest.fixture(scope="module")
def compared(captures_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Compared]:
    place = tmp_path_factory.mktemp("captures")
    return list(_compare(captures_dir, place))


def _compare(captures: Path, place: Path) -> Iterator[Compared]:
    for path in sorted((captures / "files").iterdir()):
        source = path
        if path.suffix == ".gz":
            source = place / path.stem
            source.write_bytes(gzip.decompress(path.read_bytes()))
        try:
            tables = analyse(read_raw(source))
        except BadRecording:
            continue
        expected = captures / "expected" / f"{path.name}.tcp.tsv"
        with expected.open(newline="", encoding="utf-8", errors="replace") as lines:
            every = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        # Of a packet in a tunnel, or quoted by ICMP, tshark lists more than one header.
        rows = [row for row in every if "," not in row["tcp.srcport"]]
        there = judged_by_tshark(rows)
        here = judged_by_netlab(tables.segments)
        one = Compared(path.name, tables, silent=len(tables.segments) - len(here))
        hidden = {packet.frame for packet in tables.packets if shows_nothing(packet)}
        one.initial_rtts = assert_same_initial_rtts(rows, tables.connections)
        _compare_derived(one, {int(row["frame.number"]): row for row in rows})
        for frame in here.keys() & there.keys():
            if frame in hidden and not there[frame]:
                one.hidden += 1
                continue
            one.frames += 1
            one.said.update(list(there[frame]))
            one.differ += [
                f"frame {frame}: {name}"
                for name in here[frame].keys() | there[frame].keys()
                if here[frame].get(name) != there[frame].get(name)
            ]
        yield one


def _compare_derived(one: Compared, rows: dict[int, dict[str, str]]) -> None:
    """Relative numbers, the scaled window, stream and completeness, where netlab says what."""
    connections = {row.connection: row for row in one.tables.connections}
    # Of a stream's first frame tshark tells less: what that frame itself adds is not in it.
    packets = {packet.frame: packet for packet in one.tables.packets}
    offers: dict[int, Offers] = defaultdict(Offers)
    begun = {segment.connection: segment.frame for segment in reversed(one.tables.segments)}
    for segment in one.tables.segments:
        row, connection = rows.get(segment.frame), connections[segment.connection]
        if row is None:
            continue
        here = (
            segment.seq % SEQ_MODULUS, segment.ack and segment.ack % SEQ_MODULUS,
            segment.seg_wnd_bytes, connection.stream, connection.completeness,
        )  # fmt: skip
        packet, offered = packets[segment.frame], offers[segment.connection]
        offered.take(packet, str(segment.direction))
        if segment.seg_wnd_bytes is None and row["tcp.window_size"]:
            theirs = int(row["tcp.window_size"])
            if not window_reason(packet.seg_wnd_raw or 0, None, theirs, offered):
                one.differ.append(f"frame {segment.frame}: tcp.window_size")
            one.unscaled += 1
        for name, mine in zip(_DERIVED, here, strict=True):
            if name == _COMPLETENESS and segment.frame == begun[segment.connection]:
                continue
            if mine is not None and row[name]:
                one.derived[name] += 1
                if str(mine) != row[name]:
                    one.differ.append(f"frame {segment.frame}: {name}")


def test_verdicts_are_tsharks(compared: list[Compared]) -> None:
    assert {one.name: one.differ for one in compared if one.differ} == {}
    assert {one.name: one.silent for one in compared if one.silent} == {
        name: entry.segments for name, entry in TSHARK_SILENT.items()
    }
    assert {one.name: one.hidden for one in compared if one.hidden} == {
        name: entry.segments for name, entry in TSHARK_HIDES.items()
    }
    assert sum(one.frames for one in compared) > 6000
    assert sum(one.initial_rtts for one in compared) > 70
    assert sum(one.unscaled for one in compared) > 500
    assert all(sum(one.derived[name] for one in compared) > 5000 for name in _DERIVED)
    said = sum((one.said for one in compared), Counter[str]())
    assert set(VERDICTS) <= set(said)
    _show_tshark(compared, said)


def test_connections_count_the_verdicts_of_their_segments(compared: list[Compared]) -> None:
    for one in compared:
        for row in one.tables.connections:
            mine = [s for s in one.tables.segments if s.connection == row.connection]
            if row.protocol == "tcp":
                for name in VERDICTS:
                    assert getattr(row, f"{name}_count") == _count(mine, name), one.name


def _count(segments: list[Segment], name: str) -> int | None:
    said = [getattr(segment, name) for segment in segments]
    return None if None in said else sum(said)


def _show_tshark(compared: list[Compared], said: Counter[str]) -> None:
    print("\n\ntshark 4.0, verdicts by frame")
    print(f"{'capture':<44} {'frames':>7} {'verdicts':>8} {'differ':>6} {'unsaid':>6}")
    for one in compared:
        if one.frames or one.silent:
            print(
                f"{one.name[:44]:<44} {one.frames:>7,} {one.said.total():>8,}"
                f" {len(one.differ):>6} {one.silent:>6}"
            )
    print(f"\n{'verdict or number':<28} {'agree':>7} {'differ':>6}")
    said = sum((one.derived for one in compared), said)
    for name in (*VERDICTS, *NUMBERS, *TIMES, *_DERIVED):
        wrong = sum(text.endswith(f": {name}") for one in compared for text in one.differ)
        print(f"{name:<28} {said[name]:>7,} {wrong:>6}")


_TSHARK_WORDS = {
    "spurious_retransmission": "spurious", "fast_retransmission": "fast",
    "retransmission": "retransmission", "out_of_order": "out-of-order",
    "zero_window_probe": "probe", "keep_alive": "keep-alive",
}  # fmt: skip


def test_second_verdicts_beside_tsharks(compared: list[Compared]) -> None:
    """Where both say something, by what; no assertion but that each has its reason."""
    beside: Counter[tuple[str, str]] = Counter()
    for one in compared:
        for segment in one.tables.segments:
            if segment.retransmission is None:
                continue
            words = [word for name, word in _TSHARK_WORDS.items() if getattr(segment, name)]
            mine = str(segment.verdict or ("not certain" if segment.verdict_reason else "-"))
            if words or mine not in ("-", "new_data"):
                beside[words[0] if words else "-", mine] += 1
                assert segment.verdict_reason or mine == "-"
    print(f"\n\n{'tshark':<16} {'netlab':<24} {'segments':>8}")
    for (theirs, mine), count in sorted(beside.items()):
        print(f"{theirs:<16} {mine:<24} {count:>8}")
    assert len({mine for _, mine in beside}) > 6


# --- Zeek

Key = tuple[str, ...]


def _logs(captures: Path) -> Iterator[tuple[str, Path]]:
    """Which capture each log is about."""
    place = captures / "expected_third_party" / "zeek"
    seen = set()
    with (place / "INDEX.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            for name in row["baseline_conn_log"].split(";"):
                folder, _, log = name.rpartition("/")
                folder = folder or row["baseline_conn_log"].split("/")[0]
                seen.add((row["file"], place / folder / log))
    return iter(sorted(seen))


def _rows(log: Path) -> list[dict[str, str]]:
    names: list[str] = []
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if line.startswith("#fields"):
            names = cells[1:]
        elif line.startswith("uid"):
            names = cells
        elif line and not line.startswith("#"):
            found.append(dict(zip(names, cells, strict=True)))
    return found


def _ends(row: dict[str, str]) -> Key:
    return (row["id.orig_h"], row.get("id.orig_p", ""), row["id.resp_h"], row["id.resp_p"])


def _ours(row: Connection) -> dict[str, Any]:
    udp = row.protocol == "udp"
    return {
        "orig_bytes": row.client_bytes if udp else row.client_stream_bytes,
        "resp_bytes": row.server_bytes if udp else row.server_stream_bytes,
        "orig_pkts": row.client_packets, "resp_pkts": row.server_packets,
        "conn_state": row.conn_state, "history": row.history,
        "missed_bytes": (row.client_missed_bytes or 0) + (row.server_missed_bytes or 0),
    }  # fmt: skip


def _of_log(capture: str, log: Path, tables: Tables) -> tuple[int, list[Zeek]]:
    """How many connections of a log were compared, and by what they differ."""
    there: dict[Key, list[dict[str, str]]] = defaultdict(list)
    for row in _rows(log):
        there[_ends(row)].append(row)
    here: dict[Key, list[Connection]] = defaultdict(list)
    for one in tables.connections:
        key = (one.client, str(one.client_port), one.server, str(one.server_port))
        short = (one.client, "", one.server, str(one.server_port))
        here[key if key in there else short].append(one)
    differ: set[Zeek] = set()
    count = 0
    for key, theirs in there.items():
        mine = here.get(key, [])
        count += len(theirs)
        if len(mine) != len(theirs):
            differ.add(Zeek(capture, log.name, "connections", ""))
            continue
        for row, ours in zip(theirs, map(_ours, mine), strict=True):
            differ |= {
                Zeek(capture, log.name, name, "")
                for name in _ZEEK_COLUMNS
                if name in row and row[name] != "-" and row[name] != str(ours[name])
            }
    return count, sorted(differ)


def test_connections_are_zeeks(captures_dir: Path, compared: list[Compared]) -> None:
    tables = {one.name: one.tables for one in compared}
    found: list[Zeek] = []
    print(f"\n\nZeek, connections\n{'capture':<28} {'log':<16} {'connections':>11}  differ")
    total = 0
    for capture, log in _logs(captures_dir):
        if capture not in tables or not log.exists():
            continue
        count, differ = _of_log(capture, log, tables[capture])
        if not any(row for row in _rows(log)) or _is_of_another(capture, log, tables[capture]):
            continue
        total += count
        found += differ
        print(f"{capture:<28} {log.name:<16} {count:>11,}  {', '.join(z.column for z in differ)}")
    listed = {(entry.capture, entry.log, entry.column) for entry in ZEEK}
    assert {(one.capture, one.log, one.column) for one in found} == listed
    assert total > 100
    for entry in ZEEK:
        print(f"  {entry.capture} {entry.log} {entry.column}: {entry.reason}")


def _is_of_another(capture: str, log: Path, tables: Tables) -> bool:
    """A test of Zeek reads several captures and has a log of each: which of which, ends tell."""
    ends = {(one.client, one.server) for one in tables.connections}
    ends |= {(b, a) for a, b in ends}
    return not any((row["id.orig_h"], row["id.resp_h"]) in ends for row in _rows(log))
