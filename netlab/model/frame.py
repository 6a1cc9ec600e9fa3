"""A captured frame as its witness gave it: a stamp, a link type and bytes, nothing decoded."""

from __future__ import annotations

from netlab.model.records import dataclass, quickly_made

# pcapng epb_flags (draft-ietf-opsawg-pcapng, "Enhanced Packet Block Flags Word").
DIRECTION_IN = 0b01
DIRECTION_OUT = 0b10
CHECKSUM_NOT_READY = 1 << 9  # the sender left the checksum to a device that never was
CHECKSUM_VALID = 1 << 10
TCP_SEGMENTATION_OFFLOAD = 1 << 11  # one frame here, several segments on a real wire

# Link types (LINKTYPE_ numbers of the pcap registry) that netlab itself writes.
LINK_ETHERNET = 1


# The interface of the frames that a wire itself made: duplicates, ICMP. The others of such a
# recording are named after the hosts whose frames they are.
WIRE = "wire"


@dataclass(frozen=True, slots=True)
class Interface:
    """Where frames were captured. Counters are None where the file does not say."""

    name: str
    link: int  # LINKTYPE_ number
    snaplen_bytes: int  # 0: no limit
    received: int | None = None  # frames that the kernel handed over or had to drop
    dropped: int | None = None  # frames lost because the ring was full
    start_ns: int | None = None  # when the capture on it began and ended
    end_ns: int | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame."""

    number: int  # 1-based, as Wireshark numbers the file it stands in
    time_ns: int
    interface: int  # index into the recording's interfaces
    data: bytes | memoryview  # the captured bytes, from the link header on
    origlen_bytes: int  # length on the wire; more than len(data) when cut by the snap length
    flags: int = 0  # epb_flags; 0 where the file has none
    packet: int | None = None  # the wire's own number of it (epb_packetid); None: no wire took it


def departure(frame: Frame) -> tuple[int, int]:
    """Sorts frames by when they left; those that left at once, as the wire took them."""
    return frame.time_ns, frame.packet or 0
