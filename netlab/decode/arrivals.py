"""What a wire noted of its frames -> arrived_ns and fate of their packets, and where they went.

A packet that a wire carried and that has no arrival was on its way when all ended: its fate is not
known. Frames of the interface `wire` were made by the wire; one that is, byte for byte, a frame
that a host had sent is a copy of it. Nothing here judges what a frame meant to its receiver's TCP.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from netlab.decode.acceptance import accepted
from netlab.decode.cuts import Cut, put_together
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
    cut: list[Cut] = []
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
        if arrival.changed is None:
            continue
        after = decode_one(
            replace(frame, data=arrival.changed, origlen_bytes=len(arrival.changed)),
            raw.interfaces[frame.interface],
        )
        if after._fragment_more and after.ip_len_bytes != packet.ip_len_bytes:
            cut.append(Cut(packet, bytes(frame.data), arrival.changed, after))
        packet._spoilt = not accepted(bytes(frame.data), arrival.changed, packet, after)
    if any(packet._made for packet in packets):
        _find_originals(raw.frames, packets)
    if cut:
        put_together(cut, raw.frames, packets)


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
    copies: Counter[bytes] = Counter()  # of frames for several: how many the wire made
    for frame in raw.frames:
        if frame.packet is None:
            continue
        if frame.interface in hosts:
            if len(frame.data) >= 12:
                home.setdefault(bytes(frame.data[6:12]), frame.interface)
        elif _for_several(frame):
            copies[bytes(frame.data)] += 1
    found: list[tuple[int, ...]] = []
    known: dict[tuple[bytes, int], tuple[int, ...]] = {}
    seen: Counter[bytes] = Counter()
    for frame in raw.frames:
        if frame.packet is None:
            found.append(())
        elif copies and _for_several(frame) and (data := bytes(frame.data)) in copies:
            # The frame itself goes to the first, its copies to the others.
            others = _others(frame, hosts, home)
            found.append(others[min(seen[data], len(others) - 1) :][:1])
            seen[data] += 1
        else:
            key = bytes(frame.data[:12]), frame.interface
            if key not in known:
                known[key] = _goals(frame, hosts, home)
            found.append(known[key])
    return found


def _goals(frame: Frame, hosts: Sequence[int], home: dict[bytes, int]) -> tuple[int, ...]:
    target = bytes(frame.data[:6])
    if target in home:
        return (home[target],)
    others = _others(frame, hosts, home)
    if _for_several(frame):
        return others
    silent = tuple(host for host in others if host not in home.values())
    return silent if len(silent) == 1 else ()


def _others(frame: Frame, hosts: Sequence[int], home: dict[bytes, int]) -> tuple[int, ...]:
    """The hosts but the one that the frame, or what it is a copy of, came from."""
    source = home.get(bytes(frame.data[6:12]), frame.interface)
    return tuple(host for host in hosts if host != source)


def _for_several(frame: Frame) -> bool:
    return bool(frame.data[:1]) and bool(frame.data[0] & _MULTICAST)
