"""The scenarios of `netlab run`: which handler serves, and what it is told for a run.

The clients of the same names are in `clients`. Each scenario is bounded by the run's messages and
their size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netlab.lab.options import RunOptions
from netlab.lab.serving import ServeOrders

PAUSES_S = (0.05, 0.05, 0.05)
_DEFAULT_BUFFER_BYTES = 1 << 21


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run."""

    name: str
    text: str  # what the client does; one line
    udp: bool = False  # whether there is one in datagrams
    size_bytes: int = 100  # of a message, unless the user says


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
    )
}  # fmt: skip


def packages_for(options: RunOptions) -> tuple[str, ...]:
    """What the server imports beside the standard library and netlab; each a single module."""
    ipc = options.server_options.get("ipc", "")
    return {"posix_mq": ("posix_ipc",), "sysv_mq": ("sysv_ipc",)}.get(ipc, ())


def orders_for(options: RunOptions) -> ServeOrders:
    """What the server of a run is told."""
    # The echo client sends a whole message before it reads: the server must be able to hold it.
    buffer_bytes = max(_DEFAULT_BUFFER_BYTES, 2 * options.size_bytes)
    given = {
        "nodelay": "yes" if options.nodelay else "no",
        "output_buffer": str(buffer_bytes),
        **options.server_options,
    }
    host = f"[{options.host}]" if options.ipv6 else options.host
    return ServeOrders(
        handler=options.scenario,
        listen=(f"{'udp:' if options.udp else ''}{host}:{options.port}",),
        options=given,
        limit_bytes=options.messages * options.size_bytes,
        pauses_s=PAUSES_S,
    )
