"""Tables and raw material -> table `waits`: every interval of every call, with its cause.

Calls are told in order of their return: what a peer's thread was inside of before the call that was
waited for is told by then (`peer`). The time ledger closes by construction (`parts`). A call that
never returned is told last, up to the end of its process or of the recording (`unreturned`).
"""

from __future__ import annotations

from operator import attrgetter

from netlab.explain.causes import Cause
from netlab.explain.parts import Part
from netlab.explain.scene import Scene
from netlab.explain.stories import parts_of
from netlab.explain.unreturned import parts_until_the_end
from netlab.model.garbage import no_collection
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables, Wait


def waits(tables: Tables, raw: RawRecording) -> list[Wait]:
    """The rows, in order of calls and of time."""
    with no_collection():
        return waits_of(explained(tables, raw))


def explained(tables: Tables, raw: RawRecording) -> Scene:
    """The scene with all calls told."""
    scene = Scene(tables, raw)
    over = [call for call in tables.calls if call.returned_ns is not None]
    for call in sorted(over, key=attrgetter("returned_ns", "call")):
        scene.explained[call.call] = parts_of(scene, call)
    for call in tables.calls:
        if call.returned_ns is None and call.op != "exit":
            scene.explained[call.call] = parts_until_the_end(scene, call)
    return scene


def waits_of(scene: Scene) -> list[Wait]:
    """The rows of the table."""
    return [
        _row(number, part) for number in sorted(scene.explained) for part in scene.explained[number]
    ]


def _row(call: int, part: Part) -> Wait:
    return Wait(
        call, part.start_ns, part.stop_ns, str(Cause(part.cause)), str(part.certainty),
        part.frames, part.calls, part.text,
    )  # fmt: skip
