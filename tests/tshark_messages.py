"""What tshark says of HTTP and TLS in a capture, and what netlab's messages say: in one form.

said_by_tshark(path) and said_by_netlab(tables): frame -> field -> values, in order but for the
types of TLS records. The frame is the one with which a message is whole: there tshark shows it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from netlab.correlate.messages import said_of
from netlab.decode.applications.message import Said
from netlab.model.tables import Tables

METHOD, URI, CODE = "http.request.method", "http.request.uri", "http.response.code"
RECORD, HANDSHAKE = "tls.record.content_type", "tls.handshake.type"
OPAQUE = "tls.record.opaque_type"  # what it calls the same of a sealed record in TLS 1.3
NAME = "tls.handshake.extensions_server_name"
FRAME, STREAM = "http2.type", "http2.streamid"
H2_METHOD, H2_PATH, H2_STATUS = (
    "http2.headers.method", "http2.headers.path", "http2.headers.status",
)  # fmt: skip
FIELDS = (METHOD, URI, CODE, RECORD, HANDSHAKE, NAME, FRAME, STREAM, H2_METHOD, H2_PATH, H2_STATUS)
Says = dict[int, dict[str, list[str]]]
_NUMBER = re.compile(r"\((\d+)\)$")


def said_by_tshark(path: Path, *options: str) -> Says:
    """By frame, the fields that it has."""
    fields = [part for name in (*FIELDS, OPAQUE) for part in ("-e", name)]
    done = subprocess.run(
        ["tshark", "-2", "-n", "-r", path, "-o", "tcp.reassemble_out_of_order:TRUE", *options,
         "-T", "fields", "-E", "separator=|", "-E", "aggregator=~", "-e", "frame.number", *fields],
        capture_output=True, text=True, check=False,  # 2: the file is damaged
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    found: Says = {}
    for line in done.stdout.splitlines():
        number, *values = line.split("|")
        named = zip((*FIELDS, OPAQUE), values, strict=True)
        there = {name: value.split("~") for name, value in named if value}
        if records := there.get(RECORD, []) + there.pop(OPAQUE, []):
            there[RECORD] = sorted(records)
        if there:
            found[int(number)] = there
    return found


def said_by_netlab(tables: Tables) -> Says:
    """The same of the table of messages."""
    found: Says = {}
    for message in tables.messages:
        said = said_of(message)
        for name, value in _fields(said):
            found.setdefault(message._whole, {}).setdefault(name, []).append(value)
    for there in found.values():
        if RECORD in there:
            there[RECORD].sort()
    return found


def _fields(said: Said) -> Iterator[tuple[str, str]]:
    names = {"HTTP/2": _HTTP2, "TLS": _TLS}.get(said.protocol, _HTTP1)
    if not said.protocol.startswith(("HTTP", "TLS")):
        return
    for item in said.items:
        name = names.get(item.name)
        if name is None or (name == NAME and item.text == "present"):
            continue
        number = _NUMBER.search(item.text)
        if name in (RECORD, HANDSHAKE, FRAME) and number is not None:
            yield name, number[1]
        else:
            yield name, item.text.partition(":")[0] if name == STREAM else item.text
    for inner in said.inner:
        yield from _fields(inner)


_HTTP1 = {"method": METHOD, "target": URI, "status": CODE}
_TLS = {"content type": RECORD, "handshake type": HANDSHAKE, "server_name": NAME}
_HTTP2 = {"type": FRAME, "stream": STREAM, ":method": H2_METHOD, ":path": H2_PATH,
          ":status": H2_STATUS}  # fmt: skip
