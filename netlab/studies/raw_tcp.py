"""TCP segments that no kernel has made: for what a kernel would never send.

A program needs CAP_NET_RAW for it, which a lab's host may give it: see `start_raw`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netlab.decode.checksums import checksum
from netlab.lab.actor import Program
from netlab.studies.on_host import run_program
from netlab.studies.stage import Stage

RST, SYN, ACK = 0x04, 0x02, 0x10
_HEADER = struct.Struct("!HHIIBBHHH")
_WINDOW = 64_240


@dataclass(frozen=True, slots=True)
class Ends:
    """Whose segment it is to be: addresses as text, and ports."""

    source: str
    sport: int
    destination: str
    dport: int


def segment(ends: Ends, flags: int, seq: int, ack: int = 0) -> bytes:
    """A header without options or payload, with its checksum (RFC 9293 3.1)."""
    fields = (ends.sport, ends.dport, seq, ack, _HEADER.size // 4 << 4, flags, _WINDOW)
    header = _HEADER.pack(*fields, 0, 0)
    pseudo = socket.inet_aton(ends.source) + socket.inet_aton(ends.destination)
    pseudo += struct.pack("!HH", socket.IPPROTO_TCP, len(header))
    return _HEADER.pack(*fields, checksum(pseudo + header), 0)


def sender() -> socket.socket:
    """What sends such segments: the kernel puts its IP header before each, and no more."""
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)


def start_raw(stage: Stage, host: str, program: Callable[..., Any]) -> Program:
    """As `stage.start`; the program may open raw and packet sockets, on its host."""
    place = (program.__module__, program.__qualname__)
    started = stage.lab.start(host, run_program, *place, dict(stage.p), may_capture=True)
    stage.started.append(started)
    return started
