"""Which programs hold the sides of connections -> names of calls that tell them apart.

A proxy is the server of one connection and the client of the next: where both are recorded,
"client" alone does not say who. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict

from netlab.explain.scene import Scene
from netlab.explain.timed_out import home_of_poll
from netlab.explain.wording import name_of, who
from netlab.model.call import WAITING
from netlab.model.records import dataclass
from netlab.model.tables import Call, Tables

_PROCESS = re.compile(r"(.+)/(?:(.+)-)?\d+")  # `server/nginx-5529`, or `server/5529`
_NETWORK = frozenset({"tcp", "udp"})


@dataclass(frozen=True, slots=True)
class Callers:
    """What the name of a call has to say, besides its side."""

    number: bool  # which connection it is on: one side is held by several processes
    programs: frozenset[str]  # of these sides the program, too: different ones hold them


def program_of(actor: str) -> str:
    """`server/nginx` of `server/nginx-5529`: who made a call, without the number of its process."""
    found = _PROCESS.fullmatch(actor)
    if found is None:
        return actor
    return f"{found[1]}/{found[2]}" if found[2] else f"{found[1]}/..."


def name_apart(scene: Scene, call: Call) -> str:
    """`client send #12`; in a proxy's recording `[1] client (server/nginx) send #12`."""
    if scene.callers is None:
        scene.callers = callers_of(scene.tables)
    callers = scene.callers
    if not callers.number:
        return name_of(call)
    connection = call.connection
    if connection is None and call.op in WAITING:
        home = home_of_poll(scene, call)
        connection = home[0] if home is not None else None
    where = f"[{connection}] " if connection is not None else ""
    said = who(call)
    if said == call.side and said in callers.programs and call.actor != said:
        return f"{where}{said} ({program_of(call.actor)}) {call.op} #{call.call}"
    return f"{where}{name_of(call)}"


def callers_of(tables: Tables) -> Callers:
    """Who holds which side of the connections on the network."""
    network = {row.connection for row in tables.connections if row.protocol in _NETWORK}
    used: set[int] = set()
    actors: dict[str, set[str]] = defaultdict(set)
    for call in tables.calls:
        if call.side is not None and call.connection in network:
            used.add(call.connection)
            actors[call.side].add(call.actor)
    if len(used) < 2:
        return Callers(False, frozenset())
    return Callers(
        any(len(found) > 1 for found in actors.values()),
        frozenset(side for side, found in actors.items() if len(set(map(program_of, found))) > 1),
    )
