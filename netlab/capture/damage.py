"""What the readers of capture files share: how damage is said, and how long a packet may be."""

from __future__ import annotations

import re

CUT_SHORT = "the file is cut short in the middle of a "  # how that is said


class Damaged(ValueError):
    """The bytes are not what the format says; the text names what and where."""

    def moved(self, base: int) -> Damaged:
        """The same of a file of which what was read is a piece that begins at `base`."""
        return Damaged(_PLACE.sub(lambda found: f"at byte {int(found[1]) + base}", str(self)))


_PLACE = re.compile(r"at byte (\d+)")


# Wireshark 4.0 refuses longer packets, except on these links (wiretap/wtap.c,
# wtap_max_snaplen_for_encap): D-Bus, USBPcap, Elektrobit.
_MAX_PACKET_BYTES = 262_144
_MAX_PACKET_BYTES_OF_LINK = {231: 128 << 20, 249: 128 << 20, 279: 32 << 20}


def max_packet_bytes(link: int) -> int:
    """The longest packet of a LINKTYPE_ that is read."""
    return _MAX_PACKET_BYTES_OF_LINK.get(link, _MAX_PACKET_BYTES)
