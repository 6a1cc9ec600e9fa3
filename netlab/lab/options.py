"""What a run is told to do, what it tells meanwhile, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netlab.capture.layout import JOURNAL_LIMIT
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

if TYPE_CHECKING:
    from netlab.lab.wire.rules import Rule


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run, how to watch it, and where to write it."""

    path: Path
    scenario: str = "echo"
    server_options: Mapping[str, str] = field(default_factory=dict)  # as typed: mode, workers...
    messages: int = 3
    size_bytes: int = 100
    think_ms: float = 0.0
    nodelay: bool = False
    recv_size_bytes: int = 1 << 16
    clients: int = 1
    ipv6: bool = False
    udp: bool = False
    port: int = 7777
    queues: str = "calls"  # calls, events, off
    tcp_info: bool = False
    user: str | None = None
    journal_limit: int = JOURNAL_LIMIT
    spool_limit_bytes: int = 1 << 30
    title: str = "netlab run echo"
    lab: bool | None = None  # two hosts with a wire, or loopback; None: what the machine allows
    wire: Sequence[Rule] = ()
    sample_every_ns: int = 0  # in a lab: how often all sockets are looked at; 0: never
    sysctls: Sequence[tuple[str, str, str]] = ()  # host, name, value
    address: str = ""  # of the server, where it is not a loopback's

    @property
    def host(self) -> str:
        return self.address or ("::1" if self.ipv6 else "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    phase: str
    messages: int
    messages_wanted: int
    frames: int
    calls: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished recording, read."""

    path: Path
    tables: Tables
    raw: RawRecording
    notes: tuple[str, ...] = ()
    interrupted: int | None = None  # the signal that ended it early


OnProgress = Callable[[Progress], None]
