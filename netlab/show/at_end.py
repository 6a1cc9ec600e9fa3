"""A recording with a wire -> what one host's own tcpdump would have seen.

Frames that the host sent, when they left it; frames that arrived there, with the bytes and at the
time at which they did, those that the wire made among them; in that order. What the wire dropped
its sender saw, and nobody else. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.decode.arrivals import destinations
from netlab.model.errors import UsageError
from netlab.model.frame import DIRECTION_IN, DIRECTION_OUT, WIRE, Frame
from netlab.model.recording import RawRecording


def seen_at(raw: RawRecording, host: str) -> RawRecording:
    """The frames of one host, numbered from 1, on one interface.

    Raises UsageError for a host that the recording has not, and where no wire was between hosts.
    """
    hosts = [one.name for one in raw.interfaces if one.name != WIRE]
    if not raw.wired:
        raise UsageError(
            "--at needs a recording made on hosts with a wire between",
            "this one has no arrivals; leave out --at",
        )
    if host not in hosts:
        raise UsageError(f"no host {host!r} in this recording", f"the hosts are {', '.join(hosts)}")
    here = next(n for n, one in enumerate(raw.interfaces) if one.name == host)
    arrivals = {arrival.packet: arrival for arrival in raw.arrivals}
    found: list[Frame] = []
    for frame, goals in zip(raw.frames, destinations(raw), strict=True):
        if frame.interface == here:
            found.append(replace(frame, interface=0, flags=frame.flags | DIRECTION_OUT))
        arrival = arrivals.get(frame.packet or 0)
        if here not in goals or arrival is None or arrival.arrived_ns is None:
            continue
        data = frame.data if arrival.changed is None else arrival.changed
        found.append(
            replace(
                frame, interface=0, time_ns=arrival.arrived_ns, data=data,
                origlen_bytes=len(data), flags=frame.flags | DIRECTION_IN,
            )
        )  # fmt: skip
    found.sort(key=lambda frame: frame.time_ns)
    seen = replace(raw.interfaces[here], received=len(found))
    return RawRecording(
        frames=[replace(frame, number=n, packet=None) for n, frame in enumerate(found, 1)],
        interfaces=[seen],
    )
