"""The frames and arrivals of a wire, put together: checked on reading, merged on recovering.

An arrival is worth what its frame is: one that names a packet which is not there, or contradicts
itself or another, is damage, named once with how many there are. Decodes no packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.model.frame import LINK_ETHERNET, Frame, Interface
from netlab.model.recording import RawRecording
from netlab.model.tables import Fate
from netlab.model.wire import Arrival

WireFrame = tuple[int, int, int, bytes]  # packet, interface, time_ns, data
_ARRIVED = frozenset({Fate.DELIVERED, Fate.CHANGED})


def check_arrivals(raw: RawRecording) -> list[str]:
    """Keep the arrivals that hold, one for each packet; a line for each kind of those that do not.

    Of two for one packet the earlier in the file stays. Arrivals are in order of packet afterwards.
    """
    if not raw.arrivals:
        return []
    packets = {frame.packet for frame in raw.frames}
    kept: dict[int, Arrival] = {}
    strange: list[int] = []
    twice: list[int] = []
    wrong: list[int] = []
    for arrival in raw.arrivals:
        if arrival.packet not in packets:
            strange.append(arrival.packet)
        elif (arrival.arrived_ns is not None) != (arrival.fate in _ARRIVED):
            wrong.append(arrival.packet)
        else:
            first = kept.setdefault(arrival.packet, arrival)
            if first is not arrival and first != arrival:
                twice.append(arrival.packet)
    raw.arrivals = [kept[packet] for packet in sorted(kept)]
    return [
        text
        for text in (
            _fault(strange, "an arrival names packet {}: there is none", "arrivals name packets"),
            _fault(wrong, "the arrival of packet {} contradicts itself", "arrivals do so"),
            _fault(twice, "packet {} arrived twice: the first counts", "packets did so"),
        )
        if text
    ]


def _fault(packets: Sequence[int], one: str, several: str) -> str:
    if not packets:
        return ""
    more = f" (in all, {len(packets):,} {several})" if len(packets) > 1 else ""
    return one.format(packets[0]) + more


def merge_wire(
    raw: RawRecording, frames: Iterable[WireFrame], arrivals: Iterable[Arrival]
) -> tuple[int, int]:
    """Add what a wire's spool holds and the recording does not; how many frames and arrivals.

    Frames that are new get numbers behind all others. An interface that the recording does not
    describe, because its beginning is gone, gets a name that says so.
    """
    known = {frame.packet for frame in raw.frames}
    told = {arrival.packet for arrival in raw.arrivals}
    number = max((frame.number for frame in raw.frames), default=0)
    added_frames = added_arrivals = 0
    for packet, interface, time_ns, data in frames:
        if packet in known:
            continue
        known.add(packet)
        added_frames += 1
        while len(raw.interfaces) <= interface:
            raw.interfaces.append(Interface(f"unknown-{len(raw.interfaces)}", LINK_ETHERNET, 0))
        raw.frames.append(
            Frame(number + added_frames, time_ns, interface, data, len(data), packet=packet)
        )
    for arrival in arrivals:
        if arrival.packet not in told:
            told.add(arrival.packet)
            added_arrivals += 1
            raw.arrivals.append(arrival)
    return added_frames, added_arrivals
