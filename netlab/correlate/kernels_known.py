"""What a recording says of its hosts' kernels -> what may be taken for granted of their TCP.

Only where both ends are hosts of the recording: in a lab all are, on the loopback there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.correlate.segments import Track
from netlab.model.recording import Host
from netlab.model.tables import Packet

_PROBING = frozenset(("3", "4"))  # net.ipv4.tcp_early_retrans: tail loss probes are sent


def all_probe_first(hosts: Sequence[Host]) -> bool:
    """Whether each host's kernel sends a tail loss probe before its timer runs out."""
    settings = [dict(host.sysctls).get("net.ipv4.tcp_early_retrans") for host in hosts]
    return bool(settings) and all(value in _PROBING for value in settings)


def may_probe_first(hosts: Sequence[Host], packet: Packet) -> bool:
    """Whether the host that sent a frame may send tail loss probes: nothing known forbids it."""
    for host in hosts:
        if host.name == packet.interface:
            return dict(host.sysctls).get("net.ipv4.tcp_early_retrans", "3") in _PROBING
    return True


def ends_are_known(track: Track) -> bool:
    """Whether both ends of a connection are hosts that the recording describes."""
    first = track.rows[0].packet if track.rows else None
    return first is not None and (first._wired or first.interface == "lo")
