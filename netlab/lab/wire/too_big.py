"""What a router says and does to a packet that is too big: ICMP, and fragments.

Pure: a frame and its headers in, frames out. The wire has no address of its own; it answers as
x.y.z.254 (IPv4) or ...::fffe (IPv6) of the network that the sender's address is in.
Read first: RFC 1191 section 4, RFC 1812 4.3.2 and 5.2.6, RFC 791 3.2, RFC 4443 2.4 and 3.2.
"""

from __future__ import annotations

from netlab.decode.checksums import PseudoHeader, checksum
from netlab.decode.icmp import ICMP_ERRORS
from netlab.decode.numbers import IP_ICMP, IP_ICMPV6
from netlab.lab.wire.headers import UNKNOWN, Headers

WIRE_MAC = bytes.fromhex("02000000fffe")
IPV6_SMALLEST_MTU_BYTES = 1280  # RFC 8200 section 5: every link carries that
_TTL = 64
_MOST_QUOTED_IPV4_BYTES = 576 - 28  # RFC 1812 4.3.2.3: the whole message has at most 576
_MOST_QUOTED_IPV6_BYTES = IPV6_SMALLEST_MTU_BYTES - 48  # RFC 4443 2.4 (c)
_COPIED_OPTION = 0x80  # RFC 791 3.1: into every fragment
_END_OF_OPTIONS, _NO_OPERATION = 0, 1


def fits(headers: Headers, mtu_bytes: int) -> bool:
    """Whether the packet passes a link of this MTU whole."""
    if headers.version == 6:
        mtu_bytes = max(mtu_bytes, IPV6_SMALLEST_MTU_BYTES)
    return headers.packet_bytes <= mtu_bytes


def maybe_too_big(frame: bytes, headers: Headers, mtu_bytes: int) -> bytes | None:
    """The frame that tells the sender; None where nobody must be told.

    That is: an error about an error, a fragment that is not the first, several receivers, or a
    source that is no one host (RFC 1122 3.2.2; RFC 4443 2.4 (e) lets multicast pass).
    """
    if headers.protocol == UNKNOWN or headers.fragment_off or frame[6] & 1:
        return None
    if headers.version == 4:
        return _fragmentation_needed(frame, headers, mtu_bytes)
    return _packet_too_big(frame, headers, max(mtu_bytes, IPV6_SMALLEST_MTU_BYTES))


def _fragmentation_needed(frame: bytes, headers: Headers, mtu_bytes: int) -> bytes | None:
    at, src = headers.transport_off, headers.src
    error = headers.protocol == IP_ICMP and at < headers.stop and frame[at] in ICMP_ERRORS
    if error or frame[0] & 1 or src[0] in (0, 127) or src[0] >= 224 or headers.dst[0] >= 224:
        return None
    quoted = frame[headers.ip_off : headers.stop][:_MOST_QUOTED_IPV4_BYTES]
    rest = b"\0\0" + mtu_bytes.to_bytes(2, "big") + quoted
    message = b"\x03\x04" + checksum(b"\x03\x04\0\0" + rest).to_bytes(2, "big") + rest
    head = bytes((0x45, 0xC0)) + (20 + len(message)).to_bytes(2, "big")
    head += bytes((0, 0, 0x40, 0, _TTL, IP_ICMP))
    addresses = src[:3] + b"\xfe" + src
    head += checksum(head + b"\0\0" + addresses).to_bytes(2, "big") + addresses
    return _back(frame, headers) + head + message


def _packet_too_big(frame: bytes, headers: Headers, mtu_bytes: int) -> bytes | None:
    at, src = headers.transport_off, headers.src
    error = headers.protocol == IP_ICMPV6 and at < headers.stop and frame[at] < 128
    if error or src[0] == 0xFF or not any(src):
        return None
    quoted = frame[headers.ip_off : headers.stop][:_MOST_QUOTED_IPV6_BYTES]
    rest = mtu_bytes.to_bytes(4, "big") + quoted
    mine = src[:8] + bytes(6) + b"\xff\xfe"
    pseudo = PseudoHeader(mine, src, IP_ICMPV6).packed(4 + len(rest))
    message = b"\x02\0" + checksum(pseudo + b"\x02\0\0\0" + rest).to_bytes(2, "big") + rest
    head = b"\x60\0\0\0" + len(message).to_bytes(2, "big") + bytes((IP_ICMPV6, _TTL))
    return _back(frame, headers) + head + mine + src + message


def _back(frame: bytes, headers: Headers) -> bytes:
    """The Ethernet header, tags included, of an answer to the sender."""
    return frame[6:12] + WIRE_MAC + frame[12 : headers.ip_off]


def fragments(frame: bytes, headers: Headers, mtu_bytes: int) -> list[bytes]:
    """The IPv4 packet in pieces that fit, as RFC 791 3.2 cuts it; it must have no DF."""
    start = headers.ip_off
    head = frame[start : headers.transport_off]
    later = head[:20] + _copied_options(head[20:])
    payload = frame[headers.transport_off : headers.stop]
    pieces: list[bytes] = []
    done = 0
    while done < len(payload):
        mine = later if pieces or headers.fragment_off else head
        room = mtu_bytes - len(mine)
        piece = payload[done : done + (room if len(payload) - done <= room else room & ~7)]
        more = headers.more_fragments or done + len(piece) < len(payload)
        place = (headers.fragment_off + done) // 8 | (0x2000 if more else 0)
        pieces.append(frame[:start] + _fragment_header(mine, len(piece), place) + piece)
        done += len(piece)
    return pieces


def _fragment_header(head: bytes, payload_bytes: int, place: int) -> bytes:
    size = len(head)
    fresh = (
        bytes((0x40 | size // 4, head[1]))
        + (size + payload_bytes).to_bytes(2, "big")
        + head[4:6]
        + place.to_bytes(2, "big")
        + head[8:10]
    )
    return fresh + checksum(fresh + b"\0\0" + head[12:]).to_bytes(2, "big") + head[12:]


def _copied_options(options: bytes) -> bytes:
    kept = b""
    at = 0
    while at < len(options) and options[at] != _END_OF_OPTIONS:
        size = 1 if options[at] == _NO_OPERATION else max(2, (options[at + 1 : at + 2] or b"\0")[0])
        if options[at] & _COPIED_OPTION:
            kept += options[at : at + size]
        at += size
    return kept + bytes(-len(kept) % 4)
