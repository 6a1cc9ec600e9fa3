"""The scenarios of `netlab run`: which handler serves, and what it is told for a run.

The clients of the same names are in `clients`. Each scenario is bounded by the run's messages and
their size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netlab.lab.clients_web import FOLDER
from netlab.lab.options import RunOptions
from netlab.lab.serving import ServeOrders

PAUSES_S = (0.05, 0.05, 0.05)
_DEFAULT_BUFFER_BYTES = 1 << 21
_DEFAULT_MESSAGE_BYTES = 1 << 12
_FRAMED = frozenset({"websocket", "chat"})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run."""

    name: str
    text: str  # what the client does; one line
    udp: bool = False  # whether there is one in datagrams
    size_bytes: int = 100  # of a message, unless the user says; 0: whole files
    clients: int = 1  # unless the user says
    packages: tuple[str, ...] = ()  # that its handler needs


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("echo", "messages, and the server gives them back", udp=True),
        Scenario("upper", "messages, which come back in capitals", udp=True),
        Scenario("discard", "messages without an answer", udp=True),
        Scenario("chargen", "listens to all that the server sends", udp=True, size_bytes=20_000),
        Scenario("daytime", "listens to one line; the server closes first", udp=True),
        Scenario("slow", "messages, which come back in pieces with pauses"),
        Scenario("stuck", "messages until the window of a deaf server is full", size_bytes=4 << 20),
        Scenario("bad", "messages to a server that closes on them: RST"),
        Scenario("rpc", "calls: add, echo, sleep, and task with --tasks"),
        Scenario("http", "gets a file and a page in turn, or parts of the file with --size",
                 size_bytes=0, packages=("h11",)),
        Scenario("websocket", "an upgrade, then messages in frames, which come back",
                 packages=("wsproto", "h11")),
        Scenario("chat", "several clients, and everybody hears the others", clients=3),
    )
}  # fmt: skip


def packages_for(options: RunOptions) -> tuple[str, ...]:
    """What the server imports beside the standard library and netlab."""
    ipc = options.server_options.get("ipc", "")
    of_ipc = {"posix_mq": ("posix_ipc",), "sysv_mq": ("sysv_ipc",)}.get(ipc, ())
    return (*of_ipc, *SCENARIOS[options.scenario].packages)


def orders_for(options: RunOptions) -> ServeOrders:
    """What the server of a run is told."""
    # The echo client sends a whole message before it reads: the server must be able to hold it.
    buffer_bytes = max(_DEFAULT_BUFFER_BYTES, 2 * options.size_bytes)
    given = {
        "nodelay": "yes" if options.nodelay else "no",
        "output_buffer": str(buffer_bytes),
        **options.server_options,
    }
    if options.scenario in _FRAMED:  # one message is one of the protocol's
        given.setdefault("max_message", str(max(_DEFAULT_MESSAGE_BYTES, 2 * options.size_bytes)))
    host = f"[{options.host}]" if options.ipv6 else options.host
    return ServeOrders(
        handler=options.scenario,
        listen=(f"{'udp:' if options.udp else ''}{host}:{options.port}",),
        options=given,
        folder=str(FOLDER),
        limit_bytes=options.messages * options.size_bytes,
        pauses_s=PAUSES_S,
    )
