"""What a wire noted of its frames -> arrived_ns and fate of their packets, and where they went.

A packet that a wire carried and that has no arrival was on its way when all ended: its fate is not
known. Frames of the interface `wire` were made by the wire; one that is, byte for byte, a frame
that a host had sent is a copy of it. Nothing here judges what a frame meant to its receiver's TCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlab.decode.acceptance import accepted
from netlab.model.frame import WIRE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netlab.model.frame import Frame, Interface
    from netlab.model.recording import RawRecording
    from netlab.model.tables import Packet

_MULTICAST = 1  # of an Ethernet address's first byte (IEEE 802.3 3.2.3)


def note_arrivals(
    raw: RawRecording,
    packets: Sequence[Packet],
    decode_one: Callable[[Frame, Interface], Packet],
) -> None:
    """Fill what the wire knows; `packets` are those of `raw.frames`, in their order."""
    arrivals = {arrival.packet: arrival for arrival in raw.arrivals}
    goals = destinations(raw)
    for frame, packet, goal in zip(raw.frames, packets, goals, strict=True):
        if frame.packet is None:
            continue
        packet._wired = True
        packet._made = packet.interface == WIRE
        packet._to = raw.interfaces[goal[0]].name if len(goal) == 1 else None
        arrival = packet._arrival = arrivals.get(frame.packet)
        if arrival is None:
            continue
        packet.fate, packet.arrived_ns = arrival.fate, arrival.arrived_ns
        if arrival.changed is not None:
            changed = _as_arrived(frame, arrival.changed)
            after = decode_one(changed, raw.interfaces[frame.interface])
            packet._spoilt = not accepted(bytes(frame.data), arrival.changed, packet, after)
    if any(packet._made for packet in packets):
        _find_originals(raw.frames, packets)


def _as_arrived(frame: Frame, changed: bytes) -> Frame:
    from dataclasses import replace

    return replace(frame, data=changed, origlen_bytes=len(changed))


def _find_originals(frames: Sequence[Frame], packets: Sequence[Packet]) -> None:
    """Which frame each copy that the wire made is a copy of: the latest with the same bytes."""
    wanted = {bytes(f.data) for f, p in zip(frames, packets, strict=True) if p._made}
    latest: dict[bytes, int] = {}
    for frame, packet in zip(frames, packets, strict=True):
        data = bytes(frame.data)
        if packet._made:
            packet._copy_of = latest.get(data)
        elif data in wanted:
            latest[data] = packet.frame


def destinations(raw: RawRecording) -> list[tuple[int, ...]]:
    """For each frame that a wire carried, the interfaces of the hosts it was for; else none.

    A host is known by the Ethernet address that its own frames come from; one that never sent any
    is known only where there is no other left.
    """
    hosts = [n for n, one in enumerate(raw.interfaces) if one.name != WIRE]
    home: dict[bytes, int] = {}
    for frame in raw.frames:
        if frame.packet is not None and frame.interface in hosts:
            home.setdefault(bytes(frame.data[6:12]), frame.interface)
    found: list[tuple[int, ...]] = []
    for frame in raw.frames:
        if frame.packet is None:
            found.append(())
            continue
        target = bytes(frame.data[:6])
        others = tuple(host for host in hosts if host != frame.interface)
        if target in home:
            found.append((home[target],))
        elif target[:1] and target[0] & _MULTICAST:
            source = home.get(bytes(frame.data[6:12]))
            found.append(tuple(host for host in others if host != source))
        else:
            silent = tuple(host for host in others if host not in home.values())
            found.append(silent if len(silent) == 1 else ())
    return found
