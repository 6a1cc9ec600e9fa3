"""IGMP, SCTP, DCCP and UDP-Lite headers of one frame -> layers, checksums verified.

The part of `layers_transport` for what is met more rarely. Must not know the link.
Read first: RFC 3376 section 4, RFC 9260 section 3, RFC 4340 section 5.1, RFC 3828.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode.checksums import crc32c_verdict
from netlab.decode.field import bytes_text
from netlab.decode.fields import FIELDS
from netlab.decode.layers_sums import say, show_checksum
from netlab.decode.walk import Walk, number

IGMP_TYPES = {
    0x11: "membership query",
    0x12: "version 1 report",
    0x16: "version 2 report",
    0x17: "leave group",
    0x22: "version 3 report",
}
SCTP_CHUNKS = {
    0: "DATA", 1: "INIT", 2: "INIT ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT ACK", 6: "ABORT",
    7: "SHUTDOWN", 8: "SHUTDOWN ACK", 9: "ERROR", 10: "COOKIE ECHO", 11: "COOKIE ACK", 12: "ECNE",
    13: "CWR", 14: "SHUTDOWN COMPLETE", 15: "AUTH", 64: "I-DATA", 128: "ASCONF-ACK",
    130: "RE-CONFIG", 132: "PAD", 192: "FORWARD-TSN", 193: "ASCONF", 194: "I-FORWARD-TSN",
}  # fmt: skip
_CHUNK_TABLES = {0: "SCTP DATA", 1: "SCTP INIT", 2: "SCTP INIT", 3: "SCTP SACK", 7: "SCTP SHUTDOWN"}
_IGMPV3_REPORT = 0x22
_QUERY = 0x11


def show_igmp(walk: Walk, off: int) -> None:
    """A message of any version; a query's is told by its length (RFC 3376 7.1)."""
    kind = walk.u8(off)
    report = kind == _IGMPV3_REPORT
    values = walk.fixed("IGMP", off, 8, "IGMPv3 report" if report else "IGMP")
    if values is None:
        return
    layer = walk.layers[-1]
    version = 3 if report or (kind == _QUERY and walk.stop - off >= 12) else 2
    if kind == 0x12 or (kind == _QUERY and version == 2 and not values["max response time"]):
        version = 1
    name = IGMP_TYPES.get(number(values, "type"))
    if name:
        text = f"{name}{f', version {version}' if kind == _QUERY else ''} (0x{kind:02x})"
        layer.fields[0] = replace(layer.fields[0], text=text)
    at = off + 8
    if report:
        for _ in range(number(values, "records")):
            reached = _igmp_record(walk, at)
            if reached is None:
                break
            at = reached
    elif version == 3:
        more = walk.extend(layer, FIELDS["IGMPv3 query"], at)
        at += 4
        if "sources" in more:
            at = _sources(walk, at, number(more, "sources"))
    walk.pseudo = None  # it sums its own bytes alone
    show_checksum(walk, walk.grow(at), off, 2)


def _igmp_record(walk: Walk, off: int) -> int | None:
    values = walk.extend(walk.layers[-1], FIELDS["IGMPv3 record"], off)
    if "group" not in values:
        return None
    at = _sources(walk, off + 8, number(values, "sources"))
    return at + number(values, "auxiliary length") * 4


def _sources(walk: Walk, off: int, count: int) -> int:
    """As many as there are of those that were announced."""
    for _ in range(count):
        if not walk.extend(walk.layers[-1], FIELDS["IGMPv3 source"], off):
            break
        off += 4
    return off


def show_sctp(walk: Walk, off: int) -> None:
    """The common header, and a layer for each chunk."""
    if walk.fixed("SCTP", off, 12) is None:
        return
    if not walk.quote:
        _sctp_checksum(walk, off)
    at = off + 12
    while at + 4 <= min(walk.stop, len(walk.data)):
        length = int.from_bytes(walk.data[at + 2 : at + 4], "big")
        padded = length + 3 & ~3
        values = walk.fixed("SCTP chunk", at, padded)
        if values is None or length < 4:
            break
        _sctp_chunk(walk, at, length)
        at += padded


def _sctp_checksum(walk: Walk, off: int) -> None:
    packet = walk.data[off : walk.stop]
    there = walk.stop - off
    if walk.unverifiable:
        said = walk.unverifiable
    elif len(packet) < there:
        said = f"not verified: {len(packet)} of {there} bytes captured"
    else:
        said = crc32c_verdict(packet, 8)
    say(walk.layers[-1], said)


def _sctp_chunk(walk: Walk, off: int, length: int) -> None:
    layer = walk.layers[-1]
    kind = walk.data[off]
    known = SCTP_CHUNKS.get(kind)
    if known:
        layer.fields[0] = replace(layer.fields[0], text=f"{known} ({kind})")
    stop = min(off + length, walk.stop, len(walk.data))
    table = _CHUNK_TABLES.get(kind, "SCTP value")
    if length < 4 + FIELDS[table][-1].end_byte:  # shorter than its kind may be
        table = "SCTP value"
    walk.extend(layer, FIELDS[table], off + 4, stop)
    if off + length < layer.stop:
        raw = walk.data[off + length : layer.stop]
        meaning = "Fills the chunk up to four bytes."
        field = replace(
            layer.fields[0], name="padding", text=bytes_text(raw), meaning=meaning, raw=raw,
            start=off + length, stop=layer.stop, bit=-1, bits=0,
        )  # fmt: skip
        layer.fields.append(field)


def show_dccp(walk: Walk, off: int) -> None:
    """The generic header; what is behind it depends on the type and stays bytes."""
    values = walk.fixed("DCCP", off, 9)
    if values is None:
        return
    extended = number(values, "X: extended")
    table = FIELDS["DCCP extended" if extended else "DCCP short"]
    at = off + 9
    walk.extend(walk.layers[-1], table, at)
    walk.grow(max(at + table[-1].end_byte, off + number(values, "data offset") * 4))


def show_udp_lite(walk: Walk, off: int) -> None:
    """UDP-Lite; its checksum covers what it says, and at least the header."""
    values = walk.fixed("UDP-Lite", off, 8)
    if values is None:
        return
    covered = number(values, "checksum coverage") or walk.stop - off
    if not number(values, "checksum"):
        say(walk.layers[-1], "none: not allowed (RFC 3828 3.1)")
        return
    if not 8 <= covered <= walk.stop - off:
        say(walk.layers[-1], "not verified: the coverage cannot be right")
        return
    # The pseudo-header's length is the whole packet's, whatever is covered (RFC 3828 3.1).
    show_checksum(walk, walk.layers[-1], off, 6, covered=covered)
