"""What the cases with a known answer run on the hosts: one question, one answer, nothing else."""

from __future__ import annotations

import socket
from pathlib import Path

from netlab.lab.pattern import pattern
from netlab.model.probe import Probe

PORT = 7


def answer(probe: Probe, question_bytes: int) -> int:
    """Take one connection in, read the question, say one byte, and read to the end."""
    listener = probe.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", PORT))
    listener.listen()
    sock, _ = listener.accept()
    listener.close()
    heard = b""
    while len(heard) < question_bytes:
        heard += sock.recv(1 << 16)
    assert heard == pattern(0, question_bytes)
    sock.sendall(b"!")
    assert sock.recv(1) == b""
    sock.close()
    return len(heard)


def ask(probe: Probe, address: str, question_bytes: int) -> None:
    """Connect, write the question in one call, and wait for the answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = probe.socket(family, socket.SOCK_STREAM)
    sock.connect((address, PORT))
    sock.sendall(pattern(0, question_bytes))
    assert sock.recv(2) == b"!"
    sock.close()


def setting(probe: Probe, name: str) -> str:
    """A sysctl of the host, as the kernel says it."""
    return Path("/proc/sys", *name.split(".")).read_text().strip()
