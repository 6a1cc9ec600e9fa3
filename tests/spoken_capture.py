"""Captures of what applications say, segment by segment, as raw material.

talk = Talk(80)
talk.opens()
talk.says(Side.CLIENT, b"GET / HTTP/1.1\\r\\n\\r\\n", b"the next segment")
talk.segment(Side.SERVER, 100, b"bytes from offset 100 on")   # at a place of its own
raw = talk.raw()
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sample_recordings import LO, T0_NS, checksum

from netlab.model.call import CallRecord
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.tables import Side

CLIENT_PORT = 40_000
ISS = {Side.CLIENT: 1000, Side.SERVER: 5000}
SYN, ACK, PSH, FIN = 0x02, 0x10, 0x08, 0x01
STEP_NS = 1000


@dataclass
class Talk:
    """One conversation over TCP; every frame a microsecond after the last."""

    port: int = 80
    frames: list[Frame] = field(default_factory=list)
    calls: list[CallRecord] = field(default_factory=list)
    at: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def opens(self) -> None:
        self._tcp(Side.CLIENT, SYN, -1)
        self._tcp(Side.SERVER, SYN | ACK, -1)
        self._tcp(Side.CLIENT, ACK, 0)

    def says(self, side: Side, *pieces: bytes) -> list[int]:
        """Segments one behind the other; their frame numbers."""
        numbers = []
        for piece in pieces:
            numbers.append(self.segment(side, self.at[side], piece))
        return numbers

    def segment(self, side: Side, start: int, data: bytes) -> int:
        self.at[side] = max(self.at[side], start + len(data))
        return self._tcp(side, PSH | ACK, start, data)

    def ends(self, side: Side) -> int:
        return self._tcp(side, FIN | ACK, self.at[side])

    def _tcp(self, side: Side, flags: int, start: int, data: bytes = b"") -> int:
        other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        acked = ISS[other] + 1 + self.at[other] if flags & ACK else 0
        head = self._ports(side) + (ISS[side] + 1 + start).to_bytes(4, "big")
        head += acked.to_bytes(4, "big") + bytes((0x50, flags)) + b"\x01\xff\0\0\0\0"
        return self._ip(side, 6, head, 16, data)

    def datagram(self, side: Side, data: bytes) -> int:
        head = self._ports(side) + (8 + len(data)).to_bytes(2, "big") + b"\0\0"
        return self._ip(side, 17, head, 6, data)

    def fragments(self, side: Side, data: bytes, size: int) -> list[int]:
        """A datagram in IP fragments of `size` bytes, a multiple of 8; their frame numbers."""
        head = self._ports(side) + (8 + len(data)).to_bytes(2, "big") + b"\0\0"
        whole = head + data
        return [
            self._ip(side, 17, whole[at : at + size], None, b"",
                     at // 8 | (0x2000 if at + size < len(whole) else 0))
            for at in range(0, len(whole), size)
        ]  # fmt: skip

    def _ports(self, side: Side) -> bytes:
        ports = (CLIENT_PORT, self.port)
        ports = ports if side is Side.CLIENT else ports[::-1]
        return b"".join(port.to_bytes(2, "big") for port in ports)

    def _ip(
        self, side: Side, protocol: int, head: bytes, sum_at: int | None, data: bytes,
        fragment: int = 0x4000,
    ) -> int:  # fmt: skip
        """A packet; without `sum_at` its transport has no checksum."""
        del side
        addresses = bytes((127, 0, 0, 1)) * 2
        size = len(head) + len(data)
        pseudo = addresses + bytes((0, protocol)) + size.to_bytes(2, "big")
        if sum_at is not None:
            head = head[:sum_at] + checksum(pseudo + head + data) + head[sum_at + 2 :]
        ip = b"\x45\0" + (20 + size).to_bytes(2, "big") + b"\0\x17"
        ip += fragment.to_bytes(2, "big") + b"\x40" + bytes((protocol,))
        ip += checksum(ip + b"\0\0" + addresses) + addresses
        frame = bytes(12) + b"\x08\0" + ip + head + data
        number = len(self.frames) + 1
        self.frames.append(Frame(number, T0_NS + number * STEP_NS, 0, frame, len(frame)))
        return number

    def raw(self) -> RawRecording:
        return RawRecording(frames=self.frames, interfaces=[LO], calls=self.calls)
