"""Turns the bytes of a classic pcap file into records: stamps, lengths and slices, nothing decoded.

Both byte orders, microseconds and nanoseconds, the "modified" form of old Linux kernels whose
record headers are longer, and versions from 2.0 on, as libpcap reads them. Knows nothing of
recordings. Read draft-ietf-opsawg-pcap first; limits are those of Wireshark 4.0
(wiretap/libpcap.c), so that both number the same frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from netlab.capture.damage import CUT_SHORT, Damaged, max_packet_bytes
from netlab.model.records import dataclass

FILE_HEADER_BYTES = 24
_DG_UX = (543, 0)  # its version, with the lengths as before 2.3
_MICROSECONDS, _NANOSECONDS, _MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
MAGICS = tuple(  # what a file begins with
    magic.to_bytes(4, order)
    for magic in (_MICROSECONDS, _NANOSECONDS, _MODIFIED)
    for order in ("little", "big")
)


@dataclass(frozen=True, slots=True)
class PcapHeader:
    """What the file header says."""

    order: str  # "<" or ">"
    units_ns: int  # what the fraction of a stamp counts: 1 or 1000 ns
    record_header_bytes: int
    snaplen_bytes: int
    link: int
    minor: int  # of version 2: before 2.3 the two lengths of a record stood the other way round


def maybe_header(data: bytes) -> PcapHeader | None:
    """The file header, or None when these bytes do not begin a pcap file."""
    if len(data) < FILE_HEADER_BYTES:
        return None
    for order in "<>":
        magic, major, minor, _, _, snaplen, link = Struct(order + "IHHiIII").unpack_from(data)
        if magic not in (_MICROSECONDS, _NANOSECONDS, _MODIFIED):
            continue
        if major == 2 or (major, minor) == _DG_UX:
            return PcapHeader(
                order,
                1 if magic == _NANOSECONDS else 1000,
                24 if magic == _MODIFIED else 16,
                snaplen,
                link & 0x03FFFFFF,  # above: the length of a frame check sequence
                minor,
            )
    return None


def records(
    data: bytes, header: PcapHeader, at: int = FILE_HEADER_BYTES
) -> Iterator[tuple[int, int, int, int]]:
    """(time_ns, start, stop, origlen_bytes) of each whole record from `at` on.

    Raises Damaged at the first that is not whole, or longer than a record may be.
    """
    size = len(data)
    unpack = Struct(header.order + "IIII").unpack_from
    step, units_ns = header.record_header_bytes, header.units_ns
    longest = max_packet_bytes(header.link)
    while at < size:
        start = at + step
        if start > size:
            raise Damaged(f"{CUT_SHORT}packet header, at byte {at}")
        seconds, fraction, caplen, origlen = unpack(data, at)
        # Writers of 2.3 did either; more cannot have been captured than there was.
        if header.minor < 3 or (header.minor == 3 and caplen > origlen):
            caplen, origlen = origlen, caplen
        if caplen > longest:
            raise Damaged(f"a packet of {caplen} bytes at byte {at}: more than a capture may hold")
        at = start + caplen
        if at > size:
            raise Damaged(f"{CUT_SHORT}packet, at byte {start}")
        yield seconds * 1_000_000_000 + fraction * units_ns, start, at, origlen
