"""What a run is told to do, what it tells meanwhile, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netlab.capture.layout import JOURNAL_LIMIT
from netlab.model.errors import UsageError
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

if TYPE_CHECKING:
    from netlab.lab.wire.rules import Rule


ACTOR_WORDS = ("all", "server", "client")  # and each client's own name


def client_names(count: int) -> list[str]:
    """The actors of so many clients."""
    return ["client"] if count == 1 else [f"client-{n}" for n in range(1, count + 1)]


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
    stamps: Sequence[str] = ()  # programs whose sends the kernel stamps: server, client-2, all
    sample_every_ns: int = 0  # in a lab: how often all sockets are looked at; 0: never
    sysctls: Sequence[tuple[str, str, str]] = ()  # host, name, value
    address: str = ""  # of the server, where it is not a loopback's

    def check_stamps(self) -> None:
        """Raises UsageError where `stamps` names a program that there is not."""
        names = (*ACTOR_WORDS, *client_names(self.clients))
        for name in self.stamps:
            if name not in names:
                known = ", ".join(dict.fromkeys(names))
                raise UsageError(f"there is no program {name!r} to be stamped", f"there is {known}")

    @property
    def stamped_text(self) -> str:
        """` of server, client-2`; nothing where it is all."""
        return "" if "all" in self.stamps else f" of {', '.join(dict.fromkeys(self.stamps))}"

    def is_stamped(self, actor: str) -> bool:
        """Whether the kernel stamps what leaves a program."""
        family = actor.partition("-")[0]
        return bool({"all", family, actor} & set(self.stamps))

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
