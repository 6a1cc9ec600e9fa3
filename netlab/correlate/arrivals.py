"""When a frame reached its receiver, and whether it did: the words of the room for a wire's notes.

Without a wire a frame counts as arrived where and when it was captured. With one, the wire says it:
what it dropped never arrived, what it spoilt was thrown away by the receiver's kernel, and what was
on its way when all ended may have arrived or not. Frames that the wire made arrive, and nobody sent
them: they are copies, or errors in the name of a router.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.model.tables import Fate, Packet


def arrival_ns(packet: Packet) -> int:
    """When the frame reached its receiver, whole; without a wire, when it was seen."""
    if packet._whole_ns is not None:
        return packet._whole_ns
    return packet.time_ns if packet.arrived_ns is None else packet.arrived_ns


def reached(packet: Packet) -> bool:
    """Whether the receiver's kernel took the frame in."""
    if packet._wired:
        return packet.arrived_ns is not None and not packet._spoilt
    return packet.fate != Fate.DROPPED


def may_have_reached(packet: Packet) -> bool:
    """Whether it may have: like `reached`, or its fate is not known."""
    return reached(packet) or on_its_way(packet)


def on_its_way(packet: Packet) -> bool:
    """Whether it is not known what became of it on the wire."""
    return packet._wired and packet.fate == Fate.UNKNOWN


def sent(packets: Iterable[Packet]) -> list[Packet]:
    """Those that their sender sent, in the order given."""
    return [packet for packet in packets if not packet._made]


def came(packets: Iterable[Packet]) -> list[Packet]:
    """Those that reached the receiver, in order of arrival."""
    return sorted(filter(reached, packets), key=arrival_ns)


def seen_at_both_ends(packet: Packet) -> bool:
    """Whether both times of a frame are known: a wire's, or on a loopback, where they are one."""
    if packet._wired or packet.src == packet.dst:
        return True
    return (packet.src or "").startswith("127.") or packet.interface.startswith("lo")
