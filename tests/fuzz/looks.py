"""One capture file -> everything that netlab shows of it, and what must hold of that.

Whatever a file holds: only netlab's own errors, faults as data that name layer, place and bound,
nothing in a text that a terminal would obey, and a plain copy that reads the same.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from netlab.capture.files import read_raw
from netlab.commands.inspect import lists, one_connection, one_packet
from netlab.commands.inspect.asked import Asked
from netlab.explain import gloss
from netlab.explain.analysis import analyse
from netlab.model.errors import BadRecording, NetlabError
from netlab.model.recording import RawRecording
from netlab.model.tables import RECORDS, Packet, Tables
from netlab.show.export import export_plain, json_lines

_MOST_PACKETS, _MOST_CONNECTIONS = 6, 3
_FIELDS = ("tcp.window", "ip.ttl", "type", "length", "checksum", "nothing like that")


class Broken(AssertionError):
    """A promise that does not hold."""


def look_at(path: Path, random: Random) -> str:
    """Read the file, make its tables, draw every view; gives what became of it in a word."""
    try:
        raw = read_raw(path)
    except BadRecording:
        return "refused"
    tables = analyse(raw)
    for packet in tables.packets:
        _check_fault(packet)
    _draw(path, raw, tables, random)
    _export(path, raw, tables)
    return "faulty" if raw.faults or any(p.fault_layer for p in tables.packets) else "read"


def _check_fault(packet: Packet) -> None:
    told = (packet.fault_layer, packet.fault_off, packet.fault_limited_by)
    if any(one is None for one in told) != all(one is None for one in told):
        raise Broken(f"frame {packet.frame} tells half of its fault: {told}")
    if (packet.fault_need is None) != (packet.fault_have is None):
        raise Broken(f"frame {packet.frame}: needs {packet.fault_need}, has {packet.fault_have}")
    if packet.fault_off is not None and not 0 <= packet.fault_off <= max(
        packet.caplen_bytes, packet.origlen_bytes
    ):
        raise Broken(f"frame {packet.frame}: a fault at {packet.fault_off}, outside of it")
    if packet.fault_need is not None and packet.fault_have is not None:
        if packet.fault_have < 0:
            raise Broken(f"frame {packet.frame} has {packet.fault_have} bytes")
        if packet.fault_need <= packet.fault_have:
            raise Broken(f"frame {packet.frame} needs {packet.fault_need} and has them")


def _draw(path: Path, raw: RawRecording, tables: Tables, random: Random) -> None:
    asked = [
        Asked(str(path)), Asked(str(path), as_json=True),
        Asked(str(path), view="packets"), Asked(str(path), view="packets", as_json=True),
        Asked(str(path), view="connections"), Asked(str(path), view="connections", as_json=True),
    ]  # fmt: skip
    for one in asked:
        with _captured():
            lists.show(tables, raw, one)
    faulty = [p for p in tables.packets if p.fault_layer]
    chosen = [*_some(faulty, random), *_some(tables.packets, random)]
    for packet in chosen[:_MOST_PACKETS]:
        for look in (
            {}, {"boxes": True}, {"as_json": True}, {"field": random.choice(_FIELDS)},
            {"deep": random.random() < 0.1},
        ):  # fmt: skip
            with _captured():
                one = Asked(str(path), packet=packet.frame, **look)
                one_packet.show(tables, raw, one, packet.frame)
    for row in _some(tables.connections, random)[:_MOST_CONNECTIONS]:
        name = str(row.connection)
        for look in (
            {}, {"as_json": True}, {"states": True}, {"stream": "both"},
            {"stream": "client", "form": "hex"}, {"stream": "server", "form": "c"},
        ):  # fmt: skip
            with _captured():
                one_connection.show(tables, raw, Asked(str(path), connection=name, **look), name)
        with _captured(raw=True):
            one = Asked(str(path), connection=name, stream="both", form="raw")
            one_connection.show(tables, raw, one, name)


def _export(path: Path, raw: RawRecording, tables: Tables) -> None:
    for table in RECORDS:
        for line in json_lines(tables, table):
            if not line.endswith(b"\n"):
                raise Broken(f"{table}: {line!r}")
    gloss.frame_comments(tables)
    gloss.call_messages(tables)
    gloss.frame_threads(tables)
    out = io.BytesIO()
    try:
        export_plain(raw, out)
    except BadRecording:
        return
    copy = path.with_suffix(".plain")
    copy.write_bytes(out.getvalue())
    again = read_raw(copy)
    here = [(f.time_ns, bytes(f.data)) for f in raw.frames]
    if [(f.time_ns, bytes(f.data)) for f in again.frames] != here and not again.faults:
        raise Broken("the plain copy reads otherwise")


def _some(rows: list, random: Random) -> list:  # type: ignore[type-arg]
    return random.sample(rows, min(len(rows), 3))


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
    for letter in set() if raw else set(held.getvalue().decode()):
        if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise Broken(f"a terminal would obey {letter!r}")
