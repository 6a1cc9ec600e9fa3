"""TCP and UDP headers -> their columns of a packet.

Must not know what carried them. `off` is where the header begins in the frame, `stop` where the IP
header says that the segment ends (it may lie past the captured bytes), `bound` what set `stop`.
A header that cannot be trusted to its end leaves its columns null, with one exception: TCP options
cut off by the snap length cost only the options.
Read first: RFC 9293 section 3.1 and 3.2, RFC 768, RFC 7323, RFC 2018.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netlab.decode import faults
from netlab.model.tables import TcpOptions

if TYPE_CHECKING:
    from netlab.model.tables import Packet

FLAG_NAMES = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE")
_RESERVED_BITS = 0xE00

OPTION_END = 0
OPTION_NOP = 1
OPTION_MSS = 2
OPTION_WSCALE = 3
OPTION_SACK_PERMITTED = 4
OPTION_SACK = 5
OPTION_TIMESTAMPS = 8
OPTION_MPTCP = 30
OPTION_FAST_OPEN = 34
OPTIONS_EXPERIMENTAL = (253, 254)  # RFC 6994; Fast Open began as one of them (RFC 7413 4.1.1)
_FAST_OPEN_ID = b"\xf9\x89"
LAYER = "TCP options"  # as faults name it
_LENGTHS = {OPTION_MSS: 4, OPTION_WSCALE: 3, OPTION_SACK_PERMITTED: 2, OPTION_TIMESTAMPS: 10}

_TCP = struct.Struct("!HHIIHHHH")
_UDP = struct.Struct("!HHHH")
_TWO_NUMBERS = struct.Struct("!II")
_STARTS_WITH_TIMESTAMPS = struct.Struct("!III")
# NOP NOP timestamps(10): all that a data segment of Linux, BSD and macOS carries (RFC 7323 app. A).
_ONLY_TIMESTAMPS = 0x0101080A


class _FlagTexts(dict[int, str]):
    def __missing__(self, flags: int) -> str:
        names = [name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1]
        if flags & _RESERVED_BITS:
            names.append("reserved")
        text = self[flags] = " ".join(names)
        return text


_FLAG_TEXTS = _FlagTexts()


def flags_text(flags: int) -> str:
    """`SYN ACK` from 0x012: names from the lowest bit up; empty when no flag is set.

    Takes the 12 bits after the data offset. Bit 8 is AE (RFC 9768), once NS; 9 to 11 have no name.
    """
    return _FLAG_TEXTS[flags & 0xFFF]


def read_tcp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Fill the TCP columns; `data` is the whole frame."""
    captured = len(data)
    if off + 20 > stop or off + 20 > captured:
        faults.short(packet, "TCP", off, 20, captured, stop, bound)
        return
    sport, dport, seq, ack, bits, window, _, _ = _TCP.unpack_from(data, off)
    header = bits >> 10 & 0x3C
    if header < 20:
        faults.note(packet, "TCP", off, 20, header, faults.HEADER_LENGTH)
        return
    payload = off + header
    if payload > stop:
        faults.note(packet, "TCP", off, header, stop - off, bound)
        return
    packet.protocol = "TCP"
    packet.sport = sport
    packet.dport = dport
    packet.seg_seq = seq
    packet.seg_ack = ack
    packet.seg_wnd_raw = window
    packet._flags = flags = bits & 0xFFF
    packet.tcp_flags = _FLAG_TEXTS[flags]
    packet.payload_off = payload
    packet.payload_len_bytes = stop - payload
    if header > 20:
        packet._options = _options(packet, data, off + 20, payload)


def _options(packet: Packet, data: bytes | memoryview, off: int, stop: int) -> TcpOptions:
    """The options at `off`..`stop`; those after a broken one are lost, and the fault says so."""
    captured = len(data)
    if stop == off + 12 and stop <= captured:
        kinds, ts_val, ts_ecr = _STARTS_WITH_TIMESTAMPS.unpack_from(data, off)
        if kinds == _ONLY_TIMESTAMPS:
            return TcpOptions(ts_val=ts_val, ts_ecr=ts_ecr)
    mss = wscale = first_ts = second_ts = None
    sack_permitted = odd = has_cookie = False
    blocks: tuple[tuple[int, int], ...] = ()
    for kind, start, length in option_places(packet, data, off, stop):
        # As in Linux (tcp_parse_options): a known option of a wrong length is passed over.
        if not _right_length(kind, length):
            odd = True
        elif kind == OPTION_MSS:
            mss = data[start + 2] << 8 | data[start + 3]
        elif kind == OPTION_WSCALE:
            wscale = data[start + 2]
        elif kind == OPTION_SACK_PERMITTED:
            sack_permitted = True
        elif kind == OPTION_TIMESTAMPS:
            first_ts, second_ts = _TWO_NUMBERS.unpack_from(data, start + 2)
        elif kind == OPTION_SACK:
            blocks = tuple(_TWO_NUMBERS.iter_unpack(data[start + 2 : start + length]))
        elif kind == OPTION_MPTCP:
            odd = True
        elif kind == OPTION_FAST_OPEN:
            has_cookie = has_cookie or length > 2
        elif kind in OPTIONS_EXPERIMENTAL:
            named = data[start + 2 : start + 4] == _FAST_OPEN_ID
            has_cookie = has_cookie or (named and length > 4)
    if captured < stop and not blocks and packet.fault_layer == LAYER:
        blocks = _cut_blocks(data, packet.fault_off or 0)
    return TcpOptions(mss, wscale, sack_permitted, first_ts, second_ts, blocks, odd, has_cookie)


def _cut_blocks(data: bytes | memoryview, off: int) -> tuple[tuple[int, int], ...]:
    """Of a SACK option that the snap length cut: the blocks before the cut."""
    if len(data) < off + 2 or data[off] != OPTION_SACK or data[off + 1] % 8 != 2:
        return ()
    whole = (len(data) - off - 2) // _TWO_NUMBERS.size * _TWO_NUMBERS.size
    return tuple(_TWO_NUMBERS.iter_unpack(data[off + 2 : off + 2 + whole]))


def _right_length(kind: int, length: int) -> bool:
    """Whether an option has the length of its kind; selective ACKs come in whole blocks."""
    if kind == OPTION_SACK:
        return length >= 10 and length % 8 == 2  # RFC 2018 section 3
    return length == _LENGTHS.get(kind, length)


def option_places(
    packet: Packet, data: bytes | memoryview, off: int, stop: int, layer: str = LAYER
) -> list[tuple[int, int, int]]:
    """(kind, place, length) of each whole option but padding, up to the end or the first fault.

    TCP and IPv4 write options alike: kinds 0 (end) and 1 (no operation) are a byte, all others have
    a length that counts kind and length themselves (RFC 9293 3.1, RFC 791 3.1).
    """
    captured = len(data)
    end = min(stop, captured)
    places: list[tuple[int, int, int]] = []
    while off < end:
        kind = data[off]
        if kind == OPTION_NOP:
            off += 1
            continue
        if kind == OPTION_END:
            return places
        if off + 2 > end:
            faults.short(packet, layer, off, 2, captured, stop, faults.HEADER_LENGTH)
            return places
        length = data[off + 1]
        if length < 2:
            faults.note(packet, layer, off, 2, length, faults.OPTION_LENGTH)
            return places
        if off + length > end:
            faults.short(packet, layer, off, length, captured, stop, faults.HEADER_LENGTH)
            return places
        places.append((kind, off, length))
        off += length
    if end < stop:  # cut exactly between two options
        faults.short(packet, layer, off, stop - off, captured, stop, faults.HEADER_LENGTH)
    return places


def udp_length_is_open(version: int | None, there: int) -> bool:
    """Whether a length of 0 means all that is `there`, and is not just wrong.

    IPv6 has jumbograms (RFC 2675 section 4); IPv4 only what Linux's BIG TCP puts into tunnels.
    """
    return version == 6 or there > 0xFFFF


def read_udp(packet: Packet, data: bytes | memoryview, off: int, stop: int, bound: str) -> None:
    """Fill the UDP columns; `data` is the whole frame."""
    captured = len(data)
    if off + 8 > stop or off + 8 > captured:
        faults.short(packet, "UDP", off, 8, captured, stop, bound)
        return
    sport, dport, length, _ = _UDP.unpack_from(data, off)
    there = stop - off
    if length == 0 and udp_length_is_open(packet.ip_version, there):
        length = there
    elif length < 8:
        faults.note(packet, "UDP", off, 8, length, faults.UDP_LENGTH)
        return
    elif length > there:
        if not packet._fragment_more:
            faults.note(packet, "UDP", off, length, there, bound)
        length = there
    packet.protocol = "UDP"
    packet.sport = sport
    packet.dport = dport
    packet.payload_off = off + 8
    packet.payload_len_bytes = length - 8
