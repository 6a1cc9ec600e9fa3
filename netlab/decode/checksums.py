"""Bytes and a checksum found in them -> what the checksum is worth, in words.

Must not know layers. Read first: RFC 1071 section 1, RFC 9293 3.1 and RFC 8200 8.1 (pseudo-header).
A sender that leaves the sum to its device puts the pseudo-header's sum in the field, for the device
to add the rest to (Linux: CHECKSUM_PARTIAL); on loopback and veth no device ever does.
"""

from __future__ import annotations

from dataclasses import dataclass

GOOD = "good"
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


def verdict(data: bytes, place: int, pseudo: PseudoHeader | None, left_to_device: bool) -> str:
    """What the checksum at `place` of the whole segment `data` is worth.

    `left_to_device`: the capture says so (epb_flags). Without that word, a field that holds exactly
    the pseudo-header's sum is taken for the same: the chance of that is 1 in 65,536.
    """
    found = int.from_bytes(data[place : place + 2], "big")
    blank = data[:place] + b"\0\0" + data[place + 2 :]
    head = pseudo.packed(len(data)) if pseudo else b""
    if ones_sum(head + data) == 0xFFFF:
        return GOOD
    partial = (ones_sum(head), ones_sum(pseudo.packed(0))) if pseudo else ()
    if left_to_device or found in partial:
        return NOT_FILLED_IN
    return f"bad, should be 0x{checksum(head + blank):04x}"
