"""One case with a known cause: what it consists of, in the words of those who write it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Steps = list[list[Any]]

MSG_WAITALL, MSG_MORE = 0x100, 0x8000
SEGMENT = 1448


@dataclass(frozen=True)
class Case:
    """One conversation and what one call of it waits for."""

    name: str
    client: Steps
    server: Steps
    target: tuple[str, str, int]  # side, call, which of them: 1 the first, -1 the last
    truth: frozenset[str]
    least_ms: float  # what of the target's time must be waiting, or the case did not happen
    wire: str = ""
    allowed: frozenset[str] = frozenset({"network"})
    ipv6: bool = False
    sysctls: dict[str, dict[str, str]] = field(default_factory=dict)
    link_rates: dict[str, int] = field(default_factory=dict)  # bits a second, by host
    client_first: bool = False
    tcp_info: bool = False
    least_window: int = 0  # below which a window that is not closed must have come
    each: dict[str, float] = field(default_factory=dict)  # ms that a cause must have at the least


def case(
    name: str,
    client: Steps,
    server: Steps,
    target: tuple[str, str, int],
    truth: str,
    least_ms: float,
    wire: str = "",
    allowed: str = "network",
    **more: Any,
) -> Case:
    return Case(
        name, client, server, target, frozenset(truth.split()), least_ms, wire,
        frozenset(allowed.split()), **more,
    )  # fmt: skip


LISTEN: Steps = [["listen"], ["accept"]]
