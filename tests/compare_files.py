"""Every form of pcap and pcapng with the same few frames in it, for tshark to read, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from struct import pack

from compare_samples import errors, tunnels

MICROSECONDS, NANOSECONDS, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
SECONDS = 1_700_000_000


def write_forms(folder: Path) -> list[Path]:
    """The files, each with at least one frame."""
    frames = [*errors()[:4], *tunnels()[:3]]
    paths = []

    def add(name: str, data: bytes) -> None:
        paths.append(folder / name)
        paths[-1].write_bytes(data)

    for order, letter in (("<", "le"), (">", "be")):
        for magic, name in ((MICROSECONDS, "us"), (NANOSECONDS, "ns"), (MODIFIED, "modified")):
            add(f"{letter}-{name}.pcap", pcap(order, magic, 4, frames))
        add(f"{letter}-2.2.pcap", pcap(order, MICROSECONDS, 2, frames))
        add(f"{letter}-2.3.pcap", pcap(order, MICROSECONDS, 3, frames))
        add(f"{letter}-all.pcapng", section(order, frames))
    add("sections.pcapng", section("<", frames) + section(">", frames) + section("<", frames[:1]))
    return paths


def pcap(order: str, magic: int, minor: int, frames: Sequence[bytes]) -> bytes:
    """A snap length of 60 cuts the longer ones; before 2.4 the lengths stand the other way."""
    data = pack(order + "IHHiIII", magic, 2, minor, 0, 0, 60, 1)
    for number, frame in enumerate(frames):
        lengths = (len(frame[:60]), len(frame))
        data += pack(order + "IIII", SECONDS, 1001 * number, *lengths[:: -1 if minor < 4 else 1])
        data += bytes(8 if magic == MODIFIED else 0) + frame[:60]
    return data


def section(order: str, frames: Sequence[bytes]) -> bytes:
    """All block types there are: packets of three kinds between others that hold none."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = pack(order + "I", len(body) + 12)
        return pack(order + "I", kind) + size + body + size

    def option(code: int, value: bytes) -> bytes:
        return pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    end = pack(order + "I", 0)
    names = pack(order + "HH", 1, 9) + bytes([192, 0, 2, 1]) + b"host\0" + bytes(3) + end
    keys = b"CLIENT_RANDOM 00 00\n"
    journal = b"__REALTIME_TIMESTAMP=1700000000000000\nMESSAGE=said\n\n"
    first = block(0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
                  + option(1, b"a comment") + end)  # fmt: skip
    # Microseconds; nanoseconds with an offset; binary fractions of 2 to the power of -20.
    first += block(1, pack(order + "HHI", 1, 0, 0))
    first += block(1, pack(order + "HHI", 1, 0, 60) + option(9, b"\x09")
                   + option(14, pack(order + "q", 1000)) + end)  # fmt: skip
    first += block(1, pack(order + "HHI", 1, 0, 0) + option(9, b"\x94") + end)
    first += block(4, names) + block(10, pack(order + "II", 0x544C534B, len(keys)) + keys)
    for number, frame in enumerate(frames):
        interface = number % 3
        units = (10**6, 10**9, 1 << 20)[interface]
        ticks = (SECONDS - 1000 * (interface == 1)) * units + 1001 * number
        kept = frame[:60] if interface == 1 else frame
        head = ticks >> 32, ticks & 0xFFFFFFFF, len(kept), len(frame)
        if number == 2:
            first += block(2, pack(order + "HHIIII", interface, 0, *head) + kept)
        else:
            first += block(6, pack(order + "IIIII", interface, *head) + kept)
    first += block(9, journal)
    first += block(5, pack(order + "III", 0, 0, 0) + option(4, pack(order + "Q", 5)) + end)
    first += block(0x0BAD, pack(order + "I", 32473) + b"mine")
    return first + block(3, pack(order + "I", len(frames[0])) + frames[0])
