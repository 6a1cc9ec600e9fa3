"""A TCP connection without calls -> why its frames came when they did: its silences, with a cause.

A silence is a time of `LEAST_NS` or more in which no frame of the connection was captured that
moved it on. Its cause is read off the frame that ended it, and off what both ends had sent and
heard by then, as `vantage` has it. Nobody saw the programs, so all of it is inferred, and one
captured at an end or between them does not say which part of an answer's time was its way.
An ACK that let nobody send moves nothing on: the silence goes on behind it.
"""

from __future__ import annotations

from netlab.correlate.segments import Row
from netlab.explain.causes import Cause, Certainty
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.silence.gaps import LEAST_NS, Gap, let_go
from netlab.explain.silence.rules import RULES
from netlab.model.tables import Side


def silences_of(scene: Scene, connection: int) -> list[Part]:
    """The silences of a connection, in order; none where calls tell it better, or it has none."""
    path = scene.path(connection)
    if path is None or any(scene.has_calls(connection, side) for side in Side):
        return []
    known = scene.silences.get(connection)
    if known is not None:
        return known
    rows = [row for row in path.track.rows if not row.packet._made]
    found: list[Part] = []
    before: Row | None = None
    for place, row in enumerate(rows):
        if before is None:
            before = row
            continue
        following = rows[place + 1] if place + 1 < len(rows) else None
        gap = Gap(path, path.vantage, before, row, let_go(row, following))
        if gap.moves_nothing:
            continue
        if gap.length_ns >= LEAST_NS:
            found.append(_part(gap))
        before = row
    scene.silences[connection] = found
    return found


def _part(gap: Gap) -> Part:
    told = next(told for rule in RULES if (told := rule(gap)) is not None)
    return Part(
        gap.before.packet.time_ns, gap.after.packet.time_ns, told.cause,
        Certainty.UNKNOWN if told.cause is Cause.UNKNOWN else Certainty.INFERRED,
        tuple(dict.fromkeys((*told.frames, gap.frame))), (), told.text, told.sense,
    )  # fmt: skip
