"""A port -> who has it, from /proc: the hint beside "address already in use".

Read first: man 5 proc, /proc/net/tcp and /proc/PID/fd. Other users' processes stay unnamed.
"""

from __future__ import annotations

import os

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp; an unconnected UDP socket has 07
_UNCONNECTED = "07"


def owner_text(protocol: str, port: int) -> str:
    """One phrase that names the processes at this port, as far as this user may know."""
    inodes = _inodes(protocol, port)
    owners = _holders(inodes) if inodes else []
    if owners:
        return f"port {port} belongs to {', '.join(owners)}"
    if inodes:
        return f"port {port} belongs to a process of another user (ss -lptn as root names it)"
    return f"another socket has port {port}"


def _inodes(protocol: str, port: int) -> set[str]:
    found: set[str] = set()
    state = _LISTEN if protocol == "tcp" else _UNCONNECTED
    for suffix in ("", "6"):  # [::] may hold the IPv4 port as well
        try:
            with open(f"/proc/net/{protocol}{suffix}") as table:
                rows = [line.split() for line in table][1:]
        except OSError:
            continue
        for row in rows:
            if row[3] == state and int(row[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{row[9]}]")
    return found


def _holders(inodes: set[str]) -> list[str]:
    holders = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
            if any(_link(f"/proc/{pid}/fd/{descriptor}") in inodes for descriptor in descriptors):
                with open(f"/proc/{pid}/comm") as comm:
                    holders.append(f"{comm.read().strip()} (pid {pid})")
        except OSError:  # gone meanwhile, or not ours to look at
            continue
    return holders


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # such as the descriptor that listed the folder
        return ""
