"""What the kernels leave aside -> the same tables by the general path, and the two made one.

A flow is followed by one of the two, whole: by the general path where the kernels left it, or where
a frame that they left aside is in it, or may be: a packet with odd options, a fragment, the inside
of a tunnel, an ICMP error that quotes it. Connections and streams are then numbered as if one had
seen all frames in their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from netlab.correlate.flows import FlowTable
from netlab.correlate.join import correlate
from netlab.decode.packets import decode
from netlab.engine.flow_rows import FlowRow
from netlab.engine.set_aside import General
from netlab.model.frame import Frame
from netlab.model.recording import RawRecording
from netlab.model.tables import Packet

# Protocol, and both ends in order: number of the address, port. The version of IP is in the first.
Key = tuple[str, int, tuple[int, int], tuple[int, int]]


def touched_keys(raw: RawRecording, frames: Iterable[Frame]) -> set[Key]:
    """The conversations that these frames belong to, or speak of."""
    found = set()
    for packet in decode(_recording(raw, frames)):
        for one in (packet, packet._quoted):
            if one is not None and (key := _key(one)) is not None:
                found.add(key)
    return found


def key_of(row: FlowRow) -> Key:
    """The same of a flow that the kernels found."""
    return _sorted(row.protocol, row.ip_version, row.ends)


def follow(raw: RawRecording, frames: Iterable[Frame]) -> General:
    """The general path over these frames, as if there were no others."""
    part = _recording(raw, frames)
    packets = decode(part)
    found = General(part.frames)
    _note_order(packets, found)
    found.tables = correlate(part, packets)
    return found


def _recording(raw: RawRecording, frames: Iterable[Frame]) -> RawRecording:
    """The same file with only these frames."""
    return RawRecording(
        frames=sorted(frames, key=lambda frame: frame.number),
        interfaces=raw.interfaces, description=raw.description, cut_short=raw.cut_short,
    )  # fmt: skip


def _note_order(packets: Iterable[Packet], into: General) -> None:
    """At which frames the flows came into being, and took their stream numbers.

    A quoted flow takes a number without being a connection; a fragmented one takes it late.
    """
    table = FlowTable()
    born: list[int] = []
    taken: dict[tuple[str, int], int] = {}
    for packet in packets:
        before = len(table.flows)
        counts = dict(table.streams)
        table.add(packet)
        born += [packet.frame] * (len(table.flows) - before)
        for protocol, count in table.streams.items():
            for number in range(counts[protocol], count):
                taken[protocol, number] = packet.frame
    into.born = [frame for frame, flow in zip(born, table.flows, strict=True) if flow.packets]
    for protocol, count in table.streams.items():
        into.numbered[protocol] = [taken[protocol, number] for number in range(count)]


def _key(packet: Packet) -> Key | None:
    if packet.sport is None or packet.dport is None or packet.protocol not in ("TCP", "UDP"):
        return None
    src, dst = ip_address(packet.src or ""), ip_address(packet.dst or "")
    ends = (int(src), packet.sport), (int(dst), packet.dport)
    return _sorted(packet.protocol.lower(), src.version, ends)


def _sorted(protocol: str, version: int, ends: tuple[tuple[int, int], tuple[int, int]]) -> Key:
    first, second = sorted(ends)
    return protocol, version, first, second
