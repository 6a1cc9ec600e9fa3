"""Talks and datagrams -> a pcap file, as a capture of them between two hosts would be."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

from application_samples import C, Script

from netlab.model.tables import Side

_IP = {Side.CLIENT: b"\xc0\x00\x02\x63", Side.SERVER: b"\xc0\x00\x02\x01"}
_MACS = {Side.CLIENT: b"\2\0\0\0\0\x63", Side.SERVER: b"\2\0\0\0\0\1"}
_SYN, _ACK, _PUSH, _FIN = 2, 16, 8, 1
FIRST_CLIENT_PORT = 40_009


class TalkCapture:
    """Frames in the order in which they are added, a millisecond from each to the next."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._ports = count(FIRST_CLIENT_PORT)

    def write(self, path: Path) -> Path:
        parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)]
        for number, frame in enumerate(self._frames):
            seconds, milliseconds = divmod(number, 1000)
            head = 1_700_000_000 + seconds, milliseconds * 1000, len(frame), len(frame)
            parts += [struct.pack("<IIII", *head), frame]
        path.write_bytes(b"".join(parts))
        return path

    def datagram(self, payload: bytes, port: int, sender: Side = C) -> int:
        """One datagram of an exchange of its own; the client's port."""
        mine = next(self._ports)
        ports = (mine, port) if sender is C else (port, mine)
        segment = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
        self._frames.append(_frame(sender, 17, segment))
        return mine

    def talk(self, script: Script, port: int, mss: int = 1448) -> int:
        """A connection from handshake to close; the client's port."""
        mine = next(self._ports)
        ports = {Side.CLIENT: (mine, port), Side.SERVER: (port, mine)}
        following = {Side.CLIENT: 1000, Side.SERVER: 5000}

        def send(side: Side, flags: int, payload: bytes = b"") -> None:
            other = side.outbound.receiver
            ack = following[other] if flags & _ACK else 0
            head = struct.pack("!HHIIBBHHH", *ports[side], following[side], ack, 80, flags,
                               65_535, 0, 0)  # fmt: skip
            self._frames.append(_frame(side, 6, head + payload))
            following[side] += len(payload) + bool(flags & (_SYN | _FIN))

        send(Side.CLIENT, _SYN)
        send(Side.SERVER, _SYN | _ACK)
        send(Side.CLIENT, _ACK)
        for side, data in script:
            for at in range(0, len(data), mss):
                send(side, _ACK | _PUSH, data[at : at + mss])
            send(side.outbound.receiver, _ACK)
        send(Side.CLIENT, _ACK | _FIN)
        send(Side.SERVER, _ACK | _FIN)
        send(Side.CLIENT, _ACK)
        return mine


def _frame(sender: Side, protocol: int, segment: bytes) -> bytes:
    source, target = _IP[sender], _IP[sender.outbound.receiver]
    pseudo = source + target + struct.pack("!BBH", 0, protocol, len(segment))
    at = 16 if protocol == 6 else 6
    total = _sum(pseudo + segment)
    segment = segment[:at] + struct.pack("!H", total) + segment[at + 2 :]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, protocol, 0)
    head += source + target
    head = head[:10] + struct.pack("!H", _sum(head)) + head[12:]
    return _MACS[sender.outbound.receiver] + _MACS[sender] + b"\x08\0" + head + segment


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def datagrams(path: Path, those: Mapping[str, tuple[bytes, int, Side]]) -> Path:
    """A file with one frame for each datagram: payload, the server's port, who sends it."""
    capture = TalkCapture()
    for payload, port, sender in those.values():
        capture.datagram(payload, port, sender)
    return capture.write(path)


def talks(path: Path, those: Iterable[tuple[Script, int]], mss: int = 1448) -> Path:
    """A file with one connection for each script and port."""
    capture = TalkCapture()
    for script, port in those:
        capture.talk(script, port, mss)
    return capture.write(path)
