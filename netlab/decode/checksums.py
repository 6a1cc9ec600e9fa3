"""Bytes and a checksum found in them -> what the checksum is worth, in words.

Must not know layers. Read first: RFC 1071 section 1, RFC 9293 3.1 and RFC 8200 8.1 (pseudo-header),
RFC 9260 appendix A (CRC32C).
A sender that leaves the sum to its device puts the pseudo-header's sum in the field, for the device
to add the rest to (Linux: CHECKSUM_PARTIAL); on loopback and veth no device ever does.
"""

from __future__ import annotations

from netlab.model.records import dataclass

GOOD = "good"
BAD = "bad"
NOT_FILLED_IN = "not filled in: left to the device"


def ones_sum(data: bytes) -> int:
    """The 16-bit ones' complement sum of big-endian words; an odd last byte is a high byte."""
    if len(data) % 2:
        data += b"\0"
    # Adding words with end-around carry is the whole number modulo 0xFFFF: there, 2**16 is 1.
    rest = int.from_bytes(data, "big") % 0xFFFF
    return rest or (0xFFFF if any(data) else 0)


def checksum(data: bytes) -> int:
    """What belongs into a checksum field that was zero when `data` was summed."""
    return ~ones_sum(data) & 0xFFFF


@dataclass(frozen=True, slots=True)
class PseudoHeader:
    """The addresses and protocol that TCP, UDP and ICMPv6 sum along with their own bytes."""

    src: bytes
    dst: bytes
    protocol: int

    def packed(self, length: int) -> bytes:
        """As it is summed, for a segment of `length` bytes."""
        # IPv4's has a 16-bit length and a zero byte before the protocol; as words, the same sum.
        return self.src + self.dst + length.to_bytes(4, "big") + bytes((0, 0, 0, self.protocol))


def worth(
    data: bytes, place: int, pseudo: PseudoHeader | None, left_to_device: bool, length: int
) -> str:
    """What the checksum at `place` of the segment `data`, `length` bytes long, is worth.

    `left_to_device`: the capture says so (epb_flags). Without that word, a field that holds exactly
    the pseudo-header's sum is taken for the same: the chance of that is 1 in 65,536.
    """
    head = pseudo.packed(length) if pseudo else b""
    if ones_sum(head + data) == 0xFFFF:
        return GOOD
    if left_to_device:
        return NOT_FILLED_IN
    found = int.from_bytes(data[place : place + 2], "big")
    if pseudo and found in (ones_sum(head), ones_sum(pseudo.packed(0))):
        return NOT_FILLED_IN
    return BAD


def verdict(
    data: bytes, place: int, pseudo: PseudoHeader | None, left_to_device: bool, length: int
) -> str:
    """The same, and of a bad one what it should be."""
    said = worth(data, place, pseudo, left_to_device, length)
    if said != BAD:
        return said
    head = pseudo.packed(length) if pseudo else b""
    blank = data[:place] + b"\0\0" + data[place + 2 :]
    return f"{BAD}, should be 0x{checksum(head + blank):04x}"


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC32C = _crc_table()
_ALL_ONES = int.from_bytes(b"\xff" * 4, "big")


def crc32c(data: bytes) -> int:
    """The cyclic redundancy check of SCTP (Castagnoli's polynomial, bits reflected)."""
    crc = _ALL_ONES
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ _ALL_ONES


def crc32c_verdict(data: bytes, place: int) -> str:
    """What the CRC32C at `place` of the whole packet is worth; Linux leaves 0 for its device."""
    found = data[place : place + 4]
    right = crc32c(data[:place] + bytes(4) + data[place + 4 :]).to_bytes(4, "little")
    if found == right:
        return GOOD
    return NOT_FILLED_IN if found == bytes(4) else f"bad, should be 0x{right.hex()}"
