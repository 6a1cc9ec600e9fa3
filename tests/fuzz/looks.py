"""One capture file -> everything that netlab shows of it, and what must hold of that.

Whatever a file holds: only netlab's own errors, faults as data that name layer, place and bound,
nothing in a text that a terminal would obey, and a plain copy that reads the same.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from netlab.capture.files import read_raw
from netlab.commands.decode_as import rules
from netlab.commands.inspect import lists, messages, one_connection, one_packet
from netlab.commands.inspect.asked import Asked
from netlab.decode.applications.registry import APPLICATIONS
from netlab.engine import tables as engine_tables
from netlab.engine.capture import Sought
from netlab.engine.paged import pages
from netlab.engine.part import connection_part, packet_part
from netlab.engine.records import Unfit
from netlab.engine.whole import read
from netlab.explain import gloss
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording, NetlabError, UsageError
from netlab.model.recording import RawRecording
from netlab.model.tables import RECORDS, Packet, Tables
from netlab.show.export import export_plain, export_table
from netlab.show.terminal.why import call_lines, why_lines
from netlab.show.views.why import why
from netlab.show.views.why_sentences import why_call

R = TypeVar("R")

_OF_A_KIND = 3  # packets with a fault, packets, connections, messages, calls that are looked at
_FIELDS = ("tcp.window", "ip.ttl", "type", "length", "checksum", "nothing like that")
_PACKET_LOOKS: tuple[dict[str, Any], ...] = ({}, {"boxes": True}, {"as_json": True})
_CONNECTION_LOOKS: tuple[dict[str, Any], ...] = (
    {}, {"as_json": True}, {"states": True}, {"stream": "both"},
    {"stream": "client", "form": "hex"}, {"stream": "server", "form": "c"},
)  # fmt: skip


class Broken(AssertionError):
    """A promise that does not hold."""


def look_at(path: Path, random: Random, machine: Any) -> str:
    """Read the file, make its tables, draw every view; gives what became of it in a word.

    `machine` runs the engine's kernels.
    """
    _read_by_engine(path, machine, random)
    try:
        raw = read_raw(path)
    except BadRecording:
        return "refused"
    tables = analyse(raw, _told(raw, random))
    for packet in tables.packets:
        _check_fault(packet)
    _draw_lists(path, raw, tables)
    _draw_packets(path, raw, tables, random)
    _draw_connections(path, raw, tables, random)
    _draw_messages(path, raw, tables, random)
    _draw_why(path, raw, tables, random)
    _export(path, raw, tables)
    return "faulty" if raw.faults or any(p.fault_layer for p in tables.packets) else "read"


def _read_by_engine(path: Path, machine: Any, random: Random) -> None:
    """That its tables are the general path's, other tests say, on well-formed bytes and others."""
    try:
        whole = read(str(path), machine, keep=True)
    except (BadRecording, Unfit):
        return
    count = whole.capture.count
    rows = [*whole.connections(), *engine_tables.segments(whole), *engine_tables.packets(whole)]
    if not rows and whole.capture.raw.frames:
        raise Broken("the engine has frames and no rows")
    if sum(len(page) for page in pages(whole, range(count))) != count:
        raise Broken("the pages are not the rows")
    for number in _some(range(whole.connection_count), random):
        part = connection_part(whole, number)
        if [row.connection for row in part.tables.connections] != [number]:
            raise Broken(f"connection {number} is not in its part")
    for row in _some(range(count), random):
        sought = Sought(whole.capture.number(row), random.choice((0, 1 << 10, 1 << 20)))
        part = packet_part(read(str(path), machine, keep=False, sought=sought))
        if all(packet.frame != sought.frame for packet in part.tables.packets):
            raise Broken(f"frame {sought.frame} is not in its part")


def _told(raw: RawRecording, random: Random) -> list[Any]:
    """Now and then that every port speaks some protocol, which it does not."""
    if random.random() < 0.6:
        return []
    name = random.choice(list(APPLICATIONS))
    found = []
    for packet in analyse(raw).packets:
        for port in {packet.sport, packet.dport} - {None, 0}:
            transport = "tcp" if packet.tcp_flags is not None else "udp"
            try:
                found += rules([f"{transport}.port=={port},{name}"])
            except UsageError:  # it is not spoken over that
                continue
    return found[:20]


def _check_fault(packet: Packet) -> None:
    told = (packet.fault_layer, packet.fault_off, packet.fault_limited_by)
    if any(one is None for one in told) != all(one is None for one in told):
        raise Broken(f"frame {packet.frame} tells half of its fault: {told}")
    need, have, off = packet.fault_need, packet.fault_have, packet.fault_off
    if (need is None) != (have is None):
        raise Broken(f"frame {packet.frame}: needs {need}, has {have}")
    if off is not None and not 0 <= off <= max(packet.caplen_bytes, packet.origlen_bytes):
        raise Broken(f"frame {packet.frame}: a fault at {off}, outside of it")
    if need is not None and have is not None and not 0 <= have < need:
        raise Broken(f"frame {packet.frame} needs {need}, has {have}")


def _draw_lists(path: Path, raw: RawRecording, tables: Tables) -> None:
    for view in (None, "packets", "connections"):
        for as_json in (False, True):
            with _captured():
                lists.show(tables, raw, Asked(str(path), view=view, as_json=as_json))


def _draw_packets(path: Path, raw: RawRecording, tables: Tables, random: Random) -> None:
    faulty = [packet for packet in tables.packets if packet.fault_layer]
    for packet in (*_some(faulty, random), *_some(tables.packets, random)):
        field = {"field": random.choice(_FIELDS)}
        for look in (*_PACKET_LOOKS, field, {"deep": random.random() < 0.1}):
            with _captured():
                asked = Asked(str(path), packet=packet.frame, **look)
                one_packet.show(tables, raw, asked, packet.frame)


def _draw_connections(path: Path, raw: RawRecording, tables: Tables, random: Random) -> None:
    for row in _some(tables.connections, random):
        name = str(row.connection)
        for look in _CONNECTION_LOOKS:
            with _captured():
                one_connection.show(tables, raw, Asked(str(path), connection=name, **look), name)
        with _captured(raw=True):
            asked = Asked(str(path), connection=name, stream="both", form="raw")
            one_connection.show(tables, raw, asked, name)


def _draw_messages(path: Path, raw: RawRecording, tables: Tables, random: Random) -> None:
    for as_json in (False, True):
        with _captured():
            messages.show_list(tables, raw, Asked(str(path), view="messages", as_json=as_json))
    for row in _some(tables.messages, random):
        for look in ({}, {"as_json": True}, {"limit": 0}):
            with _captured():
                messages.show(tables, raw, Asked(str(path), **look), row.message)


def _draw_why(path: Path, raw: RawRecording, tables: Tables, random: Random) -> None:
    for line in why_lines(why(tables, raw, str(path)), 80):
        _check_text("".join(text for text, _ in line))
    for call in _some(tables.calls, random):
        for line in call_lines(why_call(tables, raw, call), 80):
            _check_text("".join(text for text, _ in line))


def _export(path: Path, raw: RawRecording, tables: Tables) -> None:
    for table in RECORDS:
        rows = io.BytesIO()
        export_table(tables, table, "jsonl", rows)
        if rows.getvalue().count(b"\n") != len(getattr(tables, table)):
            raise Broken(f"{table}: its lines are not its rows")
    gloss.frame_comments(tables)
    gloss.call_messages(tables)
    gloss.frame_threads(tables)
    out = io.BytesIO()
    try:
        export_plain(raw, out)
    except BadRecording:  # a link type that pcapng has no room for
        return
    copy = path.with_suffix(".plain")
    copy.write_bytes(out.getvalue())
    again = read_raw(copy)
    copy.unlink()
    here = [(frame.time_ns, bytes(frame.data)) for frame in raw.frames]
    there = [(frame.time_ns, bytes(frame.data)) for frame in again.frames]
    if here != there and not again.faults:
        raise Broken("the plain copy reads otherwise")


def _some(rows: Sequence[R], random: Random) -> list[R]:
    return random.sample(rows, min(len(rows), _OF_A_KIND))


def _check_text(text: str) -> None:
    for letter in set(text):
        if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise Broken(f"a terminal would obey {letter!r}")


@contextmanager
def _captured(*, raw: bool = False) -> Iterator[None]:
    """Standard output and error into memory; what netlab itself refuses is no failure."""
    held = io.BytesIO()
    streams, ours = (sys.stdout, sys.stderr), io.TextIOWrapper(held, "utf-8", write_through=True)
    sys.stdout = sys.stderr = ours
    try:
        yield
    except NetlabError:
        pass
    finally:
        sys.stdout, sys.stderr = streams
    ours.flush()
    if not raw:
        _check_text(held.getvalue().decode())
