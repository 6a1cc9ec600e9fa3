"""The name of an end of a connection: its address, or whose it is where it has none.

The ends of a socketpair or pipe have no names, nor has a client's Unix socket: programs know them
by descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.model.call import is_closing, is_inbound, is_moving, is_outbound
from netlab.model.tables import Call, Connection, Side
from netlab.show.format import address

_LOCAL = ("unix", "pipe", "mq", "ring")
_MOST = 2  # holders that are named; a fork gives many


def is_named(row: Connection, side: Side) -> bool:
    """Whether an end has a name of its own: an address, or a path."""
    shown = end_address(row, side)
    return row.protocol not in _LOCAL or "/" in shown or "@" in shown


def end_address(row: Connection, side: Side) -> str:
    """The address of an end."""
    client = side is Side.CLIENT
    return address(row.client, row.client_port) if client else address(row.server, row.server_port)


def users(side: Side, calls: Sequence[Call]) -> list[Call]:
    """The calls that moved bytes at an end; an object without sides is written at one."""
    moving = is_outbound if side is Side.CLIENT else is_inbound
    return [
        call for call in calls
        if (moving if call.side is None else is_moving)(call) and call.side in (side, None)
    ]  # fmt: skip


def end_name(row: Connection, side: Side, calls: Sequence[Call]) -> str:
    """`10.0.0.1:80`, `unix:/run/a.sock`; without a name `curl (pid 12, descriptor 5)`.

    `calls`: those of the connection.
    """
    if is_named(row, side):
        return end_address(row, side)
    own = [call for call in calls if call.side == side]
    found = users(side, calls) or [c for c in own if not is_closing(c)] or own
    held: dict[tuple[str, int], int | None] = {}
    for call in found:
        held.setdefault((call.actor, call.pid), call.fd)
    names = [_holder(actor, pid, fd) for (actor, pid), fd in held.items()]
    if len(names) > _MOST:
        names[_MOST:] = [f"{len(names) - _MOST} more"]
    if names:
        return " and ".join(names)
    asked = (call.args for call in calls if call.op == "connect" and side is Side.SERVER)
    return next((path for path in asked if path.startswith("unix:")), "an end without calls")


def _holder(actor: str, pid: int, fd: int | None) -> str:
    """The program, its process and its descriptor; an actor may have its process in its name."""
    said = [] if actor.endswith(f"-{pid}") else [f"pid {pid}"]
    said += [f"descriptor {fd}"] if fd is not None else []
    return f"{actor} ({', '.join(said)})" if said else actor
