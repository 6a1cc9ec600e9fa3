"""What the lab of second verdicts runs: connections one after the other, and what the sender's
kernel counted during each."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from netlab.lab.pattern import pattern
from netlab.model.probe import Probe

PORT = 7


def counters() -> dict[str, int]:
    """The kernel's counters of TCP on this host (proc_pid_net_netstat, snmp_counter.rst)."""
    lines = Path("/proc/net/netstat").read_text(encoding="ascii").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("TcpExt:"))
    return dict(zip(names, map(int, values), strict=True))


def bring_counted(
    probe: Probe, address: str, sizes: list[int], idle_s: list[float]
) -> list[dict[str, int]]:
    """Write so many bytes on a connection each; what changed in the counters until it was over."""
    found = []
    for size, pause_s in zip(sizes, idle_s, strict=True):
        before = counters()
        sock = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        sock.connect((address, PORT))
        sock.sendall(pattern(0, size))
        time.sleep(pause_s)  # nothing waits for anything: the connection is to be idle
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(2) == b"!"
        sock.close()
        after = counters()
        found.append({name: after[name] - before[name] for name in after})
    return found


def take_slowly(probe: Probe, pauses_s: list[float]) -> None:
    """Take in a connection for each pause: read to the end after it, then say a byte."""
    listener = probe.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    listener.bind(("0.0.0.0", PORT))
    listener.listen()
    for pause_s in pauses_s:
        sock, _ = listener.accept()
        time.sleep(pause_s)
        while sock.recv(1 << 16):
            pass
        sock.sendall(b"!")
        sock.close()
    listener.close()
